"""The ``mmlight`` command: one subcommand, one call; what it calls is imported when it runs."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence

import mmlight
from mmlight.arguments import Parser
from mmlight.cli import convert, figures, look, runs, ship
from mmlight.errors import InputError
from mmlight.signals import ended, term_raises


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (without the program's name; default ``sys.argv[1:]``).

    Returns:
        Exit code: 0; 1 for an error that nobody foresaw (where ``argv`` is None, one line that names a file with the
        traceback; else it is raised); 2 for bad input (one line on standard error; the traceback too, with
        ``MMLIGHT_TRACEBACK=1``); 130 when interrupted from the keyboard; 143 by SIGTERM; 141 when nobody
        reads the output any more.
    """
    given, go_on = list(sys.argv[1:] if argv is None else argv), ''
    try:
        args = make_parser().parse_args(given)
        _check_names(args)
        if hasattr(args, 'resumable'):
            go_on = f'; `{shlex.join(["mmlight", *given, *([] if args.resume else ["--resume"])])}` goes on'
        with term_raises():
            code = args.run(args) or 0
            sys.stdout.flush()  # where a full disk is noticed
            return code
    except InputError as error:
        return _bad_input(str(error))
    except KeyboardInterrupt as error:
        return ended(error, go_on)
    except BrokenPipeError:  # whoever reads the output has seen enough
        _close_output()
        return 141
    except OSError as error:
        if error.filename is None and (argv is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT)):
            return _unforeseen(error, argv)
        if error.filename is None:
            _close_output()
        where = 'output' if error.filename is None else str(error.filename)[:200]
        return _bad_input(f'{where}: {error.strerror or type(error).__name__}')
    except Exception as error:
        return _unforeseen(error, argv)


def _close_output() -> None:
    """What is left in the buffer goes nowhere: nor may the interpreter complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unforeseen(error: Exception, argv: Sequence[str] | None) -> int:
    if argv is not None or os.environ.get('MMLIGHT_TRACEBACK') == '1':
        raise error  # a caller in Python sees what happened
    print(f'error: {_last_line(error)}', file=sys.stderr)
    return 1


def _bad_input(text: str) -> int:
    if os.environ.get('MMLIGHT_TRACEBACK') == '1':
        traceback.print_exc()
    print(f'error: {" ".join(text.split())}', file=sys.stderr)
    return 2


def _check_names(args: argparse.Namespace) -> None:
    """Refuse a wrong name of a config before seconds go by with imports."""
    if not hasattr(args, 'config') and not hasattr(args, 'configs'):
        return
    from mmlight.shipped import find_config

    for name in [args.config] if hasattr(args, 'config') else args.configs:
        if '::' not in name:
            find_config(name.rpartition('@')[0] if hasattr(args, 'configs') and '@' in name else name)


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


COMMANDS: dict[str, tuple[Callable, Callable, str]] = {
    'doctor': (look.doctor, look.doctor_arguments, 'Show versions, operators and patches, and what is broken.'),
    'list': (
        look.list_,
        look.list_arguments,
        'Show the shipped configs with parameters, multiply-adds and published figures.',
    ),
    'predict': (runs.predict, runs.predict_arguments, 'Draw what a model finds in images, and write it as JSON.'),
    'train': (runs.train, runs.train_arguments, 'Train a model.'),
    'test': (runs.test, runs.test_arguments, 'Evaluate a checkpoint or an exported file.'),
    'flops': (look.flops, look.flops_arguments, 'Count parameters and multiply-adds.'),
    'weights': (look.weights, look.weights_arguments, 'Show or fetch the weights that others have published.'),
    'convert': (convert.convert, convert.convert_arguments, 'Convert the weights of another implementation.'),
    'check': (look.check, look.check_arguments, 'Say what a folder of data holds, and what is wrong with it.'),
    'browse': (figures.browse, figures.browse_arguments, 'Draw the annotations of a data set as training gets them.'),
    'search': (runs.search, runs.search_arguments, 'Search an architecture.'),
    'export': (ship.export, ship.export_arguments, 'Write a model as an ONNX, TorchScript, OpenVINO or Core ML file.'),
    'benchmark': (figures.benchmark, figures.benchmark_arguments, 'Measure latency and memory of configs, in turns.'),
    'compare': (figures.compare, figures.compare_arguments, 'Write a page that compares configs and trainings.'),
    'config': (look.config, look.config_arguments, 'Print a config as one self-contained file.'),
    'sample': (look.sample, look.sample_arguments, 'Draw the built-in sample data set.'),
}
"""Name -> what runs, what adds the arguments, the line of help."""
