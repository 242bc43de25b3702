"""Every field of a COCO file with every kind of wrong value: refused in one line, or made into what trains."""

import copy
import json

import pytest
from mmengine.registry import DATASETS, init_default_scope
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from test_coco_folder import detector, pictures

from mmlight.data.check import check_config_data
from mmlight.data.coco_folder import iter_class_counts, use_coco_folder
from mmlight.errors import InputError

RIGHT = {
    'info': {},
    'licenses': [],
    'images': [
        {'id': 1, 'file_name': 'a.jpg', 'width': 64, 'height': 48},
        {'id': 2, 'file_name': 'b.jpg', 'width': 64, 'height': 48},
    ],
    'categories': [{'id': 1, 'name': 'ant', 'supercategory': 'x'}, {'id': 2, 'name': 'bee', 'supercategory': 'x'}],
    'annotations': [
        {
            'id': number,
            'image_id': number,
            'category_id': number,
            'bbox': [4, 5, 20, 10],
            'area': 200,
            'iscrowd': 0,
            'segmentation': [[4, 5, 24, 5, 24, 15, 4, 15]],
        }
        for number in (1, 2)
    ],
}
FIELDS = [
    *((part,) for part in RIGHT),
    *((part, 0) for part in ('images', 'categories', 'annotations')),
    *((part, 0, key) for part in ('images', 'categories', 'annotations') for key in RIGHT[part][0]),
    *(('annotations', 0, 'bbox', at) for at in (0, 2)),
]
VALUES = ['gone', None, 'text', []]
MORE = ['', '7', -1, 0, 1.5, True, {}, [None], float('nan'), float('inf'), 10**30]


def changed(field: tuple, value: object) -> dict:
    """The right file with one value replaced, or taken out."""
    data = copy.deepcopy(RIGHT)
    node = data
    for key in field[:-1]:
        node = node[key]
    if value == 'gone':
        del node[field[-1]]
    else:
        node[field[-1]] = value
    return data


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A COCO folder whose training annotations the tests replace."""
    root = tmp_path_factory.mktemp('mutations')
    for split in ('train', 'val'):
        pictures(root / split)
    (root / 'annotations').mkdir()
    (root / 'annotations/instances_val.json').write_text(json.dumps(RIGHT))
    return root


each_field = pytest.mark.parametrize('field', FIELDS, ids=lambda field: '.'.join(map(str, field)))


@each_field
def test_a_wrong_value_is_refused_in_a_line_or_trains(folder, tmp_path, field):
    """What is accepted, mmdet builds with the right labels, and pycocotools gives its own boxes AP 1."""
    assert_refused_or_trains(folder, tmp_path, field, VALUES)


@pytest.mark.long
@each_field
def test_more_wrong_values(folder, tmp_path, field):
    """Strings, numbers and containers in each field: with those above, 15 values in 24 fields."""
    assert_refused_or_trains(folder, tmp_path, field, MORE)


def assert_refused_or_trains(folder, tmp_path, field, values):
    init_default_scope('mmdet')
    for number, value in enumerate(values):
        (folder / 'annotations/instances_train.json').write_text(json.dumps(changed(field, value)))
        where = f'{field} = {value!r}'
        try:
            cfg = use_coco_folder(
                detector(filter_cfg={'filter_empty_gt': True, 'min_size': 1}), folder, tmp_path / str(number)
            )
            check_config_data(cfg, ('train_dataloader',))
        except InputError as error:
            said = str(error)
        except Exception as error:
            raise AssertionError(where) from error
        else:
            assert_trains(cfg, where)
            continue
        assert '\n' not in said, where
        assert 'instances_train' in said or str(folder) in said, f'{where}: {said}'


def assert_trains(cfg, where: str) -> None:
    given = cfg.train_dataloader.dataset.dataset
    dataset = DATASETS.build({**given, 'pipeline': []})
    assert len(dataset), where
    classes = dataset.metainfo['classes']
    assert all(type(name) is str for name in classes), where
    assert {head.num_classes for _, head in iter_class_counts(cfg.model)} == {len(classes)}, where
    truth = COCO(given.ann_file)
    for item in (dataset.get_data_info(number) for number in range(len(dataset))):
        names = {truth.cats[one['category_id']]['name'] for one in truth.imgToAnns[item['img_id']]}
        assert {classes[one['bbox_label']] for one in item['instances']} <= names, where
    for key, one in list(truth.anns.items()):  # those that the check says are left out
        if one['image_id'] not in truth.imgs:
            truth.dataset['annotations'].remove(one)
            del truth.anns[key]
    truth.createIndex()
    boxes = truth.anns.values()
    found = [{key: one[key] for key in ('image_id', 'category_id', 'bbox')} | {'score': 1.0} for one in boxes]
    score = COCOeval(truth, truth.loadRes(found), 'bbox')
    score.params.areaRng, score.params.areaRngLbl, score.params.maxDets = [[0, 1e10]], ['all'], [100]
    score.evaluate()
    score.accumulate()
    precision = score.eval['precision']
    assert precision[precision > -1].mean() == pytest.approx(1), where
