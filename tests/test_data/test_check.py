import json
import shutil
import time

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from test_coco_folder import detector, pictures, write

import mmlight  # noqa: F401
from mmlight.data.check import _reads_plain_coco, check_coco, check_config_data
from mmlight.data.coco_folder import use_coco_folder
from mmlight.errors import InputError


@pytest.fixture
def images(tmp_path):
    return pictures(tmp_path / 'images')


def boxed(*boxes, **more):
    return [
        {'id': 10 + k, 'image_id': 0, 'category_id': 1, 'bbox': list(b), 'area': 1, 'iscrowd': 0, **more}
        for k, b in enumerate(boxes)
    ]


def segmentor(root, num_classes=19, **dataset) -> Config:
    data = {
        'type': 'CityscapesDataset',
        'data_root': str(root),
        'data_prefix': {'img_path': 'leftImg8bit/train', 'seg_map_path': 'gtFine/train'},
        'pipeline': [],
        **dataset,
    }
    head = {'type': 'FCNHead', 'num_classes': num_classes}
    model = {'type': 'EncoderDecoder', 'decode_head': head, 'auxiliary_head': [{**head, 'num_classes': 19}]}
    return Config({'default_scope': 'mmseg', 'model': model, 'train_dataloader': {'dataset': data}})


def no_crowds(warnings):
    """What is said beside the crowds, which these sets have on purpose."""
    return [line for line in warnings if 'crowds, which are neither' not in line]


def test_real_sets_pass(real, sample):
    for name, parts in (('bccd', ('train', 'val', 'test')), ('tiny_coco', ('train2017', 'val2017'))):
        for part in parts:
            assert no_crowds(check_coco(real / name / f'annotations/instances_{part}.json', real / name / part)) == []
        assert no_crowds(check_config_data(use_coco_folder(detector(), real / name))) == []
    for part in ('train', 'val'):
        assert no_crowds(check_coco(sample / f'annotations/instances_{part}.json', sample / 'leftImg8bit' / part)) == []
    assert no_crowds(check_config_data(use_coco_folder(detector(), sample))) == []
    assert no_crowds(check_config_data(segmentor(real / 'camvid_seq05'))) == []
    assert no_crowds(check_config_data(segmentor(sample))) == []


def test_boxes(tmp_path, images):
    boxes = boxed((0, 0, 5, 5), (1, 1, 0, 4), (1, 1, 3, -4), (70, 0, 5, 5), (60, 40, 30, 5), (60.5, 40, 4, 8))
    boxes += [{**boxes[0], 'id': 99, 'image_id': 77}]
    path = write(tmp_path / 'a.json', annotations=boxes)
    with pytest.raises(InputError, match='2 boxes reach beyond their image: ids 13, 14; expected'):
        check_coco(path, images)
    warnings = check_coco(path, images, level='warn')
    assert warnings == [
        f'annotation file {path}: 2 boxes without positive width and height (left out): ids 11, 12',
        f'annotation file {path}: 1 boxes wholly outside their image (left out): ids 13',
        f'annotation file {path}: 1 boxes that reach beyond their image: ids 14',
        f'annotation file {path}: 1 annotations of images that it does not list (left out): ids 99',
    ]


