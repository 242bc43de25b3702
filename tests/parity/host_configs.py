"""Builds the model of every config that mmdet and mmseg ship, and trains it for one step on two small images.

    python tests/parity/host_configs.py mmdet [--only faster_rcnn] [--out mmdet.jsonl]

One line of JSON a config: its path and ``passed`` or what stopped it. A config whose model equals an earlier one's, but
for what it is initialised or tested with, is answered from that. With ``--out``, configs of the file are left out, and
``--table`` prints what the file holds.
"""

import argparse
import copy
import json
import logging
import os
import re
import sys
import sysconfig
import traceback
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData

import mmlight  # noqa: F401  (the operators)

SITE = Path(sysconfig.get_path('purelib'))
SMALL, LARGER = (64, 64), (320, 320)  # the second where the first is too small for a network
Size = tuple[int, int]  # height, width
# How a network asks for a package, and which; without a name it is the pattern's group.
ASKING = {
    'torchvision::nms': 'a torchvision for this torch',
    'mmpretrain': 'mmpretrain',
    r"No module named '(\w+)": None,
    r'(scikit-\w+|\w+) is not installed': None,
    r'pip install (\w+)': None,
    r'install (Detectron2) first': None,
    'To use VPD model, please install': 'ldm',
}


def configs(host: str) -> list[Path]:
    """The shipped configs of ``mmdet`` or ``mmseg``, without those that are only inherited from."""
    folder = SITE / host / '.mim' / 'configs'
    found = [path for path in folder.rglob('*.py') if not any(part.startswith('_') for part in path.parts)]
    return sorted(path for path in found if not path.stem.endswith(('_tta', '-tta')))


def without_weights(value: Any) -> Any:
    """A config without weights that would be downloaded."""
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if key not in ('pretrained', 'teacher_ckpt')}
        if (kept.get('init_cfg') or {}) and re.search('Pretrained|checkpoint', str(kept['init_cfg'])):
            kept.pop('init_cfg')
        return {key: without_weights(inner) for key, inner in kept.items()}
    return type(value)(map(without_weights, value)) if isinstance(value, list | tuple) else value


def model_of(path: Path) -> ConfigDict | None:
    """The config's model; None where it has none."""
    cfg = Config.fromfile(path, lazy_import=False)
    return ConfigDict(without_weights(cfg.model.to_dict())) if 'model' in cfg else None


def fit(model: ConfigDict, size: Size) -> ConfigDict:
    """The model with batches that are not padded beyond images of ``size``, and few regions for second stages."""
    model = copy.deepcopy(model)
    _fewer(model)
    for preprocessor in (
        model.get('data_preprocessor') or {},
        model.get('detector', {}).get('data_preprocessor') or {},
    ):
        if 'size' in preprocessor:
            preprocessor.size = size
        for augment in preprocessor.get('batch_augments') or []:
            if augment.type == 'BatchFixedSizePad':
                augment.size = size
    return model


def _fewer(part: Any) -> None:
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict | list):
            _fewer(value)
        elif key in ('max_per_img', 'max_num'):
            part[key] = min(value, 64)
        elif key == 'num' and 'pos_fraction' in part:  # of a sampler
            part[key] = min(value, 32)


def image(size: Size, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (channels, *size), dtype=torch.uint8)


def instances(size: Size, with_masks: bool) -> InstanceData:
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    height, width = size
    boxes = torch.tensor([[0.1, 0.125, 0.56, 0.6], [0.3, 0.25, 0.9, 0.87]]) * torch.tensor([width, height] * 2)
    masks = np.zeros((2, *size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    found = InstanceData(bboxes=HorizontalBoxes(boxes), labels=torch.zeros(2).long(), instances_ids=torch.arange(2))
    if with_masks:
        found.masks = BitmapMasks(masks, *size)
    return found


def detection_sample(model: ConfigDict, size: Size) -> Any:
    from mmdet.structures import DetDataSample

    shape = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size)
    sample = DetDataSample(metainfo=dict(scale_factor=(1.0, 1.0), flip=False, flip_direction=None, **shape))
    sample.set_metainfo(dict(homography_matrix=np.eye(3, dtype=np.float32), img_id=0))
    sample.gt_instances = instances(size, 'mask' in str(model).lower())
    sample.ignored_instances = sample.gt_instances[:0]
    sample.proposals = InstanceData(bboxes=sample.gt_instances.bboxes.tensor, scores=torch.ones(2))
    sample.gt_sem_seg = PixelData(sem_seg=torch.zeros(1, *size).long())
    return sample


def detection_batch(model: ConfigDict, size: Size) -> dict:
    """What the training loader of mmdet would give."""
    if 'semi_train_cfg' in model:
        views = ('sup', 'unsup_teacher', 'unsup_student')
        images = {view: [image(size), image(size)] for view in views}
        return dict(
            inputs=images, data_samples={view: [detection_sample(model, size) for _ in range(2)] for view in views}
        )
    if 'Track' in (model.get('data_preprocessor') or {}).get('type', ''):
        from mmdet.structures import TrackDataSample

        videos = []
        for _ in range(2):
            video = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
            video.video_data_samples = [detection_sample(model, size), detection_sample(model, size)]
            for sample in video.video_data_samples:  # whose preprocessor leaves boxes as they are
                sample.gt_instances.bboxes = sample.gt_instances.bboxes.tensor
            videos.append(video)
        return dict(inputs=[torch.stack([image(size), image(size)]) for _ in videos], data_samples=videos)
    return dict(
        inputs=[image(size), image(size)], data_samples=[detection_sample(model, size), detection_sample(model, size)]
    )


def segmentation_batch(model: ConfigDict, size: Size) -> dict:
    """What the training loader of mmseg would give."""
    from mmseg.structures import SegDataSample

    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 2, (1, *size)))
        sample.gt_edge_map = PixelData(data=torch.randint(0, 2, (1, *size)))
        sample.gt_depth_map = PixelData(data=torch.rand(1, *size) + 0.5)
        samples.append(sample)
    channels = len(model.get('data_preprocessor', {}).get('mean', 'RGB'))
    return dict(inputs=[image(size, channels), image(size, channels)], data_samples=samples)


