"""Runs the compatibility tests and a short training in fresh environments, and writes the table of tested_versions.md.

    python docs/tested_versions.py WORK [--only 3.12]

Needs the interpreters ``python3.10`` to ``python3.13`` on the path, a package index and some 6 GB a row; each
environment is removed after its row; the table has the rows whose files are in WORK.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'tested_versions.md'
TESTS = ['tests/test_compat', 'tests/test_tools/test_train_test.py', 'tests/test_packaging.py']
# Python, then what is asked for beside mmlight's own requirements.
ENVIRONMENTS = {
    '3.10': ['torch==2.4.1', 'numpy<2', 'mmengine==0.10.4', 'mmcv-lite==2.0.0', 'setuptools<81'],
    '3.11': ['torch==2.13.0', 'mmcv-lite==2.1.0'],
    '3.11 newest': ['torch', 'torchvision', 'mmcv-lite'],
    '3.12': ['torch==2.6.0', 'mmcv-lite==2.1.0'],
    '3.13': ['torch==2.9.1', 'torchvision==0.24.1', 'mmcv-lite==2.1.0'],
}
VERSIONS = """
import platform
from importlib import metadata
def version(*names):
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return 'none'
opencv = version('opencv-python-headless', 'opencv-python')
print(platform.python_version(), version('torch'), version('torchvision'), version('numpy'), opencv,
      version('setuptools'), version('mmcv-lite', 'mmcv'), version('mmengine'), sep=' | ')
"""


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **settings)  # type: ignore[call-overload]


def row(name: str, packages: list[str], work: Path) -> str:
    """The table's row of an environment: versions, the commit, and what the tests said."""
    source, env = work / 'mmlight', work / 'env'
    run('git', 'clone', '-q', ROOT, source, check=True)
    commit = run('git', 'rev-parse', '--short', 'HEAD', cwd=source, check=True).stdout.strip()
    run(f'python{name.split()[0]}', '-m', 'venv', env, check=True)
    python = env / 'bin' / 'python'
    install = [python, '-m', 'pip', 'install', '-q']
    for what in ([*packages], ['-e', source, 'pytest', 'hypothesis', *packages]):
        done = run(*install, *what)
        if done.returncode:
            return f'| {name} | {", ".join(packages)} | cannot be installed: {done.stderr.strip().splitlines()[-1]} |'
    if run(python, '-c', 'import cv2').returncode:  # a machine without libGL
        run(python, '-m', 'pip', 'uninstall', '-q', '-y', 'opencv-python')
        run(*install, '--force-reinstall', '--no-deps', 'opencv-python-headless', check=True)
    versions = run(python, '-c', VERSIONS, cwd=work, check=True).stdout.strip()
    environment = dict(PATH=f'{env / "bin"}:/usr/bin:/bin', HOME=str(work), OMP_NUM_THREADS='1', MPLBACKEND='Agg')
    tests = run(python, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *TESTS, cwd=source, env=environment)
    print(tests.stdout[-3000:], flush=True)
    counts = re.sub(r', \d+ warnings?| in .*', '', tests.stdout.strip().splitlines()[-1].strip('= '))
    training = [python, '-m', 'mmlight.cli', 'train', 'thundernet_snet49_sample', '--epochs', '1', '--no-report']
    sample = run(python, '-m', 'mmlight.cli', 'sample', '--out', 'data/sample', cwd=work, env=environment)
    trained = run(*training, cwd=work, env=environment) if sample.returncode == 0 else sample
    said = 'trained' if trained.returncode == 0 else f'training failed: {trained.stderr.strip().splitlines()[-1]}'
    return f'| {versions} | {commit} | {counts} | {said} |'


def write(rows: dict[str, str]) -> None:
    """Put the table between the page's markers."""
    start, end = '<!-- table -->\n', '<!-- end of table -->'
    text = PAGE.read_text(encoding='utf-8')
    head, rest = text.split(start)
    tail = rest.split(end)[1]
    lines = [
        '| Python | torch | torchvision | numpy | opencv | setuptools | mmcv | mmengine | commit | tests | training |',
        '|' + '---|' * 11,
    ]
    lines += rows.values()
    PAGE.write_text(f'{head}{start}' + '\n'.join(lines) + f'\n{end}{tail}', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work', type=Path, help='folder for environments and for the rows that are done')
    parser.add_argument('--only', choices=ENVIRONMENTS, nargs='+', default=list(ENVIRONMENTS))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        folder = Path(tempfile.mkdtemp(dir=args.work))
        (args.work / f'{name}.row').write_text(row(name, ENVIRONMENTS[name], folder))
        print(name, (args.work / f'{name}.row').read_text(), flush=True)
        shutil.rmtree(folder)
    write({name: path.read_text() for name in ENVIRONMENTS if (path := args.work / f'{name}.row').is_file()})


if __name__ == '__main__':
    main()
