"""Counting multiply-adds: known layers, mmengine's counter, exact numbers of RoIs, and what cannot be counted."""

import json
import re
from functools import partial
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import nn

from mmlight.errors import InputError
from mmlight.measure.complexity import Part, measure
from mmlight.runtime.inference import build, evaluated_shape

CONFIGS = {lib: Path(module.__file__).parent / '.mim' / 'configs' for lib, module in (('det', mmdet), ('seg', mmseg))}
FASTER = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
SSDLITE = 'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py'
PER_ROI = 7 * 7 * 256 * 1024 + 1024 * 1024 + 1024 * (81 + 4 * 80)  # mmdet's two-fc box head
MASK_PER_ROI = 14 * 14 * 9 * 256 * 256 * 4 + 28 * 28 * 256 * 256 + 28 * 28 * 256 * 80


def config(name: str, lib: str = 'det') -> Config:
    return Config.fromfile(CONFIGS[lib] / name)


def test_one_convolution():
    found = measure(nn.Conv2d(3, 8, 3, bias=False), (10, 10))
    assert (found.macs, found.flops, found.parameters) == (13_824, 27_648, 216)


def test_functional_calls_and_attention_count():
    class Block(nn.Module):
        def forward(self, x):
            x = torch.nn.functional.conv2d(x, torch.ones(4, 3, 1, 1)).flatten(2)  # 4 * 3 * 36
            return x.transpose(1, 2) @ x  # 36 * 4 * 36

    found = measure(Block(), (6, 6))
    assert (found.macs, found.parameters, found.not_counted) == (4 * 3 * 36 + 36 * 4 * 36, 0, {})


def test_nothing_else_counts():
    layers = (nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode='bilinear'), nn.GELU())
    layers += (nn.Hardswish(inplace=True), nn.Mish(inplace=True), nn.SiLU(inplace=True), nn.LogSigmoid())
    found = measure(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Softmax(1)), (8, 8))
    assert (found.macs, found.parameters, found.not_counted) == (0, 6, {})


