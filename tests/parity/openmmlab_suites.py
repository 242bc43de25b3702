"""Runs OpenMMLab's own test suites with and without mmlight and tabulates what failed, by cause.

    python tests/parity/openmmlab_suites.py SOURCES [--suites mmcv mmdet] [--out docs/parity.md]

SOURCES has one folder a library, each a checkout of its sources: ``mmcv`` 2.1.0, ``mmdet`` 3.3.0, ``mmseg`` 1.2.2,
``mmengine`` 0.10.7; nothing of them is part of this project. Each folder of tests runs in a process of its own: it may
crash or hang alone. ``<SOURCES>/parity.json`` keeps results: a run adds to it, ``--only-report`` runs nothing.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    'mmcv': ['tests/test_ops'],
    'mmdet': ['tests/test_*', 'tests/test_models/test_*'],
    'mmseg': ['tests/test_*', 'tests/test_models/test_*'],
    'mmengine': ['tests/test_runner', 'tests/test_hooks'],
}
SPLIT = {'tests/test_models'}  # run folder by folder
NAMES = {'mmcv': "mmcv's operators", 'mmdet': 'mmdet', 'mmseg': 'mmseg', 'mmengine': "mmengine's runner, hooks"}
CAUSES = (  # the first that matches the failure's text
    (r'NotImplementedError: (\w+): the pure PyTorch fallback', r'operator {}'),
    (r"No module named 'mmcv\._ext'", 'no compiled operators'),
    (r"No module named '(?!mm|tests)(\w+)", r'package {} is not installed'),
    (r'^E .*?\b(scikit-\w+|\w+) is not installed', 'package {} is not installed'),
    (r'^E .*mmpretrain', 'package mmpretrain is not installed'),
    (r'^E .*"pip install (\w+)"', 'package {} is not installed'),
    (r'^E .*FileHolder', 'package nibabel is not installed'),
    (r"^E .*'NoneType' object has no attribute 'Open'", 'package gdal is not installed'),
    (r"^E .*'bool' object has no attribute 'astype'", 'package panopticapi is not installed'),  # it is mocked
    (r'^E .*To use VPD model, please install', 'package ldm is not installed'),
    (r'operator torchvision::nms does not exist', 'torchvision is of another torch'),
    (r'((?:URL|Connection|HTTPS?)Error|Max retries|Name or service not known|cannot be downloaded|urlopen)', 'network'),
    (r'(CUDA|NVIDIA|cuda|NCCL|nccl)', 'needs a GPU'),
    (r'pkg_resources', 'no pkg_resources'),
    (r"numpy.*has no attribute '(\w+)'", 'numpy 2: {}'),
    (r'(?:only 0-dimensional|only length-1) arrays can be converted', 'numpy 2: scalar of an array'),
    (r'weights_only|WeightsUnpickler', 'torch refuses the checkpoint'),
    (r'FileNotFoundError.*?([\w.-]+/[\w.-]+)[\'"]?\s*$', 'file {} is not there'),
)


def parts(folder: Path, suite: str) -> list[str]:
    """Folders and files of tests that run in one process each, relative to the sources."""
    found = {path.relative_to(folder).as_posix() for pattern in PARTS[suite] for path in folder.glob(pattern)}
    return sorted(part for part in found - SPLIT if not part.endswith(('.pyc', '__pycache__')))


def run_part(folder: Path, part: str, mmlight: bool, limit: int) -> list[dict]:
    """Outcome of every test below ``part``: name, state and, where it failed, the cause."""
    report = folder / '.parity.xml'
    report.unlink(missing_ok=True)
    command = [sys.executable, '-m', 'pytest', '-q', part, f'--junitxml={report}', '--continue-on-collection-errors']
    command += ['-p', 'no:cacheprovider', '-W', 'ignore', *(['-p', 'mmlight'] if mmlight else [])]
    paths = [str(folder), *([str(ROOT)] if mmlight else []), os.environ.get('PYTHONPATH', '')]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)), 'CUDA_VISIBLE_DEVICES': ''}
    environment.update(OMP_NUM_THREADS='1', MPLBACKEND='Agg', MMLIGHT_NO_COMPAT='0' if mmlight else '1')
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit)
        crash = f'crashed with {done.returncode}: {done.stderr[-200:]}'
    except subprocess.TimeoutExpired:
        crash = f'took more than {limit} s'
    if not report.is_file():
        return [dict(test=part, state='failed', cause=crash)]
    cases = ET.parse(report).getroot().iter('testcase')
    return [outcome(case) for case in cases]


def outcome(case: ET.Element) -> dict:
    """One test of a JUnit report."""
    name = '::'.join(filter(None, (case.get('classname'), case.get('name'))))
    for kind in ('failure', 'error'):
        found = case.find(kind)
        if found is not None:
            state = 'not imported' if found.get('message') == 'collection failure' else 'failed'
            return dict(test=name, state=state, cause=cause(f'{found.text or ""}\n{found.get("message") or ""}'))
    return dict(test=name, state='passed' if case.find('skipped') is None else 'skipped')


def cause(text: str) -> str:
    """Why a test failed, as far as its traceback tells."""
    for pattern, name in CAUSES:
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            return name.format(*match.groups())
    errors = re.findall(r'^E\s+(\w*(?:Error|Exception|Warning)\b.*)$', text, re.MULTILINE)
    return ' '.join((errors[-1] if errors else text.strip().splitlines()[-1]).split())[:110]


def tables(results: dict) -> str:
    """Markdown: counts, then what failed with mmlight."""
    lines = ['| suite | | passed | failed | files not imported | skipped |', '|---|---|---|---|---|---|']
    for suite, sides in results.items():
        for side in ('with mmlight', 'without'):
            states = Counter(row['state'] for row in sides.get(side, []))
            counts = ' | '.join(str(states[state]) for state in ('passed', 'failed', 'not imported', 'skipped'))
            lines.append(f'| {NAMES[suite]} | {side} | {counts} |')
    lines += ['', 'What failed with mmlight:', '', '| suite | cause | tests |', '|---|---|---|']
    for suite, sides in results.items():
        causes = Counter(row['cause'] for row in sides.get('with mmlight', []) if 'cause' in row)
        lines += [f'| {NAMES[suite]} | {_cell(name)} | {count} |' for name, count in causes.most_common()]
    return '\n'.join(lines)


def _cell(text: str) -> str:
    return re.sub(r'/\S*/', '…/', text).replace('|', '\\|').replace('<', '&lt;')


def write_page(path: Path, text: str) -> None:
    """Replace what stands between the page's two markers."""
    start, end = '<!-- table -->\n', '<!-- end of table -->'
    page = path.read_text(encoding='utf-8')
    head, tail = page.partition(start)[0], page.partition(end)[2]
    path.write_text(f'{head}{start}{text}\n{end}{tail}', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sources', type=Path, help='folder with mmcv/, mmdet/, mmseg/, mmengine/')
    parser.add_argument('--suites', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--sides', nargs='+', choices=('with', 'without'), default=('with', 'without'))
    parser.add_argument('--only', default='', help='run only parts whose path has this')
    parser.add_argument('--only-report', action='store_true', help='run nothing')
    parser.add_argument('--limit', type=int, default=900, help='seconds a part may take (default 900)')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'parity.md')
    args = parser.parse_args()
    store = args.sources / 'parity.json'
    kept = json.loads(store.read_text()) if store.is_file() else {}
    for suite in [] if args.only_report else args.suites:
        folder = (args.sources / suite).resolve()
        for side in args.sides:
            rows = kept.setdefault(suite, {}).setdefault(side, {})
            for part in parts(folder, suite):
                if args.only in part:
                    rows[part] = run_part(folder, part, side == 'with', args.limit)
                    print(suite, side, part, dict(Counter(row['state'] for row in rows[part])), flush=True)
                    store.write_text(json.dumps(kept, indent=1))
    labels = {'with': 'with mmlight', 'without': 'without'}
    results = {
        suite: {labels[side]: [row for rows in found.values() for row in rows] for side, found in sides.items()}
        for suite, sides in kept.items()
    }
    write_page(args.out, tables(results))


if __name__ == '__main__':
    main()
