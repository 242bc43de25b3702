"""Exported files in 8-bit integers, by ONNX Runtime's static quantization."""

from __future__ import annotations

import copy
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmlight.deploy.export import KEY, needs
from mmlight.deploy.onnx_model import OnnxModel
from mmlight.errors import InputError
from mmlight.files import put
from mmlight.runtime.config import explain, innermost

KINDS = ('Conv', 'Gemm')
"""Operators that become integer ones: where the multiply-adds are. What decodes boxes and samples RoIs needs its
digits."""

IMAGES = 64
"""For calibration, unless the user says how many."""


def calibration_images(cfg: Config, number: int = IMAGES) -> list[torch.Tensor]:
    """Training images as the test pipeline makes them, spread over the whole data set: ``(3, H, W)`` uint8, BGR.

    Raises:
        InputError: the config has no data, or the data set cannot be read or is empty.
    """
    if number < 1:
        raise InputError(f'--int8 {number}: must be 1 or more')
    loaders = [cfg.get(name) for name in ('train_dataloader', 'test_dataloader')]
    loaders = [innermost(loader.dataset) for loader in loaders if loader and loader.get('dataset')]
    if not loaders:
        raise InputError(f'config {cfg.filename}: calibration needs its train_dataloader or test_dataloader')
    settings = copy.deepcopy(loaders[0])
    settings.pipeline = [t for t in loaders[-1].pipeline if 'LoadAnnotations' not in str(t['type'])]
    settings.update(test_mode=True, serialize_data=False)  # which fails where there is nothing
    settings.pop('filter_cfg', None)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    try:
        dataset = DATASETS.build(settings)
    except (OSError, TypeError, KeyError, ValueError, AssertionError) as error:
        raise explain(error, cfg) from error
    if not len(dataset):
        raise InputError(f'calibration: the data set of {cfg.filename} is empty ({settings.get("data_root", "")})')
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(number, len(dataset))).round().astype(int))
    return [dataset[int(index)]['inputs'] for index in chosen]


def quantize(file: str | Path, out: str | Path, images: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Write an exported file with convolutions and linear layers in integers; their ranges are those of ``images``.

    Weights are signed and scaled channel by channel, activations unsigned. Seven bits of the weights are used: with
    eight, sums overflow on processors without instructions for it.

    Returns:
        The description, as in :func:`~mmlight.deploy.export.describe`, with ``quantization``.

    Raises:
        InputError: there are no images, one is too large for the file, or a package is not installed.
    """
    if not images:
        raise InputError('calibration: no images')
    onnx = needs('onnx')
    needs('onnxruntime')
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = OnnxModel(str(file))

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = _inputs(model, images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.rest, None)

    before = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises steps that are taken here
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepared, made = f'{folder}/prepared.onnx', f'{folder}/made.onnx'
            quant_pre_process(str(file), prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                made,
                Reader(),
                op_types_to_quantize=list(KINDS),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            written = onnx.load(made)
    finally:
        logging.root.setLevel(before)
    about = dict(model.about, quantization=f'int8 {", ".join(KINDS)}, calibrated on {len(images)} images')
    onnx.helper.set_model_props(written, {KEY: json.dumps(about)})
    put(written.SerializeToString(), out)
    return about


def _inputs(model: OnnxModel, images: Sequence[torch.Tensor]) -> Iterator[dict[str, np.ndarray]]:
    for image in images:
        yield {'image': model._padded(image)}
