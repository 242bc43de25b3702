"""mmseg 1.2.2: with ``avg_non_ignore`` each process divides by its own labelled pixels, so that those of a process with
few of them weigh more than on one process with the same global batch."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from mmlight.compat.wall import Wall

if TYPE_CHECKING:
    from torch import Tensor


def _apply(module: ModuleType) -> str:
    loss, before = module.CrossEntropyLoss, module.CrossEntropyLoss.forward

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
        **kwargs,
    ) -> Tensor:
        from mmengine.dist import all_reduce, is_distributed

        plain = self.cls_criterion is module.cross_entropy and self.class_weight is None and self.avg_non_ignore
        if plain and avg_factor is None and is_distributed() and (reduction_override or self.reduction) == 'mean':
            avg_factor = (label != ignore_index).sum().float()
            all_reduce(avg_factor, 'mean')
        return before(self, cls_score, label, weight, avg_factor, reduction_override, ignore_index, **kwargs)

    loss.forward = forward
    return 'CrossEntropyLoss divides by the labelled pixels of all processes'


WALLS = (Wall('cross-entropy', _apply, target='mmseg.models.losses.cross_entropy_loss'),)
