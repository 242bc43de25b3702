"""mmdet 3.3.0: the dense heads' shared prediction reads ``self.loss_cls``, which SSDHead never sets."""

from __future__ import annotations

from types import ModuleType

from mmlight.compat.wall import NotNeededError, Wall


def _apply(module: ModuleType) -> str:
    if hasattr(module.SSDHead, 'loss_cls'):
        raise NotNeededError('SSDHead has loss_cls')
    module.SSDHead.loss_cls = None  # the reader only asks for an optional flag of the loss
    return 'SSDHead.loss_cls = None, so SSD and SSDLite can predict'


WALLS = (Wall('ssd-head', _apply, target='mmdet.models.dense_heads.ssd_head'),)
