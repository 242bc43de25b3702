"""The images that an architecture search holds out of COCO's training set."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from mmlight.errors import InputError

SCRIPT = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'coco_search_split.py'


@pytest.fixture
def annotations(tmp_path) -> Path:
    content = {
        'images': [{'id': i, 'file_name': f'{i}.jpg'} for i in range(20, 0, -1)],
        'annotations': [{'id': i, 'image_id': 1 + i % 20} for i in range(50)],
        'categories': [{'id': 1, 'name': 'cat'}],
    }
    path = tmp_path / 'instances_train2017.json'
    path.write_text(json.dumps(content))
    return path


def split(*arguments):
    return runpy.run_path(str(SCRIPT))['split'](*arguments)


def test_parts_make_the_whole(annotations):
    written = split(annotations, 6)
    assert [(path.name, images) for path, images in written.items()] == [
        ('instances_searchtrain2017.json', 14),
        ('instances_searchval2017.json', 6),
    ]
    whole = json.loads(annotations.read_text())
    train, val = (json.loads(path.read_text()) for path in written)
    for key in ('images', 'annotations'):
        assert sorted(item['id'] for item in train[key] + val[key]) == sorted(item['id'] for item in whole[key])
    for part in (train, val):
        assert part['categories'] == whole['categories']
        assert {a['image_id'] for a in part['annotations']} == {image['id'] for image in part['images']}
    first = [path.read_text() for path in written]
    assert [path.read_text() for path in split(annotations, 6)] == first
    assert [path.read_text() for path in split(annotations, 6, 1)] != first


def test_published_number(annotations, monkeypatch, capsys):
    """SpineNet, arXiv 1912.05027, Sec. 4.1: 7,392 of the 118,287 images; 110,895 are left."""
    content = {'images': [{'id': i} for i in range(118_287)], 'annotations': [], 'categories': []}
    annotations.write_text(json.dumps(content))
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), str(annotations)])
    runpy.run_path(str(SCRIPT), run_name='__main__')
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith('instances_searchtrain2017.json: 110895 images')
    assert lines[1].endswith('instances_searchval2017.json: 7392 images')


def test_bad_input(annotations, tmp_path):
    with pytest.raises(InputError, match='--count 20: must be between 1 and 19, the file has 20 images'):
        split(annotations, 20)
    with pytest.raises(InputError, match=r'annotations .*missing.json: no COCO annotations \(FileNotFoundError'):
        split(tmp_path / 'missing.json')
    annotations.write_text('[]')
    with pytest.raises(InputError, match=r'no COCO annotations \(TypeError'):
        split(annotations)
