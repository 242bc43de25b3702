"""The end of tools/quickstart.sh: evaluate the trained model, draw predictions, write and print the summary."""

import mmlight  # first: it makes mmdet importable

import argparse
import json
import sys
from pathlib import Path

from mmlight.errors import InputError

PICTURES = 8
FIGURES = {'bbox_mAP': 'box mAP     {:.3f}', 'bbox_mAP_50': 'box mAP50   {:.3f}', 'mIoU': 'mean IoU    {:.1f} %'}
"""What is printed of the metrics."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('--task', choices=('det', 'seg'), default='det')
    parser.add_argument('--data', required=True, help='COCO folder, or for seg one in the layout of Cityscapes')
    parser.add_argument('--work-dir', type=Path, required=True, help="the training's; summary.json is written there")
    parser.add_argument('--epochs', default='', help="as given to the training; empty for the config's")
    parser.add_argument('--device', default='', help='empty: a GPU if there is one')
    parser.add_argument('--finished', action='store_true', help='only print the summary of a finished run, else exit 1')
    args = parser.parse_args()
    file = args.work_dir / 'summary.json'
    # A run with other settings is not finished because this one was.
    run = {'config': args.config, 'data': args.data, 'epochs_asked': args.epochs}
    try:
        summary = read_finished(file, run) if args.finished else report(args)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if summary is None:
        return 1
    if not args.finished:
        file.write_text(json.dumps({**run, **summary}, indent=2) + '\n', encoding='utf-8')
    print_summary(summary, file)
    return 0


def read_finished(file: Path, run: dict) -> dict | None:
    """The summary of ``run`` if all that it names is still there."""
    try:
        summary = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    same = all(summary.get(key) == value for key, value in run.items())
    paths = [summary.get('checkpoint', ''), *summary.get('pictures', [])]
    return summary if same and all((file.parent / path).is_file() for path in paths) else None


def report(args: argparse.Namespace) -> dict:
    """Evaluate the latest checkpoint and draw what it finds in pictures that it was not trained on."""
    from mmlight.runtime.checkpoint import latest_checkpoint
    from mmlight.runtime.predict import predict
    from mmlight.runtime.run import RunOptions
    from mmlight.runtime.test import evaluate

    device = args.device or None
    checkpoint = latest_checkpoint(args.work_dir)
    if checkpoint is None:
        raise InputError(f'--work-dir {args.work_dir}: holds no checkpoint')
    if args.task == 'det':
        images, data = choose_images(args.data), {'data': args.data}
    else:
        images = spread(sorted(Path(args.data).glob('leftImg8bit/val/*/*_leftImg8bit.png')))
        data = {'cfg_options': {'test_dataloader.dataset.data_root': args.data}}
    metrics = evaluate(args.config, checkpoint, RunOptions(args.work_dir / 'test', device=device, **data))
    drawn = predict(args.config, images, checkpoint, args.work_dir / 'predictions', device=device)
    return {
        'mmlight': mmlight.__version__,
        'checkpoint': checkpoint.name,
        'metrics': {name.removeprefix('coco/'): float(value) for name, value in metrics.items()},
        'pictures': [str(path.relative_to(args.work_dir)) for path in drawn.pictures],
    }


def choose_images(data: str) -> list[Path]:
    """Up to ``PICTURES`` annotated images of the split that the evaluation uses, spread over it."""
    from mmlight.data.coco_folder import find_coco_folder, read_coco

    splits = find_coco_folder(data)
    split = splits.get('test', splits['val'])
    content = read_coco(split.ann_file)
    annotated = {entry['image_id'] for entry in content['annotations']}
    names = [image['file_name'] for image in content['images'] if image['id'] in annotated]
    return spread([split.img_dir / name for name in names])


def spread(images: list[Path]) -> list[Path]:
    """Up to ``PICTURES`` of them, evenly."""
    return images[:: max(1, len(images) // PICTURES)][:PICTURES]


def print_summary(summary: dict, file: Path) -> None:
    print(f'\nmodel       {file.parent / summary["checkpoint"]}')
    for name, value in summary['metrics'].items():
        if name in FIGURES:
            print(FIGURES[name].format(value))
    print('pictures    ' + '\n            '.join(str(file.parent / path) for path in summary['pictures']))
    print(f'summary     {file}')


if __name__ == '__main__':
    sys.exit(main())
