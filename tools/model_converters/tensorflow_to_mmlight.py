"""`mmlight convert tensorflow` as a script; its options are those of the command."""

import sys

from mmlight.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', 'tensorflow', *sys.argv[1:]]))
