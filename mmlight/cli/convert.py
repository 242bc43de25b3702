"""``mmlight convert``: weights of other implementations under the names here, and checkpoints for others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from os.path import samefile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmlight.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

TENSORFLOW = (
    'A TensorFlow checkpoint is read as an .npz file of its variables: reader = tf.train.load_checkpoint(FOLDER); '
    "np.savez('spinenet.npz', **{name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})"
)
KERAS = (
    "Keras' weights are read as its .h5 (needs h5py) or as an .npz of its variables: "
    "np.savez('mobilenet_v2.npz', **{v.path: v.numpy() for v in net.variables})   (Keras 2: v.name)"
)


def convert_arguments(sub: argparse.ArgumentParser) -> None:
    kinds = sub.add_subparsers(metavar='KIND', required=True)
    for name, (run, arguments, text, more) in KINDS.items():
        kind = kinds.add_parser(name, help=text, description=text, epilog=more)
        kind.set_defaults(convert=run)
        arguments(kind)


def convert(args: argparse.Namespace) -> None:
    target = getattr(args, 'target', None)
    if target is not None and Path(target).exists() and Path(args.source).exists() and samefile(target, args.source):
        raise InputError(f'DST {target}: is SRC itself, which would be lost; name another file')
    args.convert(args)


def _source_and_target(sub: argparse.ArgumentParser, source: str = 'checkpoint file in one of these layouts') -> None:
    sub.add_argument('source', metavar='SRC', help=source)
    sub.add_argument('target', metavar='DST', help='file to write')


def _one_of(option: str, value: str | None, allowed: Iterable[str]) -> None:
    """Refuse another value; the lists stand in modules that a command line must not wait for."""
    if value is not None and value not in allowed:
        raise InputError(f'{option} {value}: must be one of {", ".join(allowed)}')


def _of_source(source: str, function: Callable, *arguments: Any) -> Any:
    """What ``function`` returns; its InputError names the file."""
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(f'SRC {source}: {str(error).removeprefix(f"SRC {source}: ")}') from None


def _write(weights: dict[str, Tensor], meta: dict, target: str) -> None:
    import io

    import torch

    from mmlight.files import put

    file = io.BytesIO()
    torch.save({'state_dict': {name: tensor.detach().clone() for name, tensor in weights.items()}, 'meta': meta}, file)
    try:
        put(file.getbuffer(), target)
    except OSError as error:
        raise InputError(f'DST {target}: cannot be written ({error.strerror})') from None


def _backbone(args: argparse.Namespace) -> None:
    from torch import Tensor

    from mmlight.layers.arithmetic import KEY, arguments, decode
    from mmlight.layers.foreign_weights import convert, describe
    from mmlight.runtime.checkpoint import load
    from mmlight.weights.candidates import network
    from mmlight.weights.tensorflow import as_state_dict, read_h5, read_npz

    readers = {'.npz': read_npz, '.h5': read_h5}
    if (suffix := Path(args.source).suffix) in readers:
        state_dict = as_state_dict(readers[suffix](args.source))
    else:
        content = load(args.source, 'SRC')
        found = (content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict))
        state_dict = {name: x for name, x in next(found, content).items() if isinstance(x, Tensor)}
    weights, layout, dialect = _of_source(args.source, convert, state_dict)
    entries = _of_source(args.source, network, weights, layout.network, dialect)
    arithmetic = decode(weights[KEY]) if KEY in weights else {}
    _write(weights, {'layout': layout.name, **dialect, 'data_preprocessor': layout.image}, args.target)

    told = f' ({describe(dialect)})' if dialect else ''
    count = len(weights) - (KEY in weights)
    print(f'{args.target}: {count} tensors of {layout.network} from the layout of {layout.name}{told}')
    print('The config that takes them:')
    pretrained = f"init_cfg=dict(type='Pretrained', checkpoint={args.target!r})"
    needed = [describe(entries | dialect), *([arguments(arithmetic)] if arithmetic else []), pretrained]
    print(f'  backbone=dict({", ".join(needed)})')
    if arithmetic and 'eps' not in arithmetic:
        print("The file does not tell its norms' eps: set norm_cfg as in the training that made it")
    if layout.image:
        image = ', '.join(f'{key}={value}' for key, value in layout.image.items())
        print(f'Input that they are trained on:\n  data_preprocessor=dict({image})')
    else:
        print('Input that they are trained on: see the config of the training that made the file')


def _effdet_arguments(sub: argparse.ArgumentParser) -> None:
    _source_and_target(sub)
    sub.add_argument('--model', help='d0 to d7x, lite0 to lite4 (default: found from the shapes)')
    sub.add_argument('--num-classes', type=int, default=80, help='classes of the model; 90 keep all of COCO')


def _effdet(args: argparse.Namespace) -> None:
    from mmlight.runtime.checkpoint import load, weights_of
    from mmlight.shipped import shipped_configs
    from mmlight.tables.efficientdet_scaling import EFFICIENTDETS
    from mmlight.weights.efficientdet import convert

    _one_of('--model', args.model, EFFICIENTDETS)
    if args.num_classes < 1:
        raise InputError(f'--num-classes: must be at least 1, got {args.num_classes}')
    content = load(args.source, 'SRC')
    ema = content.get('state_dict_ema')  # of timm's trainings: the averaged weights are the better ones
    content = {'state_dict': ema or content.get('state_dict') or content.get('model') or content}
    weights, model, layout = _of_source(args.source, convert, weights_of(content), args.model, args.num_classes)
    config = next(
        path
        for name, path in shipped_configs().items()
        if name.startswith(f'efficientdet_{model}_8xb16-') and name.endswith('-300e_coco')
    )
    _of_source(args.source, _check_detector, weights, config, model, args.num_classes)
    meta = {'source': Path(args.source).name, 'layout': layout, 'model': model, 'num_classes': args.num_classes}
    _write(weights, meta, args.target)

    averaged = ' (averaged weights)' if ema else ''
    print(f'{args.target}: {len(weights)} tensors of {model} from the layout of {layout}{averaged}')
    classes = '' if args.num_classes == 80 else f' model.bbox_head.num_classes={args.num_classes}'
    print(
        f'The config that takes them: configs/efficientdet/{config.name} --cfg-options load_from={args.target}{classes}'
        ' model.bbox_head.anchor_generator.type=mmlight.AspectPairAnchorGenerator'
    )
    if layout == 'yaed':
        print(
            'warning: yaed pads its max pooling with 0 where mmlight pads with -inf (as the authors of EfficientDet): '
            'results at the right and lower border differ',
            file=sys.stderr,
        )


def _check_detector(weights: dict[str, Tensor], config: Path, model: str, num_classes: int) -> None:
    """Refuse weights that the detector of ``config`` does not have."""
    from mmlight.registry import MODELS
    from mmlight.runtime.checkpoint import compare
    from mmlight.runtime.config import load_config

    cfg = load_config(config, {'model.bbox_head.num_classes': num_classes})
    missing, unexpected, shaped = compare(MODELS.build(cfg.model), {'state_dict': weights})
    if wrong := missing + unexpected + shaped:
        raise InputError(f'{len(wrong)} weights do not fit {model}, the first {", ".join(wrong[:3])}')


def _spinenet_arguments(sub: argparse.ArgumentParser) -> None:
    _source_and_target(sub, '.npz of TensorFlow variables, or checkpoint of a port')
    sub.add_argument('--arch', help='49S, 49, 96, 143, 190, ... (default: found from the shapes)')
    sub.add_argument('--setting', default='retinanet', help='of TensorFlow variables: retinanet, mask-rcnn, ...')
    sub.add_argument('--activation', default='swish', help='of TensorFlow variables: swish, relu')


def _spinenet(args: argparse.Namespace) -> None:
    from mmlight.runtime.checkpoint import load, weights_of
    from mmlight.weights.spinenet import ACTIVATIONS, PUBLISHED, SETTINGS, convert, options, record
    from mmlight.weights.tensorflow import read_npz

    for name, allowed in (('arch', PUBLISHED), ('setting', SETTINGS), ('activation', ACTIVATIONS)):
        _one_of(f'--{name}', getattr(args, name), allowed)
    is_npz = Path(args.source).suffix == '.npz'
    weights = read_npz(args.source) if is_npz else weights_of(load(args.source, 'SRC'))
    converted, arch, layout = _of_source(args.source, convert, weights, args.arch)
    chosen = options(layout, args.setting, args.activation)
    prefix = 'backbone.' if any(name.startswith('backbone.') for name in converted) else ''
    converted[f'{prefix}arithmetic'] = record(chosen)
    _write(converted, {'source': Path(args.source).name, 'layout': layout, 'arch': arch}, args.target)
    print(f'{args.target}: {len(converted) - 1} tensors of SpineNet-{arch} from the layout of {layout}')
    written = ', '.join(f'{name}={value!r}' for name, value in chosen.items())
    where = (
        f'load_from={args.target!r}'
        if prefix
        else f"model.backbone.init_cfg=dict(type='Pretrained', checkpoint={args.target!r})"
    )
    print(f"They belong to type='mmlight.SpineNet', arch={arch!r}, {written}; use them by {where}")


def _tensorflow_arguments(sub: argparse.ArgumentParser) -> None:
    _source_and_target(sub, '.npz of TensorFlow variables')
    sub.add_argument('--network', required=True, help='which one the variables are of; a wrong name lists all')


def _tensorflow(args: argparse.Namespace) -> None:
    from mmlight.weights.tensorflow import NETWORKS, convert, read_npz

    _one_of('--network', args.network, NETWORKS)
    weights, parts = _of_source(args.source, lambda: convert(read_npz(args.source), args.network))
    meta = {'source': Path(args.source).name, 'layout': 'tensorflow/tpu', 'network': args.network}
    _write(weights, meta, args.target)
    print(f'{args.target}: {len(weights)} tensors. The config that takes them by load_from={args.target!r}:')
    for part, entries in parts.items():
        print(f'  model.{part}=dict({", ".join(f"{key}={value!r}" for key, value in entries.items())})')


def _scr_arguments(sub: argparse.ArgumentParser) -> None:
    _source_and_target(sub, 'checkpoint file, or a name of `mmlight weights list`')
    sub.add_argument('--arch', help='published allocation: scr-resnet50, ...')
    sub.add_argument('--blocks', type=int, nargs=4, metavar='N', help='blocks of each stage')


def _scr(args: argparse.Namespace) -> None:
    from mmlight.runtime.checkpoint import load, weights_of
    from mmlight.tables.allocations import PUBLISHED
    from mmlight.weights.catalogue import catalogue
    from mmlight.weights.download import get
    from mmlight.weights.scr import fill

    _one_of('--arch', args.arch, [name for name, table in PUBLISHED.items() if table.depth])
    if (args.arch is None) == (args.blocks is None):
        raise InputError('--arch or --blocks: one of them is needed, and not both')
    blocks = tuple(args.blocks) if args.blocks else PUBLISHED[args.arch].stage_blocks
    if min(blocks) < 1:
        raise InputError(f'--blocks: must be positive, got {blocks}')
    file = get(args.source) if args.source in catalogue() else args.source
    weights = _of_source(args.source, lambda: fill(weights_of(load(file, 'SRC')), blocks))
    _write(weights, {'stage_blocks': blocks, 'source': args.source}, args.target)
    print(f'{args.target}: {len(weights)} tensors; the config that takes them:')
    print(f"  backbone=dict(stage_blocks={blocks}, init_cfg=dict(type='Pretrained', checkpoint={args.target!r}))")


def _publish_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('in_file', help='checkpoint that a training wrote')
    sub.add_argument('out_file', help='X.pth: X-<8 hex digits>.pth is written')
    sub.add_argument('--save-keys', nargs='+', default=['meta', 'state_dict'], help='keys of the checkpoint to keep')
    sub.add_argument('--no-ema', action='store_true', help='publish the raw weights, not their moving average')


def _publish(args: argparse.Namespace) -> None:
    from mmlight.runtime.publish import publish

    path, dropped = publish(args.in_file, args.out_file, args.save_keys, averaged=not args.no_ema)
    if dropped:
        print(f'left out: {", ".join(dropped)}')
    print(f'The published model is saved at {path}')


KINDS: dict[str, tuple[Callable, Callable, str, str]] = {
    'backbone': (
        _backbone,
        _source_and_target,
        'ShuffleNet, SNet or MobileNetV2 weights of torchvision, timm, mmpretrain, mmdet, megvii, Yolo-FastestV2, the '
        'SNet release, Keras.',
        KERAS,
    ),
    'effdet': (
        _effdet,
        _effdet_arguments,
        'EfficientDet weights of effdet (and its tf_efficientdet_* files) or of yaed.',
        '',
    ),
    'spinenet': (
        _spinenet,
        _spinenet_arguments,
        'SpineNet weights of tensorflow/tpu or of the PyTorch ports (lucifer443, yan-roo).',
        TENSORFLOW,
    ),
    'tensorflow': (
        _tensorflow,
        _tensorflow_arguments,
        "A detector's weights of tensorflow/tpu up to its heads: mobile SpineNet, or ResNet-50 with NAS-FPN.",
        TENSORFLOW,
    ),
    'scr': (
        _scr,
        _scr_arguments,
        "torchvision's ImageNet weights of a ResNet for a reallocated number of blocks; added blocks start as the "
        'identity, which does not replace ImageNet training of the new network, as the paper does.',
        '',
    ),
    'publish': (_publish, _publish_arguments, 'Strip a checkpoint for publishing and name it by its SHA-256.', ''),
}
"""Name -> what runs, what adds the arguments, the line of help, and what stands below the help."""
