"""Fine-tuning keeps what can be kept; weights in bare state dicts are weights."""

import copy
import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from mmlight.errors import InputError
from mmlight.models.backbones import EfficientNetLite, MobileNetV2
from mmlight.runtime import checkpoint as ckpt
from mmlight.runtime.config import load_config
from mmlight.runtime.predict import predict
from mmlight.runtime.train import _begin_with
from mmlight.weights.download import cache_dir

# family -> a config, and the layers whose shapes tell the number of classes
FAMILIES = {
    'thundernet': ('thundernet_snet49_sample', r'roi_head\.bbox_head\.fc_(cls|reg)'),
    'light_head_rcnn': ('light-head-rcnn_xception-s_sample', r'roi_head\.bbox_head\.fc_(cls|reg)'),
    'rfcn': ('rfcn_shufflenet-v2_bccd', r'neck\.maps'),
    'efficientdet': ('efficientdet_d0_bccd', r'bbox_head\.cls_pred\.pw'),
    'nas_fpn': ('retinanet_r18_nasfpn-3x64_sample', r'bbox_head\.retina_cls'),
    'spinenet': ('retinanet_spinenet-49s_sample', r'bbox_head\.retina_cls|bbox_head\.cls_pred.*'),
    'ssdlite': ('ssdlite_mobilenet-v2_8xb24-600e_coco-320', r'bbox_head\.cls_convs\.\d\.1'),
    'cr_nas': ('faster-rcnn_r18_bccd', r'roi_head\.bbox_head\.fc_(cls|reg)'),
    'bisenet': ('bisenet_xception39_sample', r'(decode_head|auxiliary_head\.\d)\.conv_seg'),
    'dfanet': ('dfanet_a_sample', r'decode_head\.conv_seg'),
}


def model_config(name: str, classes: int | None = None):
    cfg = load_config(name)

    def change(node):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key == 'num_classes' and classes and value is not None:
                node[key] = classes
            elif key == 'init_cfg' and isinstance(value, dict) and value.get('type') == 'Pretrained':
                node[key] = None
            elif isinstance(value, (dict, list)):
                change(value)

    model = copy.deepcopy(cfg.model)
    change(model)
    if classes and name.startswith('rfcn'):  # its maps hold the scores
        model.neck.out_channels = 49 * (classes + 5)
        model.roi_head.bbox_roi_extractor.out_channels = classes + 5
    init_default_scope(cfg.default_scope)
    return model


@pytest.mark.parametrize('family', FAMILIES)
def test_another_number_of_classes_begins_anew_in_the_last_layers_alone(family):
    name, last = FAMILIES[family]
    source, target = MODELS.build(model_config(name, 7)), MODELS.build(model_config(name, 5))
    before = {key: value.clone() for key, value in target.state_dict().items()}
    published = source.state_dict()
    _, _, shaped = ckpt.compare(target, published)
    layers = {text.split(' ')[0].rpartition('.')[0] for text in shaped}
    assert layers
    assert all(re.fullmatch(last, layer) for layer in layers), layers
    report = ckpt.check_fits(target, published, 'FILE', complete=False)
    assert all(text.split(' ')[0] in report for text in shaped)
    assert 'begin anew' in report
    with pytest.raises(InputError, match='another model or other settings'):
        ckpt.check_fits(target, published, 'FILE')
    _load_checkpoint_to_model(target, {'state_dict': published})
    for key, value in target.state_dict().items():
        begun = any(text.startswith(f'{key} ') for text in shaped)
        assert torch.equal(value, before[key] if begun else published[key]), key


def save(name: str, folder) -> str:
    """A bare state dict of the config's network."""
    torch.save(MODELS.build(model_config(name)).state_dict(), folder / 'bare.pth')
    return str(folder / 'bare.pth')


def predicts(name, tmp_path):
    cv2.imwrite(str(tmp_path / 'photo.png'), np.zeros((64, 96, 3), np.uint8))
    found = predict(name, [tmp_path / 'photo.png'], save(name, tmp_path), tmp_path / 'out', device='cpu')
    assert len(found.content['images']) == 1
    assert not found.failed


