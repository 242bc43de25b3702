"""EfficientDet against the package effdet: the same outputs with the same random weights (TensorFlow-ported models)."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks.effdet_reference import effdet_model
from mmlight.registry import MODELS
from mmlight.tables.efficientdet_scaling import EFFICIENTDETS
from mmlight.weights.efficientdet import convert, reorder_boxes

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'efficientdet'
IN_CI = ('d0', 'd1', 'lite0')
MODEL_NAMES = [name if name in IN_CI else pytest.param(name, marks=pytest.mark.long) for name in EFFICIENTDETS]


def ours(name: str, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    (path,) = CONFIGS.glob(f'efficientdet_{name}_8xb16-*-300e_coco.py')
    config = Config.fromfile(path)
    config.model.bbox_head.num_classes = 90
    init_default_scope('mmdet')
    model = MODELS.build(config.model)
    model.load_state_dict(weights)
    model.eval()
    return model


def assert_close(kind, found, expected):
    """The largest error of a level."""
    errors = []
    for level, (a, b) in enumerate(zip(found, expected, strict=True), 3):
        assert a.shape == b.shape, (kind, level)
        assert b.std() > 1e-3, (kind, level, 'the reference is constant, nothing is compared')
        error = ((a - b).abs().max() / b.abs().max()).item()
        assert error <= 1e-5, (kind, level, error)
        errors.append(error)
    return max(errors)


@pytest.mark.parametrize('size', [(256, 256), (200, 333)])
@pytest.mark.parametrize('name', MODEL_NAMES)
@torch.no_grad()
def test_the_same_outputs_as_effdet(name, size, effdet, record_property):
    theirs = effdet_model(name, size)
    weights, _, layout = convert(theirs.state_dict(), name, num_classes=90)
    assert layout == 'effdet'
    model = ours(name, weights)
    x = torch.randn(1, 3, *size)
    expected = theirs.backbone(x)
    found = model.backbone(x)
    errors = [assert_close('backbone', found, expected)]
    expected, found = theirs.fpn(list(expected)), model.neck(found)
    errors.append(assert_close('neck', found, expected))
    scores, deltas = model.bbox_head(found)
    errors.append(assert_close('class', scores, theirs.class_net(expected)))
    boxes = [reorder_boxes(level.flatten(0, 1)).unflatten(0, level.shape[:2]) for level in theirs.box_net(expected)]
    errors.append(assert_close('box', deltas, boxes))
    for key, value in (('network', f'EfficientDet-{name}'), ('against', 'effdet'), ('error', max(errors))):
        record_property(key, value)


def test_converted_rows_decode_to_the_boxes_of_effdet(effdet):
    from effdet.anchors import Anchors, decode_box_outputs

    anchors = Anchors.from_config(effdet.get_efficientdet_config('tf_efficientdet_d0')).boxes
    head = Config.fromfile(CONFIGS.parent / '_base_' / 'models' / 'efficientdet_d0.py').model.bbox_head
    init_default_scope('mmdet')
    generator = {**head.anchor_generator, 'type': 'mmlight.AspectPairAnchorGenerator'}
    del generator['ratios']
    sizes = [(512 // stride, 512 // stride) for stride in head.anchor_generator.strides]
    priors = torch.cat(TASK_UTILS.build(generator).grid_priors(sizes, device='cpu'))
    assert torch.allclose(priors, anchors[:, [1, 0, 3, 2]], rtol=0, atol=2e-4)

    rows = torch.randn(36, 16) / 8
    cells = torch.randn(len(anchors) // 9, 16)
    expected = decode_box_outputs((cells @ rows.T).reshape(-1, 4), anchors, output_xyxy=True)
    found = TASK_UTILS.build(head.bbox_coder).decode(priors, (cells @ reorder_boxes(rows).T).reshape(-1, 4))
    assert torch.allclose(found, expected, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize(
    ('name', 'size'),
    [('d0', (512, 512)), ('d1', (640, 640)), ('d0', (256, 384)), ('d7', (1536, 1536)), ('d7x', (1536, 1536)),
     ('lite0', (320, 320)), ('lite2', (448, 448))],
)  # fmt: skip
def test_the_same_anchors_as_effdet(name, size, effdet):
    from effdet.anchors import Anchors

    theirs = effdet.get_efficientdet_config(f'tf_efficientdet_{name}')
    theirs.image_size = size
    expected = Anchors.from_config(theirs).boxes[:, [1, 0, 3, 2]]
    (path,) = CONFIGS.glob(f'efficientdet_{name}_8xb16-*-300e_coco.py')
    options = Config.fromfile(path).model.bbox_head.anchor_generator
    generator = TASK_UTILS.build({**options, 'type': 'mmlight.AspectPairAnchorGenerator'})
    maps = [tuple(-(-side // 2 ** (level + 3)) for side in size) for level in range(generator.num_levels)]
    assert torch.allclose(torch.cat(generator.grid_priors(maps, device='cpu')), expected, rtol=0, atol=2e-4)


def test_the_benchmark_does_not_time_networks_that_differ(effdet, monkeypatch, capsys):
    spec = spec_from_file_location('benchmark', ROOT / 'benchmarks' / 'benchmark_efficientdet.py')
    benchmark = module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    same = benchmark.our_model

    def another(name, theirs):
        model = same(name, theirs)
        with torch.no_grad():
            model.bbox_head.cls_pred.pw.bias += 0.01
        return model

    monkeypatch.setattr(benchmark, 'our_model', another)
    monkeypatch.setattr(sys, 'argv', ['benchmark_efficientdet.py', '--size', '128', '--repeats', '1'])
    message = r'^error: an output differs from effdet by .* of its level, more than 1e-05$'
    with pytest.raises(SystemExit, match=message):
        benchmark.main()
    assert ' ms' not in capsys.readouterr().out
