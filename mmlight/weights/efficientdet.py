"""Weights of other EfficientDet implementations under mmlight's names.

Two layouts are read: that of the package ``effdet`` (rwightman/efficientdet-pytorch), which is also that of the
published weights of google/automl as ported there (``tf_efficientdet_*``), and that of
zylo117/Yet-Another-EfficientDet-Pytorch, here ``yaed``. Both keep the authors' order of box deltas, (y, x, height,
width), and their 90 COCO categories; mmlight has mmdet's (x, y, width, height) and 80.

What a file cannot tell is how the network that it comes from pads. effdet's own models (without ``tf_``) pad
symmetrically, as PyTorch does, and leave out the biases before a norm: by these they are told apart and refused.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

import torch
from torch import Tensor

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers.arithmetic import KEY, encode
from mmlight.tables.builders import bifpn
from mmlight.tables.efficientdet_scaling import EFFICIENTDETS, EfficientDetScaling
from mmlight.tables.efficientnet import stages

ANCHORS = 9  # of a cell
ARITHMETIC = {'padding': 'same', 'eps': 1e-3}  # of google/automl's EfficientNets, and of their ports
LAYERS = (1, 2, 3, 4, 4, 5, 5)  # of mmdet's EfficientNet, for the paper's stages
COCO_IDS = sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})  # of the 80 classes among 90 categories

CONV, BIASED = ('weight',), ('weight', 'bias')
NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')

# Convolutions and norms of an MBConv block in the order of the forward pass; the first two, the expansion, are absent
# in stage 1, the squeeze-and-excitation in the Lite models.
BLOCK = (
    *('expand_conv.conv', 'expand_conv.bn', 'depthwise_conv.conv', 'depthwise_conv.bn'),
    *('se.conv1.conv', 'se.conv2.conv', 'linear_conv.conv', 'linear_conv.bn'),
)
EFFDET_BLOCK = ('conv_pw', 'bn1', 'conv_dw', 'bn2', 'se.conv_reduce', 'se.conv_expand', 'conv_pwl', 'bn3')
EFFDET_FIRST_BLOCK = (None, None, 'conv_dw', 'bn1', 'se.conv_reduce', 'se.conv_expand', 'conv_pw', 'bn2')
YAED_BLOCK = (
    *('_expand_conv.conv', '_bn0', '_depthwise_conv.conv', '_bn1', '_se_reduce.conv', '_se_expand.conv'),
    *('_project_conv.conv', '_bn2'),
)

Names = Iterator[tuple[str, str]]


def _leaves(source: str, target: str, leaves: tuple[str, ...]) -> Names:
    for leaf in leaves:
        yield f'{source}.{leaf}', f'{target}.{leaf}'


def _separable(source: tuple[str, str], target: str) -> Names:
    yield from _leaves(source[0], f'{target}.dw', CONV)
    yield from _leaves(source[1], f'{target}.pw', BIASED)


def _conv_norm(source: tuple[str, str], target: str) -> Names:
    yield from _leaves(source[0], f'{target}.conv', BIASED)
    yield from _leaves(source[1], f'{target}.bn', NORM)


def _blocks(table: EfficientDetScaling) -> Iterator[tuple[int, int, str]]:
    """Every block of the backbone: its stage and its number there, both from 0, and its name in mmlight."""
    repeats = [stage.repeats for stage in stages(table.backbone)]
    numbers = dict.fromkeys(LAYERS, 0)
    for stage, (layer, count) in enumerate(zip(LAYERS, repeats, strict=True)):
        for repeat in range(count):
            yield stage, repeat, f'backbone.layers.{layer}.{numbers[layer]}'
            numbers[layer] += 1


def _block(source: str, parts: tuple[str | None, ...], target: str, lite: bool) -> Names:
    for old, new in zip(parts, BLOCK, strict=True):
        if old is None or (lite and new.startswith('se.')):
            continue
        leaves = NORM if new.endswith('bn') else BIASED if new.startswith('se.') else CONV
        yield from _leaves(f'{source}.{old}', f'{target}.{new}', leaves)


def _effdet(table: EfficientDetScaling, level_first: bool) -> Names:
    yield from _leaves('backbone.conv_stem', 'backbone.layers.0.conv', CONV)
    yield from _leaves('backbone.bn1', 'backbone.layers.0.bn', NORM)
    for stage, repeat, target in _blocks(table):
        parts = EFFDET_BLOCK if stage else EFFDET_FIRST_BLOCK
        yield from _block(f'backbone.blocks.{stage}.{repeat}', parts, target, table.lite)
    extra = 'fpn.resample.3.conv'
    yield from _conv_norm((f'{extra}.conv', f'{extra}.bn'), 'neck.extra_lateral')
    nodes = bifpn(3, table.end_level).nodes
    for c in range(table.cells):
        for n, node in enumerate(nodes):
            source, target = f'fpn.cell.{c}.fnode.{n}', f'neck.cells.{c}.nodes.{n}'
            if table.fusion != 'sum':
                yield f'{source}.combine.edge_weights', f'{target}.merge.edge_weights'
            for k, feature in enumerate(node.inputs):
                if c == 0 and feature < 3:
                    lateral = f'{source}.combine.resample.{feature}.conv'
                    yield from _conv_norm((f'{lateral}.conv', f'{lateral}.bn'), f'{target}.edges.{k}.lateral')
            conv = f'{source}.after_combine.conv'
            yield from _separable((f'{conv}.conv_dw', f'{conv}.conv_pw'), f'{target}.block.conv')
            yield from _leaves(f'{conv}.bn', f'{target}.block.bn', NORM)
    for source, target in (('class_net', 'bbox_head.cls'), ('box_net', 'bbox_head.reg')):
        for i in range(table.head_convs):
            conv = f'{source}.conv_rep.{i}'
            yield from _separable((f'{conv}.conv_dw', f'{conv}.conv_pw'), f'{target}_convs.{i}')
            for level in range(table.end_level - 2):
                norm = f'bn_rep.{level}.{i}' if level_first else f'bn_rep.{i}.{level}.bn'
                yield from _leaves(f'{source}.{norm}', f'{target}_bns.{i}.{level}', NORM)
        yield from _separable((f'{source}.predict.conv_dw', f'{source}.predict.conv_pw'), f'{target}_pred')


def _yaed(table: EfficientDetScaling) -> Names:
    yield from _leaves('backbone_net.model._conv_stem.conv', 'backbone.layers.0.conv', CONV)
    yield from _leaves('backbone_net.model._bn0', 'backbone.layers.0.bn', NORM)
    for index, (stage, _, target) in enumerate(_blocks(table)):
        parts = YAED_BLOCK if stage else (None, None, *YAED_BLOCK[2:])
        yield from _block(f'backbone_net.model._blocks.{index}', parts, target, table.lite)
    yield from _conv_norm(('bifpn.0.p5_to_p6.0.conv', 'bifpn.0.p5_to_p6.1'), 'neck.extra_lateral')
    nodes = bifpn(3, table.end_level).nodes
    for c in range(table.cells):
        for n, node in enumerate(nodes):
            top_down = n <= table.end_level - 4
            source, target = f'bifpn.{c}.conv{node.level}_{"up" if top_down else "down"}', f'neck.cells.{c}.nodes.{n}'
            if table.fusion != 'sum':
                yield f'bifpn.{c}.p{node.level}_w{1 if top_down else 2}', f'{target}.merge.edge_weights'
            for k, feature in enumerate(node.inputs):
                if c == 0 and feature < 3:
                    lateral = f'bifpn.0.p{feature + 3}_down_channel{"" if top_down else "_2"}'
                    yield from _conv_norm((f'{lateral}.0.conv', f'{lateral}.1'), f'{target}.edges.{k}.lateral')
            yield from _separable(_yaed_separable(source), f'{target}.block.conv')
            yield from _leaves(f'{source}.bn', f'{target}.block.bn', NORM)
    for source, target in (('classifier', 'bbox_head.cls'), ('regressor', 'bbox_head.reg')):
        for i in range(table.head_convs):
            yield from _separable(_yaed_separable(f'{source}.conv_list.{i}'), f'{target}_convs.{i}')
            for level in range(table.end_level - 2):
                yield from _leaves(f'{source}.bn_list.{level}.{i}', f'{target}_bns.{i}.{level}', NORM)
        yield from _separable(_yaed_separable(f'{source}.header'), f'{target}_pred')


def _yaed_separable(name: str) -> tuple[str, str]:
    return f'{name}.depthwise_conv.conv', f'{name}.pointwise_conv.conv'


MARKERS = {'effdet': 'fpn.cell.', 'yaed': 'bifpn.0.'}  # how keys of a layout, and of it alone, begin
WIDTH = {'effdet': 'box_net.predict.conv_dw.weight', 'yaed': 'regressor.header.depthwise_conv.conv.weight'}


def _strip(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's weights, without what data parallelism or effdet's training bench put around it."""
    weights = {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}
    if any(name.startswith('model.fpn.') for name in weights):  # the bench has its anchors beside the model
        weights = {name.removeprefix('model.'): x for name, x in weights.items() if name.startswith('model.')}
    return weights


