"""RetinaNet, Mask R-CNN and classifiers with SpineNet against arXiv 1912.05027 (docs/specs/spinenet.md)."""

import pytest
import torch
import torch.fx.experimental._config
from torch import nn

from mmlight.measure.complexity import measure
from mmlight.models.backbones import SpineNet
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build


def config(name):
    return load_config(f'configs/spinenet/{name}.py')


def count(cfg, side):
    """Parameters and multiply-adds at a square size, without values."""
    with torch.device('meta'):
        network = build(cfg)
    return measure(network, (side, side))


def with_biases(cfg, parameters):
    """The parameters with the biases of the head's shared convolutions, which the authors' code has and mmdet's not."""
    head = cfg.model.bbox_head
    return parameters + 2 * head.stacked_convs * head.feat_channels


# 80 classes as mmdet builds it; 91 classes and biases in the head; the paper's figures in M and G
RETINANETS = {
    'spinenet-49s_8xb32-crop640-350e': (11_829_427, 32.77, 11_944_598, 33_745_248_375, 11.9, 33.8),
    'spinenet-49_8xb32-crop640-500e': (28_313_140, 83.34, 28_543_383, 85_281_555_200, 28.5, 85.4),
    'spinenet-96_8xb32-crop1024-500e': (42_744_628, 260.05, 42_974_871, 265_024_356_352, 43.0, 265.4),
    'spinenet-143_8xb32-crop1280-350e': (66_729_268, 515.56, 66_959_511, 523_337_600_000, 66.9, 524.4),
    'spinenet-190_8xb32-crop1280-400e': (163_173_892, 1866.1, 163_637_351, 1_881_659_539_200, 163.6, 1885),
}


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.long] if '143' in n or '190' in n else []) for n in RETINANETS]
)
def test_retinanet(name):
    parameters, macs, parameters_91, macs_91, published_parameters, published_macs = RETINANETS[name]
    cfg = config(f'retinanet_{name}_coco')
    side = cfg.model.data_preprocessor.pad_size_divisor
    found = count(cfg, side)
    assert found.parameters == parameters
    assert found.macs / 1e9 == pytest.approx(macs, rel=2e-4)
    cfg.model.bbox_head.num_classes = 91
    found = count(cfg, side)
    assert (with_biases(cfg, found.parameters), found.macs) == (parameters_91, macs_91)
    assert found.parameters / 1e6 == pytest.approx(published_parameters, rel=5e-3)
    assert found.macs / 1e9 == pytest.approx(published_macs, rel=5e-3)


def test_retinanet_49s_with_128_endpoint_channels():
    """The port of lucifer443 counts 11.15 M and 30.04 G."""
    cfg = config('retinanet_spinenet-49s_8xb32-crop640-350e_coco')
    cfg.model.backbone.arch, cfg.model.bbox_head.in_channels = '49S', 128
    found = count(cfg, 640)
    assert found.parameters == 11_150_771
    assert found.by_part['bbox_head'].parameters == 2_061_556
    assert found.macs / 1e9 == pytest.approx(29.806, rel=1e-4)


def test_retinanet_49_at_896():
    cfg = config('retinanet_spinenet-49_8xb32-crop896-350e_coco')
    cfg.model.bbox_head.num_classes = 91
    found = count(cfg, 896)
    assert with_biases(cfg, found.parameters) == 28_543_383
    assert found.macs / 1e9 == pytest.approx(167.152, rel=1e-5)
    assert found.macs / 1e9 == pytest.approx(167.4, rel=5e-3)


@pytest.mark.parametrize(
    ('depth', 'side', 'parameters', 'macs', 'published_parameters', 'published_macs'),
    [
        (50, 640, 34.091, 96.880, 34.0, 97.0),
        pytest.param(101, 1024, 53.083, 325.59, 53.1, 325.9, marks=pytest.mark.long),
        pytest.param(152, 1280, 68.727, 629.95, 68.7, 630.5, marks=pytest.mark.long),
    ],
)
def test_resnet_fpn_under_the_same_protocol(depth, side, parameters, macs, published_parameters, published_macs):
    cfg = config('retinanet_r50-fpn_8xb32-crop640-350e_coco')
    cfg.model.backbone.depth, cfg.model.bbox_head.num_classes = depth, 91
    found = count(cfg, side)
    assert with_biases(cfg, found.parameters) / 1e6 == pytest.approx(parameters, rel=2e-5)
    assert found.macs / 1e9 == pytest.approx(macs, rel=2e-5)
    assert found.parameters / 1e6 == pytest.approx(published_parameters, rel=5e-3)
    assert found.macs / 1e9 == pytest.approx(published_macs, rel=5e-3)


