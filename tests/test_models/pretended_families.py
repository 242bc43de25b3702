"""Every family trains and predicts on the pretended GPU, and makes it wait no more often than mmdet's own models."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

pretended = pytest.importorskip('pretended_gpu', exc_type=ImportError)  # needs torch >= 2.9
from pretended_gpu import OnDevice, PretendedGPU, to_device  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
ONE_STAGE = {
    'efficientdet': 'efficientdet/efficientdet_d0_sample.py',
    'nas_fpn': 'nas_fpn/retinanet_r18_nasfpn-3x64_sample.py',
    'spinenet': 'spinenet/retinanet_spinenet-49s_sample.py',
    'super_bifpn': 'nas/super-bifpn_shufflenet-v2_sample.py',
    'ssdlite': 'shufflenet/ssdlite_shufflenet-v2-x1_8xb24-600e_coco-320.py',
}
TWO_STAGES = {
    'thundernet': 'thundernet/thundernet_snet49_4xb16-375k_coco-320.py',
    'rfcn': 'rfcn/rfcn_shufflenet-v2_bccd.py',
    'light_head_rcnn': 'light_head_rcnn/light-head-rcnn_xception-s_sample.py',
    'stage_supernet': 'cr_nas/stage-supernet_r18_sample.py',
    'op_supernet': 'cr_nas/op-supernet_r18_sample.py',
    'mobilenet': 'mobilenet/light-head-rcnn_mobilenet-v2-x0.25_8xb2-125k_coco.py',
}
FASTER_RCNN = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
RETINANET = 'retinanet/retinanet_r18_fpn_1x_coco.py'
REFERENCES = {'ssdlite': 'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py'}
SEGMENTATION = {'bisenet': 'bisenet/bisenet_xception39_sample.py', 'dfanet': 'dfanet/dfanet_a_sample.py'}
SIDE = 128


@pytest.fixture(autouse=True)
def instances_of_the_device(monkeypatch):
    """mmengine's InstanceData names the tensor types of real devices that it takes as an index."""
    from mmengine.structures import instance_data

    monkeypatch.setattr(instance_data, 'IndexType', instance_data.IndexType | torch.Tensor)


def build(model: dict, scope: str):
    init_default_scope(scope)
    torch.manual_seed(0)
    model = copy.deepcopy(model)
    model.pop('init_cfg', None)
    if model.get('roi_head', {}).get('bbox_roi_extractor', {}).get('roi_layer', {}).get('type') == 'RoIAlign':
        # a grid that adapts makes the fallback's RoI align wait, but not a compiled one
        model.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio = 2
    built = revert_sync_batchnorm(MODELS.build(model))
    return to_device(built.train())


def detection_samples(classes: int = 3):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    samples = []
    for shift in (0, 24):
        shape = dict(img_shape=(SIDE, SIDE), batch_input_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE))
        sample = DetDataSample(metainfo=dict(ori_shape=(SIDE, SIDE), scale_factor=(1.0, 1.0), **shape))
        boxes = torch.tensor([[6.0, 8, 54, 60], [40, 46, 112, 100], [66, 14, 86, 40]]) + shift / 4
        labels = torch.arange(3) % classes
        sample.gt_instances = InstanceData(bboxes=OnDevice(boxes), labels=OnDevice(labels))
        samples.append(sample)
    return samples


def segmentation_samples():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for seed in (0, 1):
        labels = torch.randint(0, 15, (1, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))
        sample = SegDataSample(metainfo=dict(img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE)))
        sample.gt_sem_seg = PixelData(data=OnDevice(labels))
        samples.append(sample)
    return samples


def images() -> torch.Tensor:
    return OnDevice(torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))


def step(model, samples, amp: bool = False) -> Counter:
    """Loss and backward; the waits of it. Every gradient is finite and on the device."""
    with PretendedGPU(amp) as counts:
        losses = model.loss(images(), copy.deepcopy(samples))
        sum(v.mean() for values in losses.values() if (v := _total(values)).requires_grad).backward()
        found = Counter(counts)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(isinstance(g, OnDevice) and g.host.isfinite().all() for g in gradients)
    return found


def _total(values):
    return sum(values) if isinstance(values, list) else values


def predict(model, samples) -> Counter:
    model.eval()
    with PretendedGPU() as counts, torch.no_grad():
        results = model.predict(images(), copy.deepcopy(samples))
        found = Counter(counts)
    assert len(results) == 2
    model.train()
    return found


def config(path: str) -> Config:
    return Config.fromfile(ROOT / 'configs' / path)


def reference(name: str, ours: ConfigDict) -> tuple[Counter, Counter]:
    """Waits of mmdet's own network with our assigners, thresholds and suppression: in a step, and in a prediction."""
    from mmengine.hub import get_config

    model = get_config(f'mmdet::{REFERENCES.get(name, RETINANET if name in ONE_STAGE else FASTER_RCNN)}').model
    if name not in REFERENCES:
        model.backbone.update(base_channels=8, stem_channels=8, init_cfg=None, norm_eval=False, frozen_stages=-1)
        model.neck.in_channels = [8, 16, 32, 64] if name in ONE_STAGE else [32, 64, 128, 256]
    for stage in ('rpn', 'rcnn'):
        if stage in ours.train_cfg:
            model.train_cfg[stage].assigner = ours.train_cfg[stage].assigner
            model.test_cfg[stage] = ours.test_cfg[stage]
    if name in ONE_STAGE:
        model.train_cfg.assigner, model.test_cfg = ours.train_cfg.assigner, ours.test_cfg
    built = build(model, 'mmdet')
    return step(built, detection_samples()), predict(built, detection_samples())


def families(*names: str) -> list:
    return [pytest.param(name, id=name) for name in names]


@pytest.mark.parametrize('name', families(*ONE_STAGE, *TWO_STAGES))
def test_detectors(name):
    ours = config({**ONE_STAGE, **TWO_STAGES}[name]).model
    ours.test_cfg.get('rcnn', ours.test_cfg).score_thr = 0.0  # so that as much is suppressed
    model = build(ours, 'mmdet')
    found = step(model, detection_samples()), predict(model, detection_samples())
    for waits, theirs in zip(found, reference(name, ours), strict=True):
        assert waits.total() <= theirs.total(), (waits, theirs)
    step(model, detection_samples(), amp=True)


def test_optimizer_state_is_resumed_on_the_device():
    layer = to_device(torch.nn.Linear(3, 2))
    states = []
    with PretendedGPU():
        optimizer = torch.optim.AdamW(layer.parameters(), foreach=False)
        for _ in range(2):
            optimizer.zero_grad()
            layer(OnDevice(torch.ones(4, 3))).square().sum().backward()
            optimizer.step()
            other = torch.optim.AdamW(layer.parameters(), foreach=False)
            other.load_state_dict(optimizer.state_dict())
            optimizer = other
            states.append(optimizer.state[layer.weight]['exp_avg'])
    assert all(isinstance(state, OnDevice) for state in states)


@pytest.mark.parametrize('name', families(*SEGMENTATION))
def test_segmentors(name):
    cfg = config(SEGMENTATION[name])
    cfg.model.data_preprocessor = None
    model = build(cfg.model, 'mmseg')
    samples = segmentation_samples()
    trained, predicted = step(model, samples), predict(model, samples)
    assert (trained.total(), predicted.total()) <= (3, 0), (trained, predicted)  # one for each output's loss
    step(model, samples, amp=True)
