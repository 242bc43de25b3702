"""`mmlight convert publish` as a script; its options are those of the command."""

import sys

from mmlight.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', 'publish', *sys.argv[1:]]))
