"""Exported files: what is in them, the proof that they are right, that the proof notices what is wrong, bad input."""

import copy
import json
import os
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from mmlight.cli import main
from mmlight.deploy import formats
from mmlight.deploy.export import Exported, export, write
from mmlight.deploy.graphs import DetectorGraph, Normalize, SegmentorGraph
from mmlight.deploy.suppression import NonMaxSuppression, _greedy
from mmlight.deploy.verification import (
    Agreement,
    _match,
    _of_batch,
    _other_size,
    first_difference,
    open_session,
    random_images,
    real_images,
    verify,
)
from mmlight.errors import InputError
from mmlight.runtime.config import load_config

# one config of each family that the two fixtures are not of, with a size at which it is quick
FAMILIES = {
    'dfanet_a_sample': ([128], ['batch', 'size']),
    'efficientdet_d0_sample': ([128], ['batch']),
    'faster-rcnn_r18_sample': ([160], ['size']),  # of CR-NAS
    'light-head-rcnn_xception-s_sample': ([160], ['size']),
    'light-head-rcnn_mobilenet-v2-x0.25_8xb2-125k_coco': ([160], []),
    'light-head-rcnn_shufflenet-v2-x0.5_8xb2-125k_coco': ([160], []),
    'nas-fpn_shufflenet-v2_sample': ([128], ['batch']),
    'retinanet_r18_nasfpn-3x64_sample': ([128], []),
    'retinanet_shufflenet-v2-x1_fpn_8xb2-12e_coco': ([128], ['batch', 'size']),
    'retinanet_spinenet-49s_sample': ([256], ['batch']),
    'rfcn_shufflenet-v2_bccd': ([160], []),
    'semantic-fpn_spinenet-49_4xb4-40k_voc12-512x512': ([128], []),
    'ssdlite_mobilenet-v2_8xb24-600e_coco-320': ([320], ['batch']),
    'ssdlite_shufflenet-v2-x1_8xb24-600e_coco-320': ([320], ['batch']),
}


def images(number: int = 1) -> list[np.ndarray]:
    return real_images(load_config('thundernet_snet49_sample'), number)


def test_detector(thundernet):
    agreement = verify(thundernet, images(2))
    assert agreement.images == 5
    assert agreement.detections > 100
    model = onnx.load(thundernet.file)
    onnx.checker.check_model(model, full_check=True)
    kinds = {node.op_type for node in model.graph.node}
    assert 'NonMaxSuppression' in kinds
    assert not kinds & {'BatchNormalization', 'Loop', 'If'}  # norms are folded
    assert {node.domain for node in model.graph.node} <= {'', 'ai.onnx'}  # nobody's own operators
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [('', 17)]
    shapes = {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in model.graph.output}
    assert shapes == {'boxes': [1, 100, 4], 'scores': [1, 100], 'labels': [1, 100]}
    about = json.loads({prop.key: prop.value for prop in model.metadata_props}['mmlight'])
    assert about == thundernet.description
    assert (about['task'], about['size'], about['replaces']) == ('detection', [128, 160], 'soft_nms')
    assert about['nms'] == {'type': 'nms', 'iou_threshold': 0.5}
    assert len(about['classes']) == len(about['palette']) == 7


def test_segmentor(bisenet):
    agreement = verify(bisenet, images(2))
    assert agreement.images == 8  # three of them of another size
    assert agreement.pixels > 0.9999
    about = bisenet.description
    assert about['pad'] == about['mean'][::-1] == pytest.approx([103.53, 116.28, 123.675])
    assert about['palette'][0] == [128, 64, 128]  # Cityscapes' road, in RGB
    kinds = {node.op_type for node in onnx.load(bisenet.file).graph.node}
    assert 'BatchNormalization' not in kinds


@pytest.mark.long
def test_logits(tmp_path):
    options = {'model.decode_head.num_classes': 15}
    exported = export('bisenet_xception39_sample', None, tmp_path / 'x.onnx', [64], logits=True, cfg_options=options)
    agreement = verify(exported, images())
    assert 0 < agreement.logits < 1e-4
    assert exported.description['outputs'] == ['logits']


@pytest.mark.long
@pytest.mark.parametrize('name', FAMILIES)
def test_families(name, tmp_path):
    shape, dynamic = FAMILIES[name]
    exported = export(name, None, tmp_path / 'x.onnx', shape, dynamic)
    agreement = verify(exported, images())
    assert agreement.detections is None or agreement.detections > 50


