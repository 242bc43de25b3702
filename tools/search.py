"""`mmlight search` as a script; `python tools/search.py --help` shows its options."""

import sys

import mmlight  # here too: a spawned worker imports this file and nothing else of the package
from mmlight.cli import main

if __name__ == '__main__':
    sys.exit(main(['search', *sys.argv[1:]]))
