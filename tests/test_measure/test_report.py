"""The report on two networks: what stands in it, and the page's own functions, run by node where there is one."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import pytest

from mmlight.errors import InputError
from mmlight.measure import report
from mmlight.measure.benchmark import Plan
from mmlight.measure.contenders import Result, results
from mmlight.measure.report import COLUMNS, make_report
from mmlight.measure.report_page import SCRIPT

DETECTORS = ('thundernet_snet49_4xb16-375k_coco-320@64', 'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py@64')
BROWSERS = ('chromium', 'chromium-headless-shell', 'google-chrome')
BROWSER = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, BROWSERS)), None)
PLAN = Plan(columns=('fused',), iterations=1, warmup_seconds=0, repeats=1)


class Page(HTMLParser):
    """Rows of cells of the tables, the scripts, and what is loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows, self.scripts, self.foreign, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.foreign += [value for name, value in attrs if name in ('src', 'href') and not value.startswith('data:')]
        if tag == 'tr':
            self.rows.append([])
        if tag == 'script':
            self.scripts.append('')

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and self.open[-1] in ('td', 'th'):
            self.rows[-1].append(data)
        if self.open and self.open[-1] == 'script':
            self.scripts[-1] += data


@pytest.fixture(scope='module', autouse=True)
def plotly(need):
    need('plotly')


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('report')
    make_report(DETECTORS, out, plan=PLAN)
    return out


def test_table(made):
    lines = (made / 'report.md').read_text().splitlines()
    assert lines[2] == '| ' + ' | '.join(COLUMNS) + ' |'
    assert lines[4].startswith(
        '| thundernet_snet49_4xb16-375k_coco-320 | detection | 64 x 64 | 19.2 | COCO test-dev, at 320 x 320 | 1.15'
    )
    assert '| 21.3 | COCO val2017, at 320 x 320 | 4.23 |' in lines[5]
    assert '* mmdet 3.3.0, ssd/metafile.yml: ssdlite_mobilenetv2-scratch_8xb24-600e_coco' in lines


def test_page_needs_nothing_beside_it(made):
    page = Page((made / 'index.html').read_text())
    assert page.foreign == []
    assert page.rows[0] == list(COLUMNS)
    assert [len(row) for row in page.rows] == [len(COLUMNS)] * 3
    assert 'plotly.js v' in page.scripts[0][:500]
    data = json.loads(re.search(r'const DATA = (.*);\n', page.scripts[1])[1])
    assert [entry['accuracy'] for entry in data['entries']] == [19.2, 21.3]
    assert all(entry[axis] > 0 for entry in data['entries'] for axis in data['axes'])
    assert '<!--' not in page.scripts[1]


