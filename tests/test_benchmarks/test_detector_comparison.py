"""The comparison of detectors: figures of mmdet 3.3.0's metafiles, and a run on two small ones."""

import json
from pathlib import Path

import pytest

from benchmarks.detector_comparison import BASELINES, BEGIN, END, compare, fill, markdown, parse, published
from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build

# Published val2017 box AP, parameters (M) and MACs (G) at the size that stands in BASELINES.
FIGURES = {
    'ssdlite_mobilenetv2-scratch_8xb24-600e_coco': (21.3, 4.23, 0.746),
    'yolov3_mobilenetv2_8xb24-320-300e_coco': (22.2, 3.74, 1.646),
    'yolov3_mobilenetv2_8xb24-ms-416-300e_coco': (23.9, 3.74, 2.781),
    'ssd300_coco': (25.5, 34.31, 34.36),
    'centernet_r18_8xb16-crop512-140e_coco': (25.9, 14.22, 13.09),
    'retinanet_r18_fpn_1x_coco': (31.7, 21.41, 188.5),
    'yolox_tiny_8xb8-300e_coco': (32.0, 5.06, 3.206),
    'yolox_s_8xb8-300e_coco': (40.5, 8.97, 13.34),
    'rtmdet_tiny_8xb32-300e_coco': (40.9, 4.90, 8.04),
    'rtmdet_s_8xb32-300e_coco': (44.5, 8.89, 14.76),
    'faster-rcnn_r50_fpn_1x_coco': (37.4, 41.75, 206.3),
    'faster-rcnn_r50_fpn_ms-3x_coco': (40.3, 41.75, 206.3),
    'faster-rcnn_r101_fpn_1x_coco': (39.4, 60.75, 282.1),
    'faster-rcnn_r50-caffe-dc5_1x_coco': (37.2, 165.6, 379.3),
    'faster-rcnn_r50-caffe_c4-1x_coco': (35.6, 33.85, 834.8),
    'faster-rcnn_r50_fpn_ohem_1x_coco': (None, 41.75, 206.3),
    'retinanet_r50_fpn_1x_coco': (36.5, 37.97, 238.5),
    'yolof_r50-c5_8xb8-1x_coco': (37.5, 44.16, 99.3),
}
SSDLITE = 'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py'


def check_counts(detector: str, device: str) -> None:
    path, shape = parse(detector)
    found = measure(build(load_config(path)).to(device), shape)
    _, parameters, macs = FIGURES[path.stem]
    assert found.parameters / 1e6 == pytest.approx(parameters, rel=1e-3)
    assert found.macs / 1e9 == pytest.approx(macs, rel=1e-3)


def test_published_figures_of_mmdet():
    for detector in BASELINES:
        path, _ = parse(detector)
        found, ap = published(path), FIGURES[path.stem][0]
        assert (found and found.ap) == ap
        if found:
            assert (found.dataset, found.source) == ('COCO val2017', f'mmdet 3.3.0, {path.parent.name}/metafile.yml')
    assert {parse(detector)[0].stem for detector in BASELINES} == set(FIGURES)


@pytest.mark.parametrize('name', ['ssdlite', 'ssd300', 'centernet', 'c4-1x', 'yolof'])
def test_counts(name):
    check_counts(next(detector for detector in BASELINES if name in detector), 'meta')


@pytest.mark.long
@pytest.mark.parametrize('detector', BASELINES)
def test_counts_of_all(detector):
    levels_of_rois = '/faster-rcnn' in detector and '_fpn_' in detector  # depend on values, which `meta` has none of
    check_counts(detector, 'cpu' if levels_of_rois else 'meta')


def test_published_figures_of_our_own():
    found = published(parse('thundernet_snet146_baseline_4xb16-375k_coco-320')[0])  # an ablation: a folder deeper
    assert (found.ap, found.dataset) == (21.9, 'COCO test-dev')
    assert found.source.endswith('arXiv 1903.11752')
    assert published(parse('thundernet_snet49_bccd')[0]) is None  # its figures are measured ones


@pytest.mark.parametrize(
    ('detector', 'shape'), [(SSDLITE, None), (f'{SSDLITE}@64', (64, 64)), (f'{SSDLITE}@64x96', (64, 96))]
)
def test_sizes(detector, shape):
    path, found = parse(detector)
    assert (path.name, found) == (Path(SSDLITE).name, shape)


@pytest.mark.parametrize(
    ('detectors', 'message'),
    [
        ([f'{SSDLITE}@64x'], "size '64x'; must be HEIGHTxWIDTH"),
        ([f'{SSDLITE}@0'], "size '0'"),
        (['mmdet::ssd/ssd30.py'], 'ssd30.py: neither a file'),
        ([SSDLITE, f'{SSDLITE}@64'], '600e_coco is given twice'),
    ],
)
def test_bad_input(detectors, message):
    with pytest.raises(InputError, match=message):
        compare(detectors, rounds=1, repeats=1)


def test_one_run(tmp_path):
    thundernet = 'thundernet_snet49_4xb16-375k_coco-320'
    rows = compare([f'{thundernet}@96', f'{SSDLITE}@96'], rounds=1, repeats=2)
    assert [row.name for row in rows] == [Path(SSDLITE).stem, thundernet]  # here the head on 200 RoIs outweighs
    assert rows[1].complexity == measure(thundernet, 96)
    assert [repeat.calls for row in rows for repeat in row.latency.repeats] == [1] * 4
    assert json.loads(json.dumps([row.to_dict() for row in rows]))[0]['published']['ap'] == 21.3
    text = markdown(rows, {'device': 'some CPU'})
    assert '| 19.2 | COCO test-dev | 1.15 |' in text
    assert '96 x 96, 200 RoIs' in text
    assert '* mmdet 3.3.0, ssd/metafile.yml: ssdlite' in text
    assert '2 calls each in turns; device some CPU' in text
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    fill(page, text)
    assert page.read_text() == f'before\n{BEGIN}\n{text}\n{END}\nafter\n'
    page.write_text('no marks')
    with pytest.raises(InputError, match='lacks the lines'):
        fill(page, text)
    with pytest.raises(InputError, match='no such file'):
        fill(tmp_path / 'gone.md', text)
