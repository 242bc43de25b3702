"""What ``mmlight check --fix`` changes in a COCO dict because it was asked to, and training alone refuses.

Entries that nothing can be made of are left out; each line says how many, and why.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmlight.data.repair import as_number, few, outline, scaling, shown_size

MEND = '`mmlight check FOLDER --fix COPY` changes that'
KEPT = {'images': ('id', 'file_name'), 'categories': ('id', 'name'), 'annotations': ('image_id', 'category_id', 'bbox')}


class Mend:
    """Changes a parsed COCO dict in place and keeps a list of what it changed.

    Args:
        data: What the file holds, of whatever form.
        where: Names the file in messages.
        images: Folder that ``file_name`` entries start from.
    """

    def __init__(self, data: dict, where: str, images: Path) -> None:
        self.data, self.where, self.images = data, where, images
        self.said: list[str] = []

    def run(self) -> list[str]:
        """What was changed, a line each. A dict that is no COCO at all stays as it is, for the reader to refuse."""
        if not all(isinstance(self.data.get(key), list) for key in KEPT):
            return []
        self._plain_values()
        self._boxes_of_outlines()
        for key, fields in KEPT.items():
            whole = [isinstance(entry, dict) and {*fields} <= entry.keys() for entry in self.data[key]]
            self._keep(key, whole, f'lack one of {", ".join(fields)}')
            self._once(key)
        self._category_without_id()
        self._of_something()
        self._crowds()
        self._boxes()
        return self.said

    def _say(self, count: int, text: str) -> None:
        if count:
            self.said.append(f'{self.where}: {count} {text}')

    def _keep(self, key: str, wanted: Sequence[bool], why: str) -> None:
        kept = [entry for entry, keep in zip(self.data[key], wanted, strict=True) if keep]
        if kept or key != 'annotations':  # of annotations none of which is wanted, the reader says more
            self._say(len(wanted) - len(kept), f'{key} left out: {why}')
            self.data[key] = kept

    def _plain_values(self) -> None:
        """Numbers written as text, or alone in a list, and file names and class names likewise."""
        changed = Counter[str]()
        for key in KEPT:
            for entry in (one for one in self.data[key] if isinstance(one, dict)):
                for field in ('id', 'image_id', 'category_id', 'file_name', 'name', 'bbox'):
                    if field in entry and (plain := _plain(field, entry[field])) is not entry[field]:
                        entry[field] = plain
                        changed[f'{key}: {field}'] += 1
        for what, count in changed.items():
            self._say(count, f'{what} was of another kind than COCO has, or text')

    def _boxes_of_outlines(self) -> None:
        """A missing or damaged box is what the polygons span."""
        made = 0
        for entry in (one for one in self.data['annotations'] if isinstance(one, dict)):
            if not _is_box(entry.get('bbox')) and (span := _span(entry)):
                entry['bbox'], made = span, made + 1
        self._say(made, 'annotations had no box; it is what their polygons span')

    def _once(self, key: str) -> None:
        """An entry that is there twice, in all that it says."""
        kept: list[dict] = []
        seen: dict[str, list[dict]] = {}
        for entry in self.data[key]:
            same = seen.setdefault(repr(entry['id']) if 'id' in entry else '', [])
            if key == 'annotations' or entry not in same:
                kept.append(entry)
                same.append(entry)
        self._say(len(self.data[key]) - len(kept), f'{key} left out: listed twice')
        self.data[key] = kept

    def _category_without_id(self) -> None:
        """One category has no id, and the annotations one id that no category has."""
        categories = self.data['categories']
        bare = [entry for entry in categories if type(entry['id']) is not int]
        ids = {entry['category_id'] for entry in self.data['annotations'] if type(entry['category_id']) is int}
        free = ids - {entry['id'] for entry in categories if type(entry['id']) is int}
        if len(bare) == len(free) == 1:
            bare[0]['id'] = free.pop()
            self._say(1, f'category had no id: {bare[0]["name"]} is {bare[0]["id"]}, which no other was')

    def _of_something(self) -> None:
        for field, key, what in (('category_id', 'categories', 'category'), ('image_id', 'images', 'image')):
            known = {repr(entry['id']) for entry in self.data[key]}
            wanted = [repr(entry[field]) in known for entry in self.data['annotations']]
            wrong = [one.get('id') for one, keep in zip(self.data['annotations'], wanted, strict=True) if not keep]
            self._keep('annotations', wanted, f'of no {what} that is listed, ids {few(wrong)}')

    def _crowds(self) -> None:
        annotations = self.data['annotations']
        if annotations and all(entry.get('iscrowd') in (1, True) for entry in annotations):
            for entry in annotations:
                entry['iscrowd'] = 0
            self._say(len(annotations), 'annotations were all crowds, which training leaves out; they are objects now')

    def _boxes(self) -> None:
        self._keep(
            'annotations', [_is_box(entry['bbox']) for entry in self.data['annotations']], 'bbox is not four numbers'
        )
        annotations = [entry for entry in self.data['annotations'] if _is_box(entry['bbox'])]
        if not annotations or len(annotations) < len(self.data['annotations']):
            return
        sizes = {repr(entry['id']): self._size(entry) for entry in self.data['images']}
        sized = [(entry, size) for entry in annotations if (size := sizes.get(repr(entry['image_id'])))]
        if any(abs(side) > 1 for entry in annotations for side in entry['bbox']):
            self._corners(annotations)
        elif sized and any(min(size) > 2 for _, size in sized):
            self._fractions(sized)

    def _size(self, image: dict) -> tuple[float, float] | None:
        width, height = as_number(image.get('width')), as_number(image.get('height'))
        if width and height:
            return width, height
        name = image['file_name']
        return shown_size(self.images / name) if isinstance(name, str) else None

    def _corners(self, annotations: list[dict]) -> None:
        """Left, top, right, bottom instead of left, top, width, height: all areas or polygons say so."""
        for entry in annotations:
            left, top, right, bottom = entry['bbox']
            area, span = as_number(entry.get('area')), _span(entry)
            as_sides, as_corners = right * bottom, (right - left) * (bottom - top)
            if right <= left or bottom <= top or not (left or top):
                return
            if span:
                proven = max(abs(a - b) for a, b in zip(span, [left, top, right - left, bottom - top], strict=True)) < 2
            else:
                proven = area is not None and abs(area - as_corners) < 0.01 * as_corners < 0.1 * abs(area - as_sides)
            if not proven:
                return
        for entry in annotations:
            left, top, right, bottom = entry['bbox']
            entry['bbox'] = [left, top, right - left, bottom - top]
        self._say(
            len(annotations), 'boxes were left, top, right, bottom, as their areas or polygons say; now x, y, w, h'
        )

    def _fractions(self, sized: list[tuple[dict, tuple[float, float]]]) -> None:
        """Of the image. YOLO writes the centre, others the corner: the one that stays in the image, else the corner."""

        def beyond(side: float, length: float) -> bool:
            return side < -0.01 or side + length > 1.01

        boxes = [entry['bbox'] for entry, _ in sized]
        corner = not any(beyond(x, w) or beyond(y, h) for x, y, w, h in boxes)
        centre = not any(beyond(x - w / 2, w) or beyond(y - h / 2, h) for x, y, w, h in boxes)
        middle = centre and not corner
        for entry, (width, height) in sized:
            x, y, w, h = entry['bbox']
            x, y = (x - w / 2, y - h / 2) if middle else (x, y)
            entry['bbox'] = [x * width, y * height, w * width, h * height]
            entry.pop('area', None)
            if (found := outline(entry)) and all(0 <= value <= 1 for one in found for value in one):
                entry['segmentation'] = [
                    [value for x, y in zip(one[::2], one[1::2], strict=True) for value in scaling(width, height)(x, y)]
                    for one in found
                ]
        kind = 'centre and size' if middle else 'left, top, width and height'
        unsure = ' (or centre and size: look at the contact sheet)' if centre and corner else ''
        self._say(len(sized), f'boxes were fractions of the image, read as {kind}{unsure}; they are pixels now')


def _plain(field: str, value: object) -> object:
    """A value as COCO has it, or itself."""
    if isinstance(value, list) and len(value) == 1 and field != 'bbox':
        value = value[0]
    if field == 'bbox':
        numbers = [as_number(side) for side in value] if isinstance(value, (list, tuple)) else []
        return numbers if len(numbers) == 4 and None not in numbers and numbers != value else value
    if field in ('file_name', 'name'):
        return str(value) if type(value) in (int, float) else value
    if isinstance(value, str) and value.isdecimal() and len(value) < 30:
        return int(value)  # a float would round it
    whole = as_number(value)
    if field == 'id' and isinstance(value, (dict, list)):
        return None  # numbered anew, where nothing refers to it
    return int(whole) if whole is not None and type(value) is not int and whole == int(whole) else value


def _is_box(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 4 and all(type(side) in (int, float) for side in value)


def _span(entry: dict) -> list[float] | None:
    """x, y, width and height of an annotation's polygons."""
    found = outline(entry)
    if not found or any(type(value) not in (int, float) for one in found for value in one):
        return None
    xs, ys = [x for one in found for x in one[::2]], [y for one in found for y in one[1::2]]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
