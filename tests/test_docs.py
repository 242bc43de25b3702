"""Pages: every link leads somewhere, nothing is left to fill in, commands name files that exist."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'configs').glob('*/README.md')])

every_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_links(page):
    targets = re.findall(r'\]\(([^)\s]+)\)', page.read_text())
    local = [target.partition('#')[0] for target in targets if not target.startswith(('http', '#'))]
    assert [target for target in local if not (page.parent / target).exists()] == []


@every_page
def test_nothing_is_left_to_fill_in(page):
    assert re.findall(r'@[A-Z_]+@|TODO|FIXME|TBD', page.read_text()) == []


@every_page
def test_commands_name_files_that_exist(page):
    named = re.findall(r'\b(?:tools|configs|tests|mmlight|docs)/[\w./-]+\.(?:py|sh)\b', page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.long
def test_the_page_of_models_is_written_from_the_data():
    spec = spec_from_file_location('model_zoo', ROOT / 'docs' / 'model_zoo.py')
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / 'docs' / 'models.md').read_text(encoding='utf-8') == script.page(), 'run python docs/model_zoo.py'


def test_what_tests_cite_is_in_the_repository():
    cited = {}
    for test in (ROOT / 'tests').rglob('*.py'):
        cited.update(dict.fromkeys(re.findall(r'docs/[\w/]+\.md', test.read_text()), test.name))
    assert {page: test for page, test in cited.items() if not (ROOT / page).exists()} == {}
    assert len(cited) >= 4


def test_every_family_has_a_page():
    families = {path.parent for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts}
    families = {path.parent if path.name == 'ablations' else path for path in families}
    assert sorted(families) == sorted(
        page.parent for page in PAGES if page.name == 'README.md' and page.parent.parent.name == 'configs'
    )


def test_readme_is_short():
    lines = (ROOT / 'README.md').read_text().splitlines()
    assert len(lines) < 150
    assert max(map(len, lines)) < 180
