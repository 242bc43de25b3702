"""Exports of labelling tools train with the labels that were drawn, and a perfect model scores AP 1 on them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from exports import BY_LIBRARY, DOCUMENTED, NAMES, TRUTH, VAL
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_project import project

from mmlight.cli import main
from mmlight.data.check import check_config_data
from mmlight.data.coco_folder import use_coco_folder
from mmlight.registry import METRICS
from mmlight.runtime.config import load_config
from mmlight.runtime.exports import export, ids
from mmlight.runtime.predict import detections


def by_library(name: str, root: Path) -> None:
    package, write, kind = BY_LIBRARY[name]
    pytest.importorskip(package, reason=f'{package} is not installed (pip install -e .[exports])')
    write(kind, root)


EXPORTS = [
    *(pytest.param(write, id=name) for name, write in DOCUMENTED.items()),
    *(
        pytest.param(lambda root, name=name: by_library(name, root), id=name, marks=pytest.mark.long)
        for name in BY_LIBRARY
    ),
]
each_export = pytest.mark.parametrize('write', EXPORTS)


def boxes_of(dataset) -> dict[str, list]:
    """Image -> (class name, corners), as mmdet hands them to training."""
    classes = dataset.metainfo['classes']
    return {
        Path(item['img_path']).stem[-2:]: sorted(
            (classes[one['bbox_label']], *np.round(one['bbox'], 2).tolist()) for one in item['instances']
        )
        for item in dataset
    }


def perfect(dataset, cfg, folder: Path) -> tuple[float, list[dict]]:
    """mAP by the config's evaluator, and ``coco_results.json``, of a model that finds just what is there."""
    metric = METRICS.build({**cfg.val_evaluator, 'format_only': False})
    metric.dataset_meta = dataset.metainfo
    classes, entries = list(dataset.metainfo['classes']), []
    for item in dataset:
        boxes = torch.tensor([one['bbox'] for one in item['instances']], dtype=torch.float32).reshape(-1, 4)
        labels = torch.tensor([one['bbox_label'] for one in item['instances']], dtype=torch.long)
        found = InstanceData(bboxes=boxes, labels=labels, scores=torch.ones(len(labels)))
        size = (item['height'], item['width'])
        metric.process({}, [dict(img_id=item['img_id'], ori_shape=size, pred_instances=found)])
        entries.append({'file': item['img_path'], 'detections': detections(found, classes, 0.5)})
    score = metric.evaluate(len(dataset))
    return next(value for key, value in score.items() if key.endswith('bbox_mAP')), entries


@each_export
def test_labels_and_a_perfect_model(write, tmp_path):
    write(tmp_path / 'data')
    before = set((tmp_path / 'data').rglob('*'))
    cfg = use_coco_folder(load_config(project() / 'det.py'), tmp_path / 'data', tmp_path / 'run')
    check_config_data(cfg)
    init_default_scope('mmdet')
    found = {}
    for split in ('train', 'val'):
        dataset = DATASETS.build({**cfg[f'{split}_dataloader'].dataset, 'pipeline': []})
        part = boxes_of(dataset)
        assert len(part) == (8, 2)[split == 'val']
        found |= part
    assert found == {
        name: sorted((NAMES[label], *map(float, box)) for label, *box in objects) for name, objects in TRUTH.items()
    }
    assert set(dataset.metainfo['classes']) == set(NAMES)
    assert set(part) == set(VAL) or 'train.json' in {path.name for path in before}  # that was drawn by lot
    average, entries = perfect(dataset, cfg, tmp_path)
    assert average == pytest.approx(1)
    for one in (one for entry in entries for one in entry['detections']):
        one['category_id'] = ids(cfg)[1][one['category']]  # as in predictions.json
    export(('coco',), {'images': entries}, tmp_path, cfg)
    truth = COCO(cfg.test_evaluator.ann_file)
    score = COCOeval(truth, truth.loadRes(str(tmp_path / 'coco_results.json')), 'bbox')
    score.evaluate(), score.accumulate(), score.summarize()
    assert score.stats[0] == pytest.approx(1)
    assert set((tmp_path / 'data').rglob('*')) == before


@pytest.mark.long
@each_export
def test_one_epoch(write, tmp_path):
    write(tmp_path / 'data')
    run = ['--data', str(tmp_path / 'data'), '--work-dir', str(tmp_path / 'run'), '--epochs', '1', '--device', 'cpu']
    options = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    assert main(['train', str(project() / 'det.py'), *run, '--cfg-options', *options]) == 0
    (log,) = (tmp_path / 'run').rglob('scalars.json')
    assert any('coco/bbox_mAP' in json.loads(line) for line in log.read_text().splitlines())
