"""The ways to run one network: as it is, with norms folded, in another precision or memory layout, compiled, as a CUDA
graph, in ONNX Runtime."""

from __future__ import annotations

import copy
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._pytree import tree_leaves

from mmlight.errors import InputError
from mmlight.runtime.inference import inference

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
    """Image to what the heads put out (the maps, without heads), before any decoding; a second stage takes fixed RoIs.

    Args:
        model: A detector or segmentor.
        shape: (height, width) of the image.
    """

    outputs: tuple[str, ...] = ('outputs',)
    rois: Tensor

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
        found = [head(maps) for head in heads] or [maps]
        if len(self.rois):
            rois = torch.cat(
                [self.rois + index * self.rois.new_tensor([1.0, 0, 0, 0, 0]) for index in range(len(image))]
            )
            second = self.model.roi_head._bbox_forward(maps, rois)
            found += [second['cls_score'], second['bbox_pred']]
        return tuple(leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor))


def fold_norms(network: nn.Module, shape: tuple[int, int]) -> nn.Module | None:
    """A copy with norms folded into the convolutions before them, or None where that changes the outputs.

    What follows what is seen in a run on a random image: a norm is folded if it always takes what one convolution has
    just put out and no other norm does. mmcv's folding goes by the order of the modules, which misleads where a
    convolution is shared (a head's over levels with norms of their own) or something stands between. Norms that the run
    does not come by, such as those of a mask branch, stay. At last the outputs are compared.

    Raises:
        InputError: the network cannot run on such an image.
    """
    copied = copy.deepcopy(network).eval()
    if not any(isinstance(module, _BatchNorm) for module in copied.modules()):
        return copied
    first = next(copied.parameters())
    image = torch.rand(1, 3, *shape, device=first.device, dtype=first.dtype)
    run = RawOutputs(copied, shape).to(image.device) if isinstance(copied, BaseModel) else copied
    exact = torch.backends.cudnn.flags(allow_tf32=False), torch.autocast(image.device.type, enabled=False)
    with inference(copied, shape) as (forward, _), exact[0], exact[1]:
        function: Callable[[], object] = partial(run, image)
        try:
            before = _numbers(function())
        except Exception:  # heads in a row, or of queries: the library's own way through them, or its error
            function = forward
            before = _numbers(function())
        pairs = _pairs(copied, function)
        _fold(pairs)
        norms = {norm for _, norm in pairs}
        for module in copied.modules():
            module._modules |= {name: nn.Identity() for name, child in module._modules.items() if child in norms}
        after = _numbers(function())
    # of the largest value: what a random network makes of rounding grows with its depth
    near = all((a - b).abs().max() <= 1e-3 * a.abs().max() + 1e-6 for a, b in zip(before, after, strict=True))
    return copied if near else None


def _pairs(network: nn.Module, function: Callable[[], object]) -> list[tuple[nn.Conv2d, _BatchNorm]]:
    """Convolutions and norms of which either sees nothing but the other in a run."""
    # with the number of changes in place; kept, so that no other tensor gets the place of one
    outputs: list[tuple[Tensor, int, Any]] = []
    calls: Counter[Any] = Counter()
    taken: Counter[tuple[Any, Any]] = Counter()

    def leave(module: nn.Module, args: tuple, output: Tensor) -> None:
        outputs.append((output, output._version, module))
        calls[module] += 1

    def enter(module: nn.Module, args: tuple) -> None:
        same = (conv for x, changes, conv in reversed(outputs) if args and x is args[0] and x._version == changes)
        maker = next(same, None)
        calls[module] += 1
        taken[maker, module] += 1

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(leave))
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(enter))
    try:
        function()
    finally:
        for hook in hooks:
            hook.remove()
    return [(conv, norm) for (conv, norm), n in taken.items() if conv and calls[conv] == calls[norm] == n]


def _fold(pairs: list[tuple[nn.Conv2d, _BatchNorm]]) -> None:
    """The norm's scale and shift go into the convolution."""
    for conv, norm in pairs:
        statistics: tuple[Any, Any, float] = norm.running_mean, norm.running_var, norm.eps
        conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.weight, norm.bias)


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


def _within(context: AbstractContextManager, function: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad(), context:
            return function()

    return run


def _end_to_end(network: BaseModel, shape: tuple[int, int], batch: int, device: torch.device) -> Callable[[], object]:
    """The library's own prediction; a segmentor's with one enlargement of the logits."""
    from mmlight.runtime.inference import empty_samples

    image = torch.rand(batch, 3, *shape, device=device)
    if isinstance(getattr(network, 'decode_head', None), nn.Module):
        metas = [sample.metainfo for sample in empty_samples(shape) * batch]
        return lambda: network.encode_decode(image, metas).argmax(1)
    return lambda: network(image, [empty_samples(shape)[0] for _ in range(batch)], mode='predict')


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
    from mmlight.deploy.export import OPSETS, make_graph, write

    twin = _twin(network)
    graph: Any = RawOutputs(twin, shape).eval()
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
    from mmlight.deploy.verification import open_session

    return open_session(content, threads)