@pytest.mark.parametrize(('name', 'macs'), [('r23-sp30', 95.48), ('r0-sp53', 94.77), ('spinenet-49', 85.28)])
def test_controlled_comparison(name, macs):
    cfg = config(f'retinanet_{name}_8xb32-crop640-250e_coco')
    cfg.model.bbox_head.num_classes = 91
    assert count(cfg, 640).macs / 1e9 == pytest.approx(macs, rel=1e-4)


@pytest.mark.parametrize(
    ('name', 'side', 'parameters', 'macs', 'published_parameters', 'published_macs'),
    [
        ('49s', 640, 13.94, 59.7, 13.9, 60.2),
        ('49', 640, 40.75, 215.4, 40.8, 216.1),
        ('96', 1024, 55.18, 314.1, 55.2, 315.0),
        ('143', 1280, 79.17, 497.6, 79.2, 498.8),
    ],
)
def test_mask_rcnn(name, side, parameters, macs, published_parameters, published_macs):
    """With 90 classes and the background, 1000 proposals, 100 masks."""
    cfg = config(f'mask-rcnn_spinenet-{name}_8xb32-crop{side}-350e_coco')
    cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = 90
    # without it a tensor without values cannot say which RoIs lie on a level; what is counted does not depend on it
    with torch.fx.experimental._config.patch(meta_nonzero_assume_all_nonzero=True):
        found = count(cfg, side)
    assert found.parameters / 1e6 == pytest.approx(parameters, rel=1e-3)
    assert found.macs / 1e9 == pytest.approx(macs, rel=1e-3)
    assert found.parameters / 1e6 == pytest.approx(published_parameters, rel=1e-2)
    assert found.macs / 1e9 == pytest.approx(published_macs, rel=1e-2)


@pytest.mark.parametrize(
    ('arch', 'parameters', 'macs'),
    [('49', 22.088, 3.478), ('96', 36.520, 5.723), ('143', 60.505, 9.087), ('190', 127.101, 19.111)],
)
def test_classifier(arch, parameters, macs):
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = SpineNet(arch)
            self.head = nn.Linear(self.backbone.out_channels[0], 1000)

        def forward(self, image):
            return self.head(sum(level.mean((2, 3)) for level in self.backbone(image)) / 5)

    with torch.device('meta'):
        network = Classifier()
    found = measure(network, (224, 224))
    assert found.parameters / 1e6 == pytest.approx(parameters, abs=6e-4)
    assert found.macs / 1e9 == pytest.approx(macs, rel=2e-4)


def test_activation_of_the_head():
    head = build(config('retinanet_spinenet-49_8xb32-crop640-500e_coco')).bbox_head
    assert {type(conv.activate) for level in head.cls_convs for conv in level} == {nn.SiLU}


@pytest.mark.parametrize(
    ('name', 'rate'),
    [('49s_8xb32-crop640', 0.2), ('143_8xb32-crop1280', 0.16), ('mobile-49_8xb32-crop384', 0.2)],
)
def test_protocol_c(name, rate):
    """docs/specs/recipes.md, "SpineNet": the rate is divided by 10 at epochs 470 and 490; swish, stochastic depth."""
    cfg = config(f'retinanet_spinenet-{name}-500e_coco')
    assert cfg.train_cfg.max_epochs == 500
    assert cfg.param_scheduler[1].milestones == [470, 490]
    assert cfg.model.backbone.drop_path_rate == rate
    with torch.device('meta'):
        network = build(cfg)
    kinds = {name: type(module) for name, module in network.named_modules() if isinstance(module, (nn.ReLU, nn.SiLU))}
    kinds.pop('bbox_head.relu', None)  # of mmdet's class, not called
    assert set(kinds.values()) == {nn.SiLU}
