"""The proof that an exported file computes what the network computes, and the place where they part if it does not."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmlight.deploy.export import OPSETS, Exported, needs, write
from mmlight.errors import InputError

BOX, SCORE, PIXELS = 0.5, 1e-3, 0.999
"""Largest difference of a box (pixels) and of a score on matched detections; least share of equal labels."""
MATCHED = 0.99
"""Least share of detections of either side that the other side has, too: where two boxes overlap by just the threshold,
or two candidates share the last place, rounding decides."""
PARTS = 1e-3
"""Largest difference of a part's output, as a share of its largest value."""
FEW = 10
"""Certain detections, over all images, below which they prove little, so that the parts are compared as well."""


@dataclass
class Agreement:
    """How well file and network agree, over all images.

    Attributes:
        images: number of images.
        detections: of the network; None for a segmentor.
        certain: those of them that the file must have, too: neither the threshold nor the end of the list is near.
        unmatched: detections that only one of the two has.
        box, score: largest differences of matched detections, pixels and 1.
        pixels: share of equal labels, 1 for a detector.
        logits: largest difference, as a share of the largest value; 0 if the file gives none.
        parts: largest difference of a part's output as in :data:`PARTS`, where parts were compared.
    """

    images: int = 0
    detections: int | None = None
    certain: int = 0
    unmatched: int = 0
    box: float = 0.0
    score: float = 0.0
    pixels: float = 1.0
    logits: float = 0.0
    parts: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)

    def faults(self) -> list[str]:
        """What is beyond the tolerances."""
        found = []
        if self.box > BOX:
            found.append(f'boxes differ by {self.box:.2g} pixels (allowed {BOX})')
        if self.score > SCORE:
            found.append(f'scores differ by {self.score:.2g} (allowed {SCORE})')
        if self.unmatched > (1 - MATCHED) * 2 * (self.detections or 0):
            found.append(f'{self.unmatched} detections are on one side only, of {self.detections}')
        if self.pixels < PIXELS:
            found.append(f'{self.pixels:.3%} of the labels are equal (needed {PIXELS:.1%})')
        if self.logits > PARTS:
            found.append(f'logits differ by {self.logits:.2g} of the largest (allowed {PARTS})')
        return found

    def __str__(self) -> str:
        if self.detections is None:
            what = f'{self.pixels:.4%} of the labels equal'
        else:
            what = f'{self.detections} detections, boxes within {self.box:.2g} pixels, scores within {self.score:.2g}'
            what += f', {self.unmatched} on one side only' if self.unmatched else ''
        if self.logits:
            what += f', logits within {self.logits:.2g} of the largest'
        if self.parts is not None:
            what += f', outputs of all parts within {self.parts:.2g} of the largest'
        return f'{self.images} images: {what}'


def verify(exported: Exported, images: Sequence[np.ndarray], session: Any = None) -> Agreement:
    """Run file and network on the same images.

    Args:
        exported: the file and its network.
        images: ``(H, W, 3)`` BGR, uint8, of any size; brought to that of the file. At least one. Random ones are added,
            and where the file takes any size, images of other sizes; where it takes any batch, all images at once.
        session: what runs a file of another format, with the method ``run`` of ONNX Runtime's.

    Raises:
        InputError: they do not agree; tells by how much and, of an ONNX file, which part is the first to differ.
    """
    foreign = session is not None
    session = session or open_session(exported.file)
    description = exported.description
    size = tuple(description['size'])
    shown = [cv2.resize(image, size[::-1]) for image in images] + random_images(size)
    if 'size' in description['dynamic']:
        other = _other_size(size, description['divisor'])
        shown += [cv2.resize(image, other[::-1]) for image in images[:2]] + random_images(other, 1)
    agreement = Agreement(detections=0 if description['task'] == 'detection' else None)
    equal: list[float] = []
    for image in shown:
        try:
            outputs = session.run(None, {'image': _batch([image])})
        except Exception as error:  # onnxruntime's own classes, which differ between versions
            raise InputError(_failed(exported, image, error)) from error
        _compare(agreement, exported.model, image, outputs, description, equal)
    agreement.images = len(shown)
    agreement.pixels = float(np.mean(equal)) if equal else 1.0
    faults = agreement.faults()
    if 'batch' in description['dynamic'] and not faults:
        faults = _of_batch(session, exported, shown[: len(images) + 2])
    if foreign:
        if agreement.detections is not None and not agreement.certain:
            faults.append('nothing is detected, which proves nothing; give --images with objects')
        if faults:
            raise InputError(f'{exported.file}: not what the network computes: {"; ".join(faults)}')
    elif faults or (agreement.detections is not None and agreement.certain < FEW):
        name, agreement.parts = first_difference(exported, shown[0])
        if faults:
            raise InputError(f'{exported.file}: not what the network computes: {"; ".join(faults)}; {name}')
        if agreement.parts > PARTS:
            raise InputError(f'{exported.file}: not what the network computes: {name}')
    return agreement


