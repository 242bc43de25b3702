"""``python -m mmlight.cli``."""

import sys

from mmlight.cli import main

if __name__ == '__main__':
    sys.exit(main())
