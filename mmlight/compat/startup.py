"""Imports mmlight as soon as a process imports OpenMMLab: ``import mmdet`` alone gets the compatibility layer.

Installation copies this file into site-packages as ``_mmlight_startup.py``, beside a ``.pth`` file that every start of
the interpreter runs. So it imports nothing itself: it leaves a finder that waits for four names, then goes.
``MMLIGHT_NO_COMPAT=1`` switches it off.
"""

import os
import sys

FILES = ('_mmlight_startup.py', '_mmlight_startup.pth')
PTH = 'import _mmlight_startup\n'


class _Waiting:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        """Find nothing; at the first of the names import mmlight, whose absence is not an error."""
        if fullname in ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmlight'):
            sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not cls]
            if fullname != 'mmlight':
                try:
                    import mmlight  # noqa: F401
                except Exception as error:  # an unfinished installation must not take mmdet down
                    print(f'mmlight: compatibility layer not loaded ({error})', file=sys.stderr)


def write(folder):
    """Write both files into ``folder`` (site-packages, or the root of a wheel); returns their paths."""
    with open(__file__, encoding='utf-8') as file:
        texts = (file.read(), PTH)
    paths = [os.path.join(folder, name) for name in FILES]
    for path, text in zip(paths, texts, strict=True):
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
    return paths


if __name__ == '_mmlight_startup' and os.environ.get('MMLIGHT_NO_COMPAT', '') in ('', '0'):
    sys.meta_path.insert(0, _Waiting)
