"""A network on its own: built from a config, run on random images as a benchmark or a count of operations needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn

from mmlight.errors import InputError
from mmlight.runtime.config import explain, innermost, load_config

MOST_PIXELS = 2**24
"""Of an image that enters a network: a segmentor needs some 190 bytes a pixel at a time, which makes 3.2 GB."""


def network_and_shape(
    model: str | Path | Config | nn.Module, shape: Sequence[int] | None = None, options: dict | None = None
) -> tuple[nn.Module, tuple[int, int]]:
    """The network and the (height, width) that the arguments of :func:`measure` mean."""
    if shape is not None:
        shape = checked_shape(shape)
    if isinstance(model, (str, Path)):
        model = load_config(model, options)
    if shape is None:
        shape = evaluated_shape(model)
    check_size(shape, 'shape')
    return model if isinstance(model, nn.Module) else build(model), shape


@contextmanager
def inference(
    network: nn.Module, shape: Sequence[int], channels: int = 3, batch: int = 1
) -> Iterator[tuple[Callable, int]]:
    """``network`` in evaluation mode, ready to run: yields a function without arguments and the number of RoIs.

    Each call is the same inference on the same random images, on the device of the network, without gradients: the
    layers, no box decoding and no NMS. A second stage runs on exactly the number of proposals that ``test_cfg`` allows.
    """
    image = torch.rand(batch, channels, *shape, device=next((p.device for p in network.parameters()), 'cpu'))
    was_training = network.training
    network.eval()
    proposals = _Proposals(network, shape)
    try:
        with torch.no_grad(), proposals.given():
            yield lambda: _forward(network, image), proposals.number
    finally:
        network.train(was_training)


def checked_shape(shape: Sequence[int]) -> tuple[int, int]:
    sides: list[Any] = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    if len(sides) not in (1, 2) or any(type(side) is not int or side < 1 for side in sides):
        raise InputError(f'shape: {shape!r}; must be two positive integers, height and width')
    return sides[0], sides[-1]


def check_size(shape: Sequence[int], where: str, most: int = MOST_PIXELS) -> None:
    """Raise an ``InputError`` for a (height, width) whose maps would fill the memory, before they do."""
    height, width = shape
    if height * width > most:
        raise InputError(f'{where}: {height} x {width} pixels; allowed are {most} in all, for the memory')


def evaluated_shape(config: Config | nn.Module) -> tuple[int, int]:
    """(height, width) that the test pipeline of ``config`` resizes images to.

    Raises:
        InputError: it has no `Resize` with a fixed `scale`.
    """
    loader = config.get('test_dataloader') if isinstance(config, Config) else None
    dataset = (loader or {}).get('dataset', {})
    for transform in innermost(dataset).get('pipeline', []):
        if str(transform.get('type')).endswith('Resize') and isinstance(transform.get('scale'), (tuple, list)):
            width, height = transform['scale']
            return height, width
    raise InputError('shape: must be given, there is no test pipeline with a `Resize` to a fixed `scale`')


def build(config: Config) -> nn.Module:
    """The config's model with random weights, on the CPU, ready to run in a single process."""
    if 'model' not in config:
        raise InputError(f'config {config.filename}: defines no `model`')
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmdet')):
        try:
            return revert_sync_batchnorm(MODELS.build(config.model))
        except (TypeError, KeyError, ValueError, AssertionError, ImportError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise explain(error, config) from error


def _forward(network: nn.Module, image: torch.Tensor) -> Any:
    height, width = image.shape[2:]
    try:
        if isinstance(network, BaseModel):
            return network(image, empty_samples((height, width)) * len(image), mode='tensor')
        return network(image)
    except Exception as error:  # whatever goes wrong in there, the model and the size are what the user can change
        reason = f'{type(error).__name__}: {error}'.strip(': ').split('\n')[0]
        name = type(network).__name__
        raise InputError(f'shape: {name} cannot run on an image of {height} x {width} ({reason})') from error


def empty_samples(shape: tuple[int, int]) -> list[BaseDataElement]:
    sizes = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), shape)
    sample = BaseDataElement(metainfo=dict(sizes, scale_factor=(1.0, 1.0), img_id=0, img_path='', flip=False))
    sample.gt_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )  # query-based heads unpack it even where it is not used
    return [sample]


class _Proposals:
    """Gives a two-stage detector the proposals of a trained one: as many as ``test_cfg`` allows, never fewer."""

    def __init__(self, network: Any, shape: Sequence[int]):
        self.network, self.shape = network, shape
        test_cfg = getattr(network, 'test_cfg', None) or {}
        has_stages = has_module(network, 'rpn_head') and has_module(network, 'roi_head')
        self.number = (test_cfg.get('rpn') or {}).get('max_per_img', 0) if has_stages else 0
        self.detections = (test_cfg.get('rcnn') or {}).get('max_per_img', 0) if has_stages else 0

    @contextmanager
    def given(self) -> Iterator[None]:
        if not self.number:
            yield
            return
        rpn_head, roi_head = self.network.rpn_head, self.network.roi_head
        with replaced(rpn_head, 'predict', self._predict(rpn_head)):
            if self.detections and getattr(roi_head, 'with_mask', False):
                with replaced(roi_head, '_mask_forward', self._masks(roi_head._mask_forward)):
                    yield
            else:
                yield

    def _predict(self, rpn_head: nn.Module) -> Callable:
        def predict(features, samples, rescale=False):
            rpn_head(features)
            height, width = self.shape
            # 64 pixels are sampled from the finest level of every pyramid: adaptive sampling stays small there.
            box = features[0].new_tensor([0, 0, min(64, width), min(64, height)]).repeat(self.number, 1)
            scores = box.new_ones(self.number)
            return [InstanceData(bboxes=box, scores=scores, labels=scores.long()) for _ in samples]

        return predict

    def _masks(self, forward: Callable) -> Callable:
        """The mask head sees the detections only, though tensor mode hands a cascade's head every proposal."""

        def masks(*args):
            *before, rois = args
            result = forward(*before, rois[: self.detections])
            missing = len(rois) - len(result['mask_preds'])
            preds = result['mask_preds']
            return dict(result, mask_preds=torch.cat([preds, preds.new_zeros(missing, *preds.shape[1:])]))

        return masks


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of ``owner`` for a while; an attribute of its class shows again afterwards."""
    own = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def has_module(network: nn.Module, name: str) -> bool:
    """Whether the network has a child of this name, not None."""
    return isinstance(getattr(network, name, None), nn.Module)
