"""EfficientDet against the figures of arXiv 1911.09070 and docs/specs/efficientdet.md."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.models.backbones import EfficientNetLite
from mmlight.models.heads.efficientdet_head import EfficientDetHead
from mmlight.models.necks import BiFPN, GraphFPN
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build
from mmlight.tables import bifpn
from mmlight.tables.efficientdet_scaling import EFFICIENTDETS, compound_scaling, model_config

ROOT = Path(__file__).parents[2]

# model: parameters for 90 and 80 classes, of backbone, neck, class head for 90 and 80, box head (6.1); MACs in G of
# the whole for 80 classes, of backbone and of neck (6.2); anchors (2.7)
FIGURES = {
    'd0': (3880067, 3874217, 3595388, 196281, 69354, 63504, 19044, 2.461, 1.9015, 0.1362, 49104),
    'd1': (6625898, 6617888, 6101024, 390972, 101394, 93384, 32508, 5.936, 4.4680, 0.4506, 76725),
    'd2': (8097039, 8086869, 7202562, 708159, 136890, 126720, 49428, 10.709, 7.4300, 1.2163, 110484),
    'd3': (12032296, 12017806, 10103336, 1559474, 247050, 232560, 122436, 24.328, 14.8884, 3.7560, 150381),
    'd4': (20723675, 20703425, 16742216, 3349829, 402890, 382640, 228740, 54.144, 30.5029, 10.7448, 196416),
    'd5': (33653315, 33627305, 27288112, 5405893, 591498, 565488, 367812, 133.25, 75.0391, 27.2754, 306900),
    'd6': (51871782, 51837132, 39403992, 10583808, 1090986, 1056336, 792996, 222.94, 107.284, 54.0626, 306900),
    'd7': (51871782, 51837132, 39403992, 10583808, 1090986, 1056336, 792996, 321.04, 154.486, 77.8501, 441936),
    'd7x': (77147166, 77112516, 62143440, 13112064, 1094826, 1060176, 796836, 405.93, 238.646, 78.5204, 442260),
    'lite0': (3243470, 3237620, 2958848, 196224, 69354, 63504, 19044, 0.961, 0.7425, 0.0532, 19206),
    'lite1': (4248318, 4240308, 3723520, 390896, 101394, 93384, 32508, 1.942, 1.4139, 0.1622, 27621),
    'lite2': (5252334, 5242164, 4357952, 708064, 136890, 126720, 49428, 3.329, 2.2126, 0.4141, 37629),
    'lite3': (8350862, 8336372, 6422016, 1559360, 247050, 232560, 122436, 7.402, 4.3193, 1.2264, 49104),
    'lite3x': (9280862, 9262772, 6422016, 2333200, 340610, 322520, 185036, 13.825, 6.7489, 2.9054, 76725),
    'lite4': (15130894, 15110644, 11149568, 3349696, 402890, 382640, 228740, 19.996, 10.7615, 4.1972, 76725),
}
STATE_DICT_SIZES = {'d0': 784, 'd1': 1004, 'd2': 1076, 'd3': 1270, 'd4': 1474, 'd5': 1622, 'd6': 1818, 'd7x': 2210,
                    'lite0': 696}  # fmt: skip


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet')


def config(name):
    return load_config(f'efficientdet_{name}_8xb16-crop{EFFICIENTDETS[name].input_size}-300e_coco')


def count(module):
    return sum(p.numel() for p in module.parameters())


def head(**options):
    return MODELS.build({**config('d0').model.bbox_head, **options})


@pytest.mark.parametrize('name', FIGURES)
def test_published_size_and_cost(name):
    cfg = config(name)
    total90, total80, backbone, neck, class90, class80, box, macs, backbone_macs, neck_macs, anchors = FIGURES[name]
    network = build(cfg)
    heads = network.bbox_head
    assert count(network) == total80
    assert (count(network.backbone), count(network.neck)) == (backbone, neck)
    assert count(heads.cls_convs) + count(heads.cls_bns) + count(heads.cls_pred) == class80
    assert count(heads.reg_convs) + count(heads.reg_bns) + count(heads.reg_pred) == box
    tensors = [key for key in network.state_dict() if not key.endswith('arithmetic')]  # the record of the padding
    assert len(tensors) == STATE_DICT_SIZES.get(name, len(tensors))
    found = measure(network.to('meta'), (EFFICIENTDETS[name].input_size,) * 2)
    assert found.macs / 1e9 == pytest.approx(macs, rel=1e-3)
    assert found.by_part['backbone'].macs / 1e9 == pytest.approx(backbone_macs, rel=1e-3)
    assert found.by_part['neck'].macs / 1e9 == pytest.approx(neck_macs, rel=1e-3)
    released = MODELS.build({**cfg.model.bbox_head, 'num_classes': 90})
    assert count(released) == class90 + box
    assert backbone + neck + count(released) == total90
    sizes = [(-(-EFFICIENTDETS[name].input_size // 2**level),) * 2 for level in range(3, len(heads.cls_bns[0]) + 3)]
    assert sum(map(len, heads.prior_generator.grid_priors(sizes, device='cpu'))) == anchors


@pytest.mark.parametrize(('name', 'total'), [('d0', 3_877_763), ('d1', 6_622_026)])
def test_redundant_biases(name, total):
    """Without the biases before norms, 90 classes."""
    model = config(name).model
    model.neck.conv_bias = False
    model.bbox_head.update(conv_bias=False, num_classes=90)
    assert count(MODELS.build(model)) == total


def test_d0_is_the_first_row_of_the_table():
    """D0's config is written out, all others are scaled from it: the table's values change nothing in it."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    cfg, merged = config('d0'), config('d0')
    merged.merge_from_dict(compound_scaling('d0', cfg))
    assert plain(merged.to_dict()) == plain(cfg.to_dict())