def test_normalization_is_that_of_the_preprocessor():
    from mmdet.models import DetDataPreprocessor

    preprocessor = DetDataPreprocessor(mean=[10, 20, 30], std=[1, 2, 4], bgr_to_rgb=True)
    image = torch.randint(0, 256, (3, 8, 9), dtype=torch.uint8)
    expected = preprocessor({'inputs': [image], 'data_samples': None})['inputs']
    torch.testing.assert_close(Normalize(preprocessor)(image[None].float()), expected)
    plain = Normalize(DetDataPreprocessor())
    assert plain(image[None].float()) is not None
    assert plain.mean is None


def test_a_wrong_weight_is_noticed_and_its_part_named(thundernet):
    changed = copy.copy(thundernet)
    object.__setattr__(changed, 'graph', copy.deepcopy(thundernet.graph))
    object.__setattr__(changed, 'model', changed.graph.model)
    with torch.no_grad():
        changed.model.rpn_head.rpn_cls.weight[0] += 0.5
    with pytest.raises(
        InputError, match=r'thundernet.onnx: not what the network computes: .*; they part behind rpn_head'
    ):
        verify(changed, images())


def test_a_network_of_nan_is_not_equal(thundernet):
    """Neither side detects anything, which proves nothing."""
    changed = copy.copy(thundernet)
    object.__setattr__(changed, 'graph', copy.deepcopy(thundernet.graph))
    with torch.no_grad():
        next(changed.graph.model.backbone.parameters()).fill_(torch.nan)
    name, difference = first_difference(changed, images()[0])
    assert name == 'backbone[0] gives NaN or infinite values'
    assert difference == float('inf')


@pytest.mark.parametrize('fault', [InputError('FILE differs'), KeyboardInterrupt()])
def test_a_verification_that_fails_leaves_the_earlier_file(fault, monkeypatch, tmp_path, capsys):
    out = tmp_path / 'good.onnx'
    out.write_bytes(b'verified')

    def fail(exported, images):
        assert exported.file != out
        raise fault

    monkeypatch.setattr(formats, 'export', lambda cfg, checkpoint, file, **rest: Exported(file, {}, None, None))
    monkeypatch.setattr(formats, 'verify', fail)
    code = main(['export', 'bisenet_xception39_sample', '--out', str(out)])
    assert code == (130 if isinstance(fault, KeyboardInterrupt) else 2)
    assert capsys.readouterr().err.count('\n') == 1
    assert out.read_bytes() == b'verified'
    assert list(tmp_path.iterdir()) == [out]


def test_torchscript_runs_without_the_package_and_finds_the_same(tmp_path, capsys):
    """Its suppression is TorchScript's own, so that neither mmcv nor torchvision is needed to load it."""
    file = tmp_path / 'net.torchscript'
    arguments = ['export', 'retinanet_r18_nasfpn-3x64_sample', '--shape', '64', '--format', 'torchscript']
    assert main([*arguments, '--out', str(file)]) == 0
    assert re.search(r'equal to PyTorch on \d images: [1-9]\d+ detections', capsys.readouterr().out)
    code = f"""
        import json, sys, torch
        extra = {{'mmlight.json': ''}}
        net = torch.jit.load({str(file)!r}, _extra_files=extra)
        boxes, scores, labels = net(torch.rand(1, 3, *json.loads(extra['mmlight.json'])['size']) * 255)
        assert boxes.shape[1:] == (100, 4) and scores.shape == labels.shape
        print({{'mmcv', 'mmdet', 'mmlight', 'torchvision'}} & set(sys.modules))
    """
    environment = {**os.environ, 'MMLIGHT_NO_COMPAT': '1'}
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == 'set()', done.stderr


