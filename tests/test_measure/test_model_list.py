"""The list of shipped configs, and how its figures are read from metafiles."""

import json

import pytest

from mmlight.errors import InputError
from mmlight.measure.model_list import list_models, table, to_json
from mmlight.runtime.config import shipped_configs

NAME = 'thundernet_snet49_4xb16-375k_coco-320'
METAFILE = f"""
Collections: [{{Name: ThunderNet}}]
Models:
  - Name: {NAME}
    In Collection: ThunderNet
    Config: configs/thundernet/{NAME}.py
    Metadata: {{Parameters: 1100000, FLOPs: 262000000}}
    Results:
      - {{Task: Object Detection, Dataset: COCO, Metrics: {{box AP: 19.2}}}}
      - {{Task: Object Detection, Dataset: sample, Source: 'measured here, 2 seeds', Metrics: {{box AP50: 0.5}}}}
    Weights: https://example.org/weights.pth
"""


@pytest.fixture
def index(tmp_path):
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'metafile.yml').write_text(METAFILE)
    path = tmp_path / 'model-index.yml'
    path.write_text('Import:\n  - configs/metafile.yml\n')
    return path


def test_published_and_measured_figures_stay_apart(index):
    (entry,) = list_models(NAME, index=index)
    assert (entry.family, entry.parameters, entry.macs) == ('ThunderNet', 1_100_000, 262_000_000)
    assert entry.published == {'COCO': {'box AP': 19.2}}
    assert entry.measured == {'sample': {'box AP50': 0.5}}
    assert entry.weights == 'https://example.org/weights.pth'
    header, _, row = table([entry]).splitlines()
    assert header.index('published') == row.index('COCO: box AP 19.2')
    assert header.index('measured here') == row.index('sample: box AP50 0.5')
    assert '262 M' in row
    assert 'counted' not in header


def test_measuring_adds_columns_and_changes_no_published_figure(index):
    (entry,) = list_models(NAME, measure=True, index=index)
    assert entry.macs == 262_000_000
    assert entry.counted['shape'] == [320, 320]
    assert entry.counted['parameters'] == 1_147_774  # configs/thundernet/README.md
    assert entry.counted['macs'] / 1e6 == pytest.approx(260.9, rel=1e-3)
    assert 'MACs (counted)' in table([entry])
    assert json.loads(to_json([entry]))[0]['counted'] == entry.counted
    (other,) = list_models(NAME, measure=True, shape=(160, 160), index=index)
    assert other.counted['macs'] < entry.counted['macs']


def test_every_shipped_config_is_listed(index):
    names = [entry.name for entry in list_models(index=index)]
    assert sorted(names) == sorted(shipped_configs())
    assert NAME in table()
    some = list_models('*snet535*', index=index)
    assert some
    assert all('snet535' in entry.name for entry in some)


def test_bad_input(index):
    with pytest.raises(InputError, match=r"'\*yolo\*': matches none of"):
        list_models('*yolo*', index=index)
    metafile = index.parent / 'configs' / 'metafile.yml'
    metafile.write_text(METAFILE.replace('262000000', '262M'))
    with pytest.raises(InputError, match=rf"metafile.yml: {NAME}: `FLOPs` is '262M'"):
        list_models(index=index)
    metafile.write_text('Models: [')
    with pytest.raises(InputError, match=r'metafile.yml: not valid YAML'):
        list_models(index=index)
    metafile.write_text('Models: [{Config: x.py}]')
    with pytest.raises(InputError, match=r'metafile.yml: every entry .* needs a `Name`'):
        list_models(index=index)
    metafile.unlink()
    with pytest.raises(InputError, match=r'metafile.yml: cannot be read'):
        list_models(index=index)


def test_a_pattern_without_wildcards_is_a_beginning():
    names = [entry.name for entry in list_models('efficientdet_lite3')]
    assert names == ['efficientdet_lite3_8xb16-crop512-300e_coco', 'efficientdet_lite3x_8xb16-crop640-300e_coco']
    assert [entry.name for entry in list_models('*lite3x*')] == names[1:]
