"""The ways to run one network: as it is, with norms folded, in another precision or memory layout, compiled, as a CUDA
graph, in ONNX Runtime."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from mmcv.cnn import ConvModule, fuse_conv_bn
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmlight.analysis.complexity import inference
from mmlight.errors import InputError

VARIANTS = {
    'eager': 'PyTorch, the network as it is',
    'fused': 'norms folded into the convolutions',
    'channels-last': 'fused, maps with the channels last in memory',
    'bf16': 'fused, bfloat16 autocast',
    'fp16': 'fused, float16 autocast',
    'compile': 'fused, the parts compiled by torch.compile',
    'cuda-graph': 'fused, replayed as one CUDA graph',
    'onnx': 'ONNX Runtime, float32',
}
"""Name -> what it is. All but the first begin with folded norms where that changes nothing."""

PARTS = ('net', 'e2e')
"""``net``: an image to the heads' outputs; ``e2e``: to boxes after suppression, or to labels in the image's size. A
second stage of ``net`` has as many proposals as the config allows, that of ``e2e`` those that its first one finds."""

HEADS = ('rpn_head', 'bbox_head', 'decode_head')


class RawOutputs(nn.Module):
    """Image to what the heads put out, before any decoding; a second stage takes fixed RoIs.

    Args:
        model: A detector or segmentor.
        shape: (height, width) of the image.
    """

    outputs = ('outputs',)

    def __init__(self, model: BaseModel, shape: tuple[int, int]):
        super().__init__()
        self.model = model
        number = ((getattr(model, 'test_cfg', None) or {}).get('rpn') or {}).get('max_per_img', 0)
        number = number if hasattr(model, 'roi_head') else 0
        sides = [float(min(64, side)) for side in reversed(shape)]
        self.register_buffer('rois', torch.tensor([0.0, 0.0, 0.0, *sides]).repeat(number, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.extract_feat(image)
        heads = [head for name in HEADS if isinstance(head := getattr(self.model, name, None), nn.Module)]
        found = [head(maps) for head in heads]
        if len(self.rois):
            rois = torch.cat(
                [self.rois + index * self.rois.new_tensor([1.0, 0, 0, 0, 0]) for index in range(len(image))]
            )
            second = self.model.roi_head._bbox_forward(maps, rois)
            found += [second['cls_score'], second['bbox_pred']]
        return tuple(leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor))


def fold_norms(network: nn.Module, shape: tuple[int, int]) -> nn.Module | None:
    """A copy with norms folded into the convolutions before them, or None where that changes what is computed.

    mmcv's folding takes each norm for that of the last convolution beside it, whatever stands between them (as the
    concatenations of CGNet and ERFNet); only the order inside of mmcv's ``ConvModule`` is looked after here.
    """
    copied = copy.deepcopy(network).eval()
    for module in copied.modules():
        if (
            isinstance(module, ConvModule)
            and module.with_norm
            and module.order.index('norm') < module.order.index('conv')
        ):
            module._modules['conv'] = module._modules.pop('conv')  # behind its norm, so that they are no pair
    image = torch.rand(1, 3, *shape, device=next(network.parameters()).device)
    run = RawOutputs(copied, shape).to(image.device) if isinstance(copied, BaseModel) else copied
    with inference(copied, shape) as (forward, _):
        function = partial(run, image)
        try:
            before = _numbers(function())
        except Exception:  # heads in a row, or of queries: the library's own way through them
            function = forward
            before = _numbers(function())
        try:
            fuse_conv_bn(copied)
            after = _numbers(function())
        except (RuntimeError, InputError):  # shapes do not fit
            return None
    # of the largest value: what a random network makes of rounding grows with its depth
    near = all((a - b).abs().max() <= 1e-3 * a.abs().max().clamp(min=1) for a, b in zip(before, after, strict=True))
    return copied if near else None


def _numbers(outputs: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def check(variant: str, device: torch.device) -> None:
    """Raises:
    InputError: there is no such variant, or not on this device.
    """
    if variant not in VARIANTS:
        raise InputError(f'--columns {variant}: allowed are {", ".join(VARIANTS)}')
    if variant in ('fp16', 'cuda-graph') and device.type != 'cuda':
        raise InputError(f'--columns {variant}: needs a GPU, this run is on the {device}')
    if variant == 'onnx' and device.type != 'cpu':
        raise InputError(f'--columns onnx: is measured on the CPU, this run is on {device}')


def available(device: torch.device) -> list[str]:
    """The variants that this device can have; ``compile``, which takes minutes, is left to the user."""
    only = ('fp16', 'cuda-graph') if device.type == 'cpu' else ('onnx',)
    return [name for name in VARIANTS if name not in (*only, 'compile')]


@contextmanager
def runnable(
    network: BaseModel,
    shape: tuple[int, int],
    variant: str,
    part: str,
    batch: int,
    threads: int,
    exported: dict | None = None,
) -> Iterator[Callable[[], object]]:
    """A function that runs ``part`` of the network on random images once.

    Args:
        network: in evaluation mode on its device: as it is for ``eager``, with norms folded for all others.
        shape: (height, width) of the images.
        variant: name in :data:`VARIANTS`.
        part: name in :data:`PARTS`.
        batch: number of images.
        threads: of ONNX Runtime's session.
        exported: keeps what was exported from one call to the next, where other threads want it.

    Raises:
        InputError: the network has no exported form.
    """
    if variant == 'onnx':
        exported = {} if exported is None else exported
        key = id(network), part, batch
        if key not in exported:
            exported[key] = _exported(network, shape, part, batch)
        session = _session(exported[key], threads)
        data = torch.rand(batch, 3, *shape).numpy()
        yield lambda: session.run(None, {'image': data})
        return
    twin = _twin(network)  # what is changed below concerns this function alone
    device = next(network.parameters()).device
    if variant == 'channels-last':
        twin = copy.deepcopy(network).to(memory_format=torch.channels_last)
    if variant == 'compile':
        for name in ('backbone', 'neck', *HEADS):
            if isinstance(getattr(twin, name, None), nn.Module):
                getattr(twin, name).compile()
    dtype = {'bf16': torch.bfloat16, 'fp16': torch.float16}.get(variant)
    autocast = torch.autocast(device.type, dtype) if dtype else nullcontext()
    if part == 'net':
        with inference(twin, shape, batch=batch) as (forward, _), torch.no_grad():
            yield _graph(forward) if variant == 'cuda-graph' else _within(autocast, forward)
    else:
        if variant == 'cuda-graph':
            raise InputError('cuda-graph: suppression has outputs of changing size')
        yield _within(autocast, _end_to_end(twin, shape, batch, device))


def _twin(network: BaseModel) -> BaseModel:
    """A copy that shares the weights."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


