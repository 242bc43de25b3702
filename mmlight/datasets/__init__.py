"""Data: the generated sample data set, COCO folders, checks before training, image loading.

Importing the package registers :class:`LoadImage`; it imports neither mmdet nor mmseg.
"""

from mmlight.datasets.loading import LoadImage

__all__ = ['LoadImage']
