import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import mmlight  # noqa: F401
from mmlight.data import sample as sample_module
from mmlight.data.sample import CLASSES, PALETTE, generate
from mmlight.data.scene import TRAIN_IDS
from mmlight.errors import InputError

TOOL = Path(__file__).parents[2] / 'tools' / 'misc' / 'make_sample.py'


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def coco(root: Path, split: str = 'train') -> dict:
    return json.loads((root / 'annotations' / f'instances_{split}.json').read_text())


def decoded(root: Path, split: str = 'train'):
    """(image entry, label map, [(annotation, mask)]) for every picture, masks by pycocotools."""
    from pycocotools.coco import COCO

    api = COCO(str(root / 'annotations' / f'instances_{split}.json'))
    for image in api.dataset['images']:
        name = image['file_name'].replace('_leftImg8bit.png', '_gtFine_labelTrainIds.png')
        labels = cv2.imread(str(root / 'gtFine' / split / name), cv2.IMREAD_UNCHANGED)
        annotations = api.loadAnns(api.getAnnIds(imgIds=image['id']))
        yield image, labels, [(entry, api.annToMask(entry).astype(bool)) for entry in annotations]


def detection(root: Path, split: str, **kwargs):
    from mmdet.datasets import CocoDataset

    pipeline = [
        {'type': 'mmlight.LoadImage'},
        {'type': 'mmdet.LoadAnnotations', 'with_bbox': True, 'with_mask': True},
        {'type': 'mmdet.PackDetInputs'},
    ]
    return CocoDataset(
        data_root=str(root),
        ann_file=f'annotations/instances_{split}.json',
        data_prefix={'img': f'leftImg8bit/{split}'},
        metainfo={'classes': CLASSES},
        pipeline=pipeline,
        **kwargs,
    )


def test_same_seed_same_files_whatever_the_number_of_pictures(sample, tmp_path):
    first, second = (generate(tmp_path / name, num_train=6, num_val=2, progress=False) for name in 'ab')
    assert hashes(first) == hashes(second)
    other = generate(tmp_path / 'c', num_train=6, num_val=2, seed=1, progress=False)
    pictures = [name for name in hashes(first) if name.endswith('.png')]
    assert len(pictures) == 16
    large, small, third = hashes(sample), hashes(first), hashes(other)
    assert all(large[name] == small[name] != third[name] for name in pictures)


def test_second_call_changes_nothing_and_other_parameters_are_refused(tmp_path):
    out = generate(tmp_path / 'new' / 's', num_train=2, num_val=1, progress=False)
    times = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    assert generate(out, num_train=2, num_val=1, progress=False) == out
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == times
    with pytest.raises(InputError, match=r'holds a sample made with .*num_train=2.*asked for .*num_train=3'):
        generate(out, num_train=3, num_val=1, progress=False)
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == times


