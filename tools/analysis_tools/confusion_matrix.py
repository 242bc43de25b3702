"""Confusion matrix of a tested detector or segmentor, as a picture and as counts (CSV)."""

import mmlight  # isort: skip
import argparse
from pathlib import Path

from mmlight.arguments import Options, Parser
from mmlight.measure.confusion import confusion_matrix, plot, save
from mmlight.runtime.config import load_config
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config that was tested')
    parser.add_argument(
        'prediction_path', help='pickle of tools/test.py --out; segmentation also: folder of label PNGs'
    )
    parser.add_argument('save_dir', help='folder for confusion_matrix.png and confusion_matrix.csv')
    parser.add_argument('--show', action='store_true', help='open a window, too')
    parser.add_argument('--color-theme', default='plasma', help='matplotlib colour map')
    parser.add_argument('--title', default='Normalized Confusion Matrix')
    parser.add_argument('--score-thr', type=float, default=0.3, help='detections below it are left out')
    parser.add_argument('--tp-iou-thr', type=float, default=0.5, help='overlap that counts as found')
    parser.add_argument('--nms-iou-thr', type=float, help='suppress the detections once more, per class')
    parser.add_argument('--cfg-options', nargs='+', action=Options, help='override config values, key=value')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args.config, args.cfg_options)
    matrix, names = confusion_matrix(config, args.prediction_path, args.score_thr, args.tp_iou_thr, args.nms_iou_thr)
    folder = Path(args.save_dir)
    plot(matrix, names, folder / 'confusion_matrix.png', args.title, args.color_theme, args.show)
    save(matrix, names, folder / 'confusion_matrix.csv')
    print(f'confusion matrix saved to {folder / "confusion_matrix.png"} and .csv')


if __name__ == '__main__':
    exit_on_input_error(main)
