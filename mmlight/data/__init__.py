"""Data: the generated sample data set, COCO folders, checks before training, image loading.

Importing the package registers :class:`LoadImage` and :class:`CheckLabels`; it imports neither mmdet nor mmseg.
"""

from mmlight.data.loading import CheckLabels, LoadImage
from mmlight.data.rendering import ColorTables, OpenImage, RenderWindow
from mmlight.data.windows import JitterWindow, SSDWindow

__all__ = ['CheckLabels', 'ColorTables', 'JitterWindow', 'LoadImage', 'OpenImage', 'RenderWindow', 'SSDWindow']
