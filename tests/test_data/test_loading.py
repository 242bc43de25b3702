import logging

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset, pseudo_collate
from torch.utils.data import DataLoader

import mmlight  # noqa: F401
from mmlight.data import LoadImage
from mmlight.errors import InputError
from mmlight.images import damage
from mmlight.registry import TRANSFORMS

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def encoded(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, IMAGE, options)[1].tobytes()


def with_thumbnail(jpeg: bytes) -> bytes:
    """A JPEG with a complete small JPEG in its header, as cameras write them."""
    small = cv2.imencode('.jpg', IMAGE[:8, :8])[1].tobytes()
    body = b'Exif\0\0' + small
    return jpeg[:2] + b'\xff\xe1' + (len(body) + 2).to_bytes(2, 'big') + body + jpeg[2:]


FILES = {
    'plain.jpg': encoded('.jpg'),
    'progressive.jpg': encoded('.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'camera.jpg': with_thumbnail(encoded('.jpg')),
    'image.png': encoded('.png'),
    'image.webp': encoded('.webp'),
    'image.bmp': encoded('.bmp'),
}


@pytest.mark.parametrize('name', FILES)
def test_whole_files_load_as_mmcv_loads_them(tmp_path, name):
    from mmcv.transforms import LoadImageFromFile

    path = tmp_path / name
    path.write_bytes(FILES[name] + b'trailing bytes of some editor' * (name == 'plain.jpg'))
    for kwargs in ({}, {'to_float32': True, 'color_type': 'grayscale'}):
        mine = LoadImage(**kwargs)({'img_path': str(path)})
        theirs = LoadImageFromFile(**kwargs)({'img_path': str(path)})
        assert mine.keys() == theirs.keys()
        assert mine['img'].dtype == theirs['img'].dtype
        assert (mine['img'] == theirs['img']).all()
        assert mine['ori_shape'] == mine['img_shape'] == (48, 64)


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('kept', [0, 0.3, 0.6, 0.95, -2])
def test_truncated_files_are_named(tmp_path, name, kept):
    path = tmp_path / name
    data = FILES[name]
    path.write_bytes(data[:kept] if kept < 0 else data[: int(len(data) * kept)])
    with pytest.raises(InputError) as caught:
        LoadImage()({'img_path': str(path)})
    assert str(caught.value).startswith(f'image {path}: ')
    assert '\n' not in str(caught.value)


def test_opencv_alone_would_not_notice(tmp_path):
    data = FILES['plain.jpg'][: int(len(FILES['plain.jpg']) * 0.6)]
    (tmp_path / 'half.jpg').write_bytes(data)
    assert cv2.imread(str(tmp_path / 'half.jpg')).shape == IMAGE.shape
    assert damage(data) == 'truncated JPEG (no end marker)'


def test_missing_file_and_text_file(tmp_path):
    with pytest.raises(InputError, match=r'image .*gone\.jpg: No such file'):
        LoadImage()({'img_path': str(tmp_path / 'gone.jpg')})
    (tmp_path / 'page.jpg').write_text('<html>404</html>')
    with pytest.raises(InputError, match=r'image .*page\.jpg: cannot be decoded'):
        LoadImage()({'img_path': str(tmp_path / 'page.jpg')})


def test_the_name_that_other_tools_know_checks_too(tmp_path):
    """mmcv's own transform, reading through the storage backend of the shipped configs."""
    load = TRANSFORMS.build(dict(type='LoadImageFromFile', backend_args=dict(backend='checked')))
    for name, data in FILES.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert (load({'img_path': str(path)})['img'] == LoadImage()({'img_path': str(path)})['img']).all()
        path.write_bytes(data[: len(data) // 2])
        if name != 'image.bmp':  # without an end marker
            with pytest.raises(InputError, match='truncated'):
                load({'img_path': str(path)})
    (tmp_path / 'page.jpg').write_text('<html>404</html>')
    for name, message in (('gone.jpg', 'No such file'), ('page.jpg', 'cannot be decoded')):
        with pytest.raises(InputError, match=f'{name}: {message}'):
            load({'img_path': str(tmp_path / name)})
    load.ignore_empty = True
    assert load({'img_path': str(tmp_path / 'gone.jpg')}) is None


def test_on_error_is_checked():
    with pytest.raises(InputError, match="on_error='ignore', allowed are 'raise', 'skip'"):
        LoadImage(on_error='ignore')
    assert TRANSFORMS.build({'type': 'mmlight.LoadImage', 'on_error': 'skip'}).on_error == 'skip'


def test_skip_logs_each_file_once(tmp_path, caplog):
    path = tmp_path / 'half.png'
    path.write_bytes(FILES['image.png'][:100])
    load = LoadImage(on_error='skip')
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING):
            assert load({'img_path': str(path)}) is None
            assert load({'img_path': str(path)}) is None
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.message for record in caplog.records] == [f'image {path}: truncated PNG (no end chunk); skipped']


class Files(BaseDataset):
    def load_data_list(self) -> list[dict]:
        return [{'img_path': path} for path in self.ann_file.split(',')]


@pytest.fixture
def one_broken(tmp_path) -> list[str]:
    for index in range(4):
        (tmp_path / f'{index}.jpg').write_bytes(FILES['plain.jpg'][: None if index != 2 else 900])
    return [str(tmp_path / f'{index}.jpg') for index in range(4)]


@pytest.mark.parametrize('workers', [0, 2])
def test_skip_draws_another_image(one_broken, workers):
    dataset = Files(ann_file=','.join(one_broken), pipeline=[{'type': 'mmlight.LoadImage', 'on_error': 'skip'}])
    loaded = [item for batch in DataLoader(dataset, 1, num_workers=workers, collate_fn=list) for item in batch]
    assert len(loaded) == 4
    assert one_broken[2] not in [item['img_path'] for item in loaded]


@pytest.mark.parametrize('workers', [0, 2])
def test_raise_stays_one_line_of_the_same_type_through_workers(one_broken, workers):
    dataset = Files(ann_file=','.join(one_broken), pipeline=[{'type': 'mmlight.LoadImage'}])
    with pytest.raises(InputError) as caught:
        list(DataLoader(dataset, 1, num_workers=workers, collate_fn=pseudo_collate))
    assert str(caught.value) == f'image {one_broken[2]}: truncated JPEG (no end marker)'


@pytest.mark.parametrize('on_error', ['raise', 'skip'])
def test_in_mmdet_and_mmseg_datasets(sample, tmp_path, on_error):
    """A truncated picture among the sample's, read by the host libraries' own data sets."""
    import shutil

    from mmdet.datasets import CocoDataset
    from mmengine.registry import DefaultScope
    from mmseg.datasets import CityscapesDataset

    root = shutil.copytree(sample, tmp_path / 's')
    broken = sorted((root / 'leftImg8bit/val').rglob('*.png'))[3]
    broken.write_bytes(broken.read_bytes()[:5000])
    load = {'type': 'mmlight.LoadImage', 'on_error': on_error}
    detection = CocoDataset(
        data_root=str(root),
        ann_file='annotations/instances_val.json',
        data_prefix={'img': 'leftImg8bit/val'},
        metainfo={'classes': ('person',)},
        pipeline=[load, {'type': 'mmdet.LoadAnnotations', 'with_bbox': True}, {'type': 'mmdet.PackDetInputs'}],
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        segmentation = CityscapesDataset(
            data_root=str(root),
            data_prefix={'img_path': 'leftImg8bit/val', 'seg_map_path': 'gtFine/val'},
            pipeline=[load, {'type': 'LoadAnnotations'}, {'type': 'PackSegInputs'}],
        )
    for dataset in (detection, segmentation):
        if on_error == 'skip':
            assert dataset[3]['data_samples'].img_path != str(broken)
        else:
            with pytest.raises(InputError, match='truncated PNG'):
                dataset[3]
