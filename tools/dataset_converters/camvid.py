"""CamVid's labels as mmlight.CamVidDataset reads them: 0 to 10 for the eleven classes, 255 for void.

python tools/dataset_converters/camvid.py SRC data/camvid

SRC holds, for each of train, val and test, a folder of images and one of labels of the same names (or with `_L` at
their end): `train` and `trainannot` or `train_labels`. Labels are colours of the 32 published classes, or numbers of
the eleven with void = 11, as in the SegNet copy. Images are linked, not copied.
"""

import mmlight  # isort: skip

from pathlib import Path

import mmcv
import numpy as np

from mmlight.arguments import Parser
from mmlight.errors import InputError, exit_on_input_error

SPLITS = ('train', 'val', 'test')
LABEL_FOLDERS = ('annot', '_labels')
VOID, COPY_VOID = 255, 11
COLOURS = {  # class number -> colours (red, green, blue) of the published classes that are counted to it
    0: [(128, 128, 128)],  # sky
    1: [(128, 0, 0), (0, 128, 64), (64, 192, 0), (64, 0, 64), (192, 0, 128)],  # building, bridge, wall, tunnel, archway
    2: [(192, 192, 128), (0, 0, 64)],  # column or pole, traffic cone
    3: [(128, 64, 128), (128, 0, 192), (192, 0, 64)],  # road, markings to drive on and others
    4: [(0, 0, 192), (64, 192, 128), (128, 128, 192)],  # sidewalk, parking block, road shoulder
    5: [(128, 128, 0), (192, 192, 0)],  # tree, other vegetation
    6: [(192, 128, 128), (128, 128, 64), (0, 64, 64)],  # sign, other text, traffic light
    7: [(64, 64, 128)],  # fence
    8: [(64, 0, 128), (64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64)],  # cars, trucks, trains, others
    9: [(64, 64, 0), (192, 128, 64), (64, 0, 192), (64, 128, 64)],  # pedestrian, child, cart, animal
    10: [(0, 128, 192), (192, 0, 192)],  # bicyclist, motor cycle
}
"""The usual grouping of the 32 classes, that of the SegNet copy; what is not listed is void."""


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    args = parser.parse_args()
    for split in SPLITS:
        print(f'{split}: {convert(args.source, args.target, split)} images')


def convert(source: Path, target: Path, split: str) -> int:
    """Write the labels of one split and link its images; returns their number."""
    labels = next((source / f'{split}{end}' for end in LABEL_FOLDERS if (source / f'{split}{end}').is_dir()), None)
    images = sorted((source / split).glob('*.png'))
    if labels is None or not images:
        raise InputError(f'{source}: needs {split}/*.png, and their labels in {split}annot or {split}_labels')
    for folder in (target / split, target / f'{split}annot'):
        folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        found = next((f for f in (labels / image.name, labels / f'{image.stem}_L.png') if f.is_file()), None)
        if found is None:
            raise InputError(f'image {image}: has no label file in {labels}')
        mmcv.imwrite(class_numbers(found), str(target / f'{split}annot' / image.name))
        link = target / split / image.name
        if not link.exists():
            link.symlink_to(image.resolve())
    return len(images)


def class_numbers(file: Path) -> np.ndarray:
    """(H, W) uint8 of a label file, numbers or colours."""
    labels = mmcv.imread(file, 'unchanged')  # colours are blue, green, red
    if labels is None:
        raise InputError(f'label file {file}: cannot be decoded')
    if labels.ndim == 2:
        wrong = sorted(set(np.unique(labels).tolist()) - {*range(COPY_VOID + 1), VOID})
        if wrong:
            raise InputError(f'label file {file}: values {wrong}, expected 0 to {COPY_VOID} or {VOID}')
        return np.where(labels == COPY_VOID, VOID, labels).astype(np.uint8)
    numbers = np.full(labels.shape[:2], VOID, np.uint8)
    for number, colours in COLOURS.items():
        for colour in colours:
            numbers[(labels[..., 2::-1] == colour).all(-1)] = number
    return numbers


if __name__ == '__main__':
    exit_on_input_error(main)