@pytest.mark.parametrize('name', FIGURES)
def test_inputs_of_a_config(name):
    cfg, size = config(name), EFFICIENTDETS[name].input_size
    for pipeline in (cfg.train_pipeline, cfg.train_dataloader.dataset.pipeline):
        assert tuple(pipeline[2].scale) == tuple(pipeline[2].crop_size) == (size, size)
    for pipeline in (
        cfg.test_pipeline,
        cfg.val_dataloader.dataset.pipeline,
        cfg.test_dataloader.dataset.pipeline,
    ):
        assert tuple(pipeline[1].scale) == (size, size)
    assert cfg.model.data_preprocessor.pad_size_divisor == size


@pytest.mark.parametrize(('name', 'total'), [(3, FIGURES['d3'][1]), ('lite2', FIGURES['lite2'][1])])
def test_the_values_of_a_model_in_the_base_config(name, total):
    base = Config.fromfile(ROOT / 'configs' / '_base_' / 'models' / 'efficientdet_d0.py')
    base.merge_from_dict(dict(model=model_config(name)))
    assert count(MODELS.build(base.model)) == total


def test_models_by_their_coefficient():
    assert [model_config(phi) for phi in range(8)] == [model_config(f'd{phi}') for phi in range(8)]


def test_imagenet_weights_fit(tmp_path):
    """What comes from mmpretrain has the keys of mmdet's class with its last convolution."""
    source = MODELS.build(dict(type='EfficientNet', arch='b0'))
    keys = source.state_dict().keys()
    assert {'layers.0.conv.weight', 'layers.1.0.se.conv1.conv.bias', 'layers.5.4.linear_conv.bn.running_var'} <= keys
    content = {f'backbone.{key}': torch.randn_like(value.float()) for key, value in source.state_dict().items()}
    torch.save(dict(state_dict=content), tmp_path / 'b0.pth')
    cfg = config('d0').model.backbone
    cfg.init_cfg.checkpoint = str(tmp_path / 'b0.pth')
    backbone = MODELS.build(cfg)
    backbone.init_weights()
    for key, value in backbone.state_dict().items():
        if key != 'arithmetic':  # the record of the padding
            assert torch.equal(value.float(), content[f'backbone.{key}'].to(value.dtype).float()), key