def open_session(file: str | Path | bytes, threads: int | None = None) -> Any:
    """An ONNX Runtime session on the CPU, of a file or its content, with as many threads as PyTorch or ``threads``."""
    runtime = needs('onnxruntime')
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or torch.get_num_threads()
    # threads that wait busily for the next call slow down whatever is measured in between
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    content = file if isinstance(file, bytes) else str(file)
    return runtime.InferenceSession(content, options, providers=['CPUExecutionProvider'])


def random_images(size: tuple[int, int], number: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Noise of different grain, ``(H, W, 3)`` uint8."""
    rng = np.random.default_rng(seed)
    grains = [1, 4, 16, 64]
    found = []
    for index in range(number):
        cells = [max(side // grains[index % len(grains)], 2) for side in size]
        noise = rng.integers(0, 256, (*cells, 3), dtype=np.uint8)
        found.append(cv2.resize(noise, size[::-1], interpolation=cv2.INTER_LINEAR))
    return found


def real_images(cfg: Config, number: int = 3) -> list[np.ndarray]:
    """Images of the config's test data, or drawn street scenes where that is not on this machine."""
    from mmlight.data.scene import compose
    from mmlight.runtime.config import innermost
    from mmlight.runtime.sources import find_images

    dataset = innermost((cfg.get('test_dataloader') or {}).get('dataset') or {})
    folders = dataset.get('data_prefix') or {}
    folder = Path(dataset.get('data_root') or '') / str(folders.get('img') or folders.get('img_path') or '')
    if folders and folder.is_dir():
        try:
            found = [image for file in find_images([folder])[:number] if (image := cv2.imread(str(file))) is not None]
        except InputError:
            found = []
        if found:
            return found
    return [compose(np.random.default_rng(seed), (384, 288)).image for seed in range(number)]


def _batch(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2), dtype=np.float32)


def predict(model: BaseModel, image: np.ndarray) -> Any:
    """What the library itself predicts for an image of the network's size, as a data sample."""
    from mmengine.structures import BaseDataElement

    shape = image.shape[:2]
    meta = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), shape)
    if hasattr(model, 'decode_head'):
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    sample: BaseDataElement = Sample(metainfo=dict(meta, scale_factor=(1.0, 1.0), img_id=0, img_path=''))
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    with torch.no_grad():
        return model.test_step({'inputs': [tensor], 'data_samples': [sample]})[0]


def _compare(
    agreement: Agreement, model: BaseModel, image: np.ndarray, outputs: list, description: dict, equal: list
) -> None:
    """Add one image to ``agreement``."""
    sample = predict(model, image)
    if description['task'] == 'detection':
        found = sample.pred_instances
        theirs = tuple(x.cpu().numpy() for x in (found.bboxes, found.scores, found.labels))
        _match(agreement, theirs, tuple(output[0] for output in outputs), description['score_thr'])
        return
    output, labels = outputs[0][0], sample.pred_sem_seg.data[0].cpu().numpy()
    if description['outputs'] == ['logits']:
        logits = sample.seg_logits.data.cpu().numpy() if 'seg_logits' in sample else None
        if logits is not None and len(logits) > 1:
            difference = float(np.abs(logits - output).max() / np.abs(logits).max())
            agreement.logits = max(agreement.logits, difference)
        output = output.argmax(0) if len(output) > 1 else output[0] > _logit(description['threshold'])
    equal.append(np.mean(labels == output))


def _logit(probability: float) -> float:
    return np.log(probability / (1 - probability))


def _match(agreement: Agreement, theirs: tuple, ours: tuple, score_thr: float) -> None:
    """Pair detections of equal labels, each of the network's with the nearest that is left of the file's."""
    limit = len(ours[1])
    keep = ours[1] > 0
    boxes, scores, labels = (x[keep] for x in ours)
    agreement.detections = (agreement.detections or 0) + len(theirs[0])
    # at the threshold and at the end of a full list a difference in the last digit swaps what is in and what is out
    last = max(score_thr, *(side.min() for side in (scores, theirs[1]) if len(side) == limit), 0.0) + SCORE
    agreement.certain += int((theirs[1] > last).sum())
    free = np.ones(len(boxes), bool)
    for box, score, label in zip(*theirs, strict=True):
        distance = np.where(free & (labels == label), np.abs(boxes - box).max(1, initial=0.0), np.inf)
        nearest = int(distance.argmin()) if len(distance) else -1
        allowed = max(*(box[2:] - box[:2]), 2.0) / 2 if score > last else BOX
        if nearest < 0 or distance[nearest] > allowed:
            agreement.unmatched += bool(score > last)
            continue
        free[nearest] = False
        agreement.box = max(agreement.box, float(distance[nearest]))
        agreement.score = max(agreement.score, float(abs(scores[nearest] - score)))
    agreement.unmatched += int((scores[free] > last).sum())


