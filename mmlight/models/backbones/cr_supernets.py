"""Supernets of CR-NAS (arXiv 1912.11234) as backbones: one path of many runs, the rest of the detector knows nothing.

A path is a tuple. In a stage supernet it holds the blocks of each stage, in an operation supernet the dilation of each
block. State-dict names stay those of the backbone, with the choice inserted: ``layer1.3.0.conv1.weight`` is of the
branch of three blocks, ``layer1.0.conv2.2.weight`` of the dilation 2.
"""

import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import islice
from typing import Any

from mmdet.models.backbones import MobileNetV2, ResNet, ResNeXt
from mmengine.model import ModuleDict, Sequential
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.models.backbones.cr_backbones import CRMobileNetV2, CRResNet, CRResNeXt, dilate
from mmlight.registry import MODELS, Mixin
from mmlight.tables.allocations import (
    BASELINES,
    DILATIONS,
    MOBILENET_V2_BASELINE,
    MOBILENET_V2_CHOICES,
    RESNET_CHOICES,
    check_choices,
)

Path = tuple[int, ...]


class Branches(ModuleDict):
    """Modules of which one runs; weights of a single such module are loaded into all of them."""

    def __init__(self, modules: Mapping[int, nn.Module]):
        super().__init__({str(choice): module for choice, module in modules.items()})
        self.choice = next(iter(modules))
        self._register_load_state_dict_pre_hook(self._spread)

    def forward(self, x: Tensor) -> Tensor:
        return self[str(self.choice)](x)

    def standalone(self, name: str) -> str | None:
        """Name of a weight in the network that has only the branch that runs; None for one of another branch."""
        choice, _, rest = name.partition('.')
        return rest if choice == str(self.choice) else None

    def _spread(self, state_dict: dict, prefix: str, *args) -> None:
        for name in self.state_dict():
            single = prefix + name.partition('.')[2]
            if single in state_dict:
                state_dict.setdefault(prefix + name, state_dict[single].clone())
        for name in {name.partition('.')[2] for name in self.state_dict()}:
            state_dict.pop(prefix + name, None)


class Prefix(Sequential):
    """Blocks of which the first ``choice`` run."""

    choice: int

    def forward(self, x: Tensor) -> Tensor:
        for block in islice(self, self.choice):
            x = block(x)
        return x

    def standalone(self, name: str) -> str | None:
        """As :meth:`Branches.standalone`."""
        return name if int(name.partition('.')[0]) < self.choice else None


class Supernet(Mixin):
    """What all supernets share: the choices of each position, the path that runs, sampling, and cutting a path out.

    Attributes:
        choices: For each position of a path what may stand there.
        anchor: The path that runs unless another is set, as in a validation while training.
        settings: Arguments that the stand-alone backbone shares.
    """

    choices: tuple[Path, ...]
    anchor: Path
    settings: dict
    standalone: str
    position: str

    @property
    def path(self) -> Path:
        """The path that runs."""
        return self._path

    def set_path(self, path: Sequence[int]) -> None:
        """Let a path run.

        Raises:
            InputError: naming the position at which it holds no choice.
        """
        path, name = tuple(path), type(self).__name__
        if len(path) != len(self.choices):
            raise InputError(f'{name}: a path needs {len(self.choices)} entries, one a {self.position}, got {path}')
        for number, (choice, allowed) in enumerate(zip(path, self.choices, strict=True), 1):
            if choice not in allowed:
                raise InputError(f'{name}: path {path}: {self.position} {number} must be one of {allowed}')
        self._path = path
        self._switch(path)

    def sample_path(self, rng: random.Random) -> Path:
        """A path, uniform and independent at each position."""
        return tuple(rng.choice(allowed) for allowed in self.choices)

    def backbone_config(self, path: Sequence[int]) -> dict:
        """Config entries of the stand-alone backbone that a path is."""
        raise NotImplementedError

    def extract(self, path: Sequence[int]) -> tuple[dict, dict[str, Tensor]]:
        """Config entries and weights of the stand-alone backbone that a path is."""
        before = self.path
        self.set_path(path)
        try:
            groups = {name + '.': m for name, m in self.named_modules() if isinstance(m, (Branches, Prefix))}
            weights = {}
            for name, tensor in self.state_dict().items():
                for prefix, group in groups.items():
                    if name.startswith(prefix):
                        rest = group.standalone(name.removeprefix(prefix))
                        name = None if rest is None else prefix + rest
                        break
                if name is not None:
                    weights[name] = tensor.detach().clone()
        finally:
            self.set_path(before)
        return self.backbone_config(path), weights


def _trainable(name: str, kwargs: dict) -> dict:
    """The arguments, with what a supernet's training needs."""
    wanted = {'norm_eval': False, 'frozen_stages': -1, 'with_cp': False}
    for key, value in wanted.items():
        if kwargs.get(key, value) != value:
            why = 'recomputes with another path' if key == 'with_cp' else 'keeps statistics or weights that fit no path'
            raise InputError(f'{name}: {key} must be {value}, got {kwargs[key]!r}: it {why}')
    return {**kwargs, **wanted}


