"""Command line arguments whose errors are one line, for ``mmlight`` and the scripts in ``tools/``."""

import argparse
from typing import Any, NoReturn

from mmlight.errors import InputError


class Parser(argparse.ArgumentParser):
    """Wrong arguments are bad input like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f'{message} (see {self.prog} --help)')


class Options(argparse.Action):
    """``KEY=VALUE ...`` -> dict, read as mmengine does."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        from mmengine.config import DictAction

        for pair in values:
            if '=' not in pair or pair.startswith('='):
                parser.error(f"{option_string}: '{pair}' is not of the form KEY=VALUE")
        reader = DictAction([], self.dest)
        found = argparse.Namespace()
        try:
            reader(parser, found, values, option_string)
        except RecursionError:
            parser.error(
                f'{option_string}: {" ".join(values)}: dicts and such are for the config, options are plain values'
            )
        except (ValueError, AssertionError, SyntaxError) as error:
            parser.error(f'{option_string}: {" ".join(values)}: {error}')
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **getattr(found, self.dest)})
