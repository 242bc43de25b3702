"""Light-Head R-CNN (arXiv 1711.07264) and R-FCN (arXiv 1605.06409) against their specification's counts and rules."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch.nn import functional as F

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.measure.model_list import list_models
from mmlight.models.heads.ohem_bbox_heads import LightHeadBBoxHead, RFCNBBoxHead
from mmlight.models.heads.ps_roi_extractor import PSRoIExtractor
from mmlight.models.necks import LightHeadNeck, RFCNNeck
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build as build_only

S, L, L50, RFCN = (
    'light-head-rcnn_xception-s_8xb2-125k_coco',
    'light-head-rcnn_r101_8xb2-125k_coco',
    'light-head-rcnn_r50_8xb2-125k_coco',
    'rfcn_r101_8xb2-125k_coco',
)
STRIDE16 = 'light-head-rcnn_xception-s-c5stride16_8xb2-125k_coco'


def network(name, **options):
    """The network of a config without memory for its weights."""
    options = {f'model.{key}': value for key, value in options.items()}
    with torch.device('meta'):
        return build_only(load_config(name, options))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


# specification, 6
@pytest.mark.parametrize(('name', 'count'), [(S, 4_982_532), (L, 67_930_804), (RFCN, 53_625_040)])
def test_parameters(name, count):
    assert parameters(network(name)) == count


@pytest.mark.parametrize('name', [S, L, L50, RFCN])
def test_parameters_in_the_metafile(name):
    (entry,) = list_models(name)
    assert entry.parameters == parameters(network(name))


def test_parameters_of_parts():
    large, small, rfcn = network(L), network(S), network(RFCN)
    assert parameters(large.backbone) == 42_500_160
    assert parameters(network(L50)) / 1e6 == pytest.approx(48.94, abs=5e-3)
    assert [parameters(model.neck) for model in (large, small, rfcn)] == [19_493_332, 2_047_828, 6_367_301]
    assert [parameters(model.rpn_head) for model in (large, small)] == [4_757_579, 683_083]
    softmax = {'rpn_head.loss_cls.use_sigmoid': False}
    assert [parameters(network(name, **softmax).rpn_head) for name in (L, S)] == [4_765_274, 686_938]
    assert parameters(large.roi_head) == 1_179_733
    assert parameters(network(S, **{'roi_head.bbox_head.reg_class_agnostic': False}).roi_head) == 1_179_733 + 2049 * 316
    # the figure of the specification counts a box for the background too
    assert parameters(LightHeadBBoxHead(num_classes=80, reg_class_agnostic=False)) == 1_835_413 - 2049 * 4
    assert parameters(rfcn.roi_head) == 0


# specification, 6, in G: backbone, neck, RPN, subnet, sum, for 1000 RoIs
MULTIPLY_ADDS = [
    (S, (800, 1200), (2.766, 1.944, 2.560, 1.178, 8.448)),
    (S, (700, 1100), (2.239, 1.576, 2.073, 1.178, 7.065)),
    (S, (800, 1280), (2.942, 2.047, 2.731, 1.178, 8.897)),
    (STRIDE16, (800, 1200), (4.541, 7.675, 2.560, 1.178, 15.954)),
    (L, (800, 1200), (189.77, 73.09, 17.84, 1.178, 281.88)),
    (L, (800, 1280), (202.42, 77.97, 19.03, 1.178, 300.60)),
    (L50, (800, 1280), (126.67, 77.97, 19.03, 1.178, 224.84)),
    (RFCN, (800, 1280), (202.42, 25.45, 19.03, 0, 246.90)),
]


@pytest.mark.parametrize(('name', 'shape', 'expected'), MULTIPLY_ADDS)
def test_multiply_adds(name, shape, expected):
    found = measure(network(name), shape)
    macs = [found.by_part[part].macs for part in ('backbone', 'neck', 'rpn_head')]
    macs += [found.macs - sum(macs), found.macs]
    assert [count / 1e9 for count in macs] == pytest.approx(expected, rel=5e-3)
    assert found.rois == 1000
    assert not found.not_counted


def test_multiply_adds_of_caffe_style():
    found = measure(network(L, **{'backbone.style': 'caffe'}), (800, 1200))
    assert found.by_part['backbone'].macs / 1e9 == pytest.approx(186.82, rel=5e-3)
    assert found.macs / 1e9 == pytest.approx(278.93, rel=5e-3)


def test_multiply_adds_of_one_place_and_one_roi():
    for neck, expected in ((LightHeadNeck(2048), 19_491_840), (LightHeadNeck(576, 64), 2_046_720)):
        convolutions = [module for module in neck.modules() if isinstance(module, torch.nn.Conv2d)]
        assert sum(convolution.weight.numel() for convolution in convolutions) == expected
    head = LightHeadBBoxHead(num_classes=80)
    assert sum(p.numel() for name, p in head.named_parameters() if name.endswith('weight')) == 1_177_600


@pytest.mark.parametrize(
    ('name', 'rpn', 'rois'),
    [(S, (288, 50, 75), (490, 25, 38)), (L, (1024, 50, 75), (490, 50, 75)), (RFCN, (1024, 50, 75), (4165, 50, 75))],
)
def test_feature_shapes(name, rpn, rois):
    maps = network(name).extract_feat(torch.zeros(1, 3, 800, 1200, device='meta'))
    assert [tuple(feature.shape[1:]) for feature in maps] == [rois, rpn]


def test_anchors():
    init_default_scope('mmdet')
    head = MODELS.build(load_config(S).model.rpn_head)
    anchors = head.prior_generator.grid_priors([(50, 75)], device='cpu')[0]
    assert anchors.shape == (50 * 75 * 15, 4)
    width, height = (anchors[:15, 2:] - anchors[:15, :2]).T
    assert torch.allclose((width * height).sqrt().view(3, 5), torch.tensor([32.0, 64, 128, 256, 512]).expand(3, 5))
    assert torch.allclose((height / width).view(3, 5), torch.tensor([0.5, 1, 2])[:, None].expand(3, 5))


@pytest.mark.parametrize('kernel', [7, 15])
def test_large_separable_convolution(kernel):
    neck = LightHeadNeck(3, 4, 5, kernel)
    neck.init_weights()
    c4, c5 = torch.randn(1, 2, 60, 80), torch.zeros(1, 3, 30, 40)
    assert not neck((c4, c5))[0].any()  # biases are 0
    assert neck((c4, c5))[1] is c4
    c5[0, :, 14, 20] = 1
    reached = neck.thin(c5).abs().sum((0, 1)).nonzero()
    half = kernel // 2
    assert reached.amin(0).tolist() == [14 - half, 20 - half]
    assert reached.amax(0).tolist() == [14 + half, 20 + half]
    assert len(reached) == kernel**2
    assert (neck((c4, c5))[0] == neck.thin(c5).relu()).all()


def test_large_separable_convolution_is_the_sum_of_two_orders():
    neck, x = LightHeadNeck(3, 4, 5, 5), torch.randn(1, 3, 9, 11)
    branches = []
    for first, second in (neck.thin.column_first, neck.thin.row_first):
        middle = F.conv2d(x, first.weight, first.bias, padding='same')
        branches.append(F.conv2d(middle, second.weight, second.bias, padding='same'))
    assert torch.allclose(neck((x, x))[0], sum(branches).relu(), atol=1e-6)


@pytest.mark.parametrize('kernel', [0, 2, 14, 15.0, '15'])
def test_even_kernel_is_refused(kernel):
    with pytest.raises(InputError, match=f'kernel_size must be odd and positive, got {kernel!r}'):
        LightHeadNeck(576, 64, kernel_size=kernel)


def test_rfcn_neck():
    neck, c4, c5 = RFCNNeck(16, 49 * 8, 12), torch.randn(1, 8, 6, 7), torch.randn(1, 16, 3, 4)
    maps, rpn = neck((c4, c5))
    expected = F.conv2d(F.conv2d(c5, neck.reduce.weight, neck.reduce.bias).relu(), neck.maps.weight, neck.maps.bias)
    assert torch.allclose(maps, expected)
    assert rpn is c4


def test_vote():
    head, x = RFCNBBoxHead(num_classes=6), torch.randn(5, 11, 7, 7)
    scores, boxes = head(x)
    mean = x.flatten(2).sum(2) / 49
    assert torch.allclose(scores, mean[:, :7], atol=1e-6)
    assert torch.allclose(boxes, mean[:, 7:], atol=1e-6)
    uniform, _ = head(x[:, :1].expand(-1, 11, -1, -1))
    assert torch.allclose(uniform.softmax(1), torch.full((5, 7), 1 / 7))
    assert [tuple(out.shape) for out in head(x[:0])] == [(0, 7), (0, 4)]
    with pytest.raises(InputError, match='6 classes need 11 channels a bin, got 10'):
        head(x[:, :10])


def sampled(boxes, objects, generator):
    """A sampling result of mmdet: the first ``objects`` of the boxes are objects, the rest are background."""
    init_default_scope('mmdet')
    from mmdet.models.task_modules import AssignResult, RandomSampler

    truth = boxes[:objects] + torch.rand(objects, 4, generator=generator) * 8
    found = torch.zeros(len(boxes), dtype=torch.long)
    found[:objects] = torch.arange(1, objects + 1)
    labels = torch.full_like(found, -1)
    labels[:objects] = torch.randint(0, 5, (objects,), generator=generator)
    assigned = AssignResult(objects, found, (found > 0).float(), labels)
    truth = InstanceData(bboxes=truth, labels=labels[:objects])
    sampler = RandomSampler(num=4096, pos_fraction=1.0, add_gt_as_proposals=False)
    return sampler.sample(assigned, InstanceData(priors=boxes), truth)


@pytest.mark.parametrize('agnostic', [True, False])
@pytest.mark.parametrize('kept', [1, 8, 19, 40])
@pytest.mark.parametrize('objects', [(6, 3), (0, 0)])
def test_joint_ohem(agnostic, kept, objects):
    """Against loops over RoIs: two images of 20 and 18 RoIs; ``2 * kept`` of both together make the losses."""
    generator = torch.Generator().manual_seed(0)
    results = []
    for number, count in zip((20, 18), objects, strict=True):
        corners = torch.rand(number, 2, generator=generator) * 100
        sides = 20 + torch.rand(number, 2, generator=generator) * 80
        results.append(sampled(torch.cat([corners, corners + sides], 1), count, generator))
    head = LightHeadBBoxHead(
        num_classes=5,
        ohem_per_img=kept,
        reg_class_agnostic=agnostic,
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=2.0),
    )
    scores = torch.randn(38, 6, generator=generator).mul_(2).requires_grad_()
    boxes = torch.randn(38, 4 if agnostic else 20, generator=generator).requires_grad_()
    cfg = ConfigDict(pos_weight=-1)
    labels, _, targets, _ = head.get_targets(results, cfg)
    rois = bbox2roi([result.priors for result in results])
    losses = head.loss_and_target(scores, boxes, rois, results, cfg)['loss_bbox']
    (losses['loss_cls'] + losses['loss_bbox']).backward()

    classification, regression = [], []
    for i, label in enumerate(labels.tolist()):
        classification.append(-scores[i].log_softmax(0)[label])
        delta = (boxes[i] if agnostic or label == 5 else boxes[i, 4 * label : 4 * label + 4]) - 0
        difference = [] if label == 5 else (delta - targets[i]).abs().tolist()
        regression.append(sum(d * d / 2 if d < 1 else d - 0.5 for d in difference))
    total = [c.item() + r for c, r in zip(classification, regression, strict=True)]
    hardest = sorted(range(38), key=total.__getitem__, reverse=True)[: 2 * kept]
    assert losses['loss_cls'].item() == pytest.approx(sum(classification[i].item() for i in hardest) / len(hardest))
    assert losses['loss_bbox'].item() == pytest.approx(2 * sum(regression[i] for i in hardest) / len(hardest))
    assert set(scores.grad.abs().sum(1).nonzero().flatten().tolist()) == set(hardest)
    with_box = set(boxes.grad.abs().sum(1).nonzero().flatten().tolist())
    assert with_box == {i for i in hardest if labels[i] != 5}


@pytest.mark.parametrize('number', [0, 1.5, '256', None])
def test_ohem_of_nothing_is_refused(number):
    with pytest.raises(InputError, match=f'LightHeadBBoxHead: ohem_per_img must be an integer .*, got {number!r}'):
        LightHeadBBoxHead(ohem_per_img=number)


def test_what_r_fcn_s_head_cannot_do_is_refused():
    with pytest.raises(InputError, match='RFCNBBoxHead: reg_class_agnostic can only be True, got False'):
        RFCNBBoxHead(num_classes=3, reg_class_agnostic=False)
    with pytest.raises(InputError, match='RFCNBBoxHead: in_channels can only be 8, got 10'):
        RFCNBBoxHead(num_classes=3, in_channels=10)
    assert RFCNBBoxHead(num_classes=3, in_channels=8, reg_class_agnostic=True).in_channels == 8


def test_a_map_that_does_not_fit_the_extractor_is_refused():
    extractor = PSRoIExtractor(dict(type='mmlight.PSRoIAlign', output_size=7), 10, [16])
    with pytest.raises(InputError, match='out_channels 10 and 7 x 7 bins need a map of 490 channels, got 245'):
        extractor([torch.zeros(1, 245, 8, 8)], torch.zeros(2, 5))


def test_initial_weights():
    head = LightHeadBBoxHead(num_classes=80)
    head.init_weights()
    for layer, deviation in ((head.shared_fcs[0], 0.01), (head.fc_cls, 0.01), (head.fc_reg, 0.001)):
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_rois_keep_their_precision_beside_half_features(dtype):
    extractor = PSRoIExtractor(dict(type='mmlight.PSRoIAlign', output_size=7), 10, [16])
    features = torch.randn(1, 490, 60, 80).to(dtype)
    rois = torch.tensor([[0, 1003.3, 501.7, 1201.9, 777.7]])
    out = extractor([features], rois)
    assert torch.equal(out, extractor([features.float()], rois))
    assert out.dtype == torch.float32


def losses_of(model):
    packed = demo_mm_inputs(2, [(3, 256, 320)] * 2, num_items=[4, 0], num_classes=model.roi_head.bbox_head.num_classes)
    losses = model(**model.data_preprocessor(packed, training=True), mode='loss')
    return {name: sum(value) if isinstance(value, list) else value for name, value in losses.items() if 'loss' in name}


def small(name):
    init_default_scope('mmdet')
    cfg = copy.deepcopy(load_config(name).model)
    cfg.train_cfg.rpn_proposal.update(nms_pre=1000, max_per_img=300)
    cfg.test_cfg.rcnn.score_thr = 0.0
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('name', [S, 'rfcn_shufflenet-v2_bccd'])
def test_learns_and_predicts(name):
    model = small(name).train()
    losses = losses_of(model)
    assert set(losses) == {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'}
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    model.eval()
    packed = demo_mm_inputs(1, [(3, 256, 320)], num_classes=3)
    with torch.no_grad():
        result = model.test_step(packed)[0].pred_instances
    assert 0 < len(result) <= 100
    assert result.bboxes.isfinite().all()


def test_trains_under_autocast():
    model = small('rfcn_shufflenet-v2_bccd').train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = losses_of(model)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ('name', 'factor'),
    [
        (S, 3), ('light-head-rcnn_xception-s_8xb2-12e_coco', 3), (RFCN, 1), ('rfcn_r101_8xb2-12e_coco', 1),
        ('light-head-rcnn_r101_b2-thin-large-kernel_8xb2-125k_coco', 3),
        ('light-head-rcnn_r101_b2-thin_8xb2-125k_coco', 1),
    ],
)  # fmt: skip
def test_rates_and_decay(name, factor):
    """The authors' code: no decay of biases, those of the large separable convolution included, which learns three
    times as fast."""
    model = network(name)
    groups = build_optim_wrapper(model, load_config(name).optim_wrapper).optimizer.param_groups
    found = {id(p): (group['lr'], group['weight_decay']) for group in groups for p in group['params']}
    norms = {id(p) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters()}
    trained = [(key, *found[id(p)]) for key, p in model.named_parameters() if p.requires_grad and id(p) not in norms]
    assert len([key for key, *_ in trained if key.startswith('neck.')]) == (8 if 'neck.thin' in str(trained) else 4)
    for key, rate, decay in trained:
        assert rate == pytest.approx(0.01 * (factor if key.startswith('neck.') else 1)), key
        assert decay == (0 if key.endswith('.bias') else 1e-4), key