def test_formulas():
    """Sec. 4.2, equations 1 to 3, against the table: what is rounded, and where the table departs."""
    for phi in range(7):
        table = EFFICIENTDETS[f'd{phi}']
        assert table.width == pytest.approx(64 * 1.35**phi, rel=0.06)
        assert table.head_convs == 3 + phi // 3
        assert (table.cells == 3 + phi) == (phi not in (5, 6))
        assert (table.input_size == 512 + 128 * phi) == (phi not in (5,))


def test_unknown_model():
    with pytest.raises(InputError, match=r"arch must be one of .*, got \['lite0'\]"):
        EfficientNetLite(['lite0'])
    for key, value in (('stacked_convs', 3.0), ('in_channels', 0), ('num_classes', '80')):
        with pytest.raises(InputError, match=f'Head: {key} must be an integer of at least 1, got {value!r}'):
            head(**{key: value})
    for name, found in (('d8', "'d8'"), (8, '8'), (['d0'], r"\['d0'\]"), (True, 'True')):
        with pytest.raises(InputError, match=rf"name must be 0 to 7 or one of .*'d0', 'd1'.*, got {found}"):
            model_config(name)
    with pytest.raises(InputError, match=r"arch must be one of .*'lite0'.*, got 'lite5'"):
        EfficientNetLite('lite5')


@pytest.mark.parametrize(
    ('shape', 'sizes'),
    [
        ((512, 512), [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]),
        ((200, 333), [(25, 42), (13, 21), (7, 11), (4, 6), (2, 3)]),
    ],
)
def test_shapes(shape, sizes):
    network = build(config('d0'))
    network.eval()
    with torch.no_grad():
        maps = network.backbone(torch.zeros(1, 3, *shape))
        assert [tuple(x.shape[1:]) for x in maps] == [(c, *s) for c, s in zip((40, 112, 320), sizes, strict=False)]
        features = network.neck(maps)
        assert [tuple(x.shape[1:]) for x in features] == [(64, *size) for size in sizes]
        scores, deltas = network.bbox_head(features)
    assert [tuple(x.shape[1:]) for x in scores] == [(9 * 80, *size) for size in sizes]
    assert [tuple(x.shape[1:]) for x in deltas] == [(36, *size) for size in sizes]


