"""The commands that train, test, predict and search."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmlight.checks import positive_int
from mmlight.cli.shared import add_config, add_device, add_run_options, run_options
from mmlight.errors import InputError


def train_arguments(sub: argparse.ArgumentParser) -> None:
    sub.set_defaults(resumable=True)
    add_config(sub)
    add_run_options(sub)
    sub.add_argument('--amp', action='store_true', help='mixed precision; bfloat16 on the CPU')
    sub.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size')
    sub.add_argument(
        '--resume', nargs='?', const='auto', help='continue from this checkpoint, or from the latest in the work dir'
    )
    sub.add_argument('--epochs', type=int, help="number of epochs instead of the config's")
    sub.add_argument('--seed', type=int, help='seed for weights, data order and augmentation')
    sub.add_argument(
        '--save-on-term',
        action=argparse.BooleanOptionalAction,
        help='on SIGTERM finish the iteration and write a checkpoint (default under SLURM)',
    )
    sub.add_argument('--early-stop', type=int, metavar='N', help='end after N evaluations without a better metric')
    sub.add_argument('--no-report', action='store_true', help='write no figures and pictures at the end')
    sub.add_argument('--weights', help="fine-tune: checkpoint, 'published', or the name of published weights")


def train(args: argparse.Namespace) -> None:
    from mmlight.runtime.train import train

    options = run_options(args)
    runner = train(
        args.config, options, args.amp, args.auto_scale_lr, args.resume, args.epochs, args.seed, args.weights
    )
    if not args.no_report and args.launcher == 'none':
        from mmlight.measure.run_report import write

        print(*write(runner.cfg, Path(runner.work_dir), args.device), sep='\n')


def test_arguments(sub: argparse.ArgumentParser) -> None:
    add_config(sub)
    sub.add_argument('checkpoint', nargs='?', help="checkpoint, 'published', or the name of published weights")
    sub.add_argument('--onnx', metavar='FILE', help='evaluate this file of mmlight export instead')
    add_run_options(sub)
    sub.add_argument('--out', help='detection: .pkl for the predictions; segmentation: folder for label images')
    sub.add_argument('--show', action='store_true', help='show the predictions in a window')
    sub.add_argument(
        '--show-dir',
        help="folder for pictures with the predictions drawn; a relative one lies in the run's folder, "
        '<work dir>/<timestamp>',
    )
    sub.add_argument('--wait-time', type=float, default=2, help='seconds that --show shows a picture (default 2)')
    sub.add_argument('--tta', action='store_true', help='test-time augmentation')
    sub.add_argument(
        '--deploy', action='store_true', help='faster, same outputs: norms folded into convolutions, channels last'
    )


def test(args: argparse.Namespace) -> None:
    from mmlight.runtime.drawing import Drawing
    from mmlight.runtime.test import evaluate

    if (args.checkpoint is None) == (args.onnx is None):
        raise InputError('checkpoint: give either a checkpoint or --onnx FILE')
    changes = []
    if args.onnx is not None:
        from mmlight.deploy.onnx_model import exported

        if args.tta:
            raise InputError('--tta: an exported file has no test-time augmentation')
        if args.deploy:
            raise InputError('--deploy: an exported file has its norms folded already')
        changes.append(exported(args.onnx))
    if args.deploy:
        from mmlight.deploy.deploy import deployed

        changes.append(deployed)
    drawing = Drawing(args.show, args.show_dir, args.wait_time)
    evaluate(args.config, args.checkpoint, run_options(args), args.out, drawing, args.tta, changes)


def predict_arguments(sub: argparse.ArgumentParser) -> None:
    add_config(sub)
    sub.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE',
        help="image or video: file, folder, pattern, address, number of a webcam, or '-' for a list on standard input",
    )
    sub.add_argument(
        '--weights', help="checkpoint, name of published weights, or 'initial' (default: published, if there are some)"
    )
    sub.add_argument('--out', help='folder for pictures and predictions.json (default predictions/<config>)')
    sub.add_argument('--score-thr', type=float, default=0.3, help='leave out detections below it (default 0.3)')
    sub.add_argument(
        '--batch-size', type=int, metavar='N', help="images at a time (default: the config's test_dataloader)"
    )
    sub.add_argument('--format', nargs='+', default=(), metavar='NAME', help='write also: coco, csv, yolo, masks')
    add_device(sub)


def predict(args: argparse.Namespace) -> int:
    from mmlight.runtime.predict import predict

    options = dict(args.cfg_options or {})
    if args.batch_size is not None:
        positive_int('predict', **{'--batch-size': args.batch_size})
        options['test_dataloader.batch_size'] = args.batch_size
    result = predict(
        args.config, args.images, args.weights, args.out, args.score_thr, args.device, options, tuple(args.format)
    )
    for _, reason in result.failed:
        print(f'error: {reason}', file=sys.stderr)
    made = f'{len(result.pictures)} pictures in {result.json.parent / "pictures"}'
    if result.videos:
        made = f'{made if result.pictures else ""}, {len(result.videos)} videos in {result.videos[0].parent}'.strip(
            ', '
        )
    print(f'{made}, results in {result.json}')
    if result.failed:
        print(f'{len(result.failed)} images could not be read', file=sys.stderr)
    return 2 if not result.content['images'] else 1 if result.failed else 0


def search_arguments(sub: argparse.ArgumentParser) -> None:
    sub.set_defaults(resumable=True)
    add_config(sub)
    sub.add_argument('--work-dir', help='default work_dirs/<config name>')
    sub.add_argument('--data', metavar='DIR', help="folder with your data instead of the config's, as with train")
    sub.add_argument('--seed', type=int, help="of the search, instead of the config's")
    sub.add_argument('--resume', action='store_true', help='go on with the search in the work dir')
    sub.add_argument('--trials', type=int, metavar='N', help="networks to evaluate, instead of the config's")
    sub.add_argument('--backend', default='local', choices=['inline', 'local', 'ray'])
    sub.add_argument('--workers', type=int, help='trials at once (default 1; on a Ray cluster all it has room for)')
    sub.add_argument('--devices', type=int, nargs='*', default=[], help='GPUs that local workers share out')
    sub.add_argument('--gpus', type=float, default=0, help='that a trial occupies on a Ray cluster (default 0)')
    sub.add_argument('--address', help='of a running Ray cluster; default: one on this machine')


def search(args: argparse.Namespace) -> int:
    from mmlight.nas.export import export
    from mmlight.nas.search import Display, run

    work_dir = Path(args.work_dir or Path('work_dirs') / Path(args.config).name.removesuffix('.py'))
    placement = dict(workers=args.workers, devices=tuple(args.devices), address=args.address, gpus=args.gpus)
    config = _own_search(args, work_dir)
    with Display() as display:
        trials = run(
            config, work_dir, args.resume, args.backend, display.watch, display.on_trial, args.trials, **placement
        )
    judged = (trial for trial in trials if trial.source is not None)
    best = max(judged, key=lambda trial: trial.reward or 0.0, default=None)
    if best is None:
        print('no trial was evaluated', file=sys.stderr)
        return 1
    found = work_dir / 'best_0.py'
    export(work_dir, found)
    print(f'best: trial {best.source}, reward {best.reward:.4f}; train it: mmlight train {found}')
    if 'values' in best.metrics:
        from mmlight.nas.report import write

        print(f'the front: {len(list((work_dir / "front").glob("*.py")))} networks, see {write(work_dir)}')
    return 0


def _own_search(args: argparse.Namespace, work_dir: Path) -> str | Path:
    """The config to search with: the one named, or one in the work dir with what was changed."""
    changes = dict(args.cfg_options or {}, **({} if args.seed is None else {'search.seed': args.seed}))
    if not changes and args.data is None:
        return args.config
    from mmlight.files import put
    from mmlight.nas.search import load_search
    from mmlight.runtime.run import RunOptions, prepare

    load_search(args.config)
    cfg = prepare(args.config, RunOptions(work_dir, changes, data=args.data))
    cfg.pop('work_dir')  # a trial has its own
    written = work_dir / f'own_{Path(args.config).name.removesuffix(".py")}.py'
    return put(cfg.pretty_text, written)
