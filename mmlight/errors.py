"""The one exception that means "the input is wrong, not the program"."""

import sys
from collections.abc import Callable

from mmlight.signals import ended, term_raises


class InputError(ValueError):
    """Bad input: a config, a file, a data set or an argument that cannot work.

    The message is one line that says which argument or file, what was found and what is allowed. The command line
    prints it after ``error:`` and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        # an error in a data loader's worker is raised again with the worker's whole traceback as its message
        super().__init__(message.rsplit('mmlight.errors.InputError: ', 1)[-1].rstrip())


class MissingFileError(InputError, FileNotFoundError):
    """Bad input, and what mmengine's callers expect of a file that is not there."""


def exit_on_input_error(main: Callable[[], None]) -> None:
    """Run a script's ``main``; bad input ends it with one ``error:`` line on standard error and exit code 2, an
    interruption with a line and 130, SIGTERM with a line and 143."""
    try:
        with term_raises():
            main()
    except InputError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        sys.exit(ended(error))