def _layout(weights: Mapping[str, Tensor]) -> str:
    layout = next(
        (layout for layout, start in MARKERS.items() if any(name.startswith(start) for name in weights)), None
    )
    if layout is None:
        first = ', '.join(list(weights)[:3]) or 'no keys at all'
        raise InputError(f'no EfficientDet weights in a known layout: found {first}; known are effdet and yaed')
    if layout == 'effdet' and 'fpn.cell.0.fnode.0.after_combine.conv.conv_pw.bias' not in weights:
        raise InputError(
            'effdet layout without biases before the norms: not a tf_efficientdet_* model; such models pad '
            'symmetrically, and with the padding of mmlight (TensorFlow SAME) they would give other results'
        )
    return layout


@cache
def key_map(layout: str, model: str, level_first: bool = False) -> dict[str, str]:
    """Every key of a model's state dict in a layout, and its name in mmlight; not to be changed by the caller.

    Args:
        layout: ``'effdet'`` or ``'yaed'``.
        model: Name in :data:`EFFICIENTDETS`.
        level_first: The head's norms in effdet's order for TorchScript.
    """
    table = EFFICIENTDETS[model]
    return dict(_effdet(table, level_first) if layout == 'effdet' else _yaed(table))


def _differences(layout: str, weights: Mapping[str, Tensor], model: str) -> tuple[dict, list[str], list[str]]:
    """The key map, keys that are missing and keys that are unknown."""
    names = key_map(layout, model, 'box_net.bn_rep.0.0.weight' in weights)
    counters = {name for name in names if name.endswith('.num_batches_tracked')}  # files of old PyTorch lack them
    missing = [name for name in names if name not in weights and name not in counters]
    unknown = [name for name in weights if name not in names]
    if layout == 'yaed' and EFFICIENTDETS[model].fusion == 'sum':  # has fusion weights that it does not use
        unknown = [name for name in unknown if not re.fullmatch(r'bifpn\.\d+\.p\d_w[12]', name)]
    return names, missing, unknown