def _other_size(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """Where nothing is padded sides are odd, which halving and doubling do not keep."""
    step = divisor if divisor > 1 else 33
    return size[0] + step, max(size[1] - step, step)


def _of_batch(session: Any, exported: Exported, images: Sequence[np.ndarray]) -> list[str]:
    """Faults of all images at once."""
    try:
        together = session.run(None, {'image': _batch(images)})
    except Exception as error:  # onnxruntime's own classes
        reason, name = ' '.join(str(error).split())[:200], type(exported.model).__name__
        raise InputError(
            f'--dynamic batch: {name} cannot have it, {len(images)} images do not run ({reason})'
        ) from error
    if any(len(output) != len(images) for output in together):
        return [f'for a batch of {len(images)} there are results of {len(together[0])}']
    agreement = Agreement(detections=0 if exported.description['task'] == 'detection' else None)
    equal: list[float] = []
    for index, image in enumerate(images):
        outputs = [output[index : index + 1] for output in together]
        _compare(agreement, exported.model, image, outputs, exported.description, equal)
    agreement.pixels = float(np.mean(equal)) if equal else 1.0
    return [f'in a batch of {len(images)} {fault}' for fault in agreement.faults()]


class Parts(nn.Module):
    """The outputs of backbone, neck and head, one after the other."""

    def __init__(self, graph: Any):
        super().__init__()
        self.normalize, self.model = graph.normalize, graph.model
        self.outputs: tuple[str, ...] = ()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        maps = model.backbone(self.normalize(image))
        found = _named('backbone', maps)
        if getattr(model, 'with_neck', False):
            maps = model.neck(maps)
            found |= _named('neck', maps)
        for name in ('rpn_head', 'bbox_head', 'decode_head'):
            if isinstance(getattr(model, name, None), nn.Module) and not (name == 'bbox_head' and 'rpn_head' in found):
                found |= _named(name, getattr(model, name)(maps))
        self.outputs = tuple(found)
        # a map that is passed on would be an output twice
        return tuple(tensor.clone() for tensor in found.values())


def _named(name: str, outputs: Any) -> dict[str, Tensor]:
    if isinstance(outputs, Tensor):
        return {name: outputs}
    found: dict[str, Tensor] = {}
    for index, output in enumerate(outputs):
        found |= _named(f'{name}[{index}]', output)
    return found


def first_difference(exported: Exported, image: np.ndarray) -> tuple[str, float]:
    """The first part whose outputs differ, in words, and the largest difference that was found up to there."""
    parts = copy.deepcopy(Parts(exported.graph)).eval()
    tensor = torch.from_numpy(_batch([image]))
    with torch.no_grad():
        theirs = parts(tensor)
    with tempfile.TemporaryDirectory() as folder:
        file = f'{folder}/parts.onnx'
        write(parts, tensor, file, OPSETS[0])
        ours = open_session(file).run(None, {'image': tensor.numpy()})
    largest = 0.0
    for name, a, b in zip(parts.outputs, theirs, ours, strict=True):
        difference = float((a - torch.from_numpy(b)).abs().max() / a.abs().max().clamp(min=1e-12))
        if not np.isfinite(difference):
            return f'{name} gives NaN or infinite values', np.inf
        largest = max(largest, difference)
        if not difference <= PARTS:
            return f'they part in {name}: its output differs by {difference:.2g} of the largest value', largest
    return f'they part behind {parts.outputs[-1].partition("[")[0]}, whose outputs are equal', largest


def _failed(exported: Exported, image: np.ndarray, error: Exception) -> str:
    height, width = image.shape[:2]
    reason = ' '.join(str(error).split())[:200]
    if 'size' in exported.description['dynamic']:
        name = type(exported.model).__name__
        return f'--dynamic size: {name} cannot have it, at {height} x {width} the file does not run ({reason})'
    return f'{exported.file}: does not run on {height} x {width} ({reason})'
