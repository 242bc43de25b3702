"""A street seen by a pin-hole camera, drawn with OpenCV polygons: the pictures of the built-in sample data set.

A :class:`Street` is a canvas of twice the wanted size. Everything is placed in metres (x to the right, y up from the
ground, z away from the camera), painted from far to near, and leaves its identity in a second plane: train ids of
Cityscapes for background, ``THING + k`` for the k-th object. Colours are BGR.
"""

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

ROAD, SIDEWALK, BUILDING, FENCE, POLE, VEGETATION, TERRAIN, SKY, VOID = 0, 1, 2, 4, 5, 8, 9, 10, 255
THING = 256  # identities from here on are objects
SUPERSAMPLING = 2
NEAR, FAR = 1.2, 90.0  # metres: nothing is drawn outside

# name: (light on surfaces, colour of the haze, distance in metres at which 63 % of the light is haze, sky top, bottom)
LIGHTS = {
    'day': ((1.0, 1.0, 1.0), (225, 215, 205), 300, (215, 160, 95), (235, 215, 190)),
    'overcast': ((0.82, 0.8, 0.78), (190, 190, 190), 160, (185, 180, 175), (205, 205, 203)),
    'dusk': ((0.6, 0.5, 0.54), (95, 75, 100), 170, (85, 50, 45), (95, 125, 190)),
    'fog': ((0.85, 0.85, 0.85), (205, 205, 200), 34, (205, 203, 198), (208, 208, 204)),
}
# how strongly the grain of a surface shows, by identity; objects get THING_GRAIN
GRAIN = {ROAD: 0.09, SIDEWALK: 0.08, BUILDING: 0.10, FENCE: 0.1, POLE: 0.06, VEGETATION: 0.26, TERRAIN: 0.2, SKY: 0.015}
THING_GRAIN = 0.05

Colour = Sequence[float] | np.ndarray


def mix(a: Colour, b: Colour, share: float) -> np.ndarray:
    return np.asarray(a, float) * (1 - share) + np.asarray(b, float) * share


