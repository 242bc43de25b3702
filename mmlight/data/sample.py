"""The built-in sample data set: drawn streets, as COCO detection and in Cityscapes' layout, from a seed alone."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from mmlight.data.scene import TRAIN_IDS, Instance, compose
from mmlight.errors import InputError

VERSION = 3  # of the pictures: raise it when the same seed draws something else
CLASSES = tuple(TRAIN_IDS)
PALETTE = [(220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100), (119, 11, 32), (250, 170, 30), (220, 220, 0)]
SPLITS = ('train', 'val')
CITY = 'sample'
MARKER = 'sample.json'


def generate(
    out_dir: str | Path,
    *,
    num_train: int = 240,
    num_val: int = 60,
    size: tuple[int, int] = (384, 288),
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Writes the sample data set to ``out_dir`` unless it is already there.

    Layout, below ``out_dir``: ``leftImg8bit/{train,val}/sample/*_leftImg8bit.png`` (pictures),
    ``gtFine/{train,val}/sample/*_gtFine_labelTrainIds.png`` (Cityscapes train ids, 255 = ignore),
    ``annotations/instances_{train,val}.json`` (COCO; ``file_name`` relative to ``leftImg8bit/{train,val}``),
    ``sample.json`` (the parameters; written last). The k-th picture of a split depends on seed, size and k only.

    Args:
        out_dir: folder to create; its parents are created too.
        num_train: number of pictures.
        num_val: of the other split.
        size: (width, height) in pixels, at least (128, 96).
        seed: not negative; the same seed draws the same files.
        progress: whether to show a progress bar on a terminal.

    Returns:
        ``out_dir``.

    Raises:
        InputError: a parameter that cannot work; ``out_dir`` holds something else, or a sample of other parameters.
    """
    out_dir = Path(out_dir)
    parameters = _parameters(num_train, num_val, size, seed)
    if _finished(out_dir, parameters):
        return out_dir
    part = out_dir.parent / f'.{out_dir.name}.part'  # renamed when complete, so that out_dir is never half-written
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if part.exists():
            shutil.rmtree(part)
        bar = ProgressBar(num_train + num_val, file=sys.stderr) if progress and sys.stderr.isatty() else None
        for split, count in zip(SPLITS, (num_train, num_val), strict=True):
            _write_split(part, split, count, parameters, bar)
        if bar:
            bar.file.write('\n')
        (part / MARKER).write_text(json.dumps(parameters, indent=1) + '\n')
        if (out_dir / MARKER).exists():
            _complete(out_dir, part)
        else:
            if out_dir.exists():
                out_dir.rmdir()
            part.rename(out_dir)
    except OSError as error:
        raise InputError(f'sample data set: cannot write {out_dir}: {error.strerror or error}') from error
    return out_dir


def _parameters(num_train: int, num_val: int, size: tuple[int, int], seed: int) -> dict:
    for name, value, least in (('num_train', num_train, 1), ('num_val', num_val, 1), ('seed', seed, 0)):
        if not isinstance(value, int) or value < least:
            raise InputError(f'{name}={value!r}: expected a whole number of at least {least}')
    fits = isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(side, int) for side in size)
    if not fits or size[0] < 128 or size[1] < 96:
        raise InputError(f'size={size!r}: expected (width, height) of at least (128, 96) pixels')
    return {'version': VERSION, 'num_train': num_train, 'num_val': num_val, 'size': list(size), 'seed': seed}


def _finished(out_dir: Path, parameters: dict) -> bool:
    """Whether ``out_dir`` holds this very data set, complete; InputError where it holds something else."""
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f'sample data set: {out_dir} is a file, expected a folder')
    marker = out_dir / MARKER
    if not marker.is_file():
        if out_dir.exists() and any(out_dir.iterdir()):
            raise InputError(
                f'sample data set: {out_dir} is not empty and has no {MARKER} of a finished sample; '
                'choose another folder or remove it'
            )
        return False
    try:
        found = json.loads(marker.read_text())
    except ValueError as error:
        raise InputError(f'sample data set: {marker} is not JSON ({error}); remove {out_dir}') from error
    if found != parameters:
        raise InputError(
            f'sample data set: {out_dir} holds a sample made with {_text(found)}, asked for {_text(parameters)}; '
            'choose another folder or remove it'
        )
    wanted = [f'annotations/instances_{split}.json' for split in SPLITS]
    for folder, end in (('leftImg8bit', 'leftImg8bit'), ('gtFine', 'gtFine_labelTrainIds')):
        for split in SPLITS:
            stems = (f'{CITY}_{k:06d}_000000' for k in range(parameters[f'num_{split}']))
            wanted += [f'{folder}/{split}/{CITY}/{stem}_{end}.png' for stem in stems]
    return all((out_dir / name).is_file() for name in wanted)