def test_declared_outputs():
    network = build(config('d7x'))
    assert network.neck.out_channels == (384,) * 6
    assert network.neck.out_strides == (8, 16, 32, 64, 128, 256)
    lite = EfficientNetLite('lite2')
    lite.eval()
    maps = lite(torch.zeros(1, 3, 65, 130))
    assert tuple(x.shape[1] for x in maps) == lite.out_channels == (48, 120, 352)
    assert [tuple(x.shape[2:]) for x in maps] == [(-(-65 // s), -(-130 // s)) for s in lite.out_strides]


def test_first_anchors():
    generator = head().prior_generator
    first = generator.grid_priors([(64, 64)] + [(1, 1)] * 4, device='cpu')[0][:3]
    expected = [(-12, -12, 20, 20), (-18.627, -7.314, 26.627, 15.314), (-7.314, -18.627, 15.314, 26.627)]
    assert torch.allclose(first, torch.tensor(expected), atol=1e-3)


def test_anchors_of_the_released_weights():
    options = {**config('d0').model.bbox_head.anchor_generator, 'type': 'mmlight.AspectPairAnchorGenerator'}
    pairs = TASK_UTILS.build(copy.deepcopy(options))
    roots = head().prior_generator
    assert isinstance(pairs, AnchorGenerator)
    width, height = (pairs.base_anchors[0][:, 2:] - pairs.base_anchors[0][:, :2]).T
    scale = torch.tensor([2 ** (octave / 3) for octave in range(3)]).repeat_interleave(3) * 32
    assert torch.allclose(width / scale, torch.tensor([1, 1.4, 0.7]).repeat(3), atol=1e-5)
    assert torch.allclose(height / scale, torch.tensor([1, 0.7, 1.4]).repeat(3), atol=1e-5)
    assert torch.allclose(pairs.base_anchors[2], roots.base_anchors[2], rtol=0.02), 'square roots rounded to a digit'
    exact = TASK_UTILS.build(dict(options, aspect_pairs=[(1, 1), (2**0.5, 0.5**0.5), (0.5**0.5, 2**0.5)]))
    for ours, theirs in zip(exact.base_anchors, roots.base_anchors, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize(('classes', 'expected'), [(90, 33.312), (80, 29.611)])
def test_class_loss_at_the_start(classes, expected):
    """No box in the image, all logits at the initial bias; the divisor is 1."""
    network = MODELS.build({**config('d0').model.bbox_head, 'num_classes': classes, 'train_cfg': train_cfg()})
    sides = [64, 32, 16, 8, 4]
    scores = [torch.full((1, 9 * classes, side, side), -4.59512) for side in sides]
    deltas = [torch.zeros(1, 36, side, side) for side in sides]
    meta = dict(img_shape=(512, 512), pad_shape=(512, 512))
    none = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    losses = network.loss_by_feat(scores, deltas, [none], [meta])
    assert sum(losses['loss_cls']).item() == pytest.approx(expected, abs=1e-3)
    assert sum(losses['loss_bbox']).item() == 0


def train_cfg():
    return config('d0').model.train_cfg


def test_losses_are_divided_by_the_positives_plus_one():
    network = head(train_cfg=train_cfg())
    sides = [64, 32, 16, 8, 4]
    meta = dict(img_shape=(512, 512), pad_shape=(512, 512))
    box = InstanceData(bboxes=torch.tensor([[100.0, 100.0, 164.0, 164.0]]), labels=torch.tensor([3]))
    none = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    anchors, flags = network.get_anchors([(side, side) for side in sides], [meta, meta], device='cpu')
    targets = network.get_targets(anchors, flags, [box, none], [meta, meta])
    positives = sum(int((labels == 3).sum()) for labels in targets[0])
    assert positives > 1
    assert targets[4] == positives + 1


def test_focal_loss_and_box_loss():
    network = head()
    for label, expected in ((0, 0.0612661), (1, 0.1837984)):  # class 0 is right, class 1 (of one) is background
        loss = network.loss_cls(torch.zeros(1, 1), torch.tensor([label]), avg_factor=1)
        assert loss.item() == pytest.approx(expected, abs=1e-6)
    for distance, huber in ((0.05, 0.00125), (0.2, 0.015)):
        found = network.loss_bbox(torch.full((1, 4), distance), torch.zeros(1, 4), torch.ones(1, 4), avg_factor=1)
        assert found.item() == pytest.approx(50 * 4 * huber / 4, rel=1e-5)


def test_initial_predictions():
    cfg = config('d0')
    del cfg.model.backbone.init_cfg  # a download
    network = build(cfg)
    network.init_weights()
    assert torch.allclose(network.bbox_head.cls_pred.pw.bias, torch.tensor(-4.59512), atol=1e-4)
    assert network.bbox_head.reg_pred.pw.bias.abs().max() == 0
    assert network.bbox_head.cls_pred.dw.weight.std().item() == pytest.approx((9 * 64) ** -0.5, rel=0.15)
    assert all((node.merge.edge_weights == 1).all() for cell in network.neck.cells for node in cell.nodes)


def test_one_lateral_for_each_edge():
    """C4 and C5 have two laterals each, C3 one, P6 one of its own (docs/specs/efficientdet.md)."""
    laterals = [name for name, _ in BiFPN().named_modules() if name.endswith('lateral')]
    assert laterals == ['extra_lateral'] + [
        f'cells.0.nodes.{node}.edges.{edge}.lateral' for node, edge in ((1, 0), (2, 0), (3, 0), (4, 0), (5, 0))
    ]


def inputs(channels=(8, 12, 16), side=16, batch=2):
    return [torch.randn(batch, c, side >> i, side >> i, requires_grad=True) for i, c in enumerate(channels)]


@pytest.mark.parametrize('graph', ['fpn', 'pafpn', 'bifpn', 'fully_connected', 'nas_fpn'])
def test_any_graph(graph):
    neck = GraphFPN([8, 12, 16], 24, graph, num_cells=2, fusion='softmax').eval()
    outputs = neck(inputs(side=24))
    assert [tuple(x.shape) for x in outputs] == [(2, 24, side, side) for side in (24, 12, 6, 3, 2)]
    sum(x.sum() for x in neck.train()(inputs(side=24))).backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_a_graph_from_a_config():
    graph = dict(inputs=[3, 4, 5], nodes=[[5, [2, 1]], [4, [1, 3], 'fast'], [3, [0, 4]]], outputs=[5, 4, 3])
    neck = GraphFPN([8, 12, 16], 24, graph)
    assert [tuple(x.shape[1:]) for x in neck(inputs())] == [(24, 16, 16), (24, 8, 8), (24, 4, 4)]


def test_checkpointing_changes_nothing():
    torch.manual_seed(0)
    plain = BiFPN((8, 12, 16), 24, num_cells=2)
    lean = BiFPN((8, 12, 16), 24, num_cells=2, with_cp=True)
    lean.load_state_dict(plain.state_dict())
    maps = inputs()
    gradients = []
    for neck in (plain, lean):
        sum((x * x).sum() for x in neck(maps)).backward()
        gradients.append([p.grad for p in neck.parameters()] + [x.grad.clone() for x in maps])
        for x in maps:
            x.grad = None
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert_equal_after_a_step(plain, lean)


def assert_equal_after_a_step(plain, lean):
    for (name, ours), theirs in zip(plain.named_parameters(), lean.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5), name
    for (name, ours), theirs in zip(plain.named_buffers(), lean.buffers(), strict=True):
        assert torch.allclose(ours, theirs), name
        assert not name.endswith('num_batches_tracked') or ours == 1, name


def test_head_checkpointing_changes_nothing():
    plain, lean = head(), head(with_cp=True)
    lean.load_state_dict(plain.state_dict())
    features = [torch.randn(2, 64, 8 >> i or 1, 8 >> i or 1, requires_grad=True) for i in range(5)]
    for model in (plain, lean):
        scores, deltas = model.train()(features)
        sum(x.square().sum() for x in (*scores, *deltas)).backward()
    assert_equal_after_a_step(plain, lean)


def test_no_unused_parameter():
    network = build(config('d0'))
    network.train()
    scores, deltas = network.bbox_head(network.extract_feat(torch.randn(2, 3, 128, 128)))
    sum(x.square().mean() for x in (*scores, *deltas)).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.long
def test_compiles_and_exports():
    neck = BiFPN((8, 12, 16), 24, num_cells=2).eval()
    maps = tuple(x.detach() for x in inputs(side=20))
    expected = neck(maps)
    compiled = torch.compile(neck, backend='eager', fullgraph=True)(maps)
    exported = torch.export.export(neck, (maps,)).module()(maps)
    traced = torch.jit.trace(neck, (maps,))(maps)
    for result in (compiled, exported, traced):
        assert all(map(torch.equal, result, expected))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(graph='bifnp'), "unknown graph 'bifnp'"),
        (dict(fusion='mean'), "unknown merge 'mean'"),
        (dict(fusion=['fast']), r"unknown merge \['fast'\]"),
        (dict(num_cells=3.0), 'num_cells must be an integer of at least 1, got 3.0'),
        (dict(graph=bifpn(3, 7), start_level=3.0), 'start_level must be an integer of at least 0, got 3.0'),
        (dict(graph={1: 2, 'a': 3}), r"needs a dict with inputs, nodes and outputs, got \['1', 'a'\]"),
        (dict(num_cells=0), 'num_cells must be an integer of at least 1, got 0'),
        (dict(in_channels=[8, 12, 16, 20, 24, 28]), 'in_channels has 6 entries for 5 levels from 3 to 7'),
        (dict(start_level=7), 'low < high, got 7 to 7'),
        (
            dict(graph=dict(inputs=[3, 5], nodes=[[3, [0, 1]], [4, [1, 2]]], outputs=[2, 3])),
            r'consecutive levels from 3, got \(3, 5\)',
        ),
        (dict(in_channels=64), 'in_channels must be a list of positive integers, got 64'),
        (dict(in_channels=[8, 0]), r'in_channels must be a list of positive integers, got \[8, 0\]'),
        (dict(out_channels='24'), "out_channels must be an integer of at least 1, got '24'"),
        (dict(graph=bifpn(3, 7), end_level=6), 'end_level is 6, but the graph ends at level 7'),
        (
            dict(graph=dict(inputs=[3, 4, 5], nodes=[[3, [0, 2]]], outputs=[3])),
            'no node of the graph reads the input of level 4',
        ),
        (
            dict(graph=dict(inputs=[3, 4], nodes=[[3, [0, 1], 'sum', 'mbconv']], outputs=[2]), in_channels=[8]),
            r"unknown block 'mbconv', known are conv",
        ),
        (
            dict(graph=dict(inputs=[3, 4, 5], nodes=[[3, [0, 1, 2]]], outputs=[3]), num_cells=2),
            r'input levels \(3, 4, 5\) and output levels \(3,\) cannot be repeated',
        ),
    ],
)
def test_a_graph_that_does_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        GraphFPN(**{'in_channels': [8, 12, 16], 'out_channels': 24, 'graph': 'bifpn', **options})


def test_maps_that_do_not_fit():
    neck = BiFPN((8, 12, 16), 24)
    with pytest.raises(InputError, match=r'in_channels is \(8, 12, 16\), but the backbone gives maps with \(8, 12\)'):
        neck(inputs((8, 12)))
    with pytest.raises(InputError, match='image is too small, level 6 has one cell and level 7 would vanish'):
        neck(inputs(side=8))
    with pytest.raises(InputError, match='in_channels is 64, but the neck gives 32 channels'):
        head()([torch.randn(1, 32, 2, 2)] * 5)
    with pytest.raises(InputError, match='the neck gives 6 levels, the anchor generator has strides for 5'):
        EfficientDetHead(**{k: v for k, v in config('d0').model.bbox_head.items() if k != 'type'})(
            [torch.randn(1, 64, 2, 2)] * 6
        )


@pytest.mark.parametrize(
    'act_cfg', [None, dict(type='Swish'), dict(type='GELU'), dict(type='PReLU'), dict(type='ReLU6')]
)
def test_any_activation(act_cfg):
    maps = inputs()
    before = [x.detach().clone() for x in maps]
    GraphFPN([8, 12, 16], 24, 'fpn', act_cfg=act_cfg)(maps)
    assert all(map(torch.equal, maps, before)), 'what comes in is not written over'


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype):
    neck = BiFPN((8, 12, 16), 24, num_cells=1)
    with torch.autocast('cpu', dtype):
        outputs = neck(inputs())
        loss = sum(x.float().square().mean() for x in outputs)
    loss.backward()
    assert {x.dtype for x in outputs} <= {dtype, torch.float32}
    assert all(torch.isfinite(p.grad).all() for p in neck.parameters())


def test_lite_backbones_drop_paths():
    """google/automl, efficientnet_model.py: survival 1 - 0.2 i / N of block i, which acts where there is a shortcut."""
    network = build(load_config('efficientdet_lite0_8xb16-crop320-300e_coco')).backbone
    blocks = [block for layer in network.layers[1:] for block in layer]
    rates = {i: getattr(block.drop_path, 'drop_prob', 0.0) for i, block in enumerate(blocks) if block.shortcut}
    assert len(blocks) == 16
    assert rates == {i: pytest.approx(0.2 * i / 16) for i in rates}
    assert max(rates.values()) > 0.15
