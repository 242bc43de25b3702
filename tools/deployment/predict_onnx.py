"""Run a file of tools/deployment/export_onnx.py on images: draws what it finds and writes predictions.json.

Needs numpy, opencv and onnxruntime, and nothing else: copy this script next to the file. Classes, colours, sizes and
normalisation are in the file.

python predict_onnx.py thundernet.onnx photo.jpg folder/ --out predictions
"""

import argparse
import json
import sys
import time
from pathlib import Path

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


class InputError(ValueError):
    """Bad input: one line for the user."""


try:
    import cv2
    import numpy as np
    import onnxruntime
except ImportError as error:
    print(f'error: {error}: pip install numpy opencv-python-headless onnxruntime', file=sys.stderr)
    sys.exit(2)


class Network:
    """An exported file.

    Args:
        file: path.
        threads: of the CPU; 0 leaves it to ONNX Runtime.

    Attributes:
        about: the file's description, see ``mmlight.deploy.export.describe``.

    Raises:
        InputError: it cannot be read, or was not written by export_onnx.py.
    """

    def __init__(self, file: str, threads: int = 0) -> None:
        if not Path(file).is_file():
            raise InputError(f'{file}: no such file')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(file, options, providers=onnxruntime.get_available_providers())
        except Exception as error:  # its classes differ between versions
            raise InputError(f'{file}: cannot be read by onnxruntime ({" ".join(str(error).split())[:200]})') from error
        stored = self.session.get_modelmeta().custom_metadata_map.get('mmlight')
        if stored is None:
            raise InputError(f'{file}: has no description; must be written by tools/deployment/export_onnx.py')
        self.about = json.loads(stored)

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """``(H, W, 3)`` BGR uint8 to the network's input ``(1, 3, h, w)`` and the (height, width) of the picture in it,
        which lies in its upper left corner."""
        about, (height, width) = self.about, image.shape[:2]
        fixed, inner = 'size' not in about['dynamic'], about['scale']
        if about['keep_ratio']:
            ratio = min(max(inner) / max(height, width), min(inner) / min(height, width))
            if fixed:  # a portrait in a landscape
                ratio = min(ratio, about['size'][0] / height, about['size'][1] / width)
            inner = max(int(height * ratio + 0.5), 1), max(int(width * ratio + 0.5), 1)
        outer = about['size'] if fixed else [-(-side // about['divisor']) * about['divisor'] for side in inner]
        canvas = np.empty((*outer, 3), np.float32)
        canvas[:] = about['pad']
        canvas[: inner[0], : inner[1]] = cv2.resize(image, inner[::-1], interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), tuple(inner)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """What is found in an image ``(H, W, 3)`` BGR uint8: ``boxes`` (n, 4) as x1, y1, x2, y2 in its pixels,
        ``scores`` and ``labels`` (n,); or ``labels`` (H, W)."""
        data, inner = self.prepare(image)
        found = dict(zip(self.about['outputs'], self.session.run(None, {'image': data}), strict=True))
        if self.about['task'] == 'detection':
            keep = found['scores'][0] > 0
            sides = np.tile(inner[::-1], 2).astype(np.float32)
            boxes = np.clip(found['boxes'][0][keep], 0, sides) * (np.tile(image.shape[1::-1], 2) / sides)
            return {'boxes': boxes, 'scores': found['scores'][0][keep], 'labels': found['labels'][0][keep]}
        maps = found[self.about['outputs'][0]][0, ..., : inner[0], : inner[1]]
        if maps.ndim == 3:
            threshold = self.about.get('threshold', 0.3)  # of one map that stands for two classes
            maps = maps.argmax(0) if len(maps) > 1 else maps[0] > np.log(threshold / (1 - threshold))
        maps = np.ascontiguousarray(maps, np.uint8 if len(self.about['classes']) <= 256 else np.uint16)
        return {'labels': cv2.resize(maps, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)}


def draw(image: np.ndarray, found: dict[str, np.ndarray], about: dict, score_thr: float) -> np.ndarray:
    """A copy of the image with boxes and names, or the labels' colours over it."""
    palette = np.array(about['palette'], np.uint8)[:, ::-1]
    if 'boxes' not in found:
        known = found['labels'] < len(palette)
        colours = palette[np.where(known, found['labels'], 0)]
        return np.where(known[..., None], (image * 0.5 + colours * 0.5).astype(np.uint8), image)
    picture = image.copy()
    thick = max(round(min(image.shape[:2]) / 300), 1)
    for box, score, label in zip(*(found[name] for name in ('boxes', 'scores', 'labels')), strict=True):
        if score >= score_thr:
            x1, y1, x2, y2 = (round(float(value)) for value in box)
            colour = tuple(map(int, palette[label]))
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thick)
            text, where = f'{about["classes"][label]} {score:.2f}', (x1, max(y1 - 2 * thick, 8))
            cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.35 * thick, (0, 0, 0), thick + 2, cv2.LINE_AA)
            cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.35 * thick, colour, thick, cv2.LINE_AA)
    return picture


