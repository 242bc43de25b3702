"""What every backbone shares: declared outputs, frozen stages, batch norm held still."""

from abc import abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.errors import InputError


class Backbone(BaseModule):
    """A stem and a list of stages, of which some feature maps are returned.

    Args:
        out_indices: Stages whose output is returned, counted from 0, ascending.
        frozen_stages: ``-1`` trains everything, ``0`` freezes the stem, ``n`` the stem and the first ``n`` stages.
            Frozen parameters get no gradient, frozen batch norms keep their statistics.
        norm_eval: Keep the statistics of every batch norm fixed in training.
        init_cfg: mmengine's initialisation config, e.g. ``dict(type='Pretrained', checkpoint=...)``.

    Attributes:
        out_channels: Channels of each returned map.
        out_strides: Input pixels per pixel of each returned map.
    """

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]

    def __init__(
        self,
        out_indices: Sequence[int],
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | Sequence[dict] | None = None,
    ):
        super().__init__(init_cfg)
        if not isinstance(out_indices, Sequence) or any(type(index) is not int for index in out_indices):
            raise InputError(f'{type(self).__name__}: out_indices must be a sequence of integers, got {out_indices!r}')
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval

    @abstractmethod
    def stages(self) -> list[nn.Module]:
        """The stem and then every stage, in the order in which ``frozen_stages`` counts them."""

    def check_stages(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        """Check ``out_indices`` and ``frozen_stages`` against the stages' table and declare the outputs."""
        name, last = type(self).__name__, len(channels) - 1
        indices = self.out_indices
        if not indices or list(indices) != sorted(set(indices)) or indices[0] < 0 or indices[-1] > last:
            raise InputError(f'{name}: out_indices must be ascending and within 0..{last}, got {indices}')
        self.check_frozen_stages(last + 1)
        self.out_channels = tuple(channels[i] for i in indices)
        self.out_strides = tuple(strides[i] for i in indices)

    def check_frozen_stages(self, last: int) -> None:
        """Check ``frozen_stages`` against the last stage's number, the stem being 0."""
        if type(self.frozen_stages) is not int or not -1 <= self.frozen_stages <= last:
            raise InputError(
                f'{type(self).__name__}: frozen_stages must be within -1..{last}, got {self.frozen_stages!r}'
            )

    def train(self, mode: bool = True):
        super().train(mode)
        for stage in self.stages()[: self.frozen_stages + 1]:
            stage.eval()
            stage.requires_grad_(False)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