def test_interrupted_generation_leaves_nothing_and_is_redone(tmp_path, monkeypatch):
    out = tmp_path / 's'
    expected = hashes(generate(tmp_path / 'whole', num_train=3, num_val=1, progress=False))
    compose, calls = sample_module.compose, []

    def stop_at_third(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compose(*args)

    monkeypatch.setattr(sample_module, 'compose', stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        generate(out, num_train=3, num_val=1, progress=False)
    monkeypatch.undo()
    assert not out.exists()
    assert hashes(generate(out, num_train=3, num_val=1, progress=False)) == expected
    next((out / 'leftImg8bit' / 'train').rglob('*.png')).unlink()
    assert hashes(generate(out, num_train=3, num_val=1, progress=False)) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ['s', 'whole']


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / 'leftImg8bit').mkdir()
    with pytest.raises(InputError, match='is not empty'):
        generate(tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ['leftImg8bit']


@pytest.mark.parametrize('wrong', [{'num_train': 0}, {'seed': -1}, {'size': (64, 64)}, {'size': 300}])
def test_bad_parameters(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        generate(tmp_path / 's', progress=False, **wrong)


def test_statistics(sample):
    """2 to 6 objects a picture or so, every class, crowds, empty pictures, mostly at least 24 px at 320x320."""
    data = coco(sample)
    assert [entry['name'] for entry in data['categories']] == list(CLASSES)
    assert len(CLASSES) == len(PALETTE) == 7
    objects = [entry for entry in data['annotations'] if not entry['iscrowd']]
    counts = [sum(entry['image_id'] == image['id'] for entry in objects) for image in data['images']]
    assert 0 in counts
    assert 2.5 < np.mean(counts) < 6
    assert {entry['category_id'] for entry in objects} == set(range(1, 8))
    assert any(entry['iscrowd'] for entry in data['annotations'])
    scale = 320 / np.sqrt(data['images'][0]['width'] * data['images'][0]['height'])
    sides = np.array([np.sqrt(entry['bbox'][2] * entry['bbox'][3]) * scale for entry in objects])
    assert np.mean(sides >= 24) > 0.8
    assert sides.min() > 7
    light = [cv2.imread(str(sample / 'leftImg8bit/train' / image['file_name'])).mean() for image in data['images']]
    assert max(light) > 1.8 * min(light)  # day, dusk


def test_masks_boxes_and_label_maps_agree(sample):
    overlaps = []
    for image, labels, annotations in decoded(sample):
        assert labels.shape == (image['height'], image['width'])
        assert labels.dtype == np.uint8
        for entry, mask in annotations:
            x, y, w, h = entry['bbox']
            train_id = TRAIN_IDS[CLASSES[entry['category_id'] - 1]]
            true = labels == train_id
            assert w >= 1
            assert h >= 1
            assert x >= 0
            assert y >= 0
            assert x + w <= image['width']
            assert y + h <= image['height']
            box = np.array(cv2.boundingRect(mask.astype(np.uint8)))
            if entry['iscrowd']:  # run lengths: exact
                assert isinstance(entry['segmentation']['counts'], (list, bytes, str))
                assert mask.sum() == entry['area']
                assert true[mask].all()
                assert (box == entry['bbox']).all()
            else:
                assert true[mask].mean() > 0.9  # the rest are holes, that polygons cannot have
                assert np.abs(box - entry['bbox']).max() <= 1
                overlaps.append(entry['area'] / mask.sum())
    assert 0.97 < np.mean(overlaps) < 1.03


def test_every_thing_pixel_belongs_to_an_annotation(sample):
    for _, labels, annotations in decoded(sample):
        for name, train_id in TRAIN_IDS.items():
            known = np.zeros(labels.shape, bool)
            for entry, mask in annotations:
                known |= mask & (CLASSES[entry['category_id'] - 1] == name)
            missing = (labels == train_id) & ~cv2.dilate(known.astype(np.uint8), np.ones((3, 3))).astype(bool)
            assert missing.sum() <= 0.02 * max((labels == train_id).sum(), 100)


def test_coco_dataset_reads_it_unmodified(sample):
    dataset = detection(sample, 'train', filter_cfg={'filter_empty_gt': False})
    assert len(dataset) == 40
    data = coco(sample)
    flags = 0
    for index in range(len(dataset)):
        sample_ = dataset[index]['data_samples']
        entries = [entry for entry in data['annotations'] if entry['image_id'] == sample_.img_id]
        assert len(sample_.gt_instances) + len(sample_.ignored_instances) == len(entries)
        flags += len(sample_.ignored_instances)
    assert flags == sum(entry['iscrowd'] for entry in data['annotations']) > 0
    kept = detection(sample, 'train', filter_cfg={'filter_empty_gt': True})
    empty = len(data['images']) - len({entry['image_id'] for entry in data['annotations']})
    assert len(kept) == 40 - empty < 40


def test_cityscapes_dataset_reads_it_unmodified(sample):
    from mmseg.datasets import CityscapesDataset

    pipeline = [{'type': 'mmlight.LoadImage'}, {'type': 'LoadAnnotations'}, {'type': 'PackSegInputs'}]
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = CityscapesDataset(
            data_root=str(sample),
            data_prefix={'img_path': 'leftImg8bit/val', 'seg_map_path': 'gtFine/val'},
            pipeline=pipeline,
        )
        assert len(dataset) == 10
        seen = set()
        for item in dataset:
            labels = item['data_samples'].gt_sem_seg.data
            assert labels.shape[-2:] == item['inputs'].shape[-2:] == (288, 384)
            seen |= set(labels.unique().tolist())
    assert seen <= {*range(19), 255}
    assert {0, 1, 2, 8, 10, 11, 13} <= seen


def test_ground_truth_scores_one_against_itself(sample):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(sample / 'annotations/instances_val.json'))
    objects = [entry for entry in truth.dataset['annotations'] if not entry['iscrowd']]
    found = truth.loadRes([{**entry, 'score': 1.0} for entry in objects])
    for kind in ('bbox', 'segm'):
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1.0)


def test_command_line(tmp_path):
    def run(*args: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, TOOL, *args], capture_output=True, text=True)

    done = run('--out', str(tmp_path / 's'), '--num-train', '2', '--num-val', '1', '--size', '128', '96')
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 's' / 'leftImg8bit').rglob('*.png'))) == 3
    bad = run('--out', str(tmp_path / 's'), '--num-train', '0')
    assert bad.returncode == 2
    assert bad.stderr == 'error: num_train=0: expected a whole number of at least 1\n'
