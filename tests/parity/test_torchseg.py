"""BiSeNet against its authors' code, ycszen/TorchSeg (``make_torchseg_arrays.py``)."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

HERE = Path(__file__).parent
sys.path.append(str(HERE))

from drawn import draw_torch, image, labels, sample  # noqa: E402

from mmlight.models.heads.kept_pixel_sampler import KeptPixelSampler  # noqa: E402
from mmlight.runtime.config import load_config  # noqa: E402
from mmlight.runtime.inference import build  # noqa: E402

ARRAYS = np.load(HERE / 'torchseg_arrays.npz')
PARTS = {  # theirs -> ours
    'context_path': 'backbone.backbone', 'spatial_path': 'backbone.spatial_path',
    'global_context': 'backbone.global_context', 'arms.0': 'backbone.refine32', 'arms.1': 'backbone.refine16',
    'refines.0': 'backbone.conv32', 'refines.1': 'backbone.conv16', 'heads.0': 'auxiliary_head.1',
    'heads.1': 'auxiliary_head.0', 'heads.2': 'decode_head', 'ffm': 'backbone.fusion',
}  # fmt: skip


def leaves(module: nn.Module) -> list[nn.Module]:
    """Layers with weights, a shortcut before the rest of its block, a classifier behind the rest of its head."""
    if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
        return [module]
    order = {'downsample': 1, 'conv_seg': 1, 'proj': -1, 'shortcut': -1}
    children = sorted(module.named_children(), key=lambda item: order.get(item[0], 0))
    return [leaf for _, child in children for leaf in leaves(child)]


@pytest.fixture(scope='module', params=['X39', 'R18'])
def network(request):
    """The config's network with the authors' weights."""
    name = {'X39': 'xception39', 'R18': 'r18'}[request.param]
    cfg = load_config(f'bisenet_{name}_4xb4-160k_cityscapes-1024x1024')
    cfg.model.data_preprocessor.update(size=None, size_divisor=1)
    found = build(cfg)
    groups = {part: {} for part in PARTS}
    shapes = json.loads(str(ARRAYS[f'{request.param}/variables']))
    values = draw_torch(shapes)
    for key in shapes:
        part = next(part for part in PARTS if key.startswith(f'{part}.'))
        module, _, leaf = key.rpartition('.')
        groups[part].setdefault(module, {})[leaf] = torch.from_numpy(values[key])
    for part, weights in groups.items():
        for module, group in zip(leaves(found.get_submodule(PARTS[part])), weights.values(), strict=True):
            assert not module.load_state_dict(group, strict=False).unexpected_keys
    return request.param, found.eval().double()


@pytest.mark.parametrize('size', [(64, 96), (96, 64), (128, 128)])
def test_network_and_loss(network, size, record):
    """Log-probabilities at full size, and the sum of the three losses with OHEM."""
    name, network = network
    height, width = size
    pixels = torch.from_numpy(image(*size)).permute(0, 3, 1, 2).double()
    truth = SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(labels(*size, 19))))
    truth.set_metainfo(dict(img_shape=size, ori_shape=size))
    for head in (network.decode_head, *network.auxiliary_head):
        head.sampler.min_kept = height * width // 16
    with torch.no_grad():
        ours = network.encode_decode(pixels, [truth.metainfo]).log_softmax(1)
        losses = network.loss(pixels, [truth])
    theirs = ARRAYS[f'{name}/{height}x{width}/log_softmax']
    error = np.abs(sample(ours.permute(0, 2, 3, 1).numpy()) - theirs).max() / np.abs(theirs).max()
    record(f'BiSeNet-{name}, log-probabilities', 'ycszen/TorchSeg', float(error))
    assert error <= 1e-12
    total = sum(float(value) for key, value in losses.items() if 'loss' in key)
    assert total == pytest.approx(float(ARRAYS[f'{name}/{height}x{width}/loss']), rel=1e-6)


@pytest.mark.parametrize(('case', 'share'), [('easy', 16), ('hard', 16), ('few', 1), ('easy-3', 16), ('hard-4', 4)])
def test_ohem(case, share, record):
    logits = torch.from_numpy(ARRAYS[f'ohem/{case}/logits'])
    truth = torch.from_numpy(labels(32, 40, 5, batch=len(logits)))
    head = nn.Module()
    head.ignore_index = 255
    weights = KeptPixelSampler(head, thresh=0.7, min_kept=32 * 40 // share).sample(logits, truth[:, None])
    losses = nn.functional.cross_entropy(logits, truth, ignore_index=255, reduction='none')
    found = (weights * losses).sum() / (truth != 255).sum()
    theirs = float(ARRAYS[f'ohem/{case}/loss'])
    record('loss with OHEM', 'ycszen/TorchSeg', abs(float(found) - theirs) / theirs)
    assert float(found) == pytest.approx(theirs, rel=1e-6)
