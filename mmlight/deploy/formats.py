"""Exported files of several formats, each written only if it computes what the network computes."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmlight.deploy.export import KEY, Exported, export
from mmlight.deploy.verification import Agreement, verify
from mmlight.errors import InputError
from mmlight.files import folder_beside
from mmlight.runtime.config import one_line


def export_verified(
    cfg: Config, weights: str | None, out: Path, images: Sequence[np.ndarray], kind: str = 'onnx', **options: Any
) -> tuple[Exported, Agreement]:
    """Write a network as a file that has run on ``images`` beside PyTorch with the same results; an earlier file stays
    until the new one is verified.

    Args:
        cfg: config.
        weights: as :func:`mmlight.deploy.export.export` takes them.
        out: the file; OpenVINO writes its weights beside it (``.bin``), Core ML's is a folder.
        images: ``(H, W, 3)`` BGR, uint8.
        kind: a name in :data:`FORMATS`. Others than ``onnx`` are made once the ONNX file is verified.
        options: of :func:`~mmlight.deploy.export.export`.

    Raises:
        InputError: the network, an option or this machine cannot have the format, or the results differ.
    """
    if kind not in FORMATS:
        raise InputError(f'--format {kind}: allowed are {", ".join(FORMATS)}')
    suffix, convert = FORMATS[kind]
    if options.get('dynamic') and kind in ('torchscript', 'coreml'):
        raise InputError(f'--dynamic: --format {kind} cannot have it, its graph is traced at one size')
    if out.suffix != suffix and kind != 'onnx':
        raise InputError(f'--out {out}: must end in {suffix}')
    if out.is_dir() and kind != 'coreml':
        raise InputError(f'--out {out}: is a folder; must be a file')
    try:
        with folder_beside(out) as folder:
            file = Path(folder, 'onnx', out.with_suffix('.onnx').name if kind != 'onnx' else out.name)
            made = export(cfg, weights, file, **options)
            agreement = verify(made, images)
            if convert is not None:
                made = replace(made, file=Path(folder, kind, out.name))
                made.file.parent.mkdir()
                agreement = verify(made, images, convert(file, made))
            for part in made.file.parent.iterdir():
                if part.is_dir():
                    shutil.rmtree(out.parent / part.name, ignore_errors=True)
                part.replace(out.parent / part.name)
    except InputError as error:  # which names a file that is gone
        raise InputError(re.sub(rf'{re.escape(str(folder))}/\w+/', f'{out.parent}/', str(error))) from error
    except OSError as error:
        raise InputError(f'--out {out}: cannot be written ({error.strerror or error})') from error
    return replace(made, file=out), agreement


def _torchscript(onnx: Path, made: Exported) -> Any:
    """Trace the graph; the description lies in the file under ``mmlight.json``."""
    image = torch.zeros(1, 3, *made.description['size'])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # sizes that become constants: the file is verified
        try:
            traced = torch.jit.trace(made.graph, image, check_trace=False)
            traced.save(made.file, _extra_files={f'{KEY}.json': json.dumps(made.description)})
        except RuntimeError as error:  # of a Python function in the graph, such as a fallback operator's
            name = type(made.model).__name__
            raise InputError(f'--format torchscript: {name} cannot be traced ({one_line(error)})') from error
        loaded = torch.jit.load(made.file)

    def run(image: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            outputs = loaded(torch.from_numpy(image))
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return _Session(run)


def _openvino(onnx: Path, made: Exported) -> Any:
    """Convert the ONNX file; the description is the model's ``mmlight`` entry of ``rt_info``."""
    openvino = _library('openvino', 'openvino')
    try:
        model = openvino.convert_model(onnx)
        model.set_rt_info(json.dumps(made.description), KEY)
        openvino.save_model(model, made.file, compress_to_fp16=False)
        compiled = openvino.compile_model(made.file, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    except Exception as error:  # its classes differ between versions
        raise InputError(f'--format openvino: cannot be converted ({one_line(error)})') from error
    return _Session(lambda image: list(compiled(image).values()))


def _coreml(onnx: Path, made: Exported) -> Any:
    """Convert the traced graph; Core ML runs on macOS only, so that nothing can be verified elsewhere."""
    tools = _library('coremltools', 'coreml')
    if sys.platform != 'darwin':
        raise InputError(f'--format coreml: can be verified on macOS only, this is {sys.platform}')
    traced = made.file.with_suffix('.torchscript')
    _torchscript(onnx, replace(made, file=traced))
    shape = (1, 3, *made.description['size'])
    outputs = [tools.TensorType(name=name) for name in made.description['outputs']]
    try:
        model = tools.convert(
            torch.jit.load(traced),
            inputs=[tools.TensorType(name='image', shape=shape)],
            outputs=outputs,
            compute_precision=tools.precision.FLOAT32,
        )
        model.user_defined_metadata[KEY] = json.dumps(made.description)
        model.save(str(made.file))
    except Exception as error:  # its classes differ between versions
        raise InputError(f'--format coreml: cannot be converted ({one_line(error)})') from error
    finally:
        traced.unlink(missing_ok=True)
    return _Session(lambda image: [model.predict({'image': image})[name] for name in made.description['outputs']])


class _Session:
    """The one method of ONNX Runtime's sessions that :func:`verify` needs."""

    def __init__(self, function: Callable[[np.ndarray], list[np.ndarray]]) -> None:
        self.function = function

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self.function(inputs['image'])


def _library(package: str, kind: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(f'--format {kind}: {package} is not installed: pip install {package} ({error})') from error


FORMATS: dict[str, tuple[str, Callable[[Path, Exported], Any] | None]] = {
    'onnx': ('.onnx', None),
    'torchscript': ('.torchscript', _torchscript),
    'openvino': ('.xml', _openvino),
    'coreml': ('.mlpackage', _coreml),
}
"""Name -> suffix, and what makes it of an exported ONNX file and gives back what runs it."""
