"""Multiply-adds, memory access cost and time of each layer of a detector or segmentor, and the guidelines G1 to G4 for
fast networks (ShuffleNet V2, arXiv 1807.11164) that it breaks. No data set and no weights are needed."""

import mmlight  # isort: skip

import argparse
import json
from pathlib import Path

import torch

from mmlight.runtime.inference import network_and_shape
from mmlight.measure.layer_costs import measure_layers
from mmlight.measure.layer_report import plot, text
from mmlight.arguments import Options, Parser
from mmlight.runtime.device import use_device
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='N',
        help='HEIGHT WIDTH, or one number for both; default: that of the test pipeline',
    )
    parser.add_argument('--repeats', type=int, default=10, help='timed runs; 0: count only (default 10)')
    parser.add_argument('--fuse-conv-bn', action='store_true', help='fold batch normalisation into the convolutions')
    parser.add_argument('--backbone', action='store_true', help='only the backbone')
    parser.add_argument('--top', type=int, default=20, help='layers to list; 0: all, in their order (default 20)')
    parser.add_argument('--plot', metavar='FILE', type=Path, help='picture to write')
    parser.add_argument('--depth', type=int, help='for --plot: levels of the module tree to tell apart')
    parser.add_argument('--threads', type=int, help='of the CPU')
    parser.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--cfg-options', nargs='+', action=Options, help='override config values, key=value')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    model, shape = args.config, args.shape
    if args.backbone:
        network, shape = network_and_shape(model, shape, args.cfg_options)
        model = network.backbone
    with use_device(args.device):
        costs = measure_layers(model, shape, args.repeats, args.device, args.fuse_conv_bn, args.cfg_options)
    print(json.dumps(costs.to_dict()) if args.json else text(costs, args.top))
    if args.plot:
        plot(costs, args.plot, args.depth)


if __name__ == '__main__':
    exit_on_input_error(main)
