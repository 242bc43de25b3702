"""Weights of other SpineNet implementations under mmlight's names.

Two layouts are read: the variables of the authors' TensorFlow code (tensorflow/tpu and its released checkpoints), and
the PyTorch ports lucifer443/SpineNet-Pytorch and yan-roo/SpineNet-Pytorch, whose backbones are one file.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers.arithmetic import encode
from mmlight.models.backbones.spinenet import SpineNet

PUBLISHED = ('49S', '49S-ep256', '49', '96', '143', '190')
"""What was released."""

NORM = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean', 'running_var': 'moving_variance'}
SETTINGS = {
    'retinanet': dict(norm_cfg=dict(type='BN', eps=1e-4, momentum=0.003)),
    'mask-rcnn': dict(norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01)),
    'classification': dict(norm_cfg=dict(type='BN', eps=1e-5, momentum=0.1)),
}
"""Batch norm of tensorflow/tpu's configs, which no variable tells (configs/base_config.py and configs/spinenet/)."""
ACTIVATIONS = {'swish': dict(type='SiLU'), 'relu': dict(type='ReLU')}


def options(layout: str, setting: str = 'retinanet', activation: str = 'swish') -> dict:
    """Arguments of :class:`SpineNet` that compute what the source of the weights computes.

    Args:
        layout: ``'tensorflow'`` or ``'pytorch'``.
        setting: Which of :data:`SETTINGS` TensorFlow's variables were trained in.
        activation: ``'relu'`` for tensorflow/tpu's 350 epochs (protocol B), ``'swish'`` for its longest trainings.
    """
    if layout == 'pytorch':
        return dict(pool_rule='single', endpoint_act=False)
    return dict(pool_rule='single', padding='same-pool', act_cfg=ACTIVATIONS[activation], **SETTINGS[setting])


def record(options: Mapping[str, Any]) -> Tensor:
    """The arithmetic of such arguments, to stand in the file beside the weights."""
    stated = {'padding': 'symmetric', 'pool_rule': 'repeat', 'endpoint_act': True}
    found = {name: options.get(name, value) for name, value in stated.items()}
    eps = options['norm_cfg']['eps'] if 'norm_cfg' in options else None
    return encode(found | ({} if eps is None else {'eps': eps}))


def _convs(network: SpineNet) -> Iterator[tuple[str, str, str]]:
    """Every convolution with norm: (mmlight's name, the PyTorch ports' convolution, their norm)."""

    def same(own: str, other: str) -> tuple[str, str, str]:
        return own, f'{other}.conv', f'{other}.bn'

    def group(own: str, other: str, blocks: Any) -> Iterator[tuple[str, str, str]]:
        for repeat, block in enumerate(blocks):
            if not isinstance(block.shortcut, torch.nn.Identity):
                source = f'{other}.{repeat}.downsample'
                yield f'{own}.{repeat}.shortcut', f'{source}.0', f'{source}.1'
            for i in range(len(block.convs)):
                source = f'{other}.{repeat}'
                yield f'{own}.{repeat}.convs.{i}', f'{source}.conv{i + 1}', f'{source}.bn{i + 1}'

    yield same('stem.0', 'conv1')
    for i, blocks in enumerate(network.stem_blocks):
        yield from group(f'stem_blocks.{i}', f'init_block{i + 1}', blocks)
    for i, node in enumerate(network.blocks.nodes):
        for j, edge in enumerate(node.edges):
            own, other = f'blocks.nodes.{i}.edges.{j}', f'merge_ops.{i}.resample_ops.{j}'
            yield same(f'{own}.reduce', f'{other}.squeeze_conv')
            if len(edge.down):
                yield same(f'{own}.down.0', f'{other}.downsample_conv')
            yield same(f'{own}.expand', f'{other}.expand_conv')
        yield from group(f'blocks.nodes.{i}.block.1', f'scale_permuted_blocks.{i}', node.block[1])
    for i, level in enumerate(network.graph.output_levels):
        yield same(f'endpoints.{i}', f'endpoint_convs.{level}')


