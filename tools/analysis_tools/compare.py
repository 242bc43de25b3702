"""`mmlight compare` as a script; its options are those of the command."""

import sys

from mmlight.cli import main

if __name__ == '__main__':
    sys.exit(main(['compare', *sys.argv[1:]]))
