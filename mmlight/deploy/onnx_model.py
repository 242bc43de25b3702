"""An exported file in the place of a config's model, so that the config's own data and evaluator judge it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from torch import Tensor
from torch.nn import functional as F

from mmlight.deploy.export import KEY
from mmlight.deploy.verification import open_session
from mmlight.errors import InputError
from mmlight.registry import MODELS
from mmlight.runtime.config import is_segmentation
from mmlight.runtime.model import dataset_meta


def exported(file: str | Path) -> Callable[[Config], None]:
    """A change to a config for :func:`mmlight.runtime.test.evaluate`: the file stands in the model's place."""

    def change(cfg: Config) -> None:
        classes = dataset_meta(cfg).get('classes')
        task = 'segmentation' if is_segmentation(cfg) else 'detection'
        cfg.model = ConfigDict(type='mmlight.OnnxModel', file=str(file), classes=classes and list(classes), task=task)

    return change


def _open(file: str | Path) -> tuple[Any, dict[str, Any]]:
    if not Path(file).is_file():
        raise InputError(f'--onnx {file}: no such file')
    try:
        session = open_session(file)
    except InputError:
        raise
    except Exception as error:  # onnxruntime's own classes
        raise InputError(f'--onnx {file}: cannot be read ({" ".join(str(error).split())[:200]})') from error
    stored = session.get_modelmeta().custom_metadata_map.get(KEY)
    if stored is None:
        raise InputError(f'--onnx {file}: has no description; must be written by tools/deployment/export_onnx.py')
    return session, json.loads(stored)


@MODELS.register_module()
class OnnxModel(BaseModel):
    """Runs an exported file in ``test_step``; images are what the config's test pipeline makes.

    Smaller images are padded at the right and the bottom to the size that the file takes.

    Args:
        file: Path of the file.
        classes: Names that the config's data has; none: not compared.
        task: ``'detection'`` or ``'segmentation'``, what the config is for.

    Raises:
        InputError: the file cannot be read or does not fit the config; by ``test_step``, an image is too large for it.
    """

    def __init__(self, file: str, classes: list[str] | None = None, task: str | None = None):
        super().__init__()
        self.file = file
        self.session, self.about = _open(file)
        if task not in (None, self.about['task']):
            raise InputError(f'--onnx {file}: is for {self.about["task"]}, the config for {task}')
        own = self.about['classes']
        if classes and list(classes) != own:
            odd = next((f'{a} / {b}' for a, b in zip(own, classes, strict=False) if a != b), 'the first ones agree')
            raise InputError(f'--onnx {file}: has {len(own)} classes, the config {len(classes)} ({odd})')

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """There is nothing to train.

        Raises:
            InputError: always.
        """
        raise InputError(f'{self.file}: an exported file can only be tested')

    def test_step(self, data: dict[str, Any]) -> list:
        """The data samples of a batch ``(3, H, W)`` uint8 BGR with predictions in the images' own pixels."""
        samples = data['data_samples']
        for image, sample in zip(data['inputs'], samples, strict=True):
            outputs = self.session.run(None, {'image': self._padded(image)})
            if self.about['task'] == 'detection':
                sample.pred_instances = self._instances(outputs, tuple(image.shape[1:]), sample.metainfo)
            else:
                sample.pred_sem_seg = self._labels(outputs[0], tuple(image.shape[1:]), sample.metainfo)
        return samples

    val_step = test_step

    def _padded(self, image: Tensor) -> np.ndarray:
        sides, divisor = image.shape[1:], self.about['divisor']
        size = [-(-side // divisor) * divisor for side in sides]
        if 'size' not in self.about['dynamic']:
            size = self.about['size']
            if any(side > limit for side, limit in zip(sides, size, strict=True)):
                height, width = sides
                raise InputError(
                    f'--onnx {self.file}: takes {size[0]} x {size[1]}, the config makes an image of {height} x {width};'
                    ' export it with --dynamic size or another --shape'
                )
        canvas = np.empty((1, 3, *size), np.float32)
        canvas[:] = np.reshape(self.about['pad'], (1, 3, 1, 1))
        canvas[0, :, : sides[0], : sides[1]] = image.numpy()
        return canvas

    def _instances(self, outputs: list[np.ndarray], sides: tuple[int, int], meta: dict) -> InstanceData:
        boxes, scores, labels = (torch.from_numpy(output[0]) for output in outputs)
        keep = scores > 0
        border = torch.tensor([*sides[::-1], *sides[::-1]], dtype=boxes.dtype)
        factor = boxes.new_tensor(meta.get('scale_factor', (1.0, 1.0))).repeat(2)
        boxes = torch.minimum(boxes[keep], border) / factor
        return InstanceData(bboxes=boxes, scores=scores[keep], labels=labels[keep])

    def _labels(self, output: np.ndarray, sides: tuple[int, int], meta: dict) -> PixelData:
        maps = torch.from_numpy(output)[..., : sides[0], : sides[1]]
        size = tuple(meta.get('ori_shape', sides)[:2])
        if maps.dim() == 4:  # logits are enlarged before the choice, as mmseg does
            maps = F.interpolate(maps, size, mode='bilinear', align_corners=False)
            maps = maps.argmax(1) if maps.shape[1] > 1 else (maps[:, 0].sigmoid() > self.about.get('threshold', 0.3))
        elif sides != size:
            maps = F.interpolate(maps[None].float(), size, mode='nearest-exact')[0]
        return PixelData(data=maps.long())
