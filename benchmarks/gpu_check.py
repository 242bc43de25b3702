"""Everything that only a GPU can show, in one run: operators, PSRoIAlign, a training of each family, torch.compile.

    python -m benchmarks.gpu_check [--device cuda] [--only 'train*'] [--json gpu_check.json]

Operators are compared with the CPU's results and gradients; a family trains three steps, validates and predicts
through mmengine's Runner on the sample data set, once in single and once in mixed precision; its network is compiled
and compared with itself. Goes on after a failure; exit code 1 if something failed. ``--device cpu`` tries the script.
"""

import argparse
import fnmatch
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import mmlight  # isort: skip

FAMILIES = {
    'thundernet': 'thundernet/thundernet_snet49_sample.py',
    'bisenet': 'bisenet/bisenet_xception39_sample.py',
    'dfanet': 'dfanet/dfanet_a_sample.py',
    'efficientdet': 'efficientdet/efficientdet_d0_sample.py',
    'ssdlite': 'shufflenet/ssdlite_shufflenet-v2-x1_8xb24-600e_coco-320.py',
    'rfcn': 'rfcn/rfcn_shufflenet-v2_bccd.py',
    'light_head_rcnn': 'light_head_rcnn/light-head-rcnn_xception-s_sample.py',
    'nas_fpn': 'nas_fpn/retinanet_r18_nasfpn-3x64_sample.py',
    'stage_supernet': 'cr_nas/stage-supernet_r18_sample.py',
    'op_supernet': 'cr_nas/op-supernet_r18_sample.py',
    'spinenet': 'spinenet/retinanet_spinenet-49s_sample.py',
}
BUDGET = 140.0  # seconds, after which networks are compiled without code generation
STEPS = 3


class Case:
    """Random arguments of an operator, the same on every device; ``leaf`` ones get a gradient."""

    def __init__(self, device: str) -> None:
        import torch

        self.device, self.leaves = device, []
        self.generator = torch.Generator().manual_seed(0)

    def leaf(self, *shape: int):
        self.leaves.append(self.normal(*shape).requires_grad_())
        return self.leaves[-1]

    def normal(self, *shape: int):
        import torch

        return torch.randn(*shape, generator=self.generator).to(self.device)

    def uniform(self, *shape: int, high: float = 1.0):
        import torch

        return (torch.rand(*shape, generator=self.generator) * high).to(self.device)

    def labels(self, count: int, classes: int):
        import torch

        return torch.randint(0, classes, (count,), generator=self.generator).to(self.device)

    def boxes(self, count: int, size: float = 100.0):
        import torch

        corner = self.uniform(count, 2, high=size)
        return torch.cat([corner, corner + 1 + self.uniform(count, 2, high=size / 2)], 1)

    def rois(self, count: int, images: int, size: float):
        import torch

        return torch.cat([self.labels(count, images)[:, None].float(), self.boxes(count, size)], 1)


