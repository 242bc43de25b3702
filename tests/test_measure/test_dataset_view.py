"""Pictures of data sets: the annotations must lie on what they annotate."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.measure.dataset_view import browse
from mmlight.runtime.config import load_config


def detection(root, size=320) -> Config:
    cfg = load_config('thundernet_snet49_sample')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = f'{root}/'
    return cfg


def test_as_many_pictures_as_asked_for(sample, tmp_path):
    paths = list(browse(detection(sample), 'train', tmp_path, number=3))
    assert len(paths) == len(set(paths)) == 3
    for path in paths:
        assert cv2.imread(str(path)).shape[:2] == (320, 320)
    assert list(browse(detection(sample), 'val', None, number=2)) == [None, None]


@pytest.fixture
def one_object(tmp_path):
    """A grey 400 x 200 picture with one white 100 x 50 block, and its COCO and label-map annotation."""
    image = np.full((200, 400, 3), 60, np.uint8)
    image[100:150, 200:300] = 255
    labels = np.where(image[..., 0] == 255, 13, 0).astype(np.uint8)  # Cityscapes: car on road
    for folder, name, picture in (('leftImg8bit', 'leftImg8bit', image), ('gtFine', 'gtFine_labelTrainIds', labels)):
        (tmp_path / folder / 'val').mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / 'val' / f'a_0_0_{name}.png'), picture)
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations' / 'instances_val.json').write_text(
        '{"images": [{"id": 1, "file_name": "a_0_0_leftImg8bit.png", "width": 400, "height": 200}],'
        '"annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [200, 100, 100, 50], "area": 5000,'
        '"iscrowd": 0}], "categories": [{"id": 3, "name": "car"}]}'
    )
    return tmp_path


def test_boxes_lie_on_the_resized_object(one_object):
    """Evaluation loads boxes at the original size, after resizing; drawn like that they would lie elsewhere."""
    (path,) = browse(detection(one_object), 'val', one_object / 'out')
    picture = cv2.imread(str(path)).astype(int)
    assert picture.shape == (320, 320, 3)
    coloured = np.argwhere(picture.max(2) - picture.min(2) > 60)  # the frame; image and label text are grey
    top, left = coloured.min(0)
    bottom, right = coloured.max(0)
    assert np.allclose([left, top, right, bottom], [160, 160, 240, 240], atol=6)


def test_label_maps_cover_the_resized_object(one_object):
    prefix = dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(200, 100)), dict(type='LoadAnnotations'),
                dict(type='PackSegInputs')]  # fmt: skip
    dataset = dict(type='CityscapesDataset', data_root=str(one_object), data_prefix=prefix, pipeline=pipeline)
    cfg = Config(dict(default_scope='mmseg', val_dataloader=dict(dataset=dataset)))
    (path,) = browse(cfg, 'val', one_object / 'out')
    picture = cv2.imread(str(path)).astype(int)
    assert picture.shape == (100, 200, 3)
    blue, green, red = picture[55, 105]  # car (0, 0, 142) over white, away from the label text
    assert blue > red + 20
    blue, green, red = picture[10, 20]  # road (128, 64, 128)
    assert red > green + 20
    assert cfg.val_dataloader.dataset.pipeline[1].type == 'Resize'  # the caller's config is untouched


def test_bad_input(sample, tmp_path):
    cfg = detection(tmp_path / 'nowhere')
    with pytest.raises(InputError, match=r'nowhere.*no such file'):
        list(browse(cfg, 'train', tmp_path))
    with pytest.raises(InputError, match=r"phase 'all': must be one of train, val, test"):
        list(browse(cfg, 'all', tmp_path))
    with pytest.raises(InputError, match=r'--show-number 0'):
        list(browse(detection(sample), 'train', tmp_path, number=0))
    cfg.pop('test_dataloader')
    with pytest.raises(InputError, match=r'no `test_dataloader`'):
        list(browse(cfg, 'test', tmp_path))
