"""Split a COCO training set for a search: archtrain to train supernets on, archval to score candidates on.

python tools/dataset_converters/arch_split.py data/coco/annotations/instances_train2017.json \
    --never data/coco/annotations/instances_val2017.json

Writes instances_archtrain2017.json and instances_archval2017.json beside the file (or to --out), and the ids of archval
as instances_archval2017.txt. The images stay where they are. The same seed gives the same split.
"""

import mmlight  # isort: skip

import json
import random
from pathlib import Path

from mmlight.arguments import Parser
from mmlight.data.coco_folder import read_coco
from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.errors import InputError, exit_on_input_error


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('annotations', type=Path, metavar='ANN', help='COCO file of the training set')
    parser.add_argument('--num-val', type=int, default=5000, help='images of archval (default 5000)')
    parser.add_argument('--seed', type=int, default=0, help='of the draw (default 0)')
    parser.add_argument('--never', type=Path, metavar='ANN', help='COCO file none of whose images may be in the split')
    parser.add_argument('--out', type=Path, help="folder to write to (default: the file's)")
    args = parser.parse_args()
    for path, images in split(args.annotations, args.num_val, args.seed, args.never, args.out).items():
        print(f'{path}: {images} images')


def split(source: Path, num_val: int, seed: int = 0, never: Path | None = None, out: Path | None = None) -> dict:
    """Write the two files; returns their paths with their numbers of images."""
    data = read_coco(source)
    names = {image['file_name']: image['id'] for image in data['images']}
    if not 0 < num_val < len(names):
        raise InputError(
            f'--num-val {num_val}: must be between 1 and {len(names) - 1}, {source} has {len(names)} images'
        )
    if 'train' not in source.name:
        raise InputError(f"{source}: its name must hold 'train', which becomes 'archtrain' and 'archval'")
    if never is not None:
        both = sorted(names.keys() & {image['file_name'] for image in read_coco(never)['images']})
        if both:
            raise InputError(f'--never {never}: {len(both)} of its images are in {source} too, such as {both[0]}')
    chosen = set(random.Random(seed).sample(sorted(names.values()), num_val))
    written = {}
    for part, inside in (('archtrain', False), ('archval', True)):
        images = [image for image in data['images'] if (image['id'] in chosen) == inside]
        annotations = [one for one in data['annotations'] if (one['image_id'] in chosen) == inside]
        path = (out or source.parent) / source.name.replace('train', part)
        AtomicBackend().put(json.dumps({**data, 'images': images, 'annotations': annotations}).encode(), path)
        written[path] = len(images)
    AtomicBackend().put(''.join(f'{number}\n' for number in sorted(chosen)).encode(), path.with_suffix('.txt'))
    return written


if __name__ == '__main__':
    exit_on_input_error(main)
