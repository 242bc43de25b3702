"""Box heads of Light-Head R-CNN (arXiv 1711.07264) and R-FCN (arXiv 1605.06409): they learn from the hardest RoIs."""

from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead, ConvFCBBoxHead
from torch import Tensor

from mmlight import checks
from mmlight.errors import InputError
from mmlight.registry import MODELS, Mixin


class JointOHEM(Mixin):
    """Mix-in for mmdet's box heads: only the hardest RoIs of the whole batch make the losses.

    All RoIs go through the head. They are ranked by classification loss plus, for objects, the summed box loss, both
    with weight 1; the ``ohem_per_img * images`` largest are kept, whichever images and classes they are of. Both losses
    are divided by the number of RoIs kept. The RoI sampler has to keep every RoI
    (``RandomSampler(num=4096, pos_fraction=1.0)``). This is not mmdet's ``OHEMSampler``, which ranks by classification
    loss and has quotas for objects and for each image.

    Args:
        ohem_per_img: RoIs to keep for each image of a GPU's batch.
        args, kwargs: Those of the box head.

    Raises:
        InputError: for an ``ohem_per_img`` that is not an integer of at least 1.
    """

    def __init__(self, *args: Any, ohem_per_img: int = 256, **kwargs: Any):
        checks.positive_int(type(self).__name__, ohem_per_img=ohem_per_img)
        super().__init__(*args, **kwargs)
        self.ohem_per_img = ohem_per_img

    def loss_and_target(
        self, cls_score: Tensor, bbox_pred: Tensor, rois: Tensor, sampling_results: list, rcnn_train_cfg: dict
    ) -> dict:
        """Losses of the hardest RoIs, and their targets."""
        inputs = (cls_score, bbox_pred, rois, *self.get_targets(sampling_results, rcnn_train_cfg))
        number = self.ohem_per_img * len(sampling_results)
        if number < len(rois):
            hardest = self.difficulty(*inputs).topk(number).indices
            inputs = tuple(tensor[hardest] for tensor in inputs)
        return dict(loss_bbox=self.loss(*inputs), bbox_targets=inputs[3:])

    @torch.no_grad()
    def difficulty(
        self, cls_score: Tensor, bbox_pred: Tensor, rois: Tensor, labels: Tensor, *targets: Tensor
    ) -> Tensor:
        """What the RoIs are ranked by, ``(R,)``; arguments are those of mmdet's ``BBoxHead.loss``."""
        losses = self.loss(cls_score, bbox_pred, rois, labels, *targets, reduction_override='none')
        difficulty = losses['loss_cls'] / self.loss_cls.loss_weight
        objects = (labels >= 0) & (labels < self.num_classes)
        if objects.any():
            difficulty[objects] += losses['loss_bbox'].sum(1) / self.loss_bbox.loss_weight
        return difficulty


@MODELS.register_module()
class LightHeadBBoxHead(JointOHEM, ConvFCBBoxHead):
    """Light-Head R-CNN's subnet (arXiv 1711.07264, Sec. 3.3): one wide layer without dropout, then scores and boxes.

    ``(R, in_channels, S, S)`` to ``(R, num_classes + 1)`` scores, the background last, and ``(R, 4)`` deltas.

    Args:
        in_channels: Channels of a RoI's feature: the thin map's divided by the number of bins.
        fc_out_channels: Width of the layer; half of it is nearly as good.
        num_shared_fcs: Number of such layers.
        reg_class_agnostic: One box for all classes, as in the paper; the authors' code has one for each.
        init_cfg: mmengine's initialisation config.
        kwargs: Those of mmdet's ``ConvFCBBoxHead`` and of :class:`JointOHEM`.
    """

    def __init__(
        self,
        in_channels: int = 10,
        fc_out_channels: int = 2048,
        num_shared_fcs: int = 1,
        reg_class_agnostic: bool = True,
        init_cfg: dict | list[dict] | None = [
            dict(type='Normal', std=0.01, override=[dict(name='shared_fcs'), dict(name='fc_cls')]),
            dict(type='Normal', std=0.001, override=dict(name='fc_reg')),
        ],
        **kwargs: Any,
    ):
        super().__init__(
            in_channels=in_channels,
            fc_out_channels=fc_out_channels,
            num_shared_fcs=num_shared_fcs,
            reg_class_agnostic=reg_class_agnostic,
            init_cfg=init_cfg,
            **kwargs,
        )


@MODELS.register_module()
class OneLayerBBoxHead(JointOHEM, BBoxHead):
    """Scores and boxes straight from the flattened RoI feature: R-FCN on thin maps (arXiv 1711.07264, Tables 1 to 4).

    Arguments are those of mmdet's ``BBoxHead`` and of :class:`JointOHEM`.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(R, in_channels, S, S)`` to scores ``(R, num_classes + 1)`` and deltas."""
        return super().forward(x.flatten(1))


@MODELS.register_module()
class RFCNBBoxHead(JointOHEM, BBoxHead):
    """R-FCN's vote (arXiv 1605.06409, Sec. 3): the mean over the bins, and nothing to learn.

    Args:
        num_classes: Number of classes; the background is the last one.
        kwargs: Those of mmdet's ``BBoxHead`` and of :class:`JointOHEM`.

    Raises:
        InputError: for other ``in_channels`` than ``num_classes + 5``, and for boxes that depend on the class.
    """

    def __init__(self, num_classes: int = 80, **kwargs: Any):
        fixed = dict(in_channels=num_classes + 5, reg_class_agnostic=True, init_cfg=[])
        for name, value in fixed.items():
            if kwargs.get(name, value) != value:
                raise InputError(f'RFCNBBoxHead: {name} can only be {value!r}, got {kwargs[name]!r}')
        super().__init__(num_classes=num_classes, **{**kwargs, **fixed})
        del self.fc_cls, self.fc_reg

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(R, num_classes + 5, S, S)`` to scores ``(R, num_classes + 1)`` and deltas ``(R, 4)``.

        Raises:
            InputError: for another number of channels.
        """
        if x.shape[1] != self.in_channels:
            raise InputError(
                f'RFCNBBoxHead: {self.num_classes} classes need {self.in_channels} channels a bin, got {x.shape[1]}; '
                f'neck.out_channels must be {self.in_channels} times the number of bins'
            )
        return x.mean((2, 3)).split([self.num_classes + 1, 4], 1)
