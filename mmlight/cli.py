"""The ``mmlight`` command: one subcommand, one call; what it calls is imported when it runs."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import mmlight
from mmlight.arguments import Options, Parser
from mmlight.checks import positive_int
from mmlight.errors import InputError

if TYPE_CHECKING:
    from mmlight.runtime.run import RunOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (without the program's name; default ``sys.argv[1:]``).

    Returns:
        Exit code: 0; 1 for an error that nobody foresaw (where ``argv`` is None, one line that names a file with the
        traceback; else it is raised); 2 for bad input (one line on standard error; the traceback too, with
        ``MMLIGHT_TRACEBACK=1``); 130 when interrupted from the keyboard; 141 when nobody
        reads the output any more.
    """
    try:
        args = make_parser().parse_args(argv)
        return args.run(args) or 0
    except InputError as error:
        if os.environ.get('MMLIGHT_TRACEBACK') == '1':
            traceback.print_exc()
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the interpreter complain at its end
        return 141
    except Exception as error:
        if argv is not None or os.environ.get('MMLIGHT_TRACEBACK') == '1':
            raise  # a caller in Python sees what happened
        print(f'error: {_last_line(error)}', file=sys.stderr)
        return 1


def _last_line(error: Exception) -> str:
    """One line for an error that nobody foresaw; its traceback goes to a file."""
    from tempfile import NamedTemporaryFile

    text = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
    try:
        with NamedTemporaryFile('w', prefix='mmlight-', suffix='.log', delete=False, encoding='utf-8') as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return f'{text} (MMLIGHT_TRACEBACK=1 shows where)'
    return f'{text} (the full traceback is in {file.name})'


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(prog='mmlight', description='Light-weight and searched networks for OpenMMLab.')
    parser.add_argument('--version', action='version', version=mmlight.__version__)
    commands = parser.add_subparsers(metavar='COMMAND', required=True)

    for name, (run, arguments, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        arguments(sub)
    return parser


def _doctor_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        '--repair', action='store_true', help="write the start-up hook, by which mmdet's own tools get the patches"
    )


def _list_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('pattern', nargs='?', default='*', help="names to show, such as 'thundernet_snet49*'")
    sub.add_argument(
        '--measure', action='store_true', help='count parameters and multiply-adds now, beside the published'
    )
    sub.add_argument(
        '--shape', type=int, nargs='+', metavar='N', help='for --measure (default: that of the test pipeline)'
    )
    sub.add_argument('--json', action='store_true', help='print JSON')


def _predict_arguments(sub: argparse.ArgumentParser) -> None:
    _add_config(sub)
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
    _add_device(sub)


def _train_arguments(sub: argparse.ArgumentParser) -> None:
    _add_config(sub)
    _add_run_options(sub)
    sub.add_argument('--amp', action='store_true', help='mixed precision')
    sub.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size')
    sub.add_argument(
        '--resume', nargs='?', const='auto', help='continue from this checkpoint, or from the latest in the work dir'
    )
    sub.add_argument('--epochs', type=int, help="number of epochs instead of the config's")
    sub.add_argument('--seed', type=int, help='seed for weights, data order and augmentation')
    sub.add_argument('--weights', help="fine-tune: checkpoint, 'published', or the name of published weights")


def _test_arguments(sub: argparse.ArgumentParser) -> None:
    _add_config(sub)
    sub.add_argument('checkpoint', nargs='?', help="checkpoint, 'published', or the name of published weights")
    sub.add_argument('--onnx', metavar='FILE', help='evaluate this file of tools/deployment/export_onnx.py instead')
    _add_run_options(sub)
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


def _flops_arguments(sub: argparse.ArgumentParser) -> None:
    _add_config(sub)
    sub.add_argument(
        '--shape', type=int, nargs='+', metavar='N', help='height and width (default: that of the test pipeline)'
    )


def _weights_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('action', choices=('list', 'get'))
    sub.add_argument('name', nargs='?', metavar='NAME', help="get: name in the list; list: pattern, such as '*lite*'")
    sub.add_argument('--from', dest='source', metavar='FILE', help="get: take the publisher's file from here")


def _check_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('folder', metavar='DIR', help='COCO, Pascal VOC or YOLO data set, or images and masks')
    sub.add_argument('--out', metavar='PNG', help='draw a contact sheet of the training data')
    sub.add_argument('--fix', metavar='DIR', help='write a corrected copy to this new folder')


def _search_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('config', metavar='CONFIG', help='path or name of a config with a `search` section')
    sub.add_argument('--work-dir', help='default work_dirs/<config name>')
    sub.add_argument('--resume', action='store_true', help='go on with the search in the work dir')
    sub.add_argument('--trials', type=int, metavar='N', help="networks to evaluate, instead of the config's")
    sub.add_argument('--backend', default='local', choices=['inline', 'local', 'ray'])
    sub.add_argument('--workers', type=int, help='trials at once (default 1; on a Ray cluster all it has room for)')
    sub.add_argument('--devices', type=int, nargs='*', default=[], help='GPUs that local workers share out')
    sub.add_argument('--gpus', type=float, default=0, help='that a trial occupies on a Ray cluster (default 0)')
    sub.add_argument('--address', help='of a running Ray cluster; default: one on this machine')


