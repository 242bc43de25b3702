"""Plot curves or compute iteration times from the JSON log of a detection or segmentation training."""

import mmlight  # isort: skip
import argparse

from mmlight.arguments import Parser
from mmlight.measure.training_log import describe_times, plot_curves, read_log
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    tasks = parser.add_subparsers(dest='task', required=True)
    logs = Parser(add_help=False)
    logs.add_argument('json_logs', nargs='+', help='<work_dir>/<time>/vis_data/scalars.json or <time>.json')

    curve = tasks.add_parser('plot_curve', parents=[logs], help='draw losses and metrics')
    curve.add_argument('--keys', nargs='+', default=['bbox_mAP'], help='for example loss bbox_mAP_50 mIoU')
    curve.add_argument('--title', help='title of the figure')
    curve.add_argument('--legend', nargs='+', help='one name a curve, logs first, then keys')
    curve.add_argument('--backend', help='matplotlib backend')
    curve.add_argument('--style', help='matplotlib style, or one of white, dark, whitegrid, darkgrid, ticks')
    curve.add_argument('--out', help='picture to write; without it a window opens')
    ignored = 'accepted and ignored: the log itself says at which epoch each value was written'
    curve.add_argument('--start-epoch', help=ignored)
    curve.add_argument('--eval-interval', help=ignored)

    time = tasks.add_parser('cal_train_time', parents=[logs], help='average time per training iteration')
    time.add_argument('--include-outliers', action='store_true', help='count the first record of every epoch, too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    logs = [read_log(path) for path in args.json_logs]
    if args.task == 'cal_train_time':
        for log in logs:
            print(describe_times(log, args.include_outliers))
        return
    plot_curves(logs, args.keys, args.out, args.title, args.legend, args.style, args.backend)
    if args.out:
        print(f'curves saved to {args.out}')


if __name__ == '__main__':
    exit_on_input_error(main)
