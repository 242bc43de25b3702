import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

import mmlight  # noqa: F401
from mmlight.data.coco_folder import coco_classes, find_coco_folder, use_coco_folder
from mmlight.data.sample import CLASSES
from mmlight.errors import InputError


def write(path, files=('a.jpg', 'b.jpg'), names=('cat', 'dog'), **changes):
    """A small, right COCO file; ``changes`` replace its keys."""
    data = {
        'images': [{'id': k, 'file_name': name, 'height': 48, 'width': 64} for k, name in enumerate(files)],
        'categories': [{'id': 3 * k + 1, 'name': name} for k, name in enumerate(names)],
        'annotations': [
            {
                'id': k + 1,
                'image_id': k % len(files),
                'category_id': 3 * k + 1,
                'bbox': [2, 3, 20, 10],
                'area': 200,
                'iscrowd': 0,
            }
            for k in range(len(names))
        ],
    }
    data.update(changes)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def pictures(folder, names=('a.jpg', 'b.jpg')):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))
    return folder


def detector(**train) -> Config:
    """A config with wrappers, two-stage and cascade heads, shared val and test settings."""
    data = {
        'type': 'CocoDataset',
        'data_root': 'x/',
        'ann_file': 'a.json',
        'data_prefix': {'img': 'i/'},
        'pipeline': [],
    }
    val = {'batch_size': 1, 'dataset': {**data, 'test_mode': True}}
    head = {'type': 'Shared2FCBBoxHead', 'num_classes': 80}
    return Config(
        {
            'default_scope': 'mmdet',
            'model': {
                'type': 'CascadeRCNN',
                'backbone': {'type': 'ResNet', 'num_classes': 1000},
                'rpn_head': {'type': 'RPNHead', 'num_classes': 1},
                'roi_head': {'bbox_head': [head, dict(head)], 'mask_head': {'num_classes': 80}},
            },
            'train_dataloader': {'dataset': {'type': 'RepeatDataset', 'times': 2, 'dataset': {**data, **train}}},
            'val_dataloader': val,
            'test_dataloader': val,
            'val_evaluator': {'type': 'CocoMetric', 'ann_file': 'x/a.json'},
            'test_evaluator': {'type': 'CocoMetric', 'ann_file': 'x/a.json'},
        }
    )


@pytest.mark.parametrize(
    ('ann', 'images'),
    [
        ('annotations/instances_{}.json', '{}'),
        ('annotations/instances_{}2017.json', '{}2017'),
        ('annotations/instances_{}2017.json', 'images/{}2017'),
        ('annotations/instances_{}.json', 'images'),
        ('annotations/instances_{}.json', 'leftImg8bit/{}'),
        ('{}/_annotations.coco.json', '{}'),
    ],
)
def test_layouts(tmp_path, ann, images):
    for split in ('train', 'val'):
        name = 'valid' if split == 'val' and ann.startswith('{}') else split
        write(tmp_path / ann.format(name))
        pictures(tmp_path / images.format(name))
    found = find_coco_folder(tmp_path)
    assert set(found) == {'train', 'val'}
    for split in found.values():
        assert split.ann_file.is_file()
        assert (split.img_dir / 'a.jpg').is_file()
    assert found['train'].ann_file == tmp_path / ann.format('train')