def operators() -> dict[str, Callable]:
    """Name -> function of a :class:`Case` that calls the operator; returns a tensor or several."""
    import torch
    from mmcv import ops

    return {
        'nms': lambda c: ops.nms(c.boxes(2000), c.uniform(2000), 0.5),
        'batched_nms': lambda c: ops.batched_nms(
            c.boxes(2000), c.uniform(2000), c.labels(2000, 80), dict(type='nms', iou_threshold=0.5)
        ),
        'batched soft_nms': lambda c: ops.batched_nms(
            c.boxes(500), c.uniform(500), c.labels(500, 20), dict(type='soft_nms', iou_threshold=0.3, min_score=0.05)
        ),
        'nms_match': lambda c: [len(g) for g in ops.nms_match(_dets(c, 200), 0.4)],
        'roi_align avg': lambda c: ops.roi_align(c.leaf(2, 8, 32, 40), c.rois(60, 2, 300), 7, 1 / 8, 0, 'avg', True),
        'roi_align max': lambda c: ops.roi_align(c.leaf(2, 8, 32, 40), c.rois(60, 2, 300), 7, 1 / 8, 2, 'max', True),
        'roi_pool': lambda c: ops.roi_pool(c.leaf(2, 8, 32, 40), c.rois(60, 2, 300), 7, 1 / 8),
        'deform_conv2d': lambda c: ops.deform_conv2d(
            c.leaf(2, 16, 24, 30), c.leaf(2, 18, 24, 30), c.leaf(8, 16, 3, 3), 1, 1
        ),
        'modulated_deform_conv2d': lambda c: ops.modulated_deform_conv2d(
            c.leaf(2, 16, 24, 30),
            c.leaf(2, 36, 24, 30),
            c.leaf(2, 18, 24, 30),
            c.leaf(8, 8, 3, 3),
            c.leaf(8),
            1,
            1,
            1,
            2,
            2,
        ),
        'deform_roi_pool': lambda c: ops.deform_roi_pool(
            c.leaf(2, 8, 32, 40), c.rois(60, 2, 150), c.leaf(60, 2, 7, 7), (7, 7), 1 / 8, 2, 0.1
        ),
        'ms_deform_attn': _attention,
        'masked_conv2d': lambda c: ops.masked_conv2d(
            c.normal(1, 8, 20, 30), c.normal(1, 20, 30) > 0, c.normal(8, 8, 3, 3), c.normal(8), 1
        ),
        'carafe': lambda c: ops.carafe(c.leaf(2, 16, 20, 20), c.leaf(2, 25, 40, 40), 5, 1, 2),
        'psa_mask': lambda c: ops.PSAMask('collect', (15, 15))(c.leaf(2, 225, 12, 12)),
        'softmax_focal_loss': lambda c: ops.softmax_focal_loss(
            c.leaf(500, 20), c.labels(500, 20), 2.0, 0.25, None, 'sum'
        ),
        'bbox_overlaps': lambda c: ops.bbox_overlaps(c.boxes(300), c.boxes(500)),
        'nms_rotated': lambda c: ops.nms_rotated(_rotated(c, 300), c.uniform(300), 0.3),
        'box_iou_rotated': lambda c: ops.box_iou_rotated(_rotated(c, 100), _rotated(c, 200)),
        'roi_align_rotated': lambda c: ops.roi_align_rotated(
            c.leaf(2, 8, 32, 40), torch.cat([c.labels(60, 2)[:, None].float(), _rotated(c, 60)], 1), 7, 1 / 8, 2
        ),
        'sigmoid_focal_loss': lambda c: ops.sigmoid_focal_loss(c.leaf(500, 20), c.labels(500, 21), 2.0, 0.25),
    }


def _attention(case: Case):
    import torch
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch

    shapes, starts = torch.tensor([[20, 16], [10, 8]]).to(case.device), torch.tensor([0, 320]).to(case.device)
    case.leaves.append(at := case.uniform(2, 50, 4, 2, 4, 2).requires_grad_())
    value, weights = case.leaf(2, 400, 4, 8), case.leaf(2, 50, 4, 2, 4)
    if case.device == 'cpu':
        return multi_scale_deformable_attn_pytorch(value, shapes, at, weights)
    return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, at, weights, 64)


def _rotated(case: Case, count: int):
    import torch

    return torch.cat([case.uniform(count, 2, high=200), 5 + case.uniform(count, 2, high=60), case.normal(count, 1)], 1)


def _dets(case: Case, count: int):
    import torch

    return torch.cat([case.boxes(count), case.uniform(count, 1)], 1)


def check_operator(call: Callable, device: str) -> str:
    """Results and gradients on ``device`` against the CPU's; the time of the second call there."""
    import torch

    results, seconds = [], 0.0
    for place in ('cpu', device, device):
        case = Case(place)
        start = now(device)
        output = call(case)
        tensors = [output] if isinstance(output, torch.Tensor) else list(output)
        floats = [t for t in tensors if isinstance(t, torch.Tensor) and t.requires_grad]
        if floats:
            sum(t.square().sum() for t in floats).backward()
        seconds = now(device) - start
        results.append([_on_cpu(t) for t in tensors] + [_on_cpu(leaf.grad) for leaf in case.leaves])
    for cpu, other in zip(results[0], results[1], strict=True):
        torch.testing.assert_close(other, cpu, atol=1e-3, rtol=1e-3, check_dtype=True)
    return f'{seconds * 1e3:.2f} ms'