def test_boxes_of_no_use_at_all(tmp_path, images):
    path = write(tmp_path / 'a.json', annotations=boxed((70, 0, 5, 5), (0, 0, 0, 0), (0, 0, float('nan'), 3)))
    with pytest.raises(InputError, match='none of its 3 boxes is usable: 2 of no width or height, 1 outside'):
        check_coco(path, images)
    path = write(tmp_path / 'a.json', annotations=boxed((1, 2, 3)))
    with pytest.raises(InputError, match=r'annotation 10: bbox \[1, 2, 3\], expected four numbers'):
        check_coco(path, images)
    assert check_coco(write(tmp_path / 'a.json', annotations=[]), images) == [f'annotation file {path}: no annotations']


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'iscrowd': 1}, '1 crowds, which are neither objects nor background in training: ids 11'),
        ({'ignore': 1}, '1 annotations marked ignore (left out): ids 11'),
        ({'area': 0}, '1 annotations with the area 0 (left out): ids 11'),
        ({'bbox': [9, 9, 0.5, 9]}, '1 boxes narrower or lower than a pixel (left out): ids 11'),
    ],
)
def test_what_mmdet_drops_is_said(tmp_path, images, changes, said):
    boxes = boxed((0, 0, 5, 5), (9, 9, 5, 5))
    boxes[1].update(changes)
    path = write(tmp_path / 'a.json', annotations=boxes)
    assert check_coco(path, images) == [f'annotation file {path}: {said}']
    with DATASETS.switch_scope_and_registry('mmdet') as registry:
        metainfo = {'classes': ('cat', 'dog')}
        (kept,) = registry.build(
            {'type': 'CocoDataset', 'ann_file': str(path), 'data_prefix': {'img': str(images)}, 'pipeline': [],
             'metainfo': metainfo, 'filter_cfg': {'filter_empty_gt': True}}
        )  # fmt: skip
    assert len([one for one in kept['instances'] if not one['ignore_flag']]) == 1
    with pytest.raises(InputError, match='none of its 1 boxes is usable'):
        check_coco(write(tmp_path / 'b.json', annotations=boxes[1:]), images)


def test_images_that_the_filter_leaves_out_are_counted(sample):
    cfg = use_coco_folder(detector(filter_cfg={'filter_empty_gt': True}), sample)
    bare = [line for line in check_config_data(cfg) if 'left out by filter_empty_gt' in line]
    data = json.loads((sample / 'annotations/instances_train.json').read_text())
    count = len({entry['id'] for entry in data['images']} - {entry['image_id'] for entry in data['annotations']})
    assert count > 0
    assert [f': {count} of 40 images have no annotations' in line for line in bare] == [True]


@pytest.mark.parametrize(('suffix', 'most', 'said'), [('png', 4095, 1), ('tif', 4095, 1), ('png', 65535, 0)])
def test_images_of_12_bits_in_16_are_named(tmp_path, suffix, most, said):
    name = f'a.{suffix}'
    cv2.imwrite(str(tmp_path / name), np.linspace(0, most, 48 * 64).reshape(48, 64).astype(np.uint16))
    trained_on = mmcv.imread(tmp_path / name)
    assert (trained_on.max() < 16) == bool(said)
    warnings = check_coco(write(tmp_path / 'a.json', files=(name,)), tmp_path)
    assert [f'{name}: 16 bits a pixel with values up to {most}' in line for line in warnings] == [True] * said


def test_categories_against_classes(tmp_path, images):
    path = write(tmp_path / 'a.json', names=('cat', 'dog', 'eel'))
    assert check_coco(path, images, ('cat', 'dog', 'eel')) == []
    with pytest.raises(InputError, match='in the order of its categories, cat, dog, eel, but the classes'):
        check_coco(path, images, ('eel', 'dog', 'cat'))
    with pytest.raises(InputError) as caught:
        check_coco(path, images, ('cat', 'dog', 'horse'))
    for part in ('no category for the classes horse', 'config: cat, dog, horse', 'file: cat, dog, eel'):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"the config's classes lack: dog \(1\), eel \(1\) .*file: cat, dog, eel"):
        check_coco(path, images, ('cat',))
    assert len(check_coco(path, images, ('cat',), level='warn')) == 1
    path = write(tmp_path / 'a.json', annotations=[{**boxed((0, 0, 5, 5))[0], 'category_id': 9}])
    with pytest.raises(InputError, match='category ids that it does not define: 9; defined: 1, 4'):
        check_coco(path, images)


def test_missing_images_folder_file(tmp_path, images):
    path = write(tmp_path / 'a.json', files=('a.jpg', 'c.jpg', 'sub/b.jpg'))
    with pytest.raises(InputError, match=r'2 of 3 images listed in .*a\.json are not in .*images: c\.jpg, sub/b\.jpg'):
        check_coco(path, images)
    assert len(check_coco(path, images, missing_images='warn')) == 1
    with pytest.raises(InputError, match='3 of 3 images'):
        check_coco(path, tmp_path, level='warn')
    with pytest.raises(InputError, match=r'image folder .*nowhere: does not exist'):
        check_coco(path, tmp_path / 'nowhere')
    with pytest.raises(InputError, match=r'annotation file .*b\.json: does not exist'):
        check_coco(tmp_path / 'b.json', images)


