"""Windows against the transforms of mmdet and mmseg that they stand for: the same seed gives the same boxes."""

import copy
import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from scipy.stats import ks_2samp

from mmlight.data.rendering import JPEG, OpenImage
from mmlight.data.windows import Window
from mmlight.errors import InputError
from mmlight.registry import TRANSFORMS

FILL = [103.53, 116.28, 123.675]
SCALES = [(240, 240), (320, 320), (480, 480)]


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    """A JPEG of soft blobs, 200 x 260: of a scene whose colours interpolation hardly changes."""
    rng = np.random.RandomState(0)
    image = cv2.resize(rng.randint(0, 256, (6, 8, 3)).astype(np.uint8), (260, 200), interpolation=cv2.INTER_CUBIC)
    path = tmp_path_factory.mktemp('photo') / 'photo.jpg'
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return str(path)


def pipeline(*transforms, host='mmdet'):
    pytest.importorskip(host)
    importlib.import_module(f'{host}.datasets.transforms')
    built = []
    for transform in transforms:
        name = transform['type']
        built.append(TRANSFORMS.build({**transform, 'type': name if '.' in name else f'{host}.{name}'}))
    return Compose(built)


def boxes_of(rng, count=4):
    corners = rng.uniform(0, 1, (count, 2)) * (180, 140)
    return np.concatenate([corners, corners + rng.uniform(4, 60, (count, 2))], 1).astype(np.float32)


def results_for(path, boxes):
    instances = [dict(bbox=box.tolist(), bbox_label=index, ignore_flag=0) for index, box in enumerate(boxes)]
    return dict(img_path=path, img_id=0, height=200, width=260, instances=instances)


def run(steps, path, boxes, seed):
    np.random.seed(seed)
    return steps(copy.deepcopy(results_for(path, boxes)))


THEIRS_SSD = (
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Expand', mean=FILL, to_rgb=False, ratio_range=(1, 4)),
    dict(type='MinIoURandomCrop', min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type='mmcv.RandomChoiceResize', scales=SCALES, resize_type='mmdet.Resize', keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
)
OURS_SSD = (
    dict(type='mmlight.OpenImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='mmlight.SSDWindow', fill=FILL),
    dict(type='mmlight.RenderWindow', scales=SCALES),
    dict(type='RandomFlip', prob=0.5),
)
THEIRS_JITTER = (
    *THEIRS_SSD[:2],
    dict(
        type='mmcv.RandomResize', scale=(128, 128), ratio_range=(0.1, 2.0), keep_ratio=True, resize_type='mmdet.Resize'
    ),
    dict(type='RandomCrop', crop_size=(128, 128), allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.5),
)
OURS_JITTER = (
    *OURS_SSD[:2],
    dict(type='mmlight.JitterWindow', scale=(128, 128), ratio_range=(0.1, 2.0), crop_size=(128, 128)),
    dict(type='mmlight.RenderWindow'),
    dict(type='RandomFlip', prob=0.5),
)


@pytest.mark.parametrize(('theirs', 'ours'), [(THEIRS_SSD, OURS_SSD), (THEIRS_JITTER, OURS_JITTER)])
def test_the_same_seed_gives_the_same_boxes_and_nearly_the_same_pixels(photo, theirs, ours):
    theirs, ours = pipeline(*theirs), pipeline(*ours)
    rng = np.random.RandomState(1)
    off = []
    for seed in range(120):
        boxes = boxes_of(rng, 0 if seed % 10 == 9 else rng.randint(1, 6))
        expected, found = (run(steps, photo, boxes, seed) for steps in (theirs, ours))
        assert found['img_shape'] == expected['img_shape'] == found['img'].shape[:2], seed
        assert found['img'].dtype == np.uint8
        np.testing.assert_array_equal(found['gt_bboxes_labels'], expected['gt_bboxes_labels'])
        np.testing.assert_array_equal(found['gt_ignore_flags'], expected['gt_ignore_flags'])
        np.testing.assert_allclose(
            found['gt_bboxes'].tensor.numpy(), expected['gt_bboxes'].tensor.numpy(), rtol=1e-5, atol=1e-3
        )
        off.append(np.abs(found['img'].astype(float) - expected['img'].astype(float)).mean())
        assert off[-1] < 3, seed
    assert np.median(off) < 0.6


@pytest.mark.parametrize(('theirs', 'ours'), [(THEIRS_SSD[:-1], OURS_SSD[:-1]), (THEIRS_JITTER[:-1], OURS_JITTER[:-1])])
def test_masks_and_ignored_boxes_move_with_the_image(photo, theirs, ours):
    with_masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    theirs, ours = (pipeline(load, with_masks, *rest) for load, _, *rest in (theirs, ours))
    for seed in range(12):
        boxes = boxes_of(np.random.RandomState(seed))
        sample = results_for(photo, boxes)
        for instance, (left, top, right, bottom) in zip(sample['instances'], boxes.tolist(), strict=True):
            instance['mask'] = [[left, top, right, top, right, bottom]]
            instance['ignore_flag'] = instance['bbox_label'] % 2
        np.random.seed(seed)
        expected = theirs(copy.deepcopy(sample))
        np.random.seed(seed)
        found = ours(copy.deepcopy(sample))
        np.testing.assert_array_equal(found['gt_ignore_flags'], expected['gt_ignore_flags'])
        assert len(found['gt_masks']) == len(expected['gt_masks'])
        assert (found['gt_masks'].height, found['gt_masks'].width) == found['img_shape'] == expected['img_shape']
        np.testing.assert_allclose(found['gt_masks'].areas, expected['gt_masks'].areas, rtol=1e-3, atol=0.1)


@pytest.mark.long
@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        ((*THEIRS_SSD[:2], dict(type='PhotoMetricDistortion'), *THEIRS_SSD[2:]), None),
        (THEIRS_JITTER, OURS_JITTER),
    ],
)
def test_other_seeds_give_the_same_distributions(photo, theirs, ours):
    """Sides and centres of boxes, their number, the size of the image and its mean colours, over 10,000 draws each."""
    ours = ours or (*OURS_SSD[:2], dict(type='mmlight.ColorTables'), *OURS_SSD[2:])
    drawn = []
    for steps, offset in ((pipeline(*theirs), 0), (pipeline(*ours), 10**6)):
        rows, counts = [], []
        for seed in range(10_000):
            found = run(steps, photo, boxes_of(np.random.RandomState(seed % 50), 3), seed + offset)
            boxes = found['gt_bboxes'].tensor.numpy()
            # whole images have one mean up to hundredths: noise of a level makes them one
            colour = np.clip(found['img'], 0, 255).mean((0, 1)) + np.random.uniform(-1, 1, 3)
            counts.append([len(boxes), *found['img_shape'], *colour])
            first = boxes[:1]  # those of one image are not independent
            rows.extend(np.concatenate([first[:, :2] + first[:, 2:], first[:, 2:] - first[:, :2]], 1))
        drawn.append([*np.array(rows).T, *np.array(counts).T])
    names = ('x', 'y', 'width', 'height', 'count', 'down', 'across', 'blue', 'green', 'red')
    for name, expected, found in zip(names, *drawn, strict=True):
        assert ks_2samp(expected, found).pvalue > 1e-3, name  # of twenty comparisons


