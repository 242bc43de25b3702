"""Images a second and core that training pipelines prepare: mmdet's and mmseg's own transforms beside windows.

python -m benchmarks.benchmark_pipelines FOLDER_OF_JPEGS [--rounds 5] [--json times.json]

The pipelines take turns, a pass over the images each; medians over rounds with the spread (largest - least) / median.
"""

import mmlight  # isort: skip

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from mmcv.transforms import Compose

from mmlight.arguments import Parser
from mmlight.errors import InputError, exit_on_input_error
from mmlight.registry import TRANSFORMS

FILL = [103.53, 116.28, 123.675]
LOAD = (dict(type='mmlight.LoadImage'), dict(type='LoadAnnotations', with_bbox=True))
OPEN = (dict(type='mmlight.OpenImage'), LOAD[1])
FLIP, PACK = dict(type='RandomFlip', prob=0.5), dict(type='PackDetInputs')
SCALES = [(240, 240), (320, 320), (480, 480)]
JITTER = dict(scale=(512, 512), ratio_range=(0.1, 2.0))
CROPS = dict(scale=(1024, 512), ratio_range=(0.5, 2.0))
PIPELINES: dict[str, tuple[str, tuple[dict, ...]]] = {
    "ThunderNet, mmdet's transforms": (
        'mmdet',
        (
            *LOAD,
            dict(type='PhotoMetricDistortion'),
            dict(type='Expand', mean=FILL, to_rgb=False),
            dict(type='MinIoURandomCrop'),
            dict(type='mmcv.RandomChoiceResize', scales=SCALES, resize_type='mmdet.Resize', keep_ratio=False),
            FLIP,
            PACK,
        ),
    ),
    'ThunderNet, windows': (
        'mmdet',
        (
            *OPEN,
            dict(type='mmlight.ColorTables'),
            dict(type='mmlight.SSDWindow', fill=FILL),
            dict(type='mmlight.RenderWindow', scales=SCALES),
            FLIP,
            PACK,
        ),
    ),
    "SSDLite, mmdet's config": (
        'mmdet',
        (
            *LOAD,
            dict(type='Expand', mean=FILL, to_rgb=True),
            dict(type='MinIoURandomCrop'),
            dict(type='Resize', scale=(320, 320), keep_ratio=False),
            FLIP,
            dict(type='PhotoMetricDistortion'),
            PACK,
        ),
    ),
    'SSDLite, windows': (
        'mmdet',
        (
            *OPEN,
            dict(type='mmlight.ColorTables'),
            dict(type='mmlight.SSDWindow', fill=FILL),
            dict(type='mmlight.RenderWindow', scales=[(320, 320)]),
            FLIP,
            PACK,
        ),
    ),
    "EfficientDet, mmdet's transforms": (
        'mmdet',
        (
            *LOAD,
            dict(type='mmcv.RandomResize', **JITTER, resize_type='mmdet.Resize', keep_ratio=True),
            dict(type='RandomCrop', crop_size=(512, 512), allow_negative_crop=True),
            FLIP,
            PACK,
        ),
    ),
    'EfficientDet, windows': (
        'mmdet',
        (
            *OPEN,
            dict(type='mmlight.JitterWindow', **JITTER, crop_size=(512, 512)),
            dict(type='mmlight.RenderWindow'),
            FLIP,
            PACK,
        ),
    ),
    "BiSeNet, mmseg's transforms": (
        'mmseg',
        (
            LOAD[0],
            dict(type='LoadAnnotations'),
            dict(type='mmcv.RandomResize', **CROPS, resize_type='mmseg.Resize', keep_ratio=True),
            dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
            FLIP,
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ),
    ),
    'BiSeNet, windows': (
        'mmseg',
        (
            OPEN[0],
            dict(type='LoadAnnotations'),
            dict(type='mmlight.JitterWindow', **CROPS, crop_size=(512, 512), cat_max_ratio=0.75),
            dict(type='mmlight.ColorTables', hue_delta=36, swap_channels=False),
            dict(type='mmlight.RenderWindow'),
            FLIP,
            dict(type='PackSegInputs'),
        ),
    ),
}


def build(host: str, transforms: tuple[dict, ...]) -> Compose:
    __import__(f'{host}.datasets.transforms')
    return Compose(
        [
            TRANSFORMS.build({**step, 'type': step['type'] if '.' in step['type'] else f'{host}.{step["type"]}'})
            for step in transforms
        ]
    )


def samples(paths: list[Path], folder: Path) -> list[dict]:
    """Every image with three boxes, and a label map of as many classes as quadrants."""
    found = []
    for number, path in enumerate(paths):
        image = cv2.imread(str(path))
        if image is None:
            raise InputError(f'image {path}: cannot be decoded')
        height, width = image.shape[:2]
        labels = np.arange(4, dtype=np.uint8).reshape(2, 2).repeat((height + 1) // 2, 0).repeat((width + 1) // 2, 1)
        cv2.imwrite(str(folder / f'{number}.png'), labels[:height, :width])
        boxes = [(0.1, 0.1, 0.4, 0.5), (0.3, 0.4, 0.9, 0.9), (0.6, 0.1, 0.7, 0.3)]
        corners = [(a * width, b * height, c * width, d * height) for a, b, c, d in boxes]
        found.append(
            dict(
                img_path=str(path),
                img_id=number,
                height=height,
                width=width,
                instances=[dict(bbox=list(box), bbox_label=0, ignore_flag=0) for box in corners],
                seg_map_path=str(folder / f'{number}.png'),
                seg_fields=[],
                reduce_zero_label=False,
                label_map=None,
            )
        )
    return found


def rate(steps: Callable, data: list[dict], seed: int) -> float:
    np.random.seed(seed)
    started = time.process_time()
    for sample in data:
        steps({**sample, 'instances': [dict(instance) for instance in sample['instances']], 'seg_fields': []})
    return len(data) / (time.process_time() - started)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='JPEGs')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', type=Path, help='rates of every round')
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.glob('**/*') if path.suffix.lower() in ('.jpg', '.jpeg'))
    if not paths:
        raise InputError(f'{arguments.folder}: no JPEG in it')
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    cv2.setNumThreads(0)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        data = samples(paths, Path(folder))
        built = {name: build(*pipeline) for name, pipeline in PIPELINES.items()}
        for name, (host, (first, *others)) in PIPELINES.items():
            if first['type'] == 'mmlight.OpenImage':
                built[f'{name}, decoded images cached'] = build(host, ({**first, 'cache_dir': folder}, *others))
        rates: dict[str, list[float]] = {name: [] for name in built}
        for number in range(arguments.rounds + 1):  # the first one warms up
            for name, steps in built.items():
                rates[name].append(rate(steps, data, number))
    rates = {name: values[1:] for name, values in rates.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(rates))
    print(f'| pipeline | images/s and core ({len(paths)} images, {arguments.rounds} rounds) | spread |\n|---|---|---|')
    for name, values in rates.items():
        print(f'| {name} | {median(values):.0f} | {(max(values) - min(values)) / median(values):.0%} |')


if __name__ == '__main__':
    exit_on_input_error(main)
