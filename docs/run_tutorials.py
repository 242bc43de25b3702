"""Run the code of the tutorials, in their order, in a new folder outside the repository.

    python docs/run_tutorials.py [NAME ...]

A block with a title is written to that file, a `bash` block is run; other blocks are only shown.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TUTORIALS = Path(__file__).parent / 'tutorials'
ORDER = ('own_coco', 'own_masks', 'new_pyramid', 'search', 'deploy')
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


def run(page: str, folder: Path) -> None:
    """Write and run the blocks of a page; bash blocks of a page share their variables."""
    script = []
    for language, title, code in BLOCK.findall((TUTORIALS / f'{page}.md').read_text(encoding='utf-8')):
        if title:
            (folder / title).write_text(code, encoding='utf-8')
        elif language == 'bash':
            script.append(code)
    environment = {**os.environ, 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}', 'MPLBACKEND': 'Agg'}
    subprocess.run(['bash', '-euxo', 'pipefail', '-c', ''.join(script)], cwd=folder, env=environment, check=True)


def main() -> None:
    pages = sys.argv[1:] or ORDER
    assert {path.stem for path in TUTORIALS.glob('*.md')} == set(ORDER), 'a tutorial is missing in ORDER'
    with tempfile.TemporaryDirectory() as folder:
        for page in pages:
            start = time.monotonic()
            print(f'== {page}', flush=True)
            run(page, Path(folder))
            print(f'== {page}: {time.monotonic() - start:.0f} s', flush=True)


if __name__ == '__main__':
    main()