def test_real_folders(real, sample):
    assert set(find_coco_folder(real / 'bccd')) == {'train', 'val', 'test'}
    assert find_coco_folder(real / 'tiny_coco')['val'].img_dir.name == 'val2017'
    assert find_coco_folder(sample)['train'].img_dir == sample / 'leftImg8bit' / 'train'
    assert coco_classes(real / 'bccd/annotations/instances_train.json') == ('RBC', 'WBC', 'Platelets')
    assert len(coco_classes(real / 'tiny_coco/annotations/instances_train2017.json')) == 80


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r'nowhere: does not exist'):
        find_coco_folder(tmp_path / 'nowhere')
    with pytest.raises(InputError, match=r'no train annotations; looked for annotations/instances_train\*\.json'):
        find_coco_folder(tmp_path)
    write(tmp_path / 'annotations/instances_train.json')
    with pytest.raises(InputError, match=r'image a\.jpg of instances_train\.json not found; looked in train/, '):
        find_coco_folder(tmp_path)
    pictures(tmp_path / 'train')
    with pytest.raises(InputError, match=r'no val annotations; .*valid/_annotations\.coco\.json'):
        find_coco_folder(tmp_path)
    write(tmp_path / 'annotations/instances_train2017.json')
    with pytest.raises(InputError, match='several train annotation files'):
        find_coco_folder(tmp_path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'images': None}, "key 'images' is not a list but NoneType"),
        ({'annotations': [{'id': 1, 'image_id': 0}]}, r"annotations\[0\] lacks 'bbox', 'category_id'"),
        ({'images': [{'id': 1}]}, r"images\[0\] lacks 'file_name'"),
        ({'images': [{'id': [1], 'file_name': 'a'}]}, r'images\[0\]\.id is \[1\], expected a whole number'),
        ({'categories': ['cat']}, r"categories\[0\] lacks 'id', 'name'"),
    ],
)
def test_not_coco(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        coco_classes(write(tmp_path / 'a.json', **changes))


def test_not_json(tmp_path):
    path = tmp_path / 'a.json'
    for text, message in (('{"images": [', 'not JSON'), ('[]', 'expected an object at the top, found list')):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            coco_classes(path)
    path.write_text('{"categories": [], "annotations": []}')
    with pytest.raises(InputError, match="key 'images' missing"):
        coco_classes(path)
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(InputError, match='not JSON'):
        coco_classes(path)


def test_classes_are_in_the_order_of_the_labels_and_leave_out_an_unused_parent(tmp_path):
    categories = [
        {'id': 7, 'name': 'b', 'supercategory': 'things'},
        {'id': 0, 'name': 'things', 'supercategory': 'none'},
        {'id': 2, 'name': 'a', 'supercategory': 'things'},
    ]
    assert coco_classes(write(tmp_path / 'a.json', categories=categories)) == ('b', 'a')
    categories[0]['name'] = 'a'
    with pytest.raises(InputError, match='names occur twice: a'):
        coco_classes(write(tmp_path / 'a.json', categories=categories))


def test_config_is_pointed_at_the_folder(sample):
    cfg = detector()
    assert use_coco_folder(cfg, sample) is cfg
    train = cfg.train_dataloader.dataset.dataset
    assert train.metainfo.classes == CLASSES
    assert 'data_root' not in train
    assert cfg.train_dataloader.dataset.times == 2
    heads = cfg.model.roi_head
    assert [head.num_classes for head in (*heads.bbox_head, heads.mask_head)] == [7, 7, 7]
    assert cfg.model.rpn_head.num_classes == 1
    assert cfg.model.backbone.num_classes == 1000
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file
    assert cfg.val_evaluator.ann_file.endswith('annotations/instances_val.json')
    train['filter_cfg'] = {'filter_empty_gt': False}
    with DATASETS.switch_scope_and_registry('mmdet') as registry:
        assert len(registry.build(cfg.train_dataloader.dataset)) == 80
        assert len(registry.build(cfg.val_dataloader.dataset)) == 10


def test_test_split_is_used_where_there_is_one(real):
    cfg = use_coco_folder(detector(), real / 'bccd')
    assert cfg.test_dataloader.dataset.ann_file.endswith('instances_test.json')
    assert cfg.test_evaluator.ann_file.endswith('instances_test.json')
    assert cfg.val_dataloader.dataset.ann_file.endswith('instances_val.json')
    assert cfg.val_evaluator.ann_file.endswith('instances_val.json')


def test_configs_that_it_cannot_serve(sample):
    cfg = detector()
    cfg.train_dataloader.dataset = {'type': 'ConcatDataset', 'datasets': [{'ann_file': 'a'}, {'ann_file': 'b'}]}
    with pytest.raises(InputError, match=r'train_dataloader\.dataset: expected one data set'):
        use_coco_folder(cfg, sample)
    cfg = detector()
    cfg.val_evaluator = {'type': 'VOCMetric'}
    with pytest.raises(InputError, match='VOCMetric cannot evaluate'):
        use_coco_folder(cfg, sample)