class Street:
    """Canvas, camera and light of one picture.

    Args:
        rng: source of every random choice.
        size: (width, height) of the finished picture in pixels.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.rng = rng
        self.size = size
        width, height = (SUPERSAMPLING * side for side in size)
        self.image = np.zeros((height, width, 3), np.uint8)
        self.ids = np.full((height, width), SKY, np.uint16)
        self.focal = 1.12 * height * rng.uniform(0.9, 1.15)
        self.eye = rng.uniform(1.4, 2.3)  # metres above the road
        self.vanish = np.array([width * rng.uniform(0.3, 0.7), height * rng.uniform(0.4, 0.52)])
        self.half_road = rng.uniform(3.4, 5.2)
        self.pavement = rng.uniform(2.4, 4.0)
        self.camera_x = rng.uniform(-0.75, 0.75) * self.half_road
        self.light_name = str(rng.choice(list(LIGHTS), p=(0.45, 0.2, 0.18, 0.17)))
        light, self.haze, self.reach, self.sky_top, self.sky_bottom = LIGHTS[self.light_name]
        self.light = (np.array(light) * rng.uniform(0.9, 1.08)).tolist()
        self.sun_side = int(rng.choice((-1, 1)))

    @property
    def night(self) -> bool:
        return self.light_name == 'dusk'

    # --- geometry and paint -------------------------------------------------------------------------------------

    def project(self, points: ArrayLike) -> np.ndarray:
        """(..., 3) metres -> (..., 2) canvas pixels, rounded."""
        points = np.asarray(points, float)
        pixels = points[..., :2] - (self.camera_x, self.eye)
        pixels *= self.focal / np.maximum(points[..., 2:], NEAR) * (1, -1)
        pixels += self.vanish
        return np.rint(pixels).astype(np.int32)

    def scale(self, z: float) -> float:
        """Canvas pixels per metre at distance z."""
        return self.focal / max(z, NEAR)

    def lit(self, colour: Colour, z: float, glow: bool = False) -> tuple[float, ...]:
        """The colour as the camera sees it at distance z; what glows needs no light."""
        share = math.exp(-z / self.reach)
        light = (1, 1, 1) if glow else self.light
        seen = [c * k * share + haze * (1 - share) for c, k, haze in zip(colour, light, self.haze, strict=True)]
        return tuple(float(min(max(round(c), 0), 255)) for c in seen)

    def fill(self, points: ArrayLike, colour: Colour, ident: int | None, glow: bool = False) -> None:
        """Fills one polygon (N, 3) or several (M, N, 3), in metres; ``ident`` None leaves the identity plane alone."""
        points = np.asarray(points, float)
        polygons = list(self.project(points if points.ndim == 3 else points[None]))
        colour = self.lit(colour, float(points[..., 2].sum()) / points[..., 2].size, glow)
        cv2.fillPoly(self.image, polygons, colour)
        if ident is not None:
            cv2.fillPoly(self.ids, polygons, ident)

    def mark(self, points: ArrayLike, ident: int) -> None:
        """Gives a polygon (N, 3) an identity without painting it."""
        cv2.fillPoly(self.ids, [self.project(points)], ident)

    def wall(self, x: float, y: tuple, z: tuple, colour: Colour, ident: int | None, glow: bool = False) -> None:
        """A rectangle parallel to the street, or many where the two z are arrays."""
        points = np.empty((np.size(z[0]), 4, 3))
        points[..., 0] = x
        points[:, ::3, 1], points[:, 1:3, 1] = y
        points[:, :2, 2], points[:, 2:, 2] = (np.reshape(side, (-1, 1)) for side in z)
        self.fill(points, colour, ident, glow)

    def ground(
        self, x0: float, x1: float, colour: Colour, ident: int | None, z: tuple[float, float] = (NEAR, FAR)
    ) -> None:
        """A strip of the ground, cut in slices so that the haze grows with distance."""
        slices = math.ceil(math.log(z[1] / z[0]) * (0.5 + 150 / self.reach))
        edges = np.geomspace(*z, slices + 1)
        for z0, z1 in itertools.pairwise(edges):
            self.fill(((x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)), colour, ident)

    def disc(
        self, x: float, y: float, z: float, radius: tuple, colour: Colour, ident: int | None, glow: bool = False
    ) -> None:
        """An ellipse that faces the camera."""
        scale = self.scale(z)
        centre = self.project((x, y, z)).tolist()
        axes = (round(radius[0] * scale), round(radius[1] * scale))
        cv2.ellipse(self.image, centre, axes, 0, 0, 360, self.lit(colour, z, glow), -1)
        if ident is not None:
            cv2.ellipse(self.ids, centre, axes, 0, 0, 360, ident, -1)

    def limb(self, points: ArrayLike, width: float, colour: Colour, ident: int | None) -> None:
        """A line with round ends through (N, 3) points, ``width`` in metres."""
        points = np.asarray(points, float)
        z = float(points[0, 2])
        thickness = max(1, round(width * self.scale(z)))
        pixels = [self.project(points)]
        cv2.polylines(self.image, pixels, False, self.lit(colour, z), thickness)
        if ident is not None:
            cv2.polylines(self.ids, pixels, False, ident, thickness)

    # --- background ---------------------------------------------------------------------------------------------

    def paint_background(self) -> None:
        self._sky()
        self._far_end()
        self._ground()
        for side in (-1, 1):
            self._buildings(side)
        self._cast_shadows()

    def _sky(self) -> None:
        width, height = self.size
        share = np.clip(np.arange(height, dtype=np.float32) / (self.vanish[1] / SUPERSAMPLING), 0, 1)[:, None, None]
        sky = np.asarray(self.sky_top, np.float32) * (1 - share) + np.asarray(self.sky_bottom, np.float32) * share
        sky = np.broadcast_to(sky, (height, width, 3))
        if self.light_name in ('day', 'dusk'):
            cloud = noise(self.rng, self.size, (6, 9)).astype(np.float32) / 255
            cloud = np.clip((cloud - np.float32(self.rng.uniform(0.45, 0.65))) * 3, 0, 0.8)[..., None]
            tint = (240, 240, 240) if self.light_name == 'day' else (110, 100, 150)
            sky = sky * (1 - cloud) + np.asarray(tint, np.float32) * cloud
        self.image[:] = np.rint(sky).astype(np.uint8).repeat(SUPERSAMPLING, 0).repeat(SUPERSAMPLING, 1)

    def _far_end(self) -> None:
        """What closes the street at its far end: houses or trees."""
        x = -45.0
        while x < 45:
            width = self.rng.uniform(5, 14)
            if self.rng.random() < 0.6:
                top = self.rng.uniform(6, 18)
                colour = mix(facade_colour(self.rng), (120, 120, 120), 0.3)
                z = FAR - 5
                self.fill(((x, 0, z), (x, top, z), (x + width, top, z), (x + width, 0, z)), colour, BUILDING)
            else:
                self.foliage(x + width / 2, 2, FAR - 8, (width * 0.7, 6), 60)
            x += width * 0.9

    def _ground(self) -> None:  # noqa: C901 (a picture is drawn line by line)
        rng, road = self.rng, self.half_road
        grey = rng.uniform(70, 115)
        asphalt = np.array((grey, grey, grey)) + rng.uniform(-6, 6, 3)
        slabs = np.full(3, rng.uniform(120, 175)) + rng.uniform(-12, 12, 3)
        outer = road + self.pavement
        self.ground(-60, 60, (70, 110, 95) if rng.random() < 0.5 else slabs * 0.9, TERRAIN)
        for side in (-1, 1):
            self.ground(side * road, side * outer, slabs, SIDEWALK)
            for z in np.geomspace(2, 30, 14):  # joints between slabs
                self.ground(side * road, side * outer, slabs * 0.82, SIDEWALK, (z, z * 1.012))
            if rng.random() < 0.3:  # a strip of grass beside the kerb
                self.ground(side * (road + 0.1), side * (road + 0.9), (60, 120, 85), TERRAIN)
            self.ground(side * road, side * (road + 0.18), slabs * 1.15, SIDEWALK)
        self.ground(-road, road, asphalt, ROAD)
        for _ in range(rng.integers(0, 4)):  # patches of newer or older asphalt
            x, z = rng.uniform(-road, road), rng.uniform(3, 25)
            half = rng.uniform(0.4, 1.2)
            x0, x1 = np.clip((x - half, x + half), -road, road)
            self.ground(x0, x1, asphalt * rng.uniform(0.75, 1.2), ROAD, (z, z + rng.uniform(1, 4)))
        paint = np.full(3, 215) if not self.night else np.full(3, 235)
        if rng.random() < 0.8:
            for z in np.arange(2 + rng.uniform(0, 3), 60, 5):
                self.ground(-0.08, 0.08, paint, ROAD, (z, z + 2.6))
        if rng.random() < 0.5:
            for side in (-1, 1):
                self.ground(side * (road - 0.35), side * (road - 0.23), paint, ROAD)
        if rng.random() < 0.35:  # zebra crossing
            z = rng.uniform(6, 16)
            for x in np.arange(-road + 0.3, road - 0.5, 1.0):
                self.ground(x, x + 0.5, paint, ROAD, (z, z + 2.8))
        for _ in range(rng.integers(0, 3)):  # manhole covers
            x, z = rng.uniform(-road * 0.8, road * 0.8), rng.uniform(3, 14)
            angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
            ring = (x + 0.35 * np.cos(angle), np.zeros(16), z + 0.35 * np.sin(angle))
            self.fill(np.stack(ring, -1), asphalt * 0.6, ROAD)

    def _buildings(self, side: int) -> None:
        rng = self.rng
        x = side * (self.half_road + self.pavement)
        houses, z = [], NEAR
        while z < FAR - 8:
            length = rng.uniform(7, 17)
            if rng.random() < 0.86:
                houses.append((z, min(z + length, FAR - 6)))
            z += length
        for z0, z1 in reversed(houses):
            self._house(side, x, z0, z1)
        if rng.random() < 0.25:  # a railing at the wall
            for z in np.arange(24, 3, -0.5):
                self.limb(((x - side * 0.3, 0, z), (x - side * 0.3, 1.0, z)), 0.04, (60, 60, 55), FENCE)
            for y in (0.3, 1.0):
                self.limb(((x - side * 0.3, y, 24), (x - side * 0.3, y, 3)), 0.03, (60, 60, 55), FENCE)

    def _house(self, side: int, x: float, z0: float, z1: float) -> None:
        rng = self.rng
        storeys = int(rng.integers(2, 6))
        storey = rng.uniform(2.8, 3.4)
        ground_floor = 3.4
        top = ground_floor + storeys * storey
        colour = facade_colour(rng)
        colour = colour * (1.0 if side == self.sun_side else 0.8)
        self.fill(((x, 0, z0), (x, top, z0), (x + side * 12, top, z0), (x + side * 12, 0, z0)), colour * 0.72, BUILDING)
        columns = max(2, int((z1 - z0) / rng.uniform(2.2, 3.2)))
        edges = np.linspace(z0, z1, columns + 1)
        for a, b in itertools.pairwise(edges):
            self.wall(x, (0, top), (a, b), colour, BUILDING)
        self.wall(x, (top - 0.35, top), (z0, z1), colour * 0.65, BUILDING)  # eaves
        self.wall(x, (ground_floor - 0.2, ground_floor), (z0, z1), colour * 0.8, BUILDING)
        if z0 > 55:
            return
        width, height = rng.uniform(0.4, 0.62), rng.uniform(1.3, 1.9)
        centre = (edges[:-1] + edges[1:]) / 2
        half = (edges[1] - edges[0]) * width / 2
        frame = colour * 1.25 if rng.random() < 0.6 else colour * 0.6
        for k in range(storeys):
            y = ground_floor + k * storey + 0.7
            self.wall(x, (y - 0.1, y + height + 0.1), (centre - half * 1.2, centre + half * 1.2), frame, BUILDING)
            lamp = rng.random(columns) < (0.35 if self.night else 0.04)
            glass = np.array((85, 75, 65)) * rng.uniform(0.6, 1.3) if not self.night else np.array((70, 50, 45))
            for lit in (False, True):
                chosen = lamp == lit
                if chosen.any():
                    span = (centre[chosen] - half, centre[chosen] + half)
                    self.wall(x, (y, y + height), span, (120, 200, 245) if lit else glass, BUILDING, glow=lit)
            if z0 < 25:  # glazing bars
                self.wall(x, (y, y + height), (centre - 0.04, centre + 0.04), frame, BUILDING)
        for a, b in itertools.pairwise(edges):  # shop fronts and doors
            kind = rng.random()
            inset = (b - a) * 0.1
            if kind < 0.35:
                sign = rng.integers(30, 230, 3)
                self.wall(x, (0.5, 2.4), (a + inset, b - inset), (95, 85, 70), BUILDING, glow=self.night)
                self.wall(x, (2.5, 3.1), (a + inset, b - inset), sign, BUILDING, glow=self.night)
            elif kind < 0.5:
                self.wall(x, (0, 2.3), (a + 2.5 * inset, b - 2.5 * inset), rng.integers(30, 130, 3), BUILDING)
            elif kind < 0.75:
                self.wall(x, (1.0, 2.4), (a + 2 * inset, b - 2 * inset), (85, 75, 65), BUILDING)

    def _cast_shadows(self) -> None:
        """The houses on the sunny side throw a shadow over part of the street."""
        if self.light_name != 'day' or self.rng.random() < 0.3:
            return
        mask = np.zeros(self.ids.shape, np.uint8)
        x0 = -self.sun_side * (self.half_road + self.pavement)
        for z in np.cumsum(self.rng.uniform(4, 14, 7)):
            x1 = x0 + self.sun_side * self.rng.uniform(2, 9)
            z1 = z + self.rng.uniform(2, 7)
            cv2.fillPoly(mask, [self.project(((x0, 0, z), (x1, 0, z + 1), (x1, 0, z1 + 1), (x0, 0, z1)))], 1)
        dark = mask.astype(bool) & ((self.ids == ROAD) | (self.ids == SIDEWALK) | (self.ids == TERRAIN))
        self.image[dark] = np.rint(self.image[dark] * np.array((0.7, 0.62, 0.58)))

    # --- street furniture ---------------------------------------------------------------------------------------

    def foliage(self, x: float, y: float, z: float, radius: tuple, blobs: int = 34) -> None:
        """A crown or bush: overlapping blobs, lighter towards the top."""
        rng = self.rng
        if z > 25:
            blobs //= 2
        green = np.array((rng.uniform(30, 60), rng.uniform(80, 125), rng.uniform(50, 95)))
        angle, r = rng.uniform(0, 2 * np.pi, blobs), np.sqrt(rng.random(blobs))
        dx, dy = radius[0] * r * np.cos(angle), radius[1] * r * np.sin(angle)
        tones = 0.75 + 0.35 * dy / radius[1] + rng.uniform(-0.18, 0.18, blobs)
        sizes = radius[0] * rng.uniform(0.22, 0.42, blobs)
        for k in np.argsort(dy * rng.uniform(0.2, 1, blobs)):
            tone, size = tones[k], float(sizes[k])
            self.disc(x + dx[k], y + dy[k], z, (size, size * 0.9), green * tone, VEGETATION)

    def tree(self, x: float, z: float) -> None:
        height = self.rng.uniform(2.2, 3.4)
        self.contact_shadow(x, z, 1.2, 0.8)
        self.limb(((x, 0, z), (x, height + 1, z)), self.rng.uniform(0.2, 0.35), (45, 60, 75), VEGETATION)
        self.foliage(x, height + 1.6, z, (self.rng.uniform(1.3, 2.2), self.rng.uniform(1.4, 2.0)))

    def bush(self, x: float, z: float) -> None:
        self.contact_shadow(x, z, 0.8, 0.5)
        self.foliage(x, 0.5, z, (self.rng.uniform(0.6, 1.1), 0.5), 18)

    def lamp_post(self, x: float, z: float) -> None:
        top, arm = self.rng.uniform(5, 7), -np.sign(x) * 1.5
        self.limb(((x, 0, z), (x, top, z), (x + arm, top + 0.3, z)), 0.12, (75, 78, 75), POLE)
        if self.night:
            self.disc(x + arm, top + 0.2, z, (0.3, 0.14), (190, 240, 255), POLE, glow=True)

    def bollard(self, x: float, z: float) -> None:
        self.limb(((x, 0.05, z), (x, 0.85, z)), 0.14, (50, 55, 60), POLE)
        self.limb(((x, 0.62, z), (x, 0.7, z)), 0.15, (210, 210, 210), POLE)

    def bin(self, x: float, z: float) -> None:
        colour = self.rng.integers(30, 120, 3)
        self.contact_shadow(x, z, 0.5, 0.4)
        for y0, y1, half, tone in ((0, 1.0, 0.3, 1.0), (0.95, 1.1, 0.34, 0.7)):
            points = ((x - half, y0, z), (x + half, y0, z), (x + half, y1, z), (x - half, y1, z))
            self.fill(points, colour * tone, VOID)

    def contact_shadow(self, x: float, z: float, half_x: float, half_z: float) -> None:
        """Darkens the ground around (x, z); identities stay."""
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = (x + half_x * np.cos(angle), np.zeros(24), np.maximum(z + half_z * np.sin(angle), NEAR))
        polygon = self.project(np.stack(ring, -1))
        x0, y0, w, h = cv2.boundingRect(polygon)
        x1, y1 = min(x0 + w, self.ids.shape[1]), min(y0 + h, self.ids.shape[0])
        x0, y0 = max(x0, 0), max(y0, 0)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [polygon - (x0, y0)], 1)
        window = self.image[y0:y1, x0:x1]
        dark = (mask > 0) & (self.ids[y0:y1, x0:x1] <= TERRAIN)
        window[dark] = np.rint(window[dark] * (0.5 if self.light_name == 'day' else 0.62))

    # --- finish -------------------------------------------------------------------------------------------------

    def bonnet(self) -> None:
        """The front of the camera's own car, as in Cityscapes: void."""
        height, width = self.ids.shape
        x = np.linspace(-0.1, 1.1, 25)
        y = 1 - self.rng.uniform(0.05, 0.09) * (1 - 0.7 * (2 * x - 1) ** 2)
        polygon = np.stack((x * width, y * height), -1)
        polygon = np.rint(np.concatenate((polygon, ((width * 1.1, height * 1.1), (-width * 0.1, height * 1.1)))))
        cv2.fillPoly(self.image, [polygon.astype(np.int32)], self.lit(self.rng.integers(20, 160, 3), 1))
        cv2.fillPoly(self.ids, [polygon.astype(np.int32)], VOID)

    def develop(self) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 BGR picture with grain, noise and the camera's faults, and the (h, w) uint16 identities."""
        rng = self.rng
        image = cv2.resize(self.image, self.size, interpolation=cv2.INTER_AREA).astype(np.float32)
        ids = np.ascontiguousarray(self.ids[1::SUPERSAMPLING, 1::SUPERSAMPLING])
        table = np.full(int(ids.max()) + 1, THING_GRAIN, np.float32)
        for ident, strength in GRAIN.items():
            table[ident] = strength
        fine = noise(rng, self.size, (self.size[0] // 2, self.size[1] // 2)).astype(np.float32) / 127.5 - 1
        coarse = noise(rng, self.size, (self.size[0] // 12, self.size[1] // 5)).astype(np.float32) / 127.5 - 1
        image *= (1 + table[ids] * (fine + coarse))[..., None]
        image *= rng.uniform(0.95, 1.05, 3).astype(np.float32)  # white balance
        image += rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 4))
        image = np.clip(np.rint(image, out=image), 0, 255, out=image).astype(np.uint8)
        if rng.random() < 0.3:
            return cv2.GaussianBlur(image, (3, 3), 0), ids
        return image, ids


def noise(rng: np.random.Generator, size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """(h, w) uint8 random values on a coarse grid, enlarged bit-exactly."""
    values = rng.integers(0, 256, (max(grid[1], 2), max(grid[0], 2)), np.uint8)
    return cv2.resize(values, size, interpolation=cv2.INTER_LINEAR_EXACT)


def facade_colour(rng: np.random.Generator) -> np.ndarray:
    """Plaster, brick, sandstone or concrete."""
    base = ((175, 195, 205), (75, 90, 150), (130, 165, 190), (150, 150, 150), (165, 185, 175), (150, 140, 165))
    return np.array(base[rng.integers(len(base))]) * rng.uniform(0.75, 1.1)
