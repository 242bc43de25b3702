"""The page docs/faithfulness.md says what the configs have."""

import runpy
from pathlib import Path

import pytest
import yaml
from mmengine.config import ConfigDict

from mmlight.runtime.config import load_config

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROWS = yaml.safe_load((HERE / 'deviations.yml').read_text())


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{Path(row["config"]).name}-{row["row"]}')
def test_a_deviation_is_what_the_config_has(row):
    value = load_config(ROOT / 'configs' / f'{row["config"]}.py')
    for part in row['at'].split('.'):
        value = value[int(part)] if part.isdigit() else value[part]
    assert (value.to_dict() if isinstance(value, ConfigDict) else value) == row['here']
    assert row['there'] != row['here']


def test_the_page_is_written():
    """Its text and its recipes to the letter, its errors within the bounds that the tests assert."""
    script = runpy.run_path(str(ROOT / 'docs' / 'faithfulness.py'))
    page = (ROOT / 'docs' / 'faithfulness.md').read_text()
    assert page.startswith(script['HEAD']), 'run python docs/faithfulness.py'
    assert page.endswith(script['recipes']()), 'run python docs/faithfulness.py'
    rows = page[len(script['HEAD']) : -len(script['recipes']())].splitlines()
    assert rows[0] == '| network | implementation | largest error | command |'
    for row in rows[2:]:
        *_, error, command, _ = (cell.strip() for cell in row.split('|'))
        assert float(error) <= 1e-4
        assert (ROOT / command.strip('`').removeprefix('pytest ')).is_file()
