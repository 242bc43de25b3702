"""Confusion matrices on hand-made boxes and on the sample data set, beside mmseg's own counts."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.measure.confusion import confusion_matrix, count_objects, count_pixels, plot
from mmlight.measure.dataset_view import build_dataset
from mmlight.runtime.config import load_config


def truth(*boxes):
    return [{'bbox': box, 'bbox_label': label, 'ignore_flag': flag} for box, label, flag in boxes]


def found(*boxes):
    rows = [(box, score, label) for box, score, label in boxes]
    return {
        'bboxes': torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
        'scores': torch.tensor([row[1] for row in rows]),
        'labels': torch.tensor([row[2] for row in rows], dtype=torch.long),
    }


A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]


@pytest.mark.parametrize(
    ('objects', 'detections', 'pairs'),
    [
        ([(A, 0, 0)], [(A, 0.9, 0)], [(0, 0)]),
        ([(A, 0, 0)], [(A, 0.9, 1)], [(0, 1)]),  # wrong class
        ([(A, 0, 0)], [], [(0, 2)]),  # miss
        ([], [(A, 0.9, 1)], [(2, 1)]),  # false alarm
        ([(A, 0, 0)], [(A, 0.2, 0)], [(0, 2)]),  # below the score threshold
        ([(A, 0, 0)], [([0, 0, 10, 4.9], 0.9, 0)], [(0, 2), (2, 0)]),  # too little overlap
        ([(A, 0, 0)], [(A, 0.9, 0), (A, 0.8, 0)], [(0, 0), (2, 0)]),  # the second one is a false alarm
        ([(A, 0, 0), (A, 1, 0)], [(A, 0.9, 1), (A, 0.8, 0)], [(0, 0), (1, 1)]),  # same place: the own class
        ([(A, 0, 1), (B, 1, 0)], [(A, 0.9, 0), (B, 0.9, 1)], [(1, 1)]),  # an ignored region asks for nothing
        ([(A, 0, 0), (B, 1, 0), (C, 1, 0)], [(B, 0.5, 0), (C, 0.6, 1)], [(0, 2), (1, 0), (1, 1)]),
    ],
)
def test_objects_are_matched_one_to_one(objects, detections, pairs):
    matrix = count_objects(truth(*objects), found(*detections), 2)
    expected = np.zeros((3, 3), int)
    for pair in pairs:
        expected[pair] += 1
    assert matrix.tolist() == expected.tolist()


def test_second_suppression_is_per_class():
    detections = found((A, 0.9, 0), ([0, 0, 10, 9], 0.8, 0), ([0, 0, 10, 9], 0.7, 1))
    assert count_objects(truth((A, 0, 0)), detections, 2)[2].tolist() == [1, 1, 0]
    assert count_objects(truth((A, 0, 0)), detections, 2, nms_thr=0.5)[2].tolist() == [0, 1, 0]


def test_pixels_equal_mmsegs_counts():
    from mmseg.evaluation import IoUMetric

    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 6, (40, 30)), rng.integers(0, 5, (40, 30))
    labels[labels == 5] = 255
    matrix = count_pixels(labels, predicted, 5)
    areas = IoUMetric.intersect_and_union(torch.from_numpy(predicted), torch.from_numpy(labels), 5, 255)
    intersection, _, of_prediction, of_truth = (area.numpy() for area in areas)
    assert np.diag(matrix).tolist() == intersection.tolist()
    assert matrix.sum(0).tolist() == of_prediction.tolist()
    assert matrix.sum(1).tolist() == of_truth.tolist()


def coco(sample) -> Config:
    cfg = load_config('thundernet_snet49_sample')
    cfg.test_dataloader.dataset.data_root = f'{sample}/'
    return cfg


def cityscapes(sample) -> Config:
    load = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(64, 48)), dict(type='LoadAnnotations')]
    prefix = dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val')
    dataset = dict(type='CityscapesDataset', data_root=str(sample), data_prefix=prefix,
                   img_suffix='_leftImg8bit.png', seg_map_suffix='_gtFine_labelTrainIds.png',
                   pipeline=[*load, dict(type='PackSegInputs')])  # fmt: skip
    return Config(dict(default_scope='mmseg', test_dataloader=dict(dataset=dataset)))


@pytest.fixture
def perfect(sample, tmp_path):
    """The truth of the validation split in the form that ``tools/test.py --out`` writes."""
    dataset = build_dataset(coco(sample), 'test')
    results = []
    for index in range(len(dataset)):
        objects = [item for item in dataset.get_data_info(index)['instances'] if not item['ignore_flag']]
        boxes = found(*((item['bbox'], 0.9, item['bbox_label']) for item in objects))
        results.append({'pred_instances': boxes})
    path = tmp_path / 'results.pkl'
    path.write_bytes(pickle.dumps(results))
    return path, results


def test_perfect_detections_fill_the_diagonal(sample, perfect):
    matrix, names = confusion_matrix(coco(sample), perfect[0])
    assert names[-1] == 'background'
    assert len(names) == len(matrix) == 8
    assert np.trace(matrix) == matrix.sum() == sum(len(r['pred_instances']['labels']) for r in perfect[1]) > 20


def test_label_images_and_pickle_agree(sample, tmp_path):
    cfg = cityscapes(sample)
    dataset = build_dataset(cfg, 'test')
    results = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        labels = cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED)
        predicted = np.roll(np.where(labels == 255, 0, labels), 3, axis=1)
        cv2.imwrite(str(tmp_path / f'{info["img_path"].split("/")[-1][:-4]}.png'), predicted)
        results.append({'pred_sem_seg': {'data': torch.from_numpy(predicted)[None]}})
    file = tmp_path / 'results.pkl'
    file.write_bytes(pickle.dumps(results))
    matrix, names = confusion_matrix(cfg, tmp_path)
    assert names[0] == 'road'
    assert 0.5 * matrix.sum() < np.trace(matrix) < matrix.sum()
    assert np.array_equal(matrix, confusion_matrix(cfg, file)[0])


def test_bad_input(sample, perfect, tmp_path):
    cfg = coco(sample)
    with pytest.raises(InputError, match=r'nowhere.pkl: no such file'):
        confusion_matrix(cfg, tmp_path / 'nowhere.pkl')
    path = tmp_path / 'broken.pkl'
    path.write_bytes(b'no pickle')
    with pytest.raises(InputError, match=r'broken.pkl: not a pickle'):
        confusion_matrix(cfg, path)
    path.write_bytes(pickle.dumps(perfect[1][:-1]))
    with pytest.raises(InputError, match=r'9 predictions for the 10 images'):
        confusion_matrix(cfg, path)
    path.write_bytes(pickle.dumps([{'pred_panoptic_seg': 0}] * 10))
    with pytest.raises(InputError, match=r'neither boxes nor label maps'):
        confusion_matrix(cfg, path)
    with pytest.raises(InputError, match=r'png: no such file'):
        confusion_matrix(cityscapes(sample), tmp_path)
    with pytest.raises(InputError, match=r'label map is \(2, 2\), prediction \(2, 3\)'):
        count_pixels(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
    with pytest.raises(InputError, match=r'--color-theme plaid'):
        plot(np.eye(2), ['a', 'b'], tmp_path / 'x.png', color_theme='plaid')