def _model(layout: str, weights: Mapping[str, Tensor], model: str | None) -> tuple[str, dict[str, str]]:
    """The model that the file is of, and its key map."""
    found = {name: _differences(layout, weights, name) for name in EFFICIENTDETS}
    closest = min(found, key=lambda name: len(found[name][1]) + len(found[name][2]))
    keys = [name for name, (_, missing, unknown) in found.items() if not missing and not unknown]
    if not keys:
        _, missing, unknown = found[closest]
        lists = ((missing, 'missing'), (unknown, 'unknown'))
        text = '; '.join(f'{len(k)} keys are {what}, the first {", ".join(k[:3])}' for k, what in lists if k)
        raise InputError(f'{layout} layout, but the keys fit no EfficientDet; the closest is {closest}: {text}')
    width = len(weights[WIDTH[layout]])
    fitting = [name for name in keys if EFFICIENTDETS[name].width == width]
    if not fitting:
        raise InputError(f'the keys are of {" or ".join(keys)}, but its width cannot be {width} channels')
    if model is not None and model not in fitting:
        raise InputError(f'these are weights of {" or ".join(fitting)}, not of {model}')
    if model is None and len(fitting) > 1:
        raise InputError(f'{" and ".join(fitting)} have weights of the same shapes: say which one it is (--model)')
    name = model or fitting[0]
    return name, found[name][0]


def reorder_boxes(rows: Tensor) -> Tensor:
    """Rows of the box prediction, four an anchor, from (y, x, height, width) to (x, y, width, height)."""
    return rows.view(-1, 4, *rows.shape[1:])[:, [1, 0, 3, 2]].flatten(0, 1)


def select_classes(rows: Tensor, num_classes: int) -> Tensor:
    """Rows of the class prediction, those of an anchor together: as they are, or 80 COCO classes of 90 categories.

    Raises:
        InputError: for other numbers of classes.
    """
    classes = len(rows) / ANCHORS
    if classes == num_classes:
        return rows
    if (classes, num_classes) != (90, 80):
        raise InputError(
            f'the file has {classes:g} classes, the model has {num_classes}; it must have {num_classes}, '
            'or 90 (COCO) for 80'
        )
    return rows.view(ANCHORS, 90, *rows.shape[1:])[:, [number - 1 for number in COCO_IDS]].flatten(0, 1)


def convert(
    state_dict: Mapping[str, Tensor], model: str | None = None, num_classes: int = 80
) -> tuple[dict[str, Tensor], str, str]:
    """Weights of another implementation under mmlight's names, in mmdet's order of box deltas.

    Args:
        state_dict: In the layout of effdet (and its ``tf_`` files) or yaed, with or without the prefixes ``module.``
            and ``model.`` of the wrappers around the network.
        model: Name in :data:`EFFICIENTDETS`; ``None`` finds it from keys and shapes. D6 and D7 have the same.
        num_classes: Classes of the model that is to take the weights.

    Returns:
        The weights of the whole detector; the model; the layout. Tensors that need no edit are those of the input.

    Raises:
        InputError: for an unknown layout or model, one that computes another function, a contradiction with ``model``,
            missing or unknown keys, and another number of classes.
    """
    if model is not None:
        checks.one_of(EFFICIENTDETS, 'EfficientDet weights', model=model)
    weights = _strip(state_dict)
    layout = _layout(weights)
    model, names = _model(layout, weights, model)
    converted = {}
    for source, target in names.items():
        tensor = weights.get(source)
        if tensor is None:
            tensor = torch.tensor(0)  # num_batches_tracked
        if target.startswith('bbox_head.reg_pred.pw.'):
            tensor = reorder_boxes(tensor)
        elif target.startswith('bbox_head.cls_pred.pw.'):
            tensor = select_classes(tensor, num_classes)
        converted[target] = tensor
    converted[f'backbone.{KEY}'] = encode(ARITHMETIC)
    return converted, model, layout
