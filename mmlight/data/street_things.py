"""The objects of the sample's streets: ``name(street, x, z, ident)`` draws one that stands on the ground at (x, z)."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmlight.data.street import POLE, Colour, Street

SKIN = ((125, 155, 205), (95, 125, 180), (60, 85, 130), (150, 180, 225))


def billboard(x: float, z: float, points: ArrayLike, squeeze: float = 1.0) -> np.ndarray:
    """(N, 2) points in the plane that faces the camera -> (N, 3)."""
    points = np.asarray(points, float)
    return np.stack((x + points[:, 0] * squeeze, points[:, 1], np.full(len(points), z)), -1)


def clothes(rng: np.random.Generator) -> np.ndarray:
    """A random, mostly muted colour."""
    colour = rng.integers(15, 235, 3).astype(float)
    return colour * 0.75 + colour.mean() * 0.25


def person(street: Street, x: float, z: float, ident: int) -> None:
    """A walking or standing person, 1.5 to 1.95 m tall."""
    rng = street.rng
    tall = rng.uniform(0.9, 1.12)
    stride = rng.uniform(0.02, 0.32)
    facing = rng.choice((-1, 1))
    top, trousers, skin = clothes(rng), clothes(rng) * 0.7, SKIN[rng.integers(4)]
    street.contact_shadow(x, z, 0.45, 0.3)

    def at(*points: tuple) -> np.ndarray:
        return billboard(x, z, np.array(points) * (tall * facing, tall))

    swing = stride * rng.uniform(0.5, 1)
    street.limb(at((0.1, 1.38), (0.16 + swing / 2, 1.1), (0.12 + swing, 0.85)), 0.1, top * 0.8, ident)
    for hip, foot in ((0.07, stride), (-0.07, -stride)):
        street.limb(at((hip, 0.85), ((hip + foot) * 0.6, 0.45), (foot, 0.06)), 0.16, trousers, ident)
        street.limb(at((foot, 0.05), (foot + 0.12, 0.05)), 0.09, (35, 35, 40), ident)
    street.fill(at((-0.22, 1.42), (0.2, 1.42), (0.19, 0.8), (-0.19, 0.8)), top, ident)
    if rng.random() < 0.35:  # coat or skirt
        street.fill(at((-0.19, 0.95), (0.19, 0.95), (0.25, 0.55), (-0.25, 0.55)), top * 0.9, ident)
    street.limb(at((-0.18, 1.36), (-0.24 - swing / 2, 1.08), (-0.16 - swing, 0.84)), 0.1, top * 0.85, ident)
    if rng.random() < 0.4:  # rucksack
        street.fill(at((-0.36, 1.4), (-0.2, 1.42), (-0.2, 0.98), (-0.36, 1.0)), clothes(rng), ident)
    street.limb(at((0, 1.4), (0, 1.5)), 0.1, skin, ident)
    street.disc(x, 1.6 * tall, z, (0.12 * tall, 0.145 * tall), skin, ident)
    hair = np.array(((30, 35, 45), (45, 75, 110), (120, 180, 205), (150, 150, 150))[rng.integers(4)])
    street.fill(at((-0.13, 1.58), (-0.12, 1.72), (0, 1.77), (0.1, 1.72), (0.09, 1.66), (-0.04, 1.64)), hair, ident)


def bicycle(street: Street, x: float, z: float, ident: int, squeeze: float | None = None, facing: int = 1) -> None:
    """A bicycle seen from the side; the discs of the wheels belong to it, as Cityscapes labels them."""
    rng = street.rng
    squeeze = (rng.uniform(0.75, 1.05) if squeeze is None else squeeze) * facing
    colour = clothes(rng)
    street.contact_shadow(x, z, 0.9, 0.2)

    def at(*points: tuple) -> np.ndarray:
        return billboard(x, z, points, squeeze)

    angle = np.linspace(0, 2 * np.pi, 25)
    for hub in (-0.55, 0.55):
        rim = np.stack((hub + 0.36 * np.cos(angle), 0.37 + 0.36 * np.sin(angle)), -1)
        street.mark(at(*rim), ident)
        for k in range(0, 24, 4):
            street.limb(at(rim[k], rim[(k + 12) % 24]), 0.012, (150, 150, 150), ident)
        street.limb(at(*rim), 0.065, (30, 30, 30), ident)
    frame = (((-0.55, 0.37), (-0.12, 0.35), (0.38, 0.82), (-0.22, 0.8), (-0.55, 0.37)), ((-0.12, 0.35), (-0.27, 0.95)),
             ((0.55, 0.37), (0.36, 0.98)))  # fmt: skip
    for line in frame:
        street.limb(at(*line), 0.06, colour, ident)
    street.limb(at((0.36, 0.98), (0.46, 1.04), (0.34, 1.06)), 0.05, (40, 40, 40), ident)
    street.limb(at((-0.38, 0.96), (-0.16, 0.97)), 0.09, (25, 25, 30), ident)


def cyclist(street: Street, x: float, z: float, ident: int) -> None:
    """A bicycle (``ident``) and its rider (``ident + 1``)."""
    rng = street.rng
    facing, squeeze = int(rng.choice((-1, 1))), rng.uniform(0.7, 1.0)
    top, trousers, skin = clothes(rng), clothes(rng) * 0.6, SKIN[rng.integers(4)]
    pedal = rng.uniform(-0.12, 0.12)
    bicycle(street, x, z, ident, squeeze, facing)
    ident += 1

    def at(*points: tuple) -> np.ndarray:
        return billboard(x, z, points, squeeze * facing)

    street.limb(at((-0.22, 1.0), (0.16, 0.72 - pedal), (-0.08, 0.3 - pedal)), 0.14, trousers * 0.8, ident)
    street.limb(at((-0.22, 1.02), (0.2, 0.8 + pedal), (-0.04, 0.36 + pedal)), 0.16, trousers, ident)
    street.limb(at((-0.06, 0.32 + pedal), (0.1, 0.32 + pedal)), 0.08, (35, 35, 35), ident)
    street.fill(at((-0.36, 0.95), (-0.1, 0.95), (0.24, 1.42), (0.08, 1.58), (-0.12, 1.5)), top, ident)
    street.limb(at((0.12, 1.44), (0.2, 1.18), (0.4, 1.06)), 0.1, top * 0.85, ident)
    street.limb(at((0.14, 1.5), (0.18, 1.62)), 0.1, skin, ident)
    head = x + 0.2 * squeeze * facing
    street.disc(head, 1.7, z, (0.12, 0.14), skin, ident)
    if rng.random() < 0.7:
        street.fill(at((0.05, 1.74), (0.08, 1.85), (0.2, 1.9), (0.34, 1.82), (0.36, 1.74)), clothes(rng), ident)


@dataclass
class Body:
    """A vehicle's pose: local (u forward, v up, w right) in metres -> world."""

    street: Street
    x: float
    z: float
    yaw: float  # 0 drives away from the camera, pi towards it
    ident: int

    def world(self, u: ArrayLike, v: ArrayLike, w: ArrayLike) -> np.ndarray:
        u, v, w = np.broadcast_arrays(*(np.asarray(a, float) for a in (u, v, w)))
        x = self.x + u * np.sin(self.yaw) + w * np.cos(self.yaw)
        return np.stack((x, v, self.z + u * np.cos(self.yaw) - w * np.sin(self.yaw)), -1)

    def sees(self, centre: tuple, normal: tuple) -> bool:
        """Whether a face with this outward (u, v, w) normal shows to the camera."""
        out = self.world(*normal) - self.world(0, 0, 0)
        eye = np.array((self.street.camera_x, self.street.eye, 0))
        return float(np.dot(out, eye - self.world(*centre))) > 0

    def quad(self, u: tuple, v: tuple, w: float, colour: Colour, **kw) -> None:
        """A rectangle on a side face."""
        self.street.fill(self.world((u[0], u[1], u[1], u[0]), (v[0], v[0], v[1], v[1]), w), colour, self.ident, **kw)

    def end(self, u: float, v: tuple, w: tuple, colour: Colour, **kw) -> None:
        """A rectangle on the front or back."""
        self.street.fill(self.world(u, (v[0], v[0], v[1], v[1]), (w[0], w[1], w[1], w[0])), colour, self.ident, **kw)

    def wheel(self, u: float, w: float, radius: float) -> None:
        angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        for r, colour in ((radius, (28, 28, 28)), (radius * 0.58, (150, 150, 150)), (radius * 0.25, (70, 70, 70))):
            rim = self.world(u + r * np.cos(angle), radius + r * np.sin(angle), w)
            self.street.fill(rim, colour, self.ident)

    def hull(self, profile: np.ndarray, half_width: float, colour: np.ndarray, glass: tuple = ()) -> list[float]:
        """Extrudes a side view (N, 2), counter-clockwise in (u, v); returns the w of the sides that show."""
        ends = np.roll(profile, -1, 0)
        faces = []
        for k, (a, b) in enumerate(zip(profile, ends, strict=True)):
            centre, normal = (*((a + b) / 2), 0), (b[1] - a[1], a[0] - b[0], 0)
            if self.sees(centre, normal):
                faces.append((float(np.linalg.norm(self.world(*centre)[[0, 2]])), k, a, b, normal))
        sides = [w for w in (-half_width, half_width) if self.sees((0, 0.8, w), (0, 0, np.sign(w)))]
        for w in sides:
            self.street.fill(self.world(profile[:, 0], profile[:, 1], w), colour * 0.85, self.ident)
        for _, k, a, b, normal in sorted(faces, key=lambda face: -face[0]):
            tone = 0.8 + 0.3 * max(normal[1], 0) / (np.hypot(*normal[:2]) + 1e-9)
            for inset, paint in ((1.0, colour * tone), (0.86, np.array((70, 60, 50)))):
                if inset == 1.0 or k in glass:
                    p, q = a + (b - a) * (1 - inset) / 2, b - (b - a) * (1 - inset) / 2
                    across = np.array((-1, 1, 1, -1)) * half_width * inset
                    corners = self.world((p[0], p[0], q[0], q[0]), (p[1], p[1], q[1], q[1]), across)
                    self.street.fill(corners, paint, self.ident)
        return sides

    def tyres(self, positions: tuple, half_width: float, radius: float) -> None:
        """What shows of the wheels under the body, before the body is painted."""
        for u in positions:
            for w in (-half_width + 0.15, half_width - 0.15):
                x, _, z = self.world(u, 0, w)
                points = ((-0.13, 0.0), (0.13, 0.0), (0.13, 2 * radius), (-0.13, 2 * radius))
                self.street.fill(billboard(x, z, points), (25, 25, 25), self.ident)


