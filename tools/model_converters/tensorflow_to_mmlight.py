"""Convert a detector's weights of tensorflow/tpu up to its heads: mobile SpineNet, or ResNet-50 with NAS-FPN.

The checkpoint is read as an .npz file of its variables, which TensorFlow itself writes:

    reader = tf.train.load_checkpoint(FOLDER)
    np.savez('variables.npz', **{name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})

(SpineNet has a converter of its own, spinenet_to_mmlight.py; MobileNetV2 of Keras: backbone_to_mmlight.py.)
"""

import mmlight  # isort: skip
import argparse
import io
from pathlib import Path

import torch

from mmlight.arguments import Parser
from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.errors import InputError, exit_on_input_error
from mmlight.weights.tensorflow import NETWORKS, convert, read_npz


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='SRC', help='.npz of TensorFlow variables')
    parser.add_argument('target', metavar='DST', help='file to write')
    parser.add_argument('--network', choices=list(NETWORKS), required=True)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        weights, parts = convert(read_npz(args.source), args.network)
    except InputError as error:
        raise InputError(f'SRC {args.source}: {str(error).removeprefix(f"SRC {args.source}: ")}') from None
    file = io.BytesIO()
    meta = {'source': Path(args.source).name, 'layout': 'tensorflow/tpu', 'network': args.network}
    torch.save({'state_dict': {name: value.clone() for name, value in weights.items()}, 'meta': meta}, file)
    try:
        AtomicBackend().put(file.getvalue(), args.target)
    except OSError as error:
        raise InputError(f'DST {args.target}: cannot be written ({error.strerror})') from None
    print(f'{args.target}: {len(weights)} tensors. The config that takes them by load_from={args.target!r}:')
    for part, entries in parts.items():
        print(f'  model.{part}=dict({", ".join(f"{key}={value!r}" for key, value in entries.items())})')


if __name__ == '__main__':
    exit_on_input_error(main)