class _StageSupernet(Supernet):
    position = 'stage'
    stage_names: Sequence[str]

    def _prepare(self, choices: Sequence[Sequence[int]], stages: int, share: str) -> tuple[Path, ...]:
        name = type(self).__name__
        choices = check_choices(name, choices)
        if len(choices) != stages:
            raise InputError(f'{name}: choices must be of {stages} stages, got {len(choices)}')
        checks.one_of(('branch', 'prefix'), name, share=share)
        self.choices, self.share = choices, share
        return choices

    def _start(self, path: Sequence[int] | None, baseline: Path) -> None:
        fits = all(count in allowed for count, allowed in zip(baseline, self.choices, strict=True))
        self.set_path(path or (baseline if fits else tuple(allowed[0] for allowed in self.choices)))
        self.anchor = self.path

    def _switch(self, path: Path) -> None:
        for name, choice in zip(self.stage_names, path, strict=True):
            getattr(self, name).choice = choice

    def backbone_config(self, path: Sequence[int]) -> dict:
        return dict(type=self.standalone, **self.settings, stage_blocks=tuple(path))


class _StageSuperResNet(_StageSupernet):
    """What the stage supernets of ResNet and ResNeXt share."""

    arch_settings: dict[int, Any]

    def __init__(
        self,
        depth: int,
        choices: Sequence[Sequence[int]] = RESNET_CHOICES,
        share: str = 'branch',
        base_channels: int = 32,
        stem_channels: int = 64,
        path: Sequence[int] | None = None,
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ):
        name, known = type(self).__name__, type(self).arch_settings
        checks.one_of(known, name, depth=depth)
        block, baseline = known[depth]
        kwargs = _trainable(name, kwargs)
        self.settings = dict(depth=depth, base_channels=base_channels, stem_channels=stem_channels, **kwargs)
        # mmdet hands each stage its number of blocks: here its choices
        self.arch_settings = {depth: (block, self._prepare(choices, 4, share))}
        super().__init__(init_cfg=init_cfg, **self.settings)
        self._start(path, BASELINES.get(depth, baseline))

    def make_res_layer(self, num_blocks: Path, **kwargs) -> nn.Module:
        if self.share == 'prefix':
            return Prefix(*super().make_res_layer(num_blocks=max(num_blocks), **kwargs))
        return Branches({count: super(_StageSuperResNet, self).make_res_layer(num_blocks=count, **kwargs)
                         for count in num_blocks})  # fmt: skip

    @property
    def stage_names(self) -> Sequence[str]:  # type: ignore[override]  # only read
        return self.res_layers


@MODELS.register_module()
class CRStageSuperResNet(_StageSuperResNet, ResNet):
    """ResNet each of whose stages has a chain of blocks for every number of blocks that it may have.

    One chain a stage runs; strides and channels of the four maps are a ResNet's. Source: arXiv 1912.11234, Sec. 3.1 and
    Fig. 2; the width is the appendix's.

    Args:
        depth: 18 and 34 for basic blocks, 50, 101 and 152 for bottlenecks; no more than that.
        choices: For each stage the numbers of blocks that it may have, ascending.
        share: ``'branch'``: chains share nothing; ``'prefix'``: a chain is the first blocks of the longest.
        base_channels: Width of the first stage; the published supernet is half as wide as the network that is trained
            in the end.
        stem_channels: Width of the stem.
        path: The path that runs when none is set; default: the ResNet of this depth, if it is in the space.
        kwargs: Of mmdet's ``ResNet``.

    Raises:
        InputError: for choices that are not ascending, and for ``norm_eval``, ``frozen_stages`` and ``with_cp``, which
            a supernet cannot have.
    """

    standalone = 'mmlight.CRResNet'


@MODELS.register_module()
class CRStageSuperResNeXt(_StageSuperResNet, ResNeXt):
    """:class:`CRStageSuperResNet` with grouped convolutions."""

    standalone = 'mmlight.CRResNeXt'