def car(street: Street, x: float, z: float, ident: int, yaw: float) -> None:
    """A saloon, hatchback or van of 3.7 to 4.6 m."""
    rng = street.rng
    long, tall = rng.uniform(0.9, 1.1), rng.uniform(0.95, 1.2)
    paints = [(200, 200, 200), (45, 45, 45), (40, 40, 170), (150, 75, 35)]
    paints += [(115, 115, 115), (235, 235, 235), (60, 110, 50), (30, 140, 200)]
    colour = np.array(paints[rng.integers(len(paints))]) * rng.uniform(0.8, 1.1)
    tail = rng.uniform(0.05, 0.75)  # hatchback to saloon
    front = [(-2.05, 0.28), (2.05, 0.28), (2.1, 0.62), (2.0, 0.8), (1.1, 0.95), (0.45, 1.42)]
    back = [(-1.1 - 0.2 * tail, 1.44), (-1.95 + tail * 0.3, 0.98), (-2.08, 0.92)]
    profile = np.array(front + back) * (long, tall)
    body = Body(street, x, z, yaw, ident)
    half, radius = rng.uniform(0.82, 0.92), 0.33
    axles = (-1.3 * long, 1.3 * long)
    street.contact_shadow(x, z, *(np.abs((np.sin(yaw), np.cos(yaw))) * 2.2 + np.abs((np.cos(yaw), np.sin(yaw))) * 1.05))
    body.tyres(axles, half, radius)
    sides = body.hull(profile, half, colour, glass=(4, 6))
    for w in sides:
        belt, roof = 0.95 * tall, 1.36 * tall
        for u0, u1, u2, u3 in ((0.92, 0.42, -0.25, -0.25), (-0.35, -0.35, -1.1, -1.6 + tail * 0.3)):
            glass = body.world(np.array((u0, u1, u2, u3)) * long, (belt, roof, roof, belt), w)
            street.fill(glass, (75, 65, 55), ident)
        body.quad((-0.32 * long, -0.29 * long), (0.35 * tall, 0.95 * tall), w, colour * 0.6)
        for u in axles:
            body.wheel(u, w, radius)
    u = 2.1 * long
    if body.sees((u, 0.6, 0), (1, 0, 0)):
        for w in (-1, 1):
            lamp = (w * half * 0.95, w * half * 0.5)
            body.end(u, (0.56 * tall, 0.74 * tall), lamp, (235, 250, 255) if street.night else (225, 230, 230),
                     glow=street.night)  # fmt: skip
        body.end(u, (0.5 * tall, 0.7 * tall), (-0.3, 0.3), (40, 40, 40))
        body.end(u, (0.33 * tall, 0.46 * tall), (-0.26, 0.26), (225, 225, 225))
    elif body.sees((-u, 0.6, 0), (-1, 0, 0)):
        for w in (-1, 1):
            body.end(
                -u, (0.68 * tall, 0.88 * tall), (w * half * 0.98, w * half * 0.6), (40, 35, 200), glow=street.night
            )
        body.end(-u, (0.52 * tall, 0.66 * tall), (-0.26, 0.26), (215, 225, 225))
        body.end(-u, (0.28 * tall, 0.42 * tall), (-half, half), (50, 50, 50))