def _variables(network: SpineNet) -> Iterator[tuple[str, str, str]]:
    """As :func:`_convs` for TensorFlow's variables: numbered within their scope in the order of the forward pass."""
    counts: dict[str, int] = {}
    for own, _, _ in _convs(network):
        parts = own.split('.')
        scope = 'spinenet'
        if parts[0] == 'blocks':
            index = int(parts[2])
            inner = (
                f'resample_with_alpha_resample_{index}_{parts[4]}'
                if parts[3] == 'edges'
                else f'scale_permuted_block_{index + len(network.stem_blocks)}'
            )
            scope = f'spinenet/sub_policy{index}/{inner}'
        number = counts.get(scope, 0)
        counts[scope] = number + 1
        suffix = f'_{number}' if number else ''
        yield own, f'{scope}/conv2d{suffix}', f'{scope}/batch_normalization{suffix}'


def convert(weights: Mapping[str, Tensor], arch: str | None = None) -> tuple[dict[str, Tensor], str, str]:
    """A backbone's weights under mmlight's names.

    Args:
        weights: Variables of the TensorFlow code (kernels ``(H, W, in, out)``), or the state dict of one of the ports.
            Other variables (heads, optimiser slots, step counters) are left out; of a port's detector the head's
            weights are kept.
        arch: One of :data:`PUBLISHED`; found from the shapes if None.

    Returns:
        The state dict, with the prefix ``backbone.`` where the source has it; the name of the architecture; the layout,
        ``'tensorflow'`` or ``'pytorch'``.

    Raises:
        InputError: for weights of another layout or architecture, naming what does not fit.
    """
    if 'spinenet/conv2d/kernel' in weights:
        layout, prefix, others = 'tensorflow', '', {}
    else:
        prefix = 'backbone.' if any(name.startswith('backbone.') for name in weights) else ''
        if f'{prefix}conv1.conv.weight' not in weights or f'{prefix}init_block1.0.conv1.weight' not in weights:
            first = next(iter(weights), 'nothing')
            raise InputError(
                f'neither variables of tensorflow/tpu nor a state dict of the PyTorch ports: it has {first}'
            )
        layout = 'pytorch'
        others = {name: value for name, value in weights.items() if prefix and not name.startswith(prefix)}
    if arch is not None:
        checks.one_of(PUBLISHED, 'SpineNet weights', arch=arch)
    problems = {}
    for name in PUBLISHED if arch is None else [arch]:
        with torch.device('meta'):
            network = SpineNet(name)
        found, problem = _collect(weights, network, layout, prefix)
        if problem is None:
            return {**{f'{prefix}{key}': value for key, value in found.items()}, **others}, name, layout
        problems[name] = problem
    reasons = '; '.join(f'{name}: {problem}' for name, problem in problems.items())
    raise InputError(f'not the weights of a known SpineNet ({reasons})')


def _collect(
    weights: Mapping[str, Tensor], network: SpineNet, layout: str, prefix: str
) -> tuple[dict[str, Tensor], str | None]:
    """The weights of ``network``, or the first that is missing, has another shape or is left over."""
    own = network.state_dict()
    found, read = {}, set()
    names = _variables(network) if layout == 'tensorflow' else _convs(network)
    for target, conv, norm in names:
        sources = {f'{target}.conv.weight': f'{prefix}{conv}.weight'}
        sources.update({f'{target}.bn.{leaf}': f'{prefix}{norm}.{leaf}' for leaf in NORM})
        if layout == 'tensorflow':
            sources = {f'{target}.conv.weight': f'{conv}/kernel'}
            sources.update({f'{target}.bn.{leaf}': f'{norm}/{variable}' for leaf, variable in NORM.items()})
        for name, source in sources.items():
            if source not in weights:
                return {}, f'{source} is missing'
            value = weights[source]
            if layout == 'tensorflow' and value.dim() == 4:
                value = value.permute(3, 2, 0, 1).contiguous()
            if value.shape != own[name].shape:
                return {}, f'{source} is {tuple(value.shape)}, needed {tuple(own[name].shape)}'
            found[name] = value
            read.add(source)
    start, kind = ('spinenet/', '/kernel') if layout == 'tensorflow' else (prefix, '.weight')
    for source in weights:
        if source.startswith(start) and source.endswith(kind) and source not in read:
            return {}, f'{source} is left over'
    return found, None