def _within(context: object, function: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad(), context:
            return function()

    return run


def _end_to_end(network: BaseModel, shape: tuple[int, int], batch: int, device: torch.device) -> Callable[[], object]:
    """The library's own prediction; a segmentor's with one enlargement of the logits."""
    from mmlight.analysis.complexity import _samples

    image = torch.rand(batch, 3, *shape, device=device)
    if isinstance(getattr(network, 'decode_head', None), nn.Module):
        metas = [sample.metainfo for sample in _samples(shape) * batch]
        return lambda: network.encode_decode(image, metas).argmax(1)
    return lambda: network(image, [_samples(shape)[0] for _ in range(batch)], mode='predict')


def _graph(function: Callable[[], object]) -> Callable[[], object]:
    """``function`` captured as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # warm-up, as capture allows no allocation of workspaces
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def _exported(network: BaseModel, shape: tuple[int, int], part: str, batch: int) -> bytes:
    """An ONNX file's content."""
    from mmlight.deployment.export import OPSETS, make_graph, write

    twin = _twin(network)
    graph: nn.Module = RawOutputs(twin, shape).eval()
    if part == 'e2e':
        graph = make_graph(twin)
        graph.normalize = nn.Identity()  # as with the other variants
    if batch > 1 and getattr(graph, 'two_stage', False):
        raise InputError('onnx: the second stage takes one image')
    image, buffer = torch.rand(batch, 3, *shape), io.BytesIO()
    if part == 'net':
        with torch.no_grad():
            graph.outputs = tuple(f'output{index}' for index in range(len(graph(image))))
    write(graph, image, buffer, OPSETS[0])
    return buffer.getvalue()


def _session(content: bytes, threads: int) -> Any:
    from mmlight.deployment.verification import open_session

    return open_session(content, threads)
