"""Write docs/faithfulness.md from the tests: run `python docs/faithfulness.py`.

The errors are what the tests report (`record_property`) when they run; the recipes' rows are those of
``tests/parity/deviations.yml`` and ``tests/recipes.yml``.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import yaml

ROOT = Path(__file__).parents[1]
TESTS = (
    'tests/parity',
    'tests/test_models/test_nas_fpn.py::test_equals_mmdet_with_its_weights',
    'tests/test_models/test_effdet_parity.py',
)
HEAD = """# Faithfulness

Written by `python docs/faithfulness.py` from what the tests measure and hold; not to be edited.

## Networks against independent implementations

The largest difference of outputs with equal weights, as a part of the largest output.

"""


EQUAL = """
## Recipes that equal their source

Rates, decay, exempt parameters, schedule, batch, averaging and losses of these configs are asserted by
`tests/test_recipes.py`; the sources stand in [recipes](specs/recipes.md).

"""


def measured() -> list[tuple[str, str, float, str]]:
    """(network, implementation, largest error, file of the tests) from a run of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / 'report.xml'
        command = [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            '-p',
            'no:warnings',
            '-k',
            'not page',
            f'--junitxml={report}',
            *TESTS,
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        cases = ElementTree.parse(report).iter('testcase')
        found = {}
        for case in cases:
            values = {one.get('name'): one.get('value') for one in case.iter('property')}
            if 'error' in values:
                key = values['network'], values['against']
                file = '/'.join(case.get('classname').split('.')) + '.py'
                found[key] = max(found.get(key, (0.0, file)), (float(values['error']), file))
    return [(*key, *value) for key, value in sorted(found.items())]


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    lines = ['| ' + ' | '.join(map(str, row)) + ' |' for row in (head, ('---',) * len(head), *rows)]
    return '\n'.join(lines) + '\n'


def recipes() -> str:
    """The part of the page that needs no run."""
    folder = ROOT / 'tests' / 'parity'
    rows = yaml.safe_load((folder / 'deviations.yml').read_text())
    unsupported = yaml.safe_load((folder / 'unsupported.yml').read_text())
    equal = yaml.safe_load((ROOT / 'tests' / 'recipes.yml').read_text())
    keys = ('config', 'row', 'here', 'there', 'source', 'why')
    differ = {row['config'] for row in rows}
    listed = (f'* {name}' + (', but for its rows of the next table\n' if name in differ else '\n') for name in equal)
    parts = [EQUAL, *listed, '\n## Where a recipe differs from its source\n\n']
    parts.append(table(keys, [tuple(row[key] for key in keys) for row in rows]))
    parts.append('\n## Published figures that no public source supports\n\n')
    parts.append(table(('figure', 'page', 'what was found'), [tuple(row.values()) for row in unsupported]))
    return ''.join(parts)


def main() -> None:
    rows = [(network, against, f'{error:.1e}', f'`pytest {file}`') for network, against, error, file in measured()]
    page = HEAD + table(('network', 'implementation', 'largest error', 'command'), rows) + recipes()
    (ROOT / 'docs' / 'faithfulness.md').write_text(page)


if __name__ == '__main__':
    main()
