"""Composes one street of the sample data set: which objects stand where, and what of them the camera sees."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from mmlight.data.street import NEAR, SUPERSAMPLING, THING, Street
from mmlight.data.street_things import bicycle, bus, car, cyclist, person, traffic_light, traffic_sign

TRAIN_IDS = {  # detection class -> Cityscapes train id
    'person': 11,
    'rider': 12,
    'car': 13,
    'bus': 15,
    'bicycle': 18,
    'traffic light': 6,
    'traffic sign': 7,
}
KINDS = {
    'car': 0.22,
    'person': 0.18,
    'cyclist': 0.13,
    'bus': 0.1,
    'traffic light': 0.18,
    'traffic sign': 0.16,
    'bicycle': 0.03,
}
VEHICLES = {'car': car, 'bus': bus}
UPRIGHT = {
    'person': person,
    'cyclist': cyclist,
    'bicycle': bicycle,
    'traffic light': traffic_light,
    'traffic sign': traffic_sign,
}
# side of an object's box as a share of the picture's: most are at least SMALL, none is below TINY
SMALL, TINY = 0.11, 0.05
LEAST_VISIBLE = 0.3  # objects of which less shows become "ignore" regions


@dataclass
class Instance:
    """One annotated region: a (h, w) bool mask; ``crowd`` regions are neither hit nor missed by a detection."""

    name: str
    mask: np.ndarray
    crowd: bool = False


@dataclass
class Scene:
    """A finished picture: (h, w, 3) uint8 BGR, (h, w) uint8 Cityscapes train ids (255 = ignore), the instances."""

    image: np.ndarray
    labels: np.ndarray
    instances: list[Instance] = field(default_factory=list)


@dataclass
class Placed:
    kind: str
    x: float
    z: float
    yaw: float = 0.0
    crowd: bool = False

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Half width, bottom, top and half depth in metres, for keeping objects apart."""
        along, across = {'car': (2.1, 0.9), 'bus': (4.0, 1.25)}.get(self.kind, (0.0, 0.0))
        if along:
            s, c = abs(np.sin(self.yaw)), abs(np.cos(self.yaw))
            return along * s + across * c, 0.0, 1.5 if self.kind == 'car' else 3.0, along * c + across * s
        return {
            'person': (0.36, 0.0, 1.75, 0.2),
            'bicycle': (0.85, 0.0, 1.1, 0.2),
            'cyclist': (0.85, 0.0, 1.95, 0.2),
            'traffic light': (0.36, 2.5, 4.2, 0.1),
            'traffic sign': (0.6, 1.9, 3.3, 0.1),
        }[self.kind]

    @property
    def parts(self) -> tuple[str, ...]:
        """Detection classes of the identities that :meth:`draw` paints."""
        return ('bicycle', 'rider') if self.kind == 'cyclist' else (self.kind,)

    def draw(self, street: Street, ident: int) -> None:
        if self.kind in VEHICLES:
            VEHICLES[self.kind](street, self.x, self.z, ident, self.yaw)
        else:
            UPRIGHT[self.kind](street, self.x, self.z, ident)

    def box(self, street: Street) -> np.ndarray:
        """x0, y0, x1, y1 on the canvas, roughly."""
        half, bottom, top, depth = self.extent
        z = max(self.z - depth, NEAR)
        corners = [(self.x + a, b, z) for a in (-half, half) for b in (bottom, top)]
        pixels = street.project(np.array(corners))
        return np.concatenate((pixels.min(0), pixels.max(0)))


def _propose(street: Street, kind: str) -> Placed:
    """A plausible place for an object of this kind."""
    rng, road, pavement = street.rng, street.half_road, street.pavement
    side = rng.choice((-1, 1))
    beside = side * (road + rng.uniform(0.3, pavement - 0.3))
    z = rng.uniform(3.4, 10)
    if kind == 'person':
        return Placed(kind, beside if rng.random() < 0.65 else rng.uniform(-road, road), z)
    if kind == 'cyclist':
        return Placed(kind, rng.uniform(-road, road), rng.uniform(3.8, 10))
    if kind == 'bicycle':
        return Placed(kind, beside, rng.uniform(3.2, 7))
    if kind in ('traffic light', 'traffic sign'):
        return Placed(kind, side * (road + rng.uniform(0.3, 0.9)), rng.uniform(5.5, 12))
    if rng.random() < 0.3:  # crossing or turning
        yaw = rng.choice((-1, 1)) * rng.uniform(0.9, 2.2)
        far = (6.5, 17) if kind == 'car' else (11, 22)
        return Placed(kind, rng.uniform(-road, road), rng.uniform(*far), yaw)
    x = side * (road - 1.1 if rng.random() < 0.5 else road * 0.5)
    yaw = rng.choice((0, np.pi)) + rng.normal(0, 0.12)
    return Placed(kind, x, rng.uniform(5.5, 15) if kind == 'car' else rng.uniform(9, 20), yaw)