def _on_cpu(value):
    return value.detach().cpu() if hasattr(value, 'detach') else value


def check_ps_roi_align(mode: str, count: int, device: str) -> str:
    """PSRoIAlign of Light-Head's size against the CPU, and its times forward and with backward."""
    import torch

    from mmlight.ops import PSRoIAlign

    pool = PSRoIAlign(7, 1 / 16, sampling_ratio=2, mode=mode)
    results = []
    for place in ('cpu', device):
        case = Case(place)
        features, rois = case.leaf(2, 490, 40, 60), case.rois(count, 2, 600)
        output = pool(features, rois)
        output.square().sum().backward()
        results.append((output.detach().cpu(), features.grad.cpu()))
    difference = max((a - b).abs().max().item() for a, b in zip(*results, strict=True))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    forward = shortest(lambda: pool(features.detach(), rois), device)
    both = shortest(lambda: pool(features, rois).sum().backward(), device)
    return f'largest difference {difference:.1e}; forward {forward:.2f} ms, with backward {both:.2f} ms'


def now(device: str) -> float:
    import torch

    if device != 'cpu':
        torch.cuda.synchronize()
    return time.perf_counter()


def shortest(function: Callable, device: str, repeats: int = 5) -> float:
    """Milliseconds of the quickest call."""
    times = []
    for _ in range(repeats):
        start = now(device)
        function()
        times.append((now(device) - start) * 1e3)
    return min(times)


def family_config(name: str, work: Path):
    """The family's config on the sample data set: a few steps, no workers, no weights to download."""
    from mmengine.config import Config

    from mmlight.data import sample

    root = Path(mmlight.__file__).resolve().parents[1] / 'configs'
    cfg = Config.fromfile(root / FAMILIES[name])
    data = sample.generate(work / 'data', num_train=8, num_val=2, size=(160, 128), progress=False)
    if cfg.default_scope == 'mmdet':
        _set_classes(cfg.model, len(sample.CLASSES))
    if name == 'rfcn':  # one score and one box map a bin
        cfg.model.neck.out_channels = 49 * (channels := len(sample.CLASSES) + 1 + 4)
        cfg.model.roi_head.bbox_roi_extractor.out_channels = channels
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=4 if split == 'train' else 1)
        loader.pop('prefetch_factor', None)
        dataset = loader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        side = 'train' if split == 'train' else 'val'
        dataset.data_root = f'{data}/'
        if cfg.default_scope == 'mmdet':
            dataset.update(
                ann_file=f'annotations/instances_{side}.json',
                data_prefix=dict(img=f'leftImg8bit/{side}/'),
                metainfo=dict(classes=sample.CLASSES),
            )
            if split != 'train':
                cfg[f'{split}_evaluator'] = dict(
                    type='CocoMetric', ann_file=f'{data}/annotations/instances_val.json', metric='bbox'
                )
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=STEPS, val_interval=STEPS)
    cfg.param_scheduler = []
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=STEPS)
    cfg.log_processor = dict(by_epoch=False)
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(work / name)
    return cfg


def _set_classes(node: dict, count: int) -> None:
    for key, value in node.items():
        if key == 'num_classes' and value > 1:
            node[key] = count
        for child in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(child, dict):
                _set_classes(child, count)


def check_training(name: str, amp: bool, device: str, work: Path) -> str:
    """Train a few steps, validate, predict; in mixed precision half floats on a GPU, bfloat16 on the CPU."""
    import torch
    from mmengine.runner import Runner

    cfg = family_config(name, work)
    cfg.experiment_name = f'{name}-{amp}-{time.time_ns()}'
    if amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.dtype = 'bfloat16' if device == 'cpu' else 'float16'
    runner = Runner.from_cfg(cfg)
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
    start = now(device)
    runner.train()
    trained = now(device) - start
    losses = [float(value) for value, _ in zip(*runner.message_hub.get_scalar('train/loss').data, strict=True)]
    if not amp and not all(value == value and abs(value) < 1e6 for value in losses):
        raise ArithmeticError(f'losses {losses}')
    places = {parameter.device.type for parameter in runner.model.parameters()}
    if places != {device.partition(':')[0]}:
        raise RuntimeError(f'the model is on {places}')
    runner.test()
    memory = '' if device == 'cpu' else f', {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB'
    return f'{STEPS} steps and validation {trained:.1f} s, losses {losses[0]:.3g} to {losses[-1]:.3g}{memory}'