def train_step(model: ConfigDict, host: str, size: Size) -> None:
    """Build ``model``, and update its weights once."""
    registry = import_module(f'{host}.registry').MODELS
    torch.manual_seed(0)
    np.random.seed(0)
    for count in ('epoch', 'iter'):
        MessageHub.get_current_instance().update_info(count, 0)
    model = fit(model, size)
    built = revert_sync_batchnorm(registry.build(model))
    built.train()  # a few return nothing
    built.init_weights()
    optimizer = torch.optim.SGD([value for value in built.parameters() if value.requires_grad], lr=1e-6)
    batch = detection_batch(model, size) if host == 'mmdet' else segmentation_batch(model, size)
    losses = built.train_step(batch, OptimWrapper(optimizer))
    bad = [name for name, value in losses.items() if 'loss' in name and not torch.isfinite(value).all()]
    if bad or not any('loss' in name for name in losses):
        raise ArithmeticError(f'not finite: {bad}, of {list(losses)}')


def outcome(model: ConfigDict, host: str) -> str:
    # a few networks of mmseg take images of their own size only
    own = (model.get('data_preprocessor') or {}).get('size')
    for size in (SMALL, own if host == 'mmseg' and own else LARGER):
        try:
            train_step(model, host, size)
        except Exception as error:  # of any kind: it is what the table names
            found = reason(error)
            print(traceback.format_exc(limit=-4), file=sys.stderr, flush=True)
            if package(found):
                break
        else:
            return 'passed'
    return found


def reason(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'


def walk(host: str, only: str = '', known: dict[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Each config and what became of it."""
    os.chdir(SITE / host / '.mim')  # a few name the config of their teacher by a path from there
    logging.disable(logging.INFO)  # of each parameter, how it was initialised
    import_module(f'{host}.utils').register_all_modules(init_default_scope=False)
    init_default_scope(host)
    answers: dict[str, str] = {}
    folder = SITE / host / '.mim' / 'configs'
    for path in configs(host):
        name = path.relative_to(folder).as_posix()
        if not re.search(only, name) or name in (known or {}):
            continue
        try:
            model = model_of(path)
        except Exception as error:  # of any kind, as of a step
            yield name, reason(error)
            continue
        if model is None:
            continue
        key = json.dumps({**model.to_dict(), 'test_cfg': None}, sort_keys=True, default=str)
        if key not in answers:
            answers[key] = outcome(model, host)
        yield name, answers[key]


def table(rows: dict[str, str]) -> str:
    """Markdown: how many configs train a step, what the others ask for, and those that fail."""
    packages = Counter(found for found in map(package, rows.values()) if found)
    passed = sum(result == 'passed' for result in rows.values())
    failed = {name: result for name, result in rows.items() if result != 'passed' and not package(result)}
    lines = ['| configs | train a step | need another package | fail |', '|---|---|---|---|']
    lines += [f'| {len(rows)} | {passed} | {packages.total()} | {len(failed)} |', '', 'Packages: ']
    lines[-1] += ', '.join(f'{name} ({count})' for name, count in packages.most_common()) + '.'
    lines += ['', '| config | |', '|---|---|', *(f'| `{name}` | {result} |' for name, result in failed.items())]
    return '\n'.join(lines)


def package(result: str) -> str | None:
    """The package that an outcome asks for."""
    for pattern, name in ASKING.items():
        if found := re.search(pattern, result):
            return name or found[1]
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('host', choices=('mmdet', 'mmseg'))
    parser.add_argument('--only', default='', help='regular expression in the paths of configs')
    parser.add_argument('--out', type=Path, help='file of JSON lines to go on with')
    parser.add_argument('--table', action='store_true', help='run nothing')
    args = parser.parse_args()
    known = {}
    args.out = args.out and args.out.absolute()
    if args.out and args.out.is_file():
        known = {row['config']: row['outcome'] for row in map(json.loads, args.out.read_text().splitlines())}
    if args.table:
        print(table(known))
        return
    for name, result in walk(args.host, args.only, known):
        line = json.dumps(dict(config=name, outcome=result))
        print(line, flush=True)
        if args.out:
            with args.out.open('a') as file:
                print(line, file=file)


if __name__ == '__main__':
    main()