def bus(street: Street, x: float, z: float, ident: int, yaw: float) -> None:
    """A single-decker of 7 to 9 m."""
    rng = street.rng
    half_long, tall, half = rng.uniform(3.5, 4.5), rng.uniform(2.8, 3.1), 1.22
    paints = ((45, 45, 190), (60, 190, 225), (190, 120, 40), (80, 150, 60), (215, 215, 215))
    colour = np.array(paints[rng.integers(len(paints))]) * rng.uniform(0.8, 1.05)
    stripe = clothes(rng)
    profile = np.array([(-1, 0.35), (1, 0.35), (1, 1.2), (0.97, tall), (-0.99, tall)]) * (half_long, 1)
    body = Body(street, x, z, yaw, ident)
    axles = (-0.6 * half_long, 0.62 * half_long)
    reach = np.abs((np.sin(yaw), np.cos(yaw))) * half_long + np.abs((np.cos(yaw), np.sin(yaw))) * 1.35
    street.contact_shadow(x, z, *reach)
    body.tyres(axles, half, 0.48)
    sides = body.hull(profile, half, colour)
    glass = np.array((80, 70, 60))
    pane = (130, 205, 240) if street.night else glass
    for w in sides:
        body.quad((-half_long * 0.98, half_long * 0.98), (0.75, 0.95), w, stripe)
        edges = np.linspace(-half_long * 0.94, half_long * 0.92, 8)
        for k, (a, b) in enumerate(itertools.pairwise(edges)):
            door = k in (3, 6) and w > 0
            body.quad((a + 0.07, b - 0.07), (0.45 if door else 1.3, 2.35), w, pane, glow=street.night)
        for u in axles:
            body.wheel(u, w, 0.48)
    if body.sees((half_long, 1.2, 0), (1, 0, 0)):
        u = half_long * 0.995
        body.end(u, (1.15, 2.3), (-half * 0.92, half * 0.92), glass)
        body.end(u, (2.38, 2.7), (-half * 0.7, half * 0.7), (25, 25, 25))
        for k in range(5):
            a = -half * 0.6 + k * 0.26
            body.end(u, (2.45, 2.63), (a, a + 0.17), (60, 190, 250), glow=True)
        for w in (-1, 1):
            body.end(u, (0.6, 0.82), (w * half * 0.95, w * half * 0.62), (235, 250, 255), glow=street.night)
    elif body.sees((-half_long, 1.2, 0), (-1, 0, 0)):
        u = -half_long
        body.end(u, (1.6, 2.5), (-half * 0.8, half * 0.8), glass)
        body.end(u, (0.7, 1.3), (-half * 0.7, half * 0.7), colour * 0.6)
        for w in (-1, 1):
            body.end(u, (0.6, 1.2), (w * half * 0.97, w * half * 0.8), (40, 35, 200), glow=street.night)