THEIRS_SEG = (
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='mmcv.RandomResize', scale=(260, 200), ratio_range=(0.5, 2.0), keep_ratio=True, resize_type='mmseg.Resize'
    ),
    dict(type='RandomCrop', crop_size=(96, 128), cat_max_ratio=0.75),
)
OURS_SEG = (
    dict(type='mmlight.OpenImage'),
    dict(type='LoadAnnotations'),
    dict(
        type='mmlight.JitterWindow',
        scale=(260, 200),
        ratio_range=(0.5, 2.0),
        crop_size=(96, 128),
        cat_max_ratio=0.75,
    ),
    dict(type='mmlight.RenderWindow'),
)


def test_label_maps_are_cut_where_the_image_is(photo, tmp_path):
    labels = np.kron(np.random.RandomState(0).randint(0, 4, (10, 13)), np.ones((20, 20))).astype(np.uint8)
    labels[:, :20] = 255
    cv2.imwrite(str(tmp_path / 'labels.png'), labels)
    theirs, ours = pipeline(*THEIRS_SEG, host='mmseg'), pipeline(*OURS_SEG, host='mmseg')
    for seed in range(60):
        sample = dict(
            img_path=photo,
            seg_map_path=str(tmp_path / 'labels.png'),
            seg_fields=[],
            reduce_zero_label=False,
            label_map=None,
        )
        np.random.seed(seed)
        expected = theirs(copy.deepcopy(sample))
        np.random.seed(seed)
        found = ours(copy.deepcopy(sample))
        np.testing.assert_array_equal(found['gt_seg_map'], expected['gt_seg_map'])
        assert np.abs(found['img'].astype(float) - expected['img']).mean() < 2
        assert found['img_shape'] == expected['img_shape']


def test_colours_are_mmdets_up_to_the_steps_of_bytes(photo):
    theirs = pipeline(dict(type='PhotoMetricDistortion'))
    ours = pipeline(dict(type='mmlight.ColorTables'))
    image = cv2.imread(photo)
    off = []
    for seed in range(80):
        np.random.seed(seed)
        expected = np.clip(theirs(dict(img=image.copy()))['img'], 0, 255)
        np.random.seed(seed)
        off.append(np.abs(ours(dict(img=image.copy()))['img'] - expected).mean())
    assert np.median(off) < 1.5
    # what is beyond 255 is cut off before the hue is turned here, after it there
    assert np.quantile(off, 0.9) < 8


