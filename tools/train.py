"""`mmlight train` as a script; `python tools/train.py --help` shows its options."""

import sys

import mmlight  # here too: a spawned loader worker imports this file and nothing else of the package
from mmlight.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
