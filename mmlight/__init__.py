"""mmlight: light-weight and searched networks for MMDetection and MMSegmentation.

Importing the package installs what released OpenMMLab versions need on today's PyTorch (:mod:`mmlight.compat`) and
makes the ``mmlight`` registry scope known. It imports neither mmdet nor mmseg.
"""

from mmlight import compat, images
from mmlight.compat import moved
from mmlight.compat.import_hook import on_import
from mmlight.version import __version__

compat.install()
moved.install()
on_import('mmengine.fileio.backends', images.register_backend)

__all__ = ['__version__', 'compat']