def test_ids_that_occur_twice(tmp_path, images):
    boxes = boxed((0, 0, 5, 5), (0, 0, 6, 6))
    boxes[1]['id'] = 10
    with pytest.raises(InputError, match='annotations ids occur more than once: 10'):
        check_coco(write(tmp_path / 'a.json', annotations=boxes), images)


def test_large_file_is_quick(tmp_path, images):
    """A tenth of COCO train2017, 86 thousand boxes."""
    box = {'category_id': 1, 'bbox': [1.0, 2.0, 30.0, 4.0], 'area': 120.0, 'iscrowd': 0}
    boxes = [{'id': k + 1, 'image_id': k % 2, **box} for k in range(86_000)]
    path = write(tmp_path / 'a.json', annotations=boxes)
    start = time.process_time()
    assert check_coco(path, images, ('cat', 'dog')) == []
    assert time.process_time() - start < 3


def test_num_classes_against_the_data(sample):
    cfg = use_coco_folder(detector(), sample)
    cfg.model.roi_head.bbox_head[1].num_classes = 80
    with pytest.raises(InputError) as caught:
        check_config_data(cfg)
    assert str(caught.value) == (
        'config key model.roi_head.bbox_head[1].num_classes is 80, but train_dataloader.dataset.dataset has 7 classes '
        '(person, rider, car, bus, bicycle and 2 more)'
    )
    with pytest.raises(InputError, match=r'model\.decode_head\.num_classes is 11, .* has 19 classes'):
        check_config_data(segmentor(sample, num_classes=11))
    steps = [{'type': 'LoadAnnotations'}, {'type': 'mmlight.CheckLabels', 'num_classes': 11}]
    with pytest.raises(InputError, match=r'train_dataloader\.dataset\.pipeline\[1\]\.num_classes is 11, .* 19 classes'):
        check_config_data(segmentor(sample, pipeline=steps))


def test_classes_of_another_data_set(sample):
    """The usual mistake: the config still has COCO's 80 classes."""
    cfg = use_coco_folder(detector(), sample)
    del cfg.train_dataloader.dataset.dataset['metainfo']
    for _, head in (('', cfg.model.roi_head.bbox_head[0]), ('', cfg.model.roi_head.bbox_head[1])):
        head.num_classes = 80
    cfg.model.roi_head.mask_head.num_classes = 80
    with pytest.raises(InputError, match='has no category for the classes motorcycle, airplane'):
        check_config_data(cfg)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('data_root', '/nowhere/', r'data_root: folder /nowhere/ does not exist$'),
        ('data_root', 'no/sample/', r'does not exist \(`mmlight sample --out no/sample/` draws it\)$'),
        ('ann_file', '/nowhere/a.json', r'annotation file /nowhere/a\.json: does not exist'),
        ('data_prefix', {'img': '/nowhere/'}, r'image folder /nowhere: does not exist'),
        (
            'metainfo',
            {'classes': 'person'},
            r"metainfo\.classes is the string 'person', expected a tuple: \('person',\)",
        ),
        ('metainfo', {'classes': ('a', 'a')}, r'class names occur more than once: a'),
        ('nonsense', 1, r'CocoDataset cannot be built: .*nonsense'),
    ],
)
def test_paths_and_classes_of_a_config(sample, key, value, message):
    cfg = use_coco_folder(detector(), sample)
    cfg.val_dataloader.dataset[key] = value
    with pytest.raises(InputError, match=message):
        check_config_data(cfg)
    check_config_data(cfg, ['train_dataloader'])


