"""A config's network as an ONNX file that needs nothing beside it, and that is known to compute the same."""

from __future__ import annotations

import importlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

import mmlight
from mmlight.deploy.graphs import DetectorGraph, SegmentorGraph
from mmlight.deploy.random_weights import liven
from mmlight.deploy.roi_features import exportable_extractors
from mmlight.errors import InputError
from mmlight.files import folder_beside
from mmlight.runtime.config import load_config
from mmlight.runtime.device import use_device
from mmlight.runtime.inference import evaluated_shape
from mmlight.runtime.model import build_model, published_weights

OPSETS = (17, 20)
"""Least and largest opset: the one with all operators needed, and the last that PyTorch's exporter writes."""

AXES = {'batch': 0, 'height': 2, 'width': 3}
KEY = 'mmlight'
"""Under this key the file's metadata holds what :func:`describe` returns, as JSON."""


@dataclass(frozen=True)
class Exported:
    """What :func:`export` made: the file, what its metadata says, the graph and the network in PyTorch."""

    file: Path
    description: dict[str, Any]
    graph: nn.Module
    model: BaseModel


def needs(package: str) -> ModuleType:
    """Import a package of the extra ``onnx``.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(f'{package} is not installed: pip install onnx onnxruntime ({error})') from error


def export(
    config: str | os.PathLike | Config,
    weights: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    shape: Sequence[int] | None = None,
    dynamic: Sequence[str] = (),
    opset: int = OPSETS[0],
    logits: bool = False,
    cfg_options: dict | None = None,
) -> Exported:
    """Write a detector or segmentor with its pre- and postprocessing as an ONNX file; does not verify it.

    Soft suppression (``soft_nms``) becomes a hard one of the same overlap: ONNX has no operator for it.

    Args:
        config: path, name of a shipped config, or a loaded config.
        weights: checkpoint, ``'published'``, or a name in the catalogue of published weights; without one the model
            gets random weights, with a warning.
        out: the file; by default ``<config name>.onnx``.
        shape: (height, width) of the image, or one number for both; by default that of the test pipeline. Rounded up to
            what the data preprocessor pads to.
        dynamic: ``batch``, ``size`` or both: what may differ from batch 1 and ``shape``.
        opset: version of ONNX's operators.
        logits: a segmentor's logits instead of labels.
        cfg_options: dotted key -> value, merged into the config.

    Raises:
        InputError: an argument cannot work, a part of the network has no form in ONNX (it is named), or onnx is not
            installed.
    """
    onnx = needs('onnx')
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise InputError(f'--opset {opset}: allowed are {OPSETS[0]} to {OPSETS[1]}')
    unknown = set(dynamic) - {'batch', 'size'}
    if unknown:
        raise InputError(f'--dynamic {unknown.pop()}: allowed are batch and size')
    cfg = Config(config.to_dict(), filename=config.filename) if isinstance(config, Config) else None
    cfg = cfg or load_config(config, cfg_options)
    weights = published_weights(cfg, weights)
    softened = harden(cfg.model)
    file = Path(out or f'{Path(cfg.filename or "model").stem}.onnx')
    if file.is_dir():
        raise InputError(f'--out {file}: is a folder; must be a file')
    scale = _sides(shape) if shape is not None else evaluated_shape(cfg)
    size = _padded(scale, cfg.model.get('data_preprocessor'))
    with use_device('cpu'):
        model, meta = build_model(cfg, weights)
    if weights is None:
        liven(model, size)
    graph = make_graph(model, 'size' in dynamic, logits)
    if 'batch' in dynamic and getattr(graph, 'two_stage', False):
        raise InputError(
            f'--dynamic batch: {type(model).__name__} cannot be exported with it, its second stage takes one image'
        )
    description = describe(cfg, graph, meta, scale, size, dynamic, softened)
    description['weights'] = None if weights is None else str(weights)
    axes = [name for name in AXES if name in dynamic or (name != 'batch' and 'size' in dynamic)]
    try:
        with folder_beside(file) as folder:  # nothing half-written stays, whatever happens
            part = f'{folder}/part.onnx'
            write(graph, torch.zeros(1, 3, *size), part, opset, axes)
            written = onnx.load(part)
            onnx.helper.set_model_props(written, {KEY: json.dumps(description)})
            onnx.save(written, part)
            os.replace(part, file)
    except OSError as error:
        raise InputError(f'--out {file}: cannot be written ({error.strerror or error})') from error
    return Exported(file, description, graph, model)


def make_graph(model: BaseModel, dynamic: bool = False, logits: bool = False) -> SegmentorGraph | DetectorGraph:
    """The exported form of a detector or segmentor of mmdet or mmseg, in evaluation mode."""
    if hasattr(model, 'decode_head'):
        return SegmentorGraph(model, logits).eval()
    if logits:
        raise InputError(f'--output logits: {type(model).__name__} is not a segmentor')
    return DetectorGraph(model, dynamic).eval()


def write(graph: Any, image: torch.Tensor, file: str | BinaryIO, opset: int, axes: Sequence[str] = ()) -> None:
    """Export ``graph``, whose ``outputs`` are names; norms are folded into convolutions.

    Raises:
        InputError: an operator has no form in ONNX; the module that it stands in is named.
    """
    names = {AXES[axis]: axis for axis in axes}
    outputs = {name: ({0: 'batch'} if 'batch' in axes else {}) for name in graph.outputs}
    if isinstance(graph, SegmentorGraph) and 'height' in axes:
        ndim = 4 if graph.logits else 3
        outputs = {name: {**found, ndim - 2: 'height', ndim - 1: 'width'} for name, found in outputs.items()}
    try:
        with _quiet(), torch.no_grad(), exportable_extractors(graph):
            # The newer exporter (dynamo) needs another package and fixes sizes that are compared anywhere.
            torch.onnx.export(
                graph,
                (image,),
                file,  # type: ignore[arg-type]  # streams are written too
                dynamo=False,
                opset_version=opset,
                input_names=['image'],
                output_names=list(graph.outputs),
                dynamic_axes={'image': names, **outputs} if names else None,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise InputError(_unsupported(error, graph, image)) from error


def _unsupported(error: Exception, graph: nn.Module, image: torch.Tensor) -> str:
    found = re.search(r"operator '?(?:aten::)?(\w+)", str(error))
    if found is None:
        return f'{type(error).__name__}: {str(error).splitlines()[0]}'
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(graph, image, check_trace=False).inlined_graph
    nodes = traced.findAllNodes(f'aten::{found[1]}')
    where = nodes[0].scopeName().split('/')[-1].replace('__module.', '') if nodes else ''
    reason = ' '.join(str(error).split('.')[0].split())
    return f'operator {found[1]} in {where or type(graph).__name__}: has no form in ONNX ({reason})'


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's warnings about sizes that become constants: the file is verified."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def harden(node: Any) -> bool:
    """Replace soft suppression in a nested config by hard, in place; whether there was any."""
    if isinstance(node, dict) and node.get('type') == 'soft_nms':
        overlap = node.get('iou_threshold', 0.3)
        node.clear()
        node.update(type='nms', iou_threshold=overlap)
        return True
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    return sum(map(harden, parts)) > 0  # all of them


def describe(
    cfg: Config,
    graph: SegmentorGraph | DetectorGraph,
    meta: dict,
    scale: tuple[int, int],
    size: tuple[int, int],
    dynamic: Sequence[str],
    softened: bool,
) -> dict[str, Any]:
    """All that is needed to run the file besides itself, JSON-able.

    ``task``, ``classes`` and their ``palette`` (RGB); ``scale``, the (height, width) to which an image is resized
    bilinearly, with its ratio if ``keep_ratio``; ``size``, to which it is then padded at the right and the bottom with
    the BGR colour ``pad`` (if ``dynamic`` names ``size``: to a multiple of ``divisor``); ``score_thr`` and ``nms`` as
    they are in the file; ``mean`` and ``std``, which the file subtracts and divides by itself, in the order of
    ``channels``; where it comes from.
    """
    detects = isinstance(graph, DetectorGraph)
    preprocessor = graph.model.data_preprocessor
    std = graph.normalize.factor
    mean = [0.0] * 3 if graph.normalize.mean is None else graph.normalize.mean.flatten().tolist()
    classes = [str(name) for name in meta.get('classes') or ()]
    number = _number_of_classes(graph)
    if classes and len(classes) != number:
        raise InputError(f'config {cfg.filename}: {len(classes)} classes in its metainfo, {number} in its model')
    nms: dict[str, Any] = {}
    if isinstance(graph, DetectorGraph):
        nms |= {'nms': dict(graph.final.nms), 'score_thr': graph.final.get('score_thr', 0.0)}
    if softened:
        nms['replaces'] = 'soft_nms'
    return dict(
        task='detection' if detects else 'segmentation',
        outputs=list(graph.outputs),
        threshold=getattr(getattr(graph.model, 'decode_head', None), 'threshold', None) or 0.3,
        classes=classes or [str(index) for index in range(number)],
        palette=_palette(meta, number),
        size=list(size),
        scale=list(scale),
        keep_ratio=_keeps_ratio(cfg),
        divisor=getattr(preprocessor, 'pad_size_divisor', None) or 1,
        pad=mean[::-1] if graph.normalize.flip else mean,
        dynamic=sorted(dynamic),
        channels='RGB' if graph.normalize.flip else 'BGR',
        mean=mean,
        std=[1.0] * 3 if std is None else (1 / std).flatten().tolist(),
        **nms,
        config=Path(cfg.filename or '').stem,
        version=mmlight.__version__,
    )


def _number_of_classes(graph: SegmentorGraph | DetectorGraph) -> int:
    if isinstance(graph, SegmentorGraph):
        return graph.model.decode_head.num_classes
    return (graph.model.roi_head.bbox_head if graph.two_stage else graph.model.bbox_head).num_classes


def _palette(meta: dict, number: int) -> list[list[int]]:
    palette = meta.get('palette')
    if not palette or isinstance(palette, str) or len(palette) < number:
        palette = np.random.default_rng(0).integers(32, 256, (number, 3)).tolist()
    return [list(map(int, colour)) for colour in palette][:number]


def _keeps_ratio(cfg: Config) -> bool:
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return any(t.get('keep_ratio') for t in dataset.get('pipeline', ()) if str(t['type']).endswith('Resize'))


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    sides = list(shape)
    if len(sides) not in (1, 2) or any(type(side) is not int or side < 1 for side in sides):
        raise InputError(f'--shape {sides}: must be one or two positive integers, height and width')
    return sides[0], sides[-1]


def _padded(shape: tuple[int, int], preprocessor: dict | None) -> tuple[int, int]:
    divisor = (preprocessor or {}).get('pad_size_divisor') or 1
    height, width = (-(-side // divisor) * divisor for side in shape)
    return height, width
