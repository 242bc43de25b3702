"""CamVid: the data set, its converter, and what wrong folders and labels are answered with."""

import importlib.util
from pathlib import Path

import mmcv
import numpy as np
import pytest
from mmengine.config import Config

from mmlight.data import CheckLabels
from mmlight.data.camvid import CamVidDataset
from mmlight.data.check import check_config_data
from mmlight.errors import InputError
from mmlight.registry import DATASETS

ROOT = Path(__file__).parents[2]
PREFIX = dict(img_path='train', seg_map_path='trainannot')


def converter():
    spec = importlib.util.spec_from_file_location('camvid', ROOT / 'tools/dataset_converters/camvid.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def camvid(tmp_path) -> Path:
    """Two images a split, labels 0 to 10 and void."""
    for split in ('train', 'val', 'test'):
        for k in range(2):
            labels = np.arange(12 * 8, dtype=np.uint8).reshape(8, 12) % 12
            labels[labels == 11] = 255
            mmcv.imwrite(np.full((8, 12, 3), 40 * k, np.uint8), str(tmp_path / split / f'{k}.png'))
            mmcv.imwrite(labels, str(tmp_path / f'{split}annot' / f'{k}.png'))
    return tmp_path


def config(root: Path) -> Config:
    dataset = dict(type='mmlight.CamVidDataset', data_root=str(root), data_prefix=PREFIX, pipeline=[])
    return Config(dict(default_scope='mmseg', train_dataloader=dict(dataset=dataset)))


def test_pairs_and_classes(camvid):
    dataset = DATASETS.build(dict(type='mmlight.CamVidDataset', data_root=str(camvid), data_prefix=PREFIX))
    assert isinstance(dataset, CamVidDataset)
    assert len(dataset) == 2
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11
    assert dataset.ignore_index == 255
    assert dataset[0]['seg_map_path'] == str(camvid / 'trainannot' / '0.png')
    assert check_config_data(config(camvid), ('train_dataloader',)) == []


@pytest.mark.parametrize(('key', 'folder'), [('img_path', 'train'), ('seg_map_path', 'trainannot')])
def test_missing_folder(camvid, key, folder):
    (camvid / folder).rename(camvid / 'elsewhere')
    with pytest.raises(InputError, match=rf'data_prefix\.{key}: folder {camvid / folder} does not exist'):
        CamVidDataset(data_root=str(camvid), data_prefix=PREFIX)
    with pytest.raises(InputError, match=rf'data_prefix\.{key}: folder {camvid / folder} does not exist'):
        check_config_data(config(camvid), ('train_dataloader',))


def test_empty_folder(camvid):
    for file in (camvid / 'train').iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r'no \*\.png below'):
        CamVidDataset(data_root=str(camvid), data_prefix=PREFIX)


@pytest.mark.parametrize(('folder', 'key'), [('leftImg8bit', 'img_path'), ('gtFine', 'seg_map_path')])
def test_missing_folder_of_cityscapes(tmp_path, folder, key):
    for name in {'leftImg8bit', 'gtFine'} - {folder}:
        (tmp_path / name / 'train').mkdir(parents=True)
    prefix = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
    dataset = dict(type='CityscapesDataset', data_root=str(tmp_path), data_prefix=prefix, pipeline=[])
    cfg = Config(dict(default_scope='mmseg', train_dataloader=dict(dataset=dataset)))
    with pytest.raises(InputError, match=rf'{key}: folder {tmp_path}/{folder}/train does not exist'):
        check_config_data(cfg, ('train_dataloader',))


def test_labels_beyond_the_classes():
    """File and values are named, wherever the label is loaded."""
    check = CheckLabels(num_classes=11)
    labels = np.array([[0, 10], [255, 3]], np.uint8)
    assert check(dict(gt_seg_map=labels))['gt_seg_map'] is labels
    assert check(dict(img=labels)).keys() == {'img'}
    labels[0, 0], labels[1, 1] = 11, 200
    with pytest.raises(
        InputError, match=r'label file a/b\.png: values 11, 200 are beyond the 11 classes \(0 to 10, 255'
    ):
        check(dict(gt_seg_map=labels, seg_map_path='a/b.png'))


def test_every_segmentation_config_checks_its_labels():
    """Against as many classes as the head has; ablations have their parents' data."""
    from mmlight.runtime.config import load_config, shipped_configs

    families = ('bisenet', 'dfanet')
    for file in (file for file in shipped_configs().values() if file.parent.name in families):
        cfg = load_config(file)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            found = [step.num_classes for step in loader.dataset.pipeline if step.type == 'mmlight.CheckLabels']
            assert found == [cfg.model.decode_head.num_classes], file.stem


def test_colours_become_class_numbers(tmp_path):
    """One pixel of each colour; all 32 published classes but void are counted to a class or to void."""
    module = converter()
    colours = [(number, colour) for number, group in module.COLOURS.items() for colour in group]
    assert len({colour for _, colour in colours}) == len(colours) == 31
    picture = np.array([[colour for _, colour in colours] + [(0, 0, 0)]], np.uint8)
    mmcv.imwrite(picture[..., ::-1], str(tmp_path / 'x.png'))
    expected = [number for number, _ in colours] + [255]
    assert module.class_numbers(tmp_path / 'x.png').tolist() == [expected]


def test_converted_copy_is_read(camvid, tmp_path):
    module = converter()
    for file in camvid.glob('*annot/*.png'):
        labels = mmcv.imread(file, 'unchanged')
        mmcv.imwrite(np.where(labels == 255, 11, labels).astype(np.uint8), str(file))
    target = tmp_path / 'converted'
    assert module.convert(camvid, target, 'train') == 2
    assert set(np.unique(mmcv.imread(target / 'trainannot/0.png', 'unchanged'))) == {*range(11), 255}
    assert check_config_data(config(target), ('train_dataloader',)) == []
    with pytest.raises(InputError, match='needs train/'):
        module.convert(tmp_path / 'nothing', target, 'train')
