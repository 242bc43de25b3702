"""Every shipped config predicts, is evaluated and is exported with the bare state dict of its own network."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmlight.deploy.export import export
from mmlight.errors import InputError
from mmlight.runtime.config import innermost, load_config, shipped_configs
from mmlight.runtime.model import dataset_meta
from mmlight.runtime.predict import predict
from mmlight.runtime.run import RunOptions
from mmlight.runtime.test import evaluate

PHOTO = 'images/photo.png'
exported: set[str] = set()
"""Networks whose export was tried: configs that differ in their schedule alone need no second one."""


def write_data(folder, classes: tuple[str, ...]) -> None:
    """One photo of 128x96, its mask of the first class and a box of it, with every class in the COCO file."""
    for name, image in (
        (PHOTO, np.random.default_rng(0).integers(0, 256, (96, 128, 3))),
        ('masks/photo.png', np.zeros((96, 128))),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), image.astype(np.uint8))
    corners = [20, 10, 80, 10, 80, 60, 20, 60]
    box = dict(id=1, image_id=1, category_id=1, bbox=[20, 10, 60, 50], area=3000, iscrowd=0, segmentation=[corners])
    categories = [dict(id=number, name=name) for number, name in enumerate(classes, 1)]
    image = dict(id=1, file_name='photo.png', width=128, height=96)
    (folder / 'coco.json').write_text(json.dumps(dict(images=[image], annotations=[box], categories=categories)))


def small(name: str, folder) -> Config:
    """The config with its own network and classes, tested on the one photo in ``folder``, with sides as small as go."""
    cfg = load_config(name)
    meta = dict(classes=dataset_meta(cfg)['classes'])
    write_data(folder, meta['classes'])
    # the coarsest level of anchors needs a pixel of its own
    side = max(128, *(cfg.model.get('bbox_head', {}).get('anchor_generator', {}).get('strides', [0])))
    pipeline = innermost(cfg.test_dataloader.dataset).pipeline
    for transform in pipeline:
        for key in ('scale', 'crop_size'):
            if key in transform:
                transform[key] = (side, side)
    if cfg.model.data_preprocessor.get('pad_size_divisor', 1) > 1:
        cfg.model.data_preprocessor.pad_size_divisor = side
    if cfg.default_scope == 'mmseg':
        data = dict(type='BaseSegDataset', data_prefix=dict(img_path='images', seg_map_path='masks'), img_suffix='.png')
    else:
        data = dict(type='CocoDataset', data_prefix=dict(img='images/'), ann_file='coco.json')
        metric = ['bbox', 'segm'] if cfg.model.get('roi_head', {}).get('mask_head') else 'bbox'
        cfg.test_evaluator = dict(type='CocoMetric', ann_file=str(folder / 'coco.json'), metric=metric)
    data.update(data_root=f'{folder}/', metainfo=meta, pipeline=pipeline, test_mode=True)
    cfg.test_dataloader = dict(
        batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=data
    )
    return cfg


@pytest.mark.long
@pytest.mark.parametrize('name', sorted(shipped_configs()))
def test_every_command_takes_a_bare_state_dict(name, tmp_path, monkeypatch):
    (tmp_path / 'annotations').mkdir()
    write_data(tmp_path, ('one', 'two'))
    for split in ('train', 'val'):  # where the `custom-coco` configs read their classes
        (tmp_path / 'annotations' / f'instances_{split}.json').write_text((tmp_path / 'coco.json').read_text())
    monkeypatch.setenv('MMLIGHT_COCO', str(tmp_path))
    cfg = small(name, tmp_path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        weights = MODELS.build(cfg.model.copy()).state_dict()
    file = tmp_path / 'bare.pth'
    torch.save(weights, file)

    found = predict(cfg.copy(), [tmp_path / PHOTO], file, tmp_path / 'out', device='cpu')
    assert len(found.content['images']) == 1
    assert not found.failed
    evaluate(cfg.copy(), file, RunOptions(work_dir=str(tmp_path / 'work'), device='cpu'))
    network = str(cfg.model)
    if network not in exported:
        exported.add(network)
        if any(part in network for part in ("'mask_head'", "'RoIPool'", "'mmlight.SuperFPN'")):
            with pytest.raises(InputError, match=r'(roi_head|SuperFPN): .* cannot be exported'):
                export(cfg.copy(), file, tmp_path / 'network.onnx')
            return
        side = cfg.test_dataloader.dataset.pipeline[1].get('scale', (128, 128))
        made = export(cfg.copy(), file, tmp_path / 'network.onnx', shape=side).model.state_dict()
        assert all(torch.equal(value, made[key]) for key, value in weights.items())