def test_the_canvas_keeps_its_colour(photo):
    """Contrast beyond measure leaves 0 and 255; what else is there is canvas."""
    still = dict(brightness_delta=0, saturation_range=(1, 1), hue_delta=0)
    steps = pipeline(
        *OURS_SSD[:2], dict(type='mmlight.ColorTables', contrast_range=(255, 255), **still), *OURS_SSD[2:-1]
    )
    canvas = 0
    for seed in range(30):
        found = run(steps, photo, boxes_of(np.random.RandomState(seed)), seed)['img'].reshape(-1, 3)
        np.random.seed(seed)
        if np.random.randint(2, size=6)[2]:  # the contrast is changed
            outside = (found == np.rint(FILL)).all(1)
            assert np.minimum(found, 255 - found)[~outside].max() < 8, seed  # hues have 256 steps
            canvas += outside.any()
    assert canvas > 3


@pytest.mark.parametrize(('shrink', 'shape'), [(1, (200, 260)), (1.9, (200, 260)), (2, (100, 130)), (9, (25, 33))])
def test_a_jpeg_is_decoded_no_smaller_than_it_is_drawn(photo, shrink, shape):
    assert JPEG(photo, Path(photo).read_bytes(), (200, 260)).pixels(shrink).shape == (*shape, 3)


def test_a_reduced_decoding_lies_where_the_full_one_does(photo):
    """A shift by a fraction of a pixel would show in the blobs' slopes."""
    image = cv2.imread(photo)
    for size in ((100, 130), (60, 70), (25, 33)):
        source = OpenImage()(dict(img_path=photo))
        source['window'] = Window(20, 10, 220, 170, size)
        found = TRANSFORMS.build(dict(type='mmlight.RenderWindow'))(source)['img']
        expected = cv2.resize(image[10:180, 20:240], size[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(found.astype(float) - expected).mean() < 2.5, size


def test_what_is_no_plain_jpeg_is_decoded_at_once(photo, tmp_path):
    cv2.imwrite(str(tmp_path / 'photo.png'), cv2.imread(photo))
    assert OpenImage()(dict(img_path=str(tmp_path / 'photo.png')))['source'].shape == (200, 260, 3)
    assert isinstance(OpenImage()(dict(img_path=photo))['source'], JPEG)
    (tmp_path / 'half.jpg').write_bytes(Path(photo).read_bytes()[:2000])
    with pytest.raises(InputError, match=r'half\.jpg: truncated JPEG'):
        OpenImage()(dict(img_path=str(tmp_path / 'half.jpg')))


def test_the_cache_holds_the_image_until_the_file_changes(photo, tmp_path):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(Path(photo).read_bytes())
    load = OpenImage(cache_dir=str(tmp_path / 'cache'))
    for _ in range(2):
        np.testing.assert_array_equal(load(dict(img_path=str(path)))['source'], cv2.imread(photo))
    assert [file.suffix for file in (tmp_path / 'cache').iterdir()] == ['.npy']
    cv2.imwrite(str(path), 255 - cv2.imread(photo))
    assert np.abs(load(dict(img_path=str(path)))['source'].astype(int) - cv2.imread(str(path))).max() == 0
    with pytest.raises(InputError, match=r'gone\.jpg: No such file'):
        load(dict(img_path=str(tmp_path / 'gone.jpg')))


def test_wrong_pipelines_say_what_is_missing(photo):
    for name, options in (
        ('SSDWindow', {}),
        ('JitterWindow', dict(scale=(8, 8), crop_size=(8, 8))),
        ('RenderWindow', {}),
    ):
        with pytest.raises(InputError, match=f'{name} needs mmlight.OpenImage'):
            TRANSFORMS.build(dict(type=f'mmlight.{name}', **options))(dict(img=np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(InputError, match=r'SSDWindow: expand_ratio=\(0\.5, 2\)'):
        TRANSFORMS.build(dict(type='mmlight.SSDWindow', expand_ratio=(0.5, 2)))
    for wrong in (dict(scale=(0, 8)), dict(scales=[(8, 8), (8, 0)]), dict(scale=(8, 8), ratio_range=(0, 1))):
        with pytest.raises(InputError, match='must be above 0'):
            TRANSFORMS.build(dict(type='mmlight.JitterWindow', crop_size=(8, 8), **wrong))
    with pytest.raises(InputError, match='ratio_range'):
        TRANSFORMS.build(dict(type='mmlight.JitterWindow', crop_size=(8, 8), scales=[(8, 8)], ratio_range=(1, 2)))


@pytest.mark.parametrize(
    'content', [b'\xff\xd8', b'\xff\xd8\xff\xe0' + bytes(40), b'\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM']
)
def test_a_jpeg_with_a_damaged_header_is_named(tmp_path, content):
    (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(InputError, match=r'a\.jpg'):
        TRANSFORMS.build(dict(type='mmlight.OpenImage'))(dict(img_path=str(tmp_path / 'a.jpg')))
