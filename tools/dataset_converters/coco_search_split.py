"""Split COCO's training annotations into those that a search trains on and those that it evaluates on.

python tools/dataset_converters/coco_search_split.py data/coco/annotations/instances_train2017.json

writes instances_searchtrain2017.json and instances_searchval2017.json beside it; no image is copied. 7,392 images were
held out by SpineNet's search (arXiv 1912.05027, Sec. 4.1); which ones is not published.
"""

import mmlight  # isort: skip

import json
import random
from pathlib import Path

from mmlight.arguments import Parser
from mmlight.errors import InputError, exit_on_input_error

HELD_OUT = 7392


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('annotations', type=Path, help='instances_train2017.json, or a file of that form')
    parser.add_argument('--count', type=int, default=HELD_OUT, help=f'images to hold out (default {HELD_OUT})')
    parser.add_argument('--seed', type=int, default=0, help='of the choice (default 0)')
    args = parser.parse_args()
    for path, images in split(args.annotations, args.count, args.seed).items():
        print(f'{path}: {images} images')


def split(annotations: Path, count: int = HELD_OUT, seed: int = 0) -> dict[Path, int]:
    """Write both files.

    Returns:
        Their paths and numbers of images.
    """
    try:
        content = json.loads(annotations.read_text())
        ids = sorted(image['id'] for image in content['images'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'annotations {annotations}: no COCO annotations ({type(error).__name__}: {error})') from None
    if not 1 <= count < len(ids):
        raise InputError(f'--count {count}: must be between 1 and {len(ids) - 1}, the file has {len(ids)} images')
    held_out = set(random.Random(seed).sample(ids, count))
    written = {}
    for part, chosen in (('searchtrain', set(ids) - held_out), ('searchval', held_out)):
        name = annotations.name
        name = name.replace('train', part) if 'train' in name else f'{annotations.stem}_{part}{annotations.suffix}'
        kept = {
            **content,
            'images': [image for image in content['images'] if image['id'] in chosen],
            'annotations': [a for a in content['annotations'] if a['image_id'] in chosen],
        }
        path = annotations.with_name(name)
        path.write_text(json.dumps(kept))
        written[path] = len(chosen)
    return written


if __name__ == '__main__':
    exit_on_input_error(main)
