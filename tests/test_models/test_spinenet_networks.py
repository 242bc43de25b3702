"""RetinaNet, Mask R-CNN and classifiers with SpineNet against arXiv 1912.05027 (spinenet spec 6.2 to 6.5)."""

import pytest
import torch
from torch import nn

from mmlight.analysis.complexity import build, measure
from mmlight.engine.config import load_config
from mmlight.errors import InputError
from mmlight.models.backbones import SpineNet
from mmlight.models.necks import LevelMean


def config(name):
    return load_config(f'configs/spinenet/{name}.py')


# as mmdet builds it, 80 classes (6.3); the paper's figures in M and G, 91 classes (4.1)
RETINANETS = {
    'retinanet_spinenet-49s_8xb32-crop640-350e_coco': (11_829_427, 32.77, 11.9, 33.8),
    'retinanet_spinenet-49_8xb32-crop640-500e_coco': (28_313_140, 83.34, 28.5, 85.4),
    'retinanet_spinenet-96_8xb32-crop1024-500e_coco': (42_744_628, 260.05, 43.0, 265.4),
    'retinanet_spinenet-143_8xb32-crop1280-350e_coco': (66_729_268, 515.56, 66.9, 524.4),
    'retinanet_spinenet-190_8xb32-crop1280-400e_coco': (163_173_892, 1866.1, 163.6, 1885),
}


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.long] if '143' in n or '190' in n else []) for n in RETINANETS]
)
def test_retinanet(name):
    parameters, macs, published_parameters, published_macs = RETINANETS[name]
    cfg = config(name)
    side = cfg.model.data_preprocessor.pad_size_divisor
    found = measure(build(cfg).to('meta'), (side, side))
    assert found.parameters == parameters
    assert found.macs / 1e9 == pytest.approx(macs, rel=1e-4)
    cfg.model.bbox_head.num_classes = 91
    found = measure(build(cfg).to('meta'), (side, side))
    assert found.parameters / 1e6 == pytest.approx(published_parameters, rel=5e-3)
    assert found.macs / 1e9 == pytest.approx(published_macs, rel=5e-3)


@pytest.mark.parametrize(
    ('name', 'macs'), [('r50-fpn', 96.88), ('r23-sp30', 95.48), ('r0-sp53', 94.77), ('spinenet-49', 85.28)]
)
def test_controlled_comparison(name, macs):
    cfg = config(f'retinanet_{name}_8xb32-crop640-250e_coco')
    cfg.model.bbox_head.num_classes = 91
    assert measure(build(cfg).to('meta'), (640, 640)).macs / 1e9 == pytest.approx(macs, rel=1e-4)


@pytest.mark.parametrize(('name', 'parameters'), [('49s', 13.9), ('49', 40.8), ('96', 55.2), ('143', 79.2)])
def test_mask_rcnn(name, parameters):
    side = {'96': 1024, '143': 1280}.get(name, 640)
    cfg = config(f'mask-rcnn_spinenet-{name}_8xb32-crop{side}-350e_coco')
    cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = 90
    assert sum(p.numel() for p in build(cfg).parameters()) / 1e6 == pytest.approx(parameters, rel=5e-3)


@pytest.mark.parametrize(
    ('arch', 'parameters', 'macs'),
    [('49', 22.088, 3.478), ('96', 36.520, 5.723), ('143', 60.505, 9.087), ('190', 127.101, 19.111)],
)
def test_classifier(arch, parameters, macs):
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.neck = SpineNet(arch), LevelMean()
            self.head = nn.Linear(self.backbone.out_channels[0], 1000)

        def forward(self, image):
            return self.head(*self.neck(self.backbone(image)))

    found = measure(Classifier().to('meta'), (224, 224))
    assert found.parameters / 1e6 == pytest.approx(parameters, abs=6e-4)
    assert found.macs / 1e9 == pytest.approx(macs, rel=2e-4)


def test_level_mean():
    levels = [torch.full((2, 3, side, side), value) for side, value in ((5, 1.0), (3, 2.0), (2, 6.0))]
    (mean,) = LevelMean()(levels)
    assert torch.allclose(mean, torch.full((2, 3), 3.0))
    with pytest.raises(InputError, match=r'must have the same channels, got \[2, 3\]'):
        LevelMean()([torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 2, 2)])


def test_activation_of_the_head():
    head = build(config('retinanet_spinenet-49_8xb32-crop640-500e_coco')).bbox_head
    assert {type(conv.activate) for level in head.cls_convs for conv in level} == {nn.SiLU}