def traffic_light(street: Street, x: float, z: float, ident: int) -> None:
    """Three lamps, one lit, on a post or an arm over the road."""
    rng = street.rng
    y, half, tall = rng.uniform(2.2, 2.9), 0.3, 1.5
    post = x + (np.sign(x) * rng.uniform(1.2, 2.2) if rng.random() < 0.35 else 0)
    street.limb(((post, 0, z), (post, y + tall * 0.6, z), (x, y + tall * 0.6, z)), 0.13, (70, 75, 75), POLE)
    yellow = rng.random() < 0.3
    case = np.array((40, 165, 195)) if yellow else np.array((38, 40, 38))
    for grow, colour in ((0.09, (210, 210, 210) if rng.random() < 0.35 else case * 0.8), (0.0, case)):
        a, b = half + grow, grow
        street.fill(
            ((x - a, y - b, z), (x + a, y - b, z), (x + a, y + tall + b, z), (x - a, y + tall + b, z)), colour, ident
        )
    on = int(rng.integers(3))
    for k, colour in enumerate(((60, 200, 60), (40, 190, 245), (40, 40, 235))):
        centre = y + tall * (k + 0.5) / 3
        if k == on:
            street.disc(x, centre, z, (0.22, 0.22), np.array(colour) * 1.1, ident, glow=True)
            street.disc(x, centre, z, (0.1, 0.1), (215, 235, 240), ident, glow=True)
        else:
            street.disc(x, centre, z, (0.2, 0.2), np.array(colour) * 0.22, ident)