def test_evaluator(sample):
    cfg = use_coco_folder(detector(), sample)
    cfg.val_evaluator.ann_file = cfg.train_dataloader.dataset.dataset.ann_file
    assert len(no_crowds(check_config_data(cfg))) == 1
    cfg.val_evaluator = [{'type': 'CocoMetric', 'ann_file': '/nowhere/a.json'}]
    with pytest.raises(InputError, match=r'val_evaluator\.ann_file: annotation file /nowhere/a\.json does not exist'):
        check_config_data(cfg)


def test_level_and_skipping(sample, tmp_path):
    root = shutil.copytree(sample, tmp_path / 's')
    next((root / 'leftImg8bit/train').rglob('*.png')).unlink()
    cfg = use_coco_folder(detector(), root)
    with pytest.raises(InputError, match='1 of 40 images'):
        check_config_data(cfg)
    cfg.train_dataloader.dataset.dataset.pipeline = [{'type': 'mmlight.LoadImage', 'on_error': 'skip'}]
    assert len(no_crowds(check_config_data(cfg))) == 1
    cfg.data_check = 'off'
    cfg.model.roi_head.mask_head.num_classes = 1
    assert check_config_data(cfg) == []


def test_segmentation(sample, tmp_path):
    root = shutil.copytree(sample, tmp_path / 's')
    labels = sorted((root / 'gtFine/train').rglob('*.png'))
    with pytest.raises(InputError, match=r'data_prefix\.seg_map_path: folder .*gtCoarse.* does not exist'):
        check_config_data(segmentor(root, data_prefix={'img_path': 'leftImg8bit', 'seg_map_path': 'gtCoarse'}))
    with pytest.raises(InputError, match=r'no \*\.jpg below'):
        check_config_data(segmentor(root, img_suffix='.jpg'))
    with pytest.raises(InputError, match=r'40 of 40 images have no label file: .*looked for .*_labelIds\.png'):
        check_config_data(segmentor(root, seg_map_suffix='_gtFine_labelIds.png'))

    original = cv2.imread(str(labels[0]), cv2.IMREAD_UNCHANGED)
    for wrong, message in (
        (np.full_like(original, 33), r'values 33 are beyond the 19 classes \(0 to 18, 255 = ignore\)'),
        (np.dstack([original] * 3), '3 channels, expected one'),
        (original[:50], r'\(384, 50\) pixels, its image has \(384, 288\)'),
    ):
        cv2.imwrite(str(labels[0]), wrong)
        with pytest.raises(InputError, match=message):
            check_config_data(segmentor(root))
    labels[0].write_bytes(b'broken')
    with pytest.raises(InputError, match='cannot be decoded'):
        check_config_data(segmentor(root))
    cv2.imwrite(str(labels[0]), original)
    assert check_config_data(segmentor(root)) == []
    labels[5].unlink()
    with pytest.raises(InputError, match='1 of 40 images have no label file'):
        check_config_data(segmentor(root))


def test_segmentation_with_a_subset_of_classes(sample):
    names = ('road', 'car')
    cfg = segmentor(sample, num_classes=2, metainfo={'classes': names, 'palette': [(0, 0, 0), (9, 9, 9)]})
    cfg.model.auxiliary_head = []
    assert check_config_data(cfg) == []


def test_test_images_need_no_annotations(tmp_path, sample):
    cfg = use_coco_folder(detector(), sample)
    content = json.loads((sample / 'annotations/instances_val.json').read_text())
    del content['annotations']
    (tmp_path / 'image_info.json').write_text(json.dumps(content))
    dataset = cfg.test_dataloader.dataset
    dataset.ann_file = str(tmp_path / 'image_info.json')
    cfg.test_evaluator.ann_file = dataset.ann_file
    dataset.test_mode = True
    assert check_config_data(cfg, ['test_dataloader']) == []
    dataset.test_mode = False
    with pytest.raises(InputError, match="key 'annotations' missing"):
        check_config_data(cfg, ['test_dataloader'])


def test_other_readers_of_coco_are_left_alone():
    from mmdet.datasets import CocoDataset, CocoPanopticDataset, DeepFashionDataset, LVISV1Dataset

    read = [_reads_plain_coco(cls) for cls in (CocoDataset, DeepFashionDataset, CocoPanopticDataset, LVISV1Dataset)]
    assert read == [True, True, False, False]
