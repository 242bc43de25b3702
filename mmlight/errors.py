"""The one exception that means "the input is wrong, not the program"."""


class InputError(ValueError):
    """Bad input: a config, a file, a data set or an argument that cannot work.

    The message is one line that says which argument or file, what was found and what is allowed. The command line
    prints it after ``error:`` and exits with code 2.
    """
