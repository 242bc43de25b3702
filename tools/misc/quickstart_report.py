"""The end of tools/quickstart.sh: evaluate the trained model, draw predictions, write and print the summary."""

import mmlight  # first: it makes mmdet importable

import argparse
import json
import sys
from pathlib import Path

from mmlight.errors import InputError

PICTURES = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('--data', required=True, help='COCO folder')
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
    from mmlight.engine.checkpoint import latest_checkpoint
    from mmlight.engine.prediction import predict
    from mmlight.engine.training import evaluate

    device = args.device or None
    checkpoint = latest_checkpoint(args.work_dir)
    if checkpoint is None:
        raise InputError(f'--work-dir {args.work_dir}: holds no checkpoint')
    metrics = evaluate(args.config, checkpoint, work_dir=args.work_dir / 'test', data=args.data, device=device)
    drawn = predict(args.config, choose_images(args.data), checkpoint, args.work_dir / 'predictions', device=device)
    return {
        'mmlight': mmlight.__version__,
        'checkpoint': checkpoint.name,
        'metrics': {name.removeprefix('coco/'): value for name, value in metrics.items()},
        'pictures': [str(path.relative_to(args.work_dir)) for path in drawn.pictures],
    }


def choose_images(data: str) -> list[Path]:
    """Up to ``PICTURES`` annotated images of the split that the evaluation uses, spread over it."""
    from mmlight.datasets.coco_folder import find_coco_folder, read_coco

    splits = find_coco_folder(data)
    split = splits.get('test', splits['val'])
    content = read_coco(split.ann_file)
    annotated = {entry['image_id'] for entry in content['annotations']}
    names = [image['file_name'] for image in content['images'] if image['id'] in annotated]
    step = max(1, len(names) // PICTURES)
    return [split.img_dir / name for name in names[::step][:PICTURES]]


def print_summary(summary: dict, file: Path) -> None:
    print(f'\nmodel       {file.parent / summary["checkpoint"]}')
    for name, value in summary['metrics'].items():
        if name in ('bbox_mAP', 'bbox_mAP_50'):
            print(f'{name.replace("bbox_mAP", "box mAP").replace("_50", "50"):12s}{value:.3f}')
    print('pictures    ' + '\n            '.join(str(file.parent / path) for path in summary['pictures']))
    print(f'summary     {file}')


if __name__ == '__main__':
    sys.exit(main())