def _fits(street: Street, new: Placed, placed: list[Placed]) -> bool:
    """Large enough, mostly in the picture, not through another object, and nobody hidden."""
    width, height = (SUPERSAMPLING * side for side in street.size)
    box = new.box(street)
    shown = np.clip(box, 0, (width, height, width, height))
    area, seen = _area(box), _area(shown)
    side = np.sqrt(seen / (width * height))
    if side < TINY or (side < SMALL and street.rng.random() < 0.85) or side > 0.75 or seen < 0.45 * area:
        return False
    if new.z > 0.6 * street.reach:  # lost in the fog
        return False
    half, _, _, depth = new.extent
    for other in placed:
        o_half, _, _, o_depth = other.extent
        if abs(new.x - other.x) < half + o_half + 0.1 and abs(new.z - other.z) < depth + o_depth + 0.5:
            return False
        other_box = other.box(street)
        common = _area(np.concatenate((np.maximum(box[:2], other_box[:2]), np.minimum(box[2:], other_box[2:]))))
        if common > 0.5 * min(area if new.z > other.z else np.inf, _area(other_box) if other.z >= new.z else np.inf):
            return False
    return True


def _area(box: np.ndarray) -> float:
    return float(np.prod(np.maximum(box[2:] - box[:2], 0)))


def compose(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Draws one street of ``size`` (width, height) pixels; about 2 to 6 objects, one picture in sixteen without any."""
    street = Street(rng, size)
    street.paint_background()
    placed: list[Placed] = []
    wanted = 0 if rng.random() < 1 / 16 else int(rng.integers(2, 7))
    for _ in range(200 if wanted else 0):
        if len(placed) >= wanted:
            break
        new = _propose(street, str(rng.choice(list(KINDS), p=list(KINDS.values()))))
        if _fits(street, new, placed):
            placed.append(new)
    if wanted and rng.random() < 0.15:
        placed += _crowd(street)
    return _paint(street, placed)


def _crowd(street: Street) -> list[Placed]:
    """A group of people too dense to be told apart, further down the pavement."""
    rng = street.rng
    side, z = rng.choice((-1, 1)), rng.uniform(9, 16)
    x = side * (street.half_road + street.pavement * 0.6)
    return [
        Placed('person', x + rng.uniform(-1, 1), z + rng.uniform(-1, 1), crowd=True) for _ in range(rng.integers(5, 10))
    ]


def _furniture(street: Street) -> list[tuple[float, Any]]:
    """(distance, draw) of trees, posts, bins and the like along the kerbs."""
    rng = street.rng
    found: list[tuple[float, Any]] = []
    for side in (-1, 1):
        kerb, wall = street.half_road + 0.5, street.half_road + street.pavement - 0.5
        for draw, at, odds, start, step in (
            (street.tree, kerb + 0.4, 0.45, (6, 16), (7, 14)),
            (street.lamp_post, kerb, 0.4, (6, 20), (14, 20)),
            (street.bollard, kerb - 0.2, 0.25, (3, 8), (1.8, 2.4)),
            (street.bush, wall, 0.3, (4, 14), (2, 9)),
            (street.bin, wall, 0.3, (4, 14), (9, 15)),
        ):
            if rng.random() < odds:
                z = rng.uniform(*start)
                while z < (18 if draw == street.bollard else 60):
                    found.append((z, lambda draw=draw, x=side * at, z=z: draw(x, z)))
                    z += rng.uniform(*step)
    return found


def _paint(street: Street, placed: list[Placed]) -> Scene:
    names: list[tuple[str, bool]] = []  # of identity THING + k
    painted: list[int] = []  # canvas pixels of identity THING + k when it was painted
    queue = _furniture(street) + [(p.z, p) for p in placed]
    for _, what in sorted(queue, key=lambda entry: -entry[0]):
        if not isinstance(what, Placed):
            what()
            continue
        ident = THING + len(names)
        what.draw(street, ident)
        names += [(name, what.crowd) for name in what.parts]
        painted += [int((street.ids == k).sum()) for k in range(ident, THING + len(names))]
    if street.rng.random() < 0.15:
        street.bonnet()
    image, ids = street.develop()
    table = np.arange(THING + len(names)).astype(np.uint8)
    table[THING:] = [TRAIN_IDS[name] for name, _ in names]
    return Scene(image, table[ids], _instances(ids, names, painted))


def _instances(ids: np.ndarray, names: list[tuple[str, bool]], painted: list[int]) -> list[Instance]:
    found: list[Instance] = []
    crowd = np.zeros(ids.shape, bool)
    for k, (name, in_crowd) in enumerate(names):
        mask = ids == THING + k
        seen = int(mask.sum())
        if in_crowd:
            crowd |= mask
        elif seen:
            w, h = cv2.boundingRect(mask.astype(np.uint8))[2:]
            small = w * h < (0.6 * TINY) ** 2 * ids.size or min(w, h) < 4
            hidden = seen * SUPERSAMPLING**2 < LEAST_VISIBLE * painted[k]
            found.append(Instance(name, mask, crowd=hidden or small))
    if crowd.any():
        found.append(Instance('person', crowd, crowd=True))
    return found