def traffic_sign(street: Street, x: float, z: float, ident: int) -> None:
    """Prohibition, warning, stop, priority or direction sign on a post."""
    rng = street.rng
    y, r = rng.uniform(2.1, 2.8), rng.uniform(0.5, 0.66)
    street.limb(((x, 0, z), (x, y + r, z)), 0.08, (140, 140, 140), POLE)
    red, white, blue, black, yellow = (40, 35, 200), (235, 235, 235), (185, 85, 30), (35, 35, 35), (40, 200, 240)
    kind = rng.integers(6)

    def shape(corners: int, turn: float, radius: float, colour: tuple) -> None:
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + turn
        points = (x + radius * np.sin(angle), y + radius * np.cos(angle), np.full(corners, z))
        street.fill(np.stack(points, -1), np.array(colour) * rng.uniform(0.9, 1.05), ident)

    def bar(x0: float, y0: float, x1: float, y1: float, colour: tuple) -> None:
        street.limb(((x + x0 * r, y + y0 * r, z), (x + x1 * r, y + y1 * r, z)), 0.13 * r / 0.5, colour, ident)

    if kind == 0:  # prohibition
        shape(24, 0, r, red)
        shape(24, 0, r * 0.74, white)
        bar(-0.25, -0.35, -0.25, 0.35, black)
        bar(0.2, -0.35, 0.2, 0.35, black)
    elif kind == 1:  # warning
        shape(3, 0, r * 1.2, red)
        shape(3, 0, r * 0.78, white)
        bar(0, -0.2, 0, 0.3, black)
    elif kind == 2:  # stop
        shape(8, np.pi / 8, r, white)
        shape(8, np.pi / 8, r * 0.9, red)
        for k in (-0.5, -0.17, 0.17, 0.5):
            bar(k, -0.2, k, 0.2, white)
    elif kind == 3:  # direction
        shape(24, 0, r, white)
        shape(24, 0, r * 0.93, blue)
        bar(-0.4, 0, 0.4, 0, white)
        bar(0.4, 0, 0.1, 0.35, white)
        bar(0.4, 0, 0.1, -0.35, white)
    elif kind == 4:  # priority road
        shape(4, 0, r * 1.15, white)
        shape(4, 0, r * 0.85, yellow)
    else:  # no entry
        shape(24, 0, r, red)
        bar(-0.5, 0, 0.5, 0, white)