def entry(found: dict[str, np.ndarray], about: dict, score_thr: float) -> dict:
    """Detections in COCO's result format, or the share of each class of the pixels."""
    classes = about['classes']
    if 'boxes' not in found:
        counts = np.bincount(found['labels'].ravel(), minlength=len(classes))
        shares = {
            name: round(float(n / found['labels'].size), 5) for name, n in zip(classes, counts, strict=False) if n
        }
        return {'share': dict(sorted(shares.items(), key=lambda item: -item[1]))}
    rows = []
    columns = (found[name].tolist() for name in ('boxes', 'scores', 'labels'))
    for (x1, y1, x2, y2), score, label in zip(*columns, strict=True):
        if score >= score_thr:
            bbox = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            rows.append({'bbox': bbox, 'score': round(score, 5), 'category_id': label, 'category': classes[label]})
    return {'detections': rows}


def find_images(patterns: list[str]) -> list[Path]:
    files = []
    for pattern in map(Path, patterns):
        found = sorted(p for p in pattern.rglob('*') if p.suffix.lower() in SUFFIXES) if pattern.is_dir() else [pattern]
        if not found or not found[0].is_file():
            raise InputError(f'image {pattern}: no such file, or a folder without images')
        files += found
    return files


def truncated(file: Path) -> bool:
    """Whether a JPEG or PNG stops before its end, which OpenCV fills with grey without a word."""
    try:
        data = file.read_bytes()
    except OSError:  # left to the decoder
        return False
    if data.startswith(b'\xff\xd8'):  # behind the last scan: the end of a thumbnail does not count
        return data.rfind(b'\xff\xd9', max(data.rfind(b'\xff\xda'), 0)) < 0
    return data.startswith(b'\x89PNG') and b'IEND' not in data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', metavar='FILE.onnx')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image file or folder')
    parser.add_argument('--out', type=Path, default=Path('predictions'), help='folder (default predictions)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='leave out detections below it (default 0.3)')
    parser.add_argument('--threads', type=int, default=0, help="of the CPU (default: onnxruntime's choice)")
    args = parser.parse_args()
    network, files = Network(args.file, args.threads), find_images(args.images)
    try:
        (args.out / 'pictures').mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--out {args.out}: cannot be created ({error.strerror})') from error
    entries, failed, seconds = [], [], []
    for number, file in enumerate(files):
        cut = truncated(file)
        image = None if cut else cv2.imread(str(file))
        if image is None:
            failed.append(str(file))
            print(f'error: image {file}: {"truncated" if cut else "cannot be decoded"}', file=sys.stderr)
            continue
        start = time.perf_counter()
        found = network(image)
        seconds.append(time.perf_counter() - start)
        picture = f'pictures/{number:04d}_{file.stem}.png'
        cv2.imwrite(str(args.out / picture), draw(image, found, network.about, args.score_thr))
        row = {'file': str(file), 'width': image.shape[1], 'height': image.shape[0], 'picture': picture}
        if 'boxes' not in found:
            (args.out / 'labels').mkdir(exist_ok=True)
            row['labels'] = f'labels/{number:04d}_{file.stem}.png'
            cv2.imwrite(str(args.out / row['labels']), found['labels'])
        entries.append({**row, **entry(found, network.about, args.score_thr)})
    content = {'file': args.file, 'classes': network.about['classes'], 'images': entries, 'failed': failed}
    (args.out / 'predictions.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    if not entries:
        raise InputError('no image could be read')
    middle = sorted(seconds)[len(seconds) // 2] * 1e3
    print(f'{len(entries)} pictures in {args.out / "pictures"}, {middle:.1f} ms an image (median, with resizing)')


if __name__ == '__main__':
    try:
        main()
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