@MODELS.register_module()
class CRStageSuperMobileNetV2(_StageSupernet, MobileNetV2):
    """MobileNetV2 with a chain for every number of blocks that one of the five searched groups may have.

    Args:
        choices, share, path: As of :class:`CRStageSuperResNet`, for five groups.
        kwargs: Of mmdet's ``MobileNetV2``.
    """

    standalone = 'mmlight.CRMobileNetV2'
    in_channels: int

    def __init__(
        self,
        choices: Sequence[Sequence[int]] = MOBILENET_V2_CHOICES,
        share: str = 'branch',
        path: Sequence[int] | None = None,
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ):
        self.settings = _trainable(type(self).__name__, kwargs)
        first, *searched, last = MobileNetV2.arch_settings
        choices = self._prepare(choices, 5, share)
        groups = ([t, c, counts, s] for (t, c, _, s), counts in zip(searched, choices, strict=True))
        self.arch_settings = [first, *groups, last]
        super().__init__(init_cfg=init_cfg, **self.settings)
        self._start(path, MOBILENET_V2_BASELINE)

    def make_layer(self, num_blocks: int | Path, **kwargs) -> nn.Module:
        if isinstance(num_blocks, int):
            return super().make_layer(num_blocks=num_blocks, **kwargs)
        if self.share == 'prefix':
            return Prefix(*super().make_layer(num_blocks=max(num_blocks), **kwargs))
        before, branches = self.in_channels, {}
        for count in num_blocks:
            self.in_channels = before
            branches[count] = super().make_layer(num_blocks=count, **kwargs)
        return Branches(branches)

    stage_names = tuple(f'layer{number}' for number in range(2, 7))


class _OpSupernet(Supernet):
    position = 'block'

    def _install(self, ops: Sequence[int], share_kernel: bool) -> None:
        """Give each block its alternatives; the weights that the block has are those of each of them."""
        ops = check_choices(type(self).__name__, [ops])[0]
        self.share_kernel = share_kernel
        self.choices = (ops,) * len(self.blocks())
        for block in self.blocks():
            for name in self.separate(block):
                modules = {dilation: deepcopy(getattr(block, name)) for dilation in ops}
                for dilation, module in modules.items():
                    for conv in module.modules():
                        if isinstance(conv, nn.Conv2d):
                            dilate(conv, dilation)
                setattr(block, name, Branches(modules))
        self.set_path((ops[0],) * len(self.choices))
        self.anchor = self.path

    def _switch(self, path: Path) -> None:
        for block, dilation in zip(self.blocks(), path, strict=True):
            for name in self.separate(block):
                getattr(block, name).choice = dilation
            if self.share_kernel:
                dilate(block.conv2, dilation)

    def backbone_config(self, path: Sequence[int]) -> dict:
        return dict(type=self.standalone, **self.settings, block_dilations=tuple(path))


class _OpSuperResNet(_OpSupernet):
    def __init__(
        self,
        depth: int,
        stage_blocks: Sequence[int] | None = None,
        ops: Sequence[int] = DILATIONS,
        share_kernel: bool = False,
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ):
        self.settings = dict(depth=depth, **_trainable(type(self).__name__, kwargs))
        super().__init__(stage_blocks=stage_blocks, init_cfg=init_cfg, **self.settings)
        self.settings['stage_blocks'] = tuple(self.stage_blocks)
        self._install(ops, share_kernel)

    def separate(self, block: Any) -> tuple[str, ...]:
        return (block.norm2_name,) if self.share_kernel else ('conv2', block.norm2_name)


@MODELS.register_module()
class CROpSuperResNet(_OpSuperResNet, CRResNet):
    """:class:`CRResNet` each of whose blocks has a 3x3 convolution and batch norm for every dilation; one of them runs.

    Everything else is shared. Weights of a plain ResNet of the same stages can be loaded: they go to every dilation.
    Source: arXiv 1912.11234, Sec. 3.2.

    Args:
        depth, stage_blocks: As of :class:`CRResNet`.
        ops: Dilations to choose from, ascending.
        share_kernel: The dilations share the kernel too, and only the batch norm is their own.
        kwargs: Of mmdet's ``ResNet``.

    Raises:
        InputError: as :class:`CRResNet` and :class:`CRStageSuperResNet`.
    """

    standalone = 'mmlight.CRResNet'


@MODELS.register_module()
class CROpSuperResNeXt(_OpSuperResNet, CRResNeXt):
    """:class:`CROpSuperResNet` with grouped convolutions."""

    standalone = 'mmlight.CRResNeXt'


@MODELS.register_module()
class CROpSuperMobileNetV2(_OpSupernet, CRMobileNetV2):
    """:class:`CRMobileNetV2` each of whose searched blocks has a depthwise convolution for every dilation.

    Args:
        stage_blocks: As of :class:`CRMobileNetV2`.
        ops: Dilations to choose from, ascending.
        kwargs: Of mmdet's ``MobileNetV2``.
    """

    standalone = 'mmlight.CRMobileNetV2'

    def __init__(
        self,
        stage_blocks: Sequence[int] = MOBILENET_V2_BASELINE,
        ops: Sequence[int] = DILATIONS,
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ):
        self.settings = dict(stage_blocks=tuple(stage_blocks), **_trainable(type(self).__name__, kwargs))
        super().__init__(init_cfg=init_cfg, **self.settings)
        self._install(ops, share_kernel=False)

    def separate(self, block: nn.Module) -> tuple[str, ...]:
        return ('depthwise_conv',)