@pytest.mark.parametrize('family', FAMILIES)
def test_a_bare_state_dict_predicts(family, tmp_path):
    predicts(FAMILIES[family][0], tmp_path)


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
@pytest.mark.parametrize(
    'name', ['efficientdet_lite0_8xb16-crop320-300e_coco', 'bisenet_r18_4xb4-160k_cityscapes-1024x1024']
)
def test_weights_of_a_backbone_go_to_the_backbone(name, prefix, tmp_path):
    cfg = load_config(name)
    backbone = cfg.model.backbone
    while 'backbone' in backbone:
        backbone = backbone.backbone
    init_default_scope('mmdet')
    net = MODELS.build({**backbone, 'init_cfg': None})
    file = tmp_path / 'backbone.pth'
    torch.save(
        {f'{prefix}{key}': x for key, x in net.state_dict().items()} | {'head.fc.weight': torch.ones(2, 2)}, file
    )
    _begin_with(cfg, file)
    assert cfg.load_from is None
    built = MODELS.build(backbone)
    built.init_weights()
    assert all(torch.equal(x, built.state_dict()[key]) for key, x in net.state_dict().items())


def test_weights_of_a_model_are_loaded_as_a_whole(tmp_path):
    cfg = load_config('bisenet_xception39_sample')
    _begin_with(cfg, save('bisenet_xception39_sample', tmp_path))
    assert cfg.load_from == str(tmp_path / 'bare.pth')


def test_weights_of_a_model_need_none_of_its_backbone(tmp_path):
    cfg = load_config('efficientdet_lite0_8xb16-crop320-300e_coco')
    assert cfg.model.backbone.init_cfg.type == 'Pretrained'
    _begin_with(cfg, save('efficientdet_lite0_8xb16-crop320-300e_coco', tmp_path))
    assert cfg.load_from == str(tmp_path / 'bare.pth')
    assert cfg.model.backbone.init_cfg is None


def test_a_published_backbone_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    cache_dir().mkdir(parents=True)
    (cache_dir() / 'mobilenet_v2-b0353104.pth').write_bytes(b'')
    torch.save({'features.0.0.weight': torch.ones(32, 3, 3, 3)}, cache_dir() / 'mobilenet_v2-b0353104.pth')
    cfg = load_config('ssdlite_mobilenet-v2_8xb24-600e_coco-320')
    _begin_with(cfg, 'torchvision_mobilenet_v2')
    assert cfg.model.backbone.init_cfg.checkpoint.endswith('mobilenet_v2-b0353104.pth')


@pytest.mark.parametrize('frozen', [-1, 0, 2, 5])
def test_efficientnet_lite_freezes_by_mmdet_s_count(frozen):
    """0 the stem, n the stem and n stages, as mmdet's ResNet and MobileNetV2, before any call of ``train()``."""
    net = EfficientNetLite(frozen_stages=frozen)
    held = {name.split('.')[1] for name, p in net.named_parameters() if not p.requires_grad}
    assert held == {str(i) for i in range(frozen + 1)}
    assert not any(m.training for i in range(frozen + 1) for m in net.layers[i].modules())
    norms = [m for m in EfficientNetLite(norm_eval=True).train().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize('frozen', [-1, 0, 2, 6])
def test_mobilenet_v2_freezes_the_parameters_that_mmdet_s_does(frozen):
    theirs = MODELS.build(dict(type='mmdet.MobileNetV2', frozen_stages=frozen, out_indices=(2, 4, 6)))
    mine = MobileNetV2(frozen_stages=frozen, out_indices=(2, 4, 6))

    def counts(net):
        return sum(p.numel() for p in net.train().parameters() if not p.requires_grad)

    theirs.train()
    assert counts(mine) == sum(p.numel() for p in theirs.parameters() if not p.requires_grad)
