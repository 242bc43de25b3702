"""`mmlight test` as a script; `python tools/test.py --help` shows its options."""

import sys

import mmlight  # here too: a spawned loader worker imports this file and nothing else of the package
from mmlight.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