def check_compile(name: str, device: str, work: Path, backend: str) -> str:
    """The network's features compiled, against the uncompiled ones; milliseconds of both."""
    import torch
    from mmengine.registry import MODELS, init_default_scope

    cfg = family_config(name, work)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    from mmengine.model import revert_sync_batchnorm

    model = MODELS.build(cfg.model).to(device).eval()
    model = revert_sync_batchnorm(model) if device == 'cpu' else model
    image = Case(device).normal(1, 3, 320, 320)
    torch._dynamo.reset()
    compiled = torch.compile(model.extract_feat, backend=backend)
    with torch.no_grad():
        expected = model.extract_feat(image)
        start = now(device)
        found = compiled(image)
        first = now(device) - start
        for a, b in zip(_leaves(expected), _leaves(found), strict=True):
            torch.testing.assert_close(b, a, atol=1e-2, rtol=1e-2)
        plain, quick = (shortest(lambda f=f: f(image), device) for f in (model.extract_feat, compiled))
    return f'{backend}: compiled in {first:.1f} s; {plain:.1f} ms, compiled {quick:.1f} ms'


def _leaves(value) -> Iterator:
    from torch.utils._pytree import tree_leaves

    return tree_leaves(value)


def checks(device: str, work: Path, started: float) -> dict[str, Callable[[], str]]:
    """Every check under its name, in order of importance."""
    found = {f'operator {name}': lambda call=call: check_operator(call, device) for name, call in operators().items()}
    for mode in ('avg', 'max'):
        for count in (200, 1000):
            found[f'PSRoIAlign {mode}, {count} RoIs'] = lambda m=mode, n=count: check_ps_roi_align(m, n, device)
    for name in FAMILIES:
        for amp in (False, True):
            found[f'train {name}{", AMP" if amp else ""}'] = lambda n=name, a=amp: check_training(n, a, device, work)

    def backend() -> str:
        return 'aot_eager' if device == 'cpu' or time.perf_counter() - started > BUDGET else 'inductor'

    for name in FAMILIES:
        found[f'compile {name}'] = lambda n=name: check_compile(n, device, work, backend())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cuda', help='cuda (default) or cpu')
    parser.add_argument('--only', default='*', help="names of checks, such as 'train*'")
    parser.add_argument('--json', default='gpu_check.json', help='file to write (default gpu_check.json)')
    args = parser.parse_args()
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    on = 'CPU' if args.device == 'cpu' else torch.cuda.get_device_name()
    print(f'{on}, torch {torch.__version__}, Python {sys.version.split()[0]}', flush=True)
    rows, started = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        for name, check in checks(args.device, Path(work), started).items():
            if not fnmatch.fnmatch(name, args.only):
                continue
            start = time.perf_counter()
            try:
                row = dict(name=name, ok=True, note=check())
            except Exception as error:
                row = dict(name=name, ok=False, note=f'{type(error).__name__}: {" ".join(str(error).split())[:300]}')
                row['traceback'] = traceback.format_exc()
            row['seconds'] = round(time.perf_counter() - start, 2)
            rows.append(row)
            print(f'{"ok" if row["ok"] else "FAILED":7}{row["seconds"]:7.1f} s  {name:32}{row["note"]}', flush=True)
            Path(args.json).write_text(json.dumps(dict(device=on, torch=torch.__version__, checks=rows), indent=1))
    failed = [row['name'] for row in rows if not row['ok']]
    print(
        f'{len(rows) - len(failed)} of {len(rows)} passed in {time.perf_counter() - started:.0f} s', *failed, sep='\n  '
    )
    return int(bool(failed) or not rows)


if __name__ == '__main__':
    sys.exit(main())
