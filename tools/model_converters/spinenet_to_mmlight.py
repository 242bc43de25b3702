"""Convert SpineNet weights of tensorflow/tpu or of the PyTorch ports (lucifer443, yan-roo) for mmlight.

A TensorFlow checkpoint is read as an .npz file of its variables, which TensorFlow itself writes:

    reader = tf.train.load_checkpoint(FOLDER)
    np.savez('spinenet.npz', **{name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})
"""

import mmlight  # isort: skip
import argparse
import io
from pathlib import Path

import torch

from mmlight.arguments import Parser
from mmlight.runtime.checkpoint import AtomicBackend, load, weights_of
from mmlight.errors import InputError, exit_on_input_error
from mmlight.weights.spinenet import ACTIVATIONS, PUBLISHED, SETTINGS, convert, options, record
from mmlight.weights.tensorflow import read_npz


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='SRC', help='.npz of TensorFlow variables, or checkpoint of a port')
    parser.add_argument('target', metavar='DST', help='file to write')
    parser.add_argument('--arch', choices=list(PUBLISHED), help='default: found from the shapes')
    parser.add_argument(
        '--setting', choices=list(SETTINGS), default='retinanet', help='training of TensorFlow variables'
    )
    parser.add_argument('--activation', choices=list(ACTIVATIONS), default='swish', help='of TensorFlow variables')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if Path(args.source).suffix == '.npz':
        weights = read_npz(args.source)
    else:
        weights = weights_of(load(args.source, 'SRC'))
    try:
        converted, arch, layout = convert(weights, args.arch)
    except InputError as error:
        raise InputError(f'SRC {args.source}: {error}') from None
    chosen = options(layout, args.setting, args.activation)
    prefix = 'backbone.' if any(name.startswith('backbone.') for name in converted) else ''
    converted[f'{prefix}arithmetic'] = record(chosen)
    file = io.BytesIO()
    meta = {'source': Path(args.source).name, 'layout': layout, 'arch': arch}
    torch.save({'state_dict': {name: value.clone() for name, value in converted.items()}, 'meta': meta}, file)
    try:
        AtomicBackend().put(file.getvalue(), args.target)
    except OSError as error:
        raise InputError(f'DST {args.target}: cannot be written ({error.strerror})') from None
    print(f'{args.target}: {len(converted) - 1} tensors of SpineNet-{arch} from the layout of {layout}')
    written = ', '.join(f'{name}={value!r}' for name, value in chosen.items())
    where = (
        f'load_from={args.target!r}'
        if prefix
        else f"model.backbone.init_cfg=dict(type='Pretrained', checkpoint={args.target!r})"
    )
    print(f"They belong to type='mmlight.SpineNet', arch={arch!r}, {written}; use them by {where}")


if __name__ == '__main__':
    exit_on_input_error(main)
