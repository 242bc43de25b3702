import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from pycocotools.mask import decode

from mmlight.errors import InputError
from mmlight.runtime.model import dataset_meta
from mmlight.runtime.predict import Names, detections, find_images, shares


def test_detections_are_coco_results():
    instances = InstanceData(
        bboxes=torch.tensor([[1.0, 2.0, 11.0, 22.0], [0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 1.0, 1.0]]),
        scores=torch.tensor([0.5, 0.75, 0.2]),
        labels=torch.tensor([1, 0, 0]),
        masks=torch.zeros(3, 6, 8, dtype=torch.bool),
    )
    instances.masks[0, 1:3, 2:5] = True
    best, second = detections(instances, ('a', 'b'), 0.3)
    assert best['bbox'] == [0, 0, 4, 4]
    assert second['bbox'] == [1, 2, 10, 20]
    assert (second['score'], second['category_id'], second['category']) == (0.5, 1, 'b')
    assert np.array_equal(decode(second['segmentation']), instances.masks[0].numpy())


def test_shares_are_ordered_and_sum_to_one():
    labels = np.array([[0, 0, 2], [2, 2, 2]])
    assert shares(labels, ('a', 'b', 'c')) == {'c': 0.66667, 'a': 0.33333}
    assert list(shares(labels, None)) == ['2', '0']


def test_find_images(tmp_path):
    for name in ('b.png', 'a.JPG', 'note.txt', 'deep/c.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    assert [p.name for p in find_images([tmp_path])] == ['a.JPG', 'b.png', 'c.png'], 'a folder with what lies below it'
    assert [p.name for p in find_images([f'{tmp_path}/**/*.png'])] == ['b.png', 'c.png']
    assert [p.name for p in find_images([tmp_path / 'b.png', tmp_path])] == ['b.png', 'a.JPG', 'c.png'], 'each once'
    with pytest.raises(InputError, match='no such file'):
        find_images([tmp_path / 'gone.png'])


def test_pictures_of_one_name_are_kept_apart(tmp_path):
    names = Names()
    found = [names.free(tmp_path / folder / 'a.png') for folder in ('x', 'y', 'z')]
    assert found == ['a.png', 'a_1.png', 'a_2.png']
    assert names.free(tmp_path / 'w' / 'a_1.JPG') == 'a_1_1.JPG', 'labels share the stem'


def test_class_names_come_from_the_config_else_from_the_data_set_class():
    cfg = Config({'test_dataloader': {'dataset': {'type': 'mmseg.CityscapesDataset'}}})
    assert dataset_meta(cfg)['classes'][0] == 'road'
    cfg.test_dataloader.dataset = {'type': 'RepeatDataset', 'dataset': {'metainfo': {'classes': ('a',)}}}
    assert dataset_meta(cfg)['classes'] == ('a',)


def test_label_images_hold_class_indices(tmp_path):
    labels = np.array([[0, 18], [3, 255]], np.uint8)
    cv2.imwrite(str(tmp_path / 'x.png'), labels)
    assert np.array_equal(cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED), labels)