def _config_arguments(sub: argparse.ArgumentParser) -> None:
    _add_config(sub)


def _sample_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('--out', metavar='DIR', required=True, help='folder to create')
    sub.add_argument('--seed', type=int, default=0, help='default 0')


def _add_config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('config', metavar='CONFIG', help='path of a config, or the name of a shipped one')
    sub.add_argument(
        '--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help="override the config's settings"
    )


def _add_device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('--device', help='cpu, cuda or cuda:N (default: a GPU if there is one)')


def _add_run_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('--work-dir', help='folder for logs and checkpoints (default work_dirs/<config>)')
    sub.add_argument(
        '--data',
        metavar='DIR',
        help="folder with your data instead of the config's: COCO, Pascal VOC, YOLO; images and masks",
    )
    sub.add_argument('--launcher', default='none', help='none, pytorch, slurm or mpi')
    sub.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    _add_device(sub)


def _options(args: argparse.Namespace) -> RunOptions:
    from mmlight.runtime.run import RunOptions

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))  # some launchers pass it as an argument
    return RunOptions(args.work_dir, args.cfg_options, args.launcher, args.data, args.device)


def _doctor(args: argparse.Namespace) -> int:
    from mmlight.compat import doctor

    if args.repair:
        print('written:', *doctor.repair())
    text, code = doctor.diagnose()
    print(text)
    return code


def _list(args: argparse.Namespace) -> None:
    from mmlight.measure import model_list

    entries = model_list.list_models(args.pattern, args.measure, args.shape)
    print(model_list.to_json(entries) if args.json else model_list.table(entries))


def _predict(args: argparse.Namespace) -> int:
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


def _train(args: argparse.Namespace) -> None:
    from mmlight.runtime.train import train

    train(args.config, _options(args), args.amp, args.auto_scale_lr, args.resume, args.epochs, args.seed, args.weights)


def _test(args: argparse.Namespace) -> None:
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
    evaluate(args.config, args.checkpoint, _options(args), args.out, drawing, args.tta, changes)


def _flops(args: argparse.Namespace) -> None:
    from mmlight.measure import complexity
    from mmlight.runtime.config import load_config

    print(complexity.measure(load_config(args.config, args.cfg_options), args.shape).table())


def _weights(args: argparse.Namespace) -> None:
    from mmlight.weights import catalogue, download

    if args.action == 'list':
        print(catalogue.table(args.name or '*'))
        return
    if args.name is None:
        raise InputError('weights get: give a NAME; `mmlight weights list` shows them')
    print(catalogue.find(args.name).credit())
    print(download.get(args.name, args.source))


def _check(args: argparse.Namespace) -> None:
    from mmlight.data.survey import survey

    print(survey(args.folder, args.out, args.fix))


def _search(args: argparse.Namespace) -> int:
    from pathlib import Path

    from mmlight.nas.search import Display, run

    work_dir = Path(args.work_dir or Path('work_dirs') / Path(args.config).stem)
    placement = dict(workers=args.workers, devices=tuple(args.devices), address=args.address, gpus=args.gpus)
    command = f'mmlight search {args.config} --work-dir {work_dir} --resume'
    with Display() as display:
        try:
            trials = run(
                args.config,
                work_dir,
                args.resume,
                args.backend,
                display.watch,
                display.on_trial,
                args.trials,
                **placement,
            )
        except KeyboardInterrupt:
            print(f'interrupted; what was evaluated is kept, `{command}` goes on', file=sys.stderr)
            return 130
    best = max((trial for trial in trials if trial.source is not None), key=lambda trial: trial.reward, default=None)
    if best is None:
        print('no trial was evaluated', file=sys.stderr)
        return 1
    print(f'best: trial {best.source}, reward {best.reward:.4f}; export it: python tools/export_arch.py {work_dir}')
    return 0


def _config(args: argparse.Namespace) -> None:
    from mmlight.runtime.config import load_config

    print(load_config(args.config, args.cfg_options, needs_model=False).pretty_text)


def _sample(args: argparse.Namespace) -> None:
    from mmlight.data import sample

    print(sample.generate(args.out, seed=args.seed))


COMMANDS: dict[str, tuple[Callable, Callable, str]] = {
    'doctor': (_doctor, _doctor_arguments, 'Show versions, operators and patches, and what is broken.'),
    'list': (_list, _list_arguments, 'Show the shipped configs with parameters, multiply-adds and published figures.'),
    'predict': (_predict, _predict_arguments, 'Draw what a model finds in images, and write it as JSON.'),
    'train': (_train, _train_arguments, 'Train a model.'),
    'test': (_test, _test_arguments, 'Evaluate a checkpoint or an exported file.'),
    'flops': (_flops, _flops_arguments, 'Count parameters and multiply-adds.'),
    'weights': (_weights, _weights_arguments, 'Show or fetch the weights that others have published.'),
    'check': (_check, _check_arguments, 'Say what a folder of data holds, and what is wrong with it.'),
    'search': (_search, _search_arguments, 'Search an architecture.'),
    'config': (_config, _config_arguments, 'Print a config as one self-contained file.'),
    'sample': (_sample, _sample_arguments, 'Draw the built-in sample data set.'),
}
"""Name -> what runs, what adds the arguments, the line of help."""


if __name__ == '__main__':
    sys.exit(main())