@pytest.mark.parametrize(
    ('lib', 'name', 'shape'),
    [
        ('det', 'retinanet/retinanet_r50_fpn_1x_coco.py', (64, 64)),
        ('det', SSDLITE, (320, 320)),
        ('det', 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py', (128, 96)),
        ('seg', 'fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', (64, 64)),
    ],
)
@pytest.mark.filterwarnings('ignore')
def test_equals_mmengine_without_its_normalisation(lib, name, shape):
    """mmengine's total also has normalisation and resizing (0.2 to 4 %), which the papers leave out."""
    model = build(config(name, lib)).eval()
    found = measure(model, shape)
    model.auxiliary_head = None
    sample = BaseDataElement(metainfo={'img_shape': shape, 'batch_input_shape': shape})
    model.forward = partial(model.forward, data_samples=[sample])
    operators = FlopAnalyzer(model, (torch.rand(1, 3, *shape),)).by_operator()
    assert found.macs == sum(operators[kind] for kind in ('conv', 'linear', 'matmul'))
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.not_counted == {}


def test_published_ssdlite():  # mmdet 3.3.0: 4.23 M, docs/light_detectors.md
    found = measure(config(SSDLITE))
    assert found.shape == (320, 320)
    assert found.parameters == 4_228_788
    assert found.macs / 1e6 == pytest.approx(746.2, rel=1e-3)
    assert found.by_part['backbone'].macs / 1e6 == pytest.approx(611.2, rel=1e-3)


def test_parts_add_up_and_go_deeper():
    model = build(config(SSDLITE))
    shallow, deep = measure(model, (320, 320)), measure(model, (320, 320), depth=2)
    for found in (shallow, deep):
        assert sum(part.macs for part in found.by_part.values()) == found.macs == shallow.macs
        assert sum(part.parameters for part in found.by_part.values()) == found.parameters
    assert list(shallow.by_part) == ['backbone', 'neck', 'bbox_head']
    below = [part for name, part in deep.by_part.items() if name.startswith('backbone.')]
    assert shallow.by_part['backbone'] == Part(sum(p.parameters for p in below), sum(p.macs for p in below))


@pytest.mark.parametrize('rois', [1, 37])
def test_second_stage_runs_on_the_test_number_of_rois(rois):
    cfg = config(FASTER)
    cfg.model.test_cfg.rpn.max_per_img = rois
    found = measure(cfg, (64, 96))
    assert found.rois == rois
    assert found.by_part['roi_head'].macs == rois * PER_ROI
    assert f'{rois} RoIs' in found.table()


@pytest.mark.parametrize(('name', 'stages'), [('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 1),
                                              ('cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py', 3)])  # fmt: skip
def test_mask_head_runs_on_the_detections(name, stages):
    cfg = config(name)
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.model.test_cfg.rcnn.max_per_img = 5
    box = PER_ROI if stages == 1 else PER_ROI - 1024 * 4 * 79  # the cascade's boxes are class-agnostic
    assert measure(cfg, (64, 64)).by_part['roi_head'].macs == stages * (20 * box + 5 * MASK_PER_ROI)


def test_roi_sampling_is_no_part_of_the_total():
    head = measure('thundernet_snet49_4xb16-375k_coco-320', (320, 320))
    assert head.sampling_macs == 200 * 245 * 16  # 2 x 2 samples of a bin, each of four cells
    assert head.by_part['roi_head'].macs == 200 * (245 * 1024 + 1024 * (81 + 4))
    assert 'RoI sampling (not in the total)' in head.table()


def test_training_heads_are_left_out():
    found = measure(config('bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py', 'seg'), (128, 128))
    assert 'auxiliary_head' not in found.by_part
    assert found.training_only == 11_445_372
    assert str(found.training_only) in found.table()


def test_operators_without_formula_are_named():
    from mmcv.ops import DeformConv2d

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.deform, self.rnn = DeformConv2d(3, 4, 3, padding=1), nn.LSTM(8, 8)

        def forward(self, x):
            x = self.deform(x, x.new_zeros(1, 18, 8, 8))
            return torch.cdist(self.rnn(x[:, 0])[0], x[:, 0])

    found = measure(Odd(), (8, 8))
    names = ' '.join(found.not_counted)
    assert found.not_counted['mmcv.deform_conv_forward'] == 1
    assert re.search('cdist|euclidean', names)
    assert 'mmcv.deform_conv_forward x 1' in found.table()


def test_model_is_left_as_it_was():
    model = build(config(FASTER)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(model, (64, 64))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert 'predict' not in vars(model.rpn_head)
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


def test_text_and_json():
    found = measure(nn.Conv2d(3, 8, 3), (10, 10))
    text = found.table()
    assert 'MACs: 13.8 K (13824)' in text.splitlines()
    assert 'Parameters: 224' in text.splitlines()
    assert 'Not counted: nothing' in text
    data = json.loads(json.dumps(found.to_dict()))
    assert (data['macs'], data['flops'], data['shape']) == (13_824, 27_648, [10, 10])
    assert data['by_part'] == {'Conv2d': {'parameters': 224, 'macs': 13_824}}


@pytest.mark.parametrize('shape', [(0, 10), (10, -1), (10, 10, 10), (), (10.0, 10), ('10', 10), (True, 10)])
def test_bad_shape(shape):
    with pytest.raises(InputError, match='two positive integers'):
        measure(nn.Conv2d(3, 8, 3), shape)


def test_one_number_means_a_square():
    assert measure(nn.Conv2d(3, 8, 3), [10]).shape == (10, 10)


def test_image_smaller_than_the_network_takes():
    with pytest.raises(InputError, match=r'Conv2d cannot run on an image of 2 x 9 .*[Kk]ernel'):
        measure(nn.Conv2d(3, 8, 3), (2, 9))


def test_size_must_come_from_somewhere():
    with pytest.raises(InputError, match='shape: must be given'):
        measure(nn.Conv2d(3, 8, 3))
    assert evaluated_shape(config(FASTER)) == (800, 1333)
    with pytest.raises(InputError, match='depth: 0'):
        measure(nn.Conv2d(3, 8, 3), (10, 10), depth=0)