def _complete(out_dir: Path, part: Path) -> None:
    """Add what a damaged sample lacks; what somebody else put there stays."""
    for file in sorted(path for path in part.rglob('*') if path.is_file()):
        target = out_dir / file.relative_to(part)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    shutil.rmtree(part)


def _text(parameters: dict) -> str:
    return (
        ', '.join(f'{key}={value}' for key, value in parameters.items())
        if isinstance(parameters, dict)
        else repr(parameters)
    )


def _write_split(root: Path, split: str, count: int, parameters: dict, bar: ProgressBar | None) -> None:
    pictures, labels = (root / name / split / CITY for name in ('leftImg8bit', 'gtFine'))
    for folder in (pictures, labels, root / 'annotations'):
        folder.mkdir(parents=True, exist_ok=True)
    width, height = parameters['size']
    images: list[dict] = []
    annotations: list[dict] = []
    for k in range(count):
        scene = compose(np.random.default_rng((parameters['seed'], SPLITS.index(split), k)), (width, height))
        stem = f'{CITY}_{k:06d}_000000'
        _write_png(pictures / f'{stem}_leftImg8bit.png', scene.image)
        _write_png(labels / f'{stem}_gtFine_labelTrainIds.png', scene.labels)
        name = f'{CITY}/{stem}_leftImg8bit.png'
        images.append({'id': k + 1, 'file_name': name, 'width': width, 'height': height})
        for instance in scene.instances:
            annotations.append(dict(id=len(annotations) + 1, image_id=k + 1, **_annotation(instance)))
        if bar:
            bar.update()
    coco = {
        'info': dict(description='mmlight sample: drawn streets', **parameters),
        'licenses': [],
        'categories': [{'id': k + 1, 'name': name, 'supercategory': 'street'} for k, name in enumerate(CLASSES)],
        'images': images,
        'annotations': annotations,
    }
    (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(coco))


def _write_png(path: Path, image: np.ndarray) -> None:
    done, data = cv2.imencode('.png', image, (cv2.IMWRITE_PNG_COMPRESSION, 2))
    assert done, path
    path.write_bytes(data.tobytes())


def _annotation(instance: Instance) -> dict:
    """The COCO entry of a region; polygons for single objects, run lengths for regions to be ignored."""
    mask = instance.mask.astype(np.uint8)
    x, y, w, h = cv2.boundingRect(mask)
    segmentation: dict | list
    if instance.crowd:
        segmentation = {'size': list(mask.shape), 'counts': run_lengths(mask)}
    else:
        segmentation = polygons(mask[y : y + h, x : x + w], x, y)
    return {
        'category_id': CLASSES.index(instance.name) + 1,
        'bbox': [x, y, w, h],
        'area': int(mask.sum()),
        'iscrowd': int(instance.crowd),
        'segmentation': segmentation,
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE of an (h, w) mask: column by column, zeros first."""
    flat = np.concatenate(([0], (mask.T.reshape(-1) > 0).astype(np.int8), [0]))
    changes = np.flatnonzero(np.diff(flat))
    edges = np.concatenate(([0], changes, [mask.size]))
    counts = np.diff(edges).tolist()
    return counts[:-1] if counts[-1] == 0 else counts


def polygons(mask: np.ndarray, x: int, y: int, zoom: int = 4) -> list[list[float]]:
    """Outlines of a mask whose corner lies at (x, y); enlarged first, because contours run through pixel centres."""
    big = cv2.copyMakeBorder(mask.repeat(zoom, 0).repeat(zoom, 1), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    outlines, _ = cv2.findContours(big, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for outline in outlines:
        outline = cv2.approxPolyDP(outline, 0.4 * zoom, True).reshape(-1, 2)
        if len(outline) >= 3:
            points = (outline - 0.5) / zoom + (x, y)
            found.append([round(float(v), 2) for v in points.reshape(-1)])
    return found