@pytest.mark.skipif(shutil.which('node') is None, reason='the page is run by node, which is not installed')
def test_functions_of_the_page(made):
    """Points = rows with an accuracy, hover names them; sorting and the best line are right."""
    entries = json.loads((made / 'figures.json').read_text())['entries']
    code = f"""
    const entries = {json.dumps(entries)};
    const points = traces(entries.concat({{...entries[0], accuracy: null}}), 'detection', 'macs');
    const markers = points.filter(t => t.mode === 'markers+text');
    const curve = (name, dataset, n) => (
      {{name, dataset, key: 'bbox_mAP', unit: 'epoch', steps: Array(n).fill(1), values: Array(n).fill(1)}});
    const plots = curvePlots([curve('a', 'x.json', 1), curve('b', 'y.json', 99), curve('c', 'x.json', 3)]);
    console.log(JSON.stringify({{
      points: markers.map(t => t.x.length), names: markers.flatMap(t => t.text), sets: markers.map(t => t.name),
      sorted: ['10.5', '-', '9', '100'].sort(compareCells), words: ['b', 'a'].sort(compareCells),
      plots: plots.map(p => [p.title, p.traces.map(t => [t.name, t.mode])]),
      best: pareto([[3, 5, 'c'], [1, 2, 'a'], [2, 1, 'b'], [4, 5, 'd'], [2, 4, 'e']]).map(p => p[2]).join(''),
    }}));"""
    done = subprocess.run(['node', '-e', SCRIPT + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found['points'] == [1, 1]
    assert found['names'] == [f'{entry["name"]}, accuracy at 320 x 320' for entry in entries]
    assert found['sets'] == ['COCO test-dev', 'COCO val2017']
    assert found['sorted'] == ['9', '10.5', '100', '-']
    assert found['words'] == ['a', 'b']
    assert found['best'] == 'aec'
    assert found['plots'] == [
        ['bbox_mAP on x.json', [['a', 'lines+markers'], ['c', 'lines+markers']]],
        ['bbox_mAP on y.json', [['b', 'lines']]],
    ]


@pytest.mark.long
@pytest.mark.skipif(BROWSER is None or shutil.which('node') is None, reason='needs node and a Chromium (CHROMIUM=path)')
def test_page_in_a_browser(tmp_path):
    """No errors, points = rows, sorting works, the axis changes; tmp_path/page.png shows it."""
    make_report(DETECTORS, tmp_path, plan=PLAN)
    script, url = Path(__file__).with_name('drive_page.js'), (tmp_path / 'index.html').as_uri()
    command = ['node', '--experimental-websocket', script, BROWSER, url, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found['errors'] == []
    assert found['points'] == found['rows'] == 2
    assert found['up'] == ['1.15', '4.23'] == found['down'][::-1]
    assert found['axis'] == 'multiply-adds (G)'
    assert cv2.imread(str(tmp_path / 'page.png')).std() > 10


def test_a_work_dir_gives_metric_and_curves(tmp_path, monkeypatch):
    work = tmp_path / 'run'
    (work / 'time' / 'vis_data').mkdir(parents=True)
    source = report.parse('thundernet_snet49_sample')[0]
    (work / 'thundernet.py').write_text(f'_base_ = {str(source)!r}\n')
    records = [{'loss': 2.0, 'lr': 1, 'iter': 1, 'epoch': 1, 'step': 1}, {'coco/bbox_mAP': 0.2, 'step': 1}]
    records += [{'loss': 1.0, 'lr': 1, 'iter': 2, 'epoch': 2, 'step': 2}, {'coco/bbox_mAP': 0.15, 'step': 2}]
    (work / 'time/vis_data/scalars.json').write_text('\n'.join(map(json.dumps, records)))
    monkeypatch.setattr('mmlight.runtime.inference.evaluated_shape', lambda config: (64, 64))
    (entry,) = make_report([], tmp_path / 'out', [work], plan=PLAN)
    assert entry.result.value == pytest.approx(20)
    assert entry.result.own
    assert entry.weights is None
    page = Page((tmp_path / 'out/index.html').read_text())
    curves = json.loads(re.search(r'const DATA = (.*);\n', page.scripts[1])[1])['curves']
    assert [(curve['key'], curve['steps'], curve['values']) for curve in curves] == [
        ('loss', [1, 2], [2.0, 1.0]),
        ('bbox_mAP', [1, 2], [0.2, 0.15]),
    ]


def test_runs_are_grouped_by_what_they_were_judged_on(tmp_path):
    """A copy of the same annotations in each run's folder is one data set; the names leave out what they share."""
    entries = []
    for name, text in (('a', 'same'), ('b', 'same'), ('c', 'other')):
        (tmp_path / name / 'annotations').mkdir(parents=True)
        file = tmp_path / name / 'annotations' / 'val.json'
        file.write_text(text)
        entries.append(SimpleNamespace(result=Result(1.0, str(file), 'log', own=True)))
    entries.append(SimpleNamespace(result=Result(1.0, 'COCO val2017', 'metafile')))
    report._short(entries)
    names = [entry.result.dataset for entry in entries]
    assert names[0] == names[1] != names[2]
    assert names[0].endswith('a/annotations/val.json')
    assert str(tmp_path) not in names[0]
    assert names[3] == 'COCO val2017'


def test_a_config_and_two_trainings_of_it(tmp_path, monkeypatch):
    source = report.parse('thundernet_snet49_sample')[0]
    for name in ('first', 'second'):
        (tmp_path / name).mkdir()
        (tmp_path / name / source.name).write_text(f'_base_ = {str(source)!r}\n')
    monkeypatch.setattr('mmlight.runtime.inference.evaluated_shape', lambda config: (64, 64))
    plan = Plan(columns=('fused',), parts=('net',), iterations=1, warmup_seconds=0, repeats=1)
    works = [tmp_path / 'first', tmp_path / 'second']
    entries = make_report(['thundernet_snet49_sample@64'], tmp_path / 'out', works, plan=plan)
    assert [entry.row.name for entry in entries] == [
        f'thundernet_snet49_sample ({label})' for label in ('64 x 64', 'first', 'second')
    ]


def test_results_of_metafiles():
    path = report.parse('mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py')[0]
    assert results(path, 'mIoU') == [Result(70.96, 'Cityscapes val', "mmseg 1.2.2's metafiles")]
    (published,) = results(report.parse('thundernet_snet49_4xb16-375k_coco-320')[0], 'box AP')
    assert (published.value, published.dataset, published.own) == (19.2, 'COCO test-dev', False)
    assert results(path, 'box AP') == []


def test_bad_input(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'plotly.offline', None)
        with pytest.raises(InputError, match='plotly is not installed: pip install plotly'):
            make_report(DETECTORS, tmp_path)
    with pytest.raises(InputError, match='needs the one config of a training, found 0'):
        make_report([], tmp_path, [tmp_path])
    with pytest.raises(InputError, match=r'image gone\.png'):
        make_report(DETECTORS, tmp_path, images=['gone.png'])
    with pytest.raises(InputError, match='no configs given'):
        make_report([], tmp_path)


def test_a_name_of_markup_stays_inside_its_script():
    """`<!--<script>` in a script would swallow the rest of the page."""
    name = '<!--<script>'
    entry = SimpleNamespace(cells=lambda: [name], to_dict=lambda: {'name': name}, row=SimpleNamespace(name=name))
    with mock.patch.multiple(report, _curves=mock.Mock(return_value=[]), _pictures=mock.Mock(return_value='')):
        text = report.page([entry], {}, SimpleNamespace(get_plotlyjs=lambda: ''))
    assert name not in text
    data = json.loads(re.search(r'const DATA = (.*);\n', text)[1])
    assert data['entries'] == [{'name': name}]