def test_suppression_of_torchscript_is_that_of_onnx():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 200, 2, generator=generator) * 80
    boxes = torch.cat([corners, corners + 5 + torch.rand(2, 200, 2, generator=generator) * 30], 2)
    scores = torch.rand(2, 1, 200, generator=generator)
    scripted = torch.jit.script(_greedy)
    for limit, overlap in ((200, 0.5), (7, 0.3)):
        ours = scripted(boxes, scores, limit, overlap, 0.2)
        theirs = NonMaxSuppression.apply(boxes, scores, limit, overlap, 0.2)
        assert ours.tolist() == theirs.tolist()
        assert 7 <= len(ours) < 400
    assert scripted(boxes, scores, 5, 0.5, 2.0).shape == (0, 3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--format', 'tflite'], 'tflite: allowed are onnx, torchscript, openvino, coreml'),
        (['--format', 'torchscript', '--dynamic', 'size'], '--dynamic: --format torchscript cannot have it'),
        (['--format', 'torchscript', '--int8'], '--int8: with --format onnx only'),
        (['--format', 'openvino', '--out', 'net.onnx'], 'net.onnx: must end in .xml'),
        (['--format', 'openvino'], 'openvino is not installed: pip install openvino'),
        (['--format', 'coreml'], 'coremltools is not installed: pip install coremltools'),
    ],
)
def test_what_a_format_cannot_have_is_refused_in_a_line(options, message, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(formats, 'export', lambda cfg, checkpoint, file, **rest: Exported(file, {}, None, None))
    monkeypatch.setattr(formats, 'verify', lambda *arguments: None)
    for package in ('openvino', 'coremltools'):
        monkeypatch.setitem(sys.modules, package, None)
    assert main(['export', 'bisenet_xception39_sample', *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_core_ml_can_be_verified_on_macos_only(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'coremltools', SimpleNamespace())
    monkeypatch.setattr(sys, 'platform', 'linux')
    with pytest.raises(InputError, match='can be verified on macOS only, this is linux'):
        formats.FORMATS['coreml'][1](tmp_path, None)


@pytest.mark.parametrize('name', ['retinanet_r18_nasfpn-3x64_sample', 'bisenet_xception39_sample'])
def test_openvino_computes_the_same(name, tmp_path, need):
    need('openvino')
    shown, out = images(), tmp_path / 'net.xml'
    _, agreement = formats.export_verified(load_config(name), None, out, shown, 'openvino', shape=[64])
    assert out.is_file()
    assert out.with_suffix('.bin').is_file()
    assert agreement.pixels > 0.99


@pytest.mark.long
def test_the_first_part_that_differs_is_named(thundernet, monkeypatch):
    """A network that is not deterministic differs from itself."""
    noisy = copy.copy(thundernet)
    object.__setattr__(noisy, 'graph', copy.deepcopy(thundernet.graph))
    attention = noisy.graph.model.neck.attention
    calls = []

    def forward(feature, rpn_feature):
        calls.append(1)
        return feature * len(calls)

    monkeypatch.setattr(attention, 'forward', forward)
    name, difference = first_difference(noisy, random_images((128, 160), 1)[0])
    assert name.startswith('they part in neck[0]')
    assert difference > 0.5


def test_images_of_a_batch_are_compared_with_the_network(bisenet):
    session, shown = open_session(bisenet.file), random_images((96, 128), 2)
    assert _of_batch(session, bisenet, shown) == []
    changed = copy.copy(bisenet)
    object.__setattr__(changed, 'model', copy.deepcopy(bisenet.model))
    with torch.no_grad():
        changed.model.decode_head.conv_seg.bias[0] += 0.5
    (fault,) = _of_batch(session, changed, shown)
    assert fault.startswith('in a batch of 2 ')
    assert fault.endswith('of the labels are equal (needed 99.9%)')


def test_a_fixed_batch_is_told(thundernet):
    with pytest.raises(InputError, match='--dynamic batch: FasterRCNN cannot have it, 2 images do not run'):
        _of_batch(open_session(thundernet.file), thundernet, random_images((128, 160), 2))


def test_other_sizes():
    assert _other_size((128, 160), 32) == (160, 128)
    assert _other_size((128, 160), 1) == (161, 127)
    assert _other_size((512, 512), 512) == (1024, 512)


def test_matching():
    boxes = np.array([[0, 0, 10, 10], [20, 20, 40, 40]], np.float32)
    theirs = boxes, np.array([0.9, 0.5]), np.array([1, 2])

    def agreement(boxes, scores, labels):
        found = Agreement(detections=0)
        rest = [np.zeros(98)] * 2  # up to the file's hundred rows
        rows = [np.concatenate([part, empty]) for part, empty in zip((scores, labels), rest, strict=True)]
        _match(found, theirs, (np.concatenate([boxes, np.zeros((98, 4))]), *rows), score_thr=0.01)
        return found

    same = agreement(boxes[::-1], [0.5, 0.9], [2, 1])  # in another order
    assert (same.box, same.score, same.unmatched, same.certain) == (0, 0, 0, 2)
    assert same.faults() == []
    moved = agreement(boxes + 0.75, [0.9, 0.5], [1, 2])
    assert moved.faults() == ['boxes differ by 0.75 pixels (allowed 0.5)']
    other = agreement(boxes, [0.9, 0.6], [1, 0])
    assert other.unmatched == 2  # one of either side
    assert other.faults() == ['2 detections are on one side only, of 2']
    assert agreement(boxes, [0.9, 0.0], [1, -1]).unmatched == 1
    full = Agreement(detections=0)  # another box of nearly the same score has the last place of a full list
    _match(full, theirs, (np.array([[0, 0, 10, 10], [22, 22, 42, 42]]), np.array([0.9, 0.5002]), theirs[2]), 0.01)
    assert (full.unmatched, full.box, full.certain) == (0, 0, 1)
    assert agreement(boxes, [0.898, 0.5], [1, 2]).faults() == ['scores differ by 0.002 (allowed 0.001)']


class Odd(nn.Module):
    """An operator that ONNX has not."""

    def forward(self, x):
        return torch.linalg.slogdet(x)[1]


class Network(nn.Module):
    outputs = ('y',)

    def __init__(self):
        super().__init__()
        self.neck = nn.Sequential(nn.ReLU(), Odd())

    def forward(self, x):
        return self.neck(x)


def test_an_operator_without_onnx_form_is_named_with_its_module(tmp_path):
    with pytest.raises(InputError, match=r'operator \w+ in neck.1: has no form in ONNX'):
        write(Network(), torch.eye(4)[None, None], str(tmp_path / 'x.onnx'), 17)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(opset=16), '--opset 16: allowed are 17 to 20'),
        (dict(dynamic=['depth']), '--dynamic depth: allowed are batch and size'),
        (
            dict(dynamic=['batch']),
            '--dynamic batch: FasterRCNN cannot be exported with it, its second stage takes one image',
        ),
        (dict(shape=[0]), r'--shape \[0\]: must be one or two positive integers'),
        (dict(logits=True), '--output logits: FasterRCNN is not a segmentor'),
        (dict(weights='gone.pth'), 'gone.pth: no such file'),
        (dict(cfg_options={'model.roi_head.bbox_head.num_classes': 6}), '7 classes in its metainfo, 6 in its model'),
        (dict(cfg_options={'model.test_cfg.rpn.nms.type': 'nms_match'}), r'test_cfg.rpn.nms: .* cannot be exported'),
    ],
)
def test_bad_input(arguments, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export('thundernet_snet49_sample', out=tmp_path / 'x.onnx', **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('config', 'options', 'message'),
    [
        ('mask-rcnn_spinenet-49s_8xb32-crop640-350e_coco', {}, 'roi_head: masks cannot be exported'),
        ('light-head-rcnn_r101_roipool-nms03_8xb2-125k_coco', {}, 'roi_head: RoIPool cannot be exported'),
        ('retinanet_spinenet-49s_sample', {'model.bbox_head.bbox_coder.type': 'TBLRBBoxCoder'}, 'TBLRBBoxCoder cannot'),
    ],
)
def test_parts_without_exported_form(config, options, message):
    from mmlight.runtime.inference import build

    cfg = load_config(config, options)
    if options:
        cfg.model.bbox_head.bbox_coder = dict(type='TBLRBBoxCoder')
    with torch.device('meta'), pytest.raises(InputError, match=message):
        DetectorGraph(build(cfg))


def test_sliding_windows_are_refused(bisenet):
    model = copy.copy(bisenet.model)
    model.test_cfg = type(bisenet.model.test_cfg)(mode='slide', crop_size=(64, 64), stride=(32, 32))
    with pytest.raises(InputError, match=r"test_cfg.mode: 'slide' cannot be exported"):
        SegmentorGraph(model)


def test_a_folder_in_the_files_place(tmp_path):
    with pytest.raises(InputError, match='is a folder; must be a file'):
        export('thundernet_snet49_sample', out=tmp_path)


def test_missing_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(InputError, match='onnx is not installed: pip install onnx onnxruntime'):
        export('thundernet_snet49_sample', out=tmp_path / 'x.onnx')
