"""Generated pictures that look like chest X-rays to a program and, at a glance, to a person.

Nothing here comes from a patient. Every picture is drawn from random numbers: body, lungs, heart, spine, ribs,
collar bones, uneven exposure and noise. The kind of finding is visible: scattered opacities at the outer edges of both
lungs for COVID, one opaque lobe for other pneumonia, clear lungs for normal.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Kind = Literal["covid", "pneumonia", "normal", "lateral", "ct"]
Plane = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]


def draw(kind: Kind, rng: np.random.Generator) -> Pixels:
    """Draw one picture.

    Args:
        kind: what it shows. ``covid``, ``pneumonia`` and ``normal`` are frontal views; ``lateral`` is a clear side
            view and ``ct`` one slice across the chest.
        rng: where every choice comes from; the same state gives the same pixels.

    Returns:
        Gray values of shape (height, width); each side is 200 to 400 pixels long.
    """
    width = int(rng.integers(220, 380))
    height = int(np.clip(width * rng.uniform(0.8, 1.15), 200, 400))
    x, y = _coordinates(width, height, rng)
    tissue = _slice(x, y, rng) if kind == "ct" else _chest(kind, x, y, rng)
    shaded = tissue + _clouds(width, height, rng, strength=15)
    exposed = 255 * np.clip(shaded / 255, 0, 1) ** rng.uniform(0.8, 1.3)
    noisy = exposed + rng.normal(0, 2.5, size=exposed.shape)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)


def _coordinates(width: int, height: int, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Return x and y of every pixel, from about -1 to 1, of a patient who stands a little askew."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(-0.14, 0.14)
    scale = rng.uniform(0.85, 1.12)
    x, y = x - rng.uniform(-0.12, 0.12), y - rng.uniform(-0.12, 0.12)
    return scale * (x * np.cos(angle) + y * np.sin(angle)), scale * (y * np.cos(angle) - x * np.sin(angle))


def _chest(kind: Kind, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Return the brightness of a chest seen from the front, or for ``lateral`` from the side."""
    body = _blob(x, y, (0, 0.45), (rng.uniform(0.82, 1.0), rng.uniform(1.3, 1.5)), power=4, edge=0.05)
    neck = _blob(x, y, (0, -1.0), (rng.uniform(0.2, 0.3), 0.5), power=4, edge=0.05)
    lungs, side = _lungs(kind, x, y, rng)
    heart = _blob(
        x - 0.35 * y * rng.uniform(0.2, 1.0),
        y,
        (rng.uniform(0.05, 0.22), rng.uniform(0.2, 0.42)),
        (rng.uniform(0.22, 0.36), rng.uniform(0.25, 0.38)),
        edge=0.12,
    )
    spine = np.exp(-((x / rng.uniform(0.06, 0.11)) ** 2)) * (1 + 0.25 * np.sin(y * rng.uniform(24, 40)))
    clear = lungs * (1 - 0.85 * heart)
    tissue = 18 + 125 * np.maximum(body, neck) - rng.uniform(85, 105) * clear
    tissue += 45 * heart * body + 28 * spine * body + _bones(x, y, rng) * body
    if kind == "covid":
        tissue += _scattered_opacities(x, y, side, rng) * clear
    elif kind == "pneumonia":
        tissue += _lobar_opacity(x, y, rng) * clear
    return tissue


def _lungs(kind: Kind, x: Plane, y: Plane, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Return where there is lung (0 to 1), and how far towards the outer edge of its lung each point lies (0 to 1)."""
    half_width, half_height = rng.uniform(0.27, 0.36), rng.uniform(0.6, 0.78)
    top = rng.uniform(-0.12, 0.05)
    lungs, outer = np.zeros_like(x), np.zeros_like(x)
    for sign in (0,) if kind == "lateral" else (-1, 1):
        centre = sign * rng.uniform(0.4, 0.48)
        wide = half_width * rng.uniform(0.9, 1.1) * (1.0 if sign else 1.5)
        taper = 1 + rng.uniform(0.15, 0.45) * (y - top)  # narrower at the apex
        narrowed = x / np.maximum(taper, 0.3)
        shape = _blob(narrowed, y, (centre, top), (wide, half_height), power=rng.uniform(2, 3), edge=0.08)
        dome = rng.uniform(0.35, 0.6) + rng.uniform(0.5, 1.4) * (x - centre) ** 2  # the diaphragm
        shape *= _step(dome - y, 0.03)
        lungs = np.maximum(lungs, shape)
        outer = np.maximum(outer, shape * np.clip(0.5 + sign * (x - centre) / (1.2 * wide), 0, 1))
    return lungs, outer


def _bones(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Return the brightness that ribs and collar bones add."""
    bones = np.zeros_like(x)
    count = int(rng.integers(7, 12))
    slope, bend = rng.uniform(0.05, 0.6), rng.uniform(0.1, 0.9)
    thickness = rng.uniform(0.018, 0.032)
    away = np.abs(x)
    for level in np.linspace(rng.uniform(-0.95, -0.75), rng.uniform(0.5, 0.75), count):
        middle = level + slope * away - bend * away * (0.9 - away) + rng.normal(0, 0.015)
        bones += rng.uniform(14, 26) * np.exp(-(((y - middle) / thickness) ** 2)) * _step(away - 0.1, 0.03)
    for sign in (-1, 1):
        bar = y + rng.uniform(0.62, 0.8) + sign * rng.uniform(0.05, 0.35) * x
        bones += 30 * np.exp(-((bar / 0.035) ** 2)) * _step(sign * x - 0.08, 0.03) * _step(0.75 - sign * x, 0.03)
    return bones


def _scattered_opacities(x: Plane, y: Plane, outer: Plane, rng: np.random.Generator) -> Plane:
    """Return the brightness of many soft patches, strongest in the outer and lower parts of both lungs."""
    patches = np.zeros_like(x)
    for number in range(int(rng.integers(7, 12))):
        sign = -1 if number % 2 else 1
        patches += _blob(
            x,
            y,
            (sign * rng.uniform(0.4, 0.72), rng.uniform(-0.35, 0.5)),
            (rng.uniform(0.09, 0.2), rng.uniform(0.08, 0.22)),
            edge=0.4,
        )
    return rng.uniform(65, 95) * np.clip(patches, 0, 1.2) * (0.35 + 0.65 * outer)


def _lobar_opacity(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Return the brightness of one solid patch with a sharp border, as large as a lobe."""
    side = rng.choice((-1, 1))
    border = y - rng.uniform(-0.2, 0.2) - rng.uniform(-0.3, 0.3) * x
    upper_or_lower = _step(rng.choice((-1, 1)) * border, 0.03)
    return rng.uniform(65, 95) * upper_or_lower * _step(side * x, 0.03)


def _slice(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Return the brightness of a CT slice across the chest: black air, gray wall, two lungs, heart and vertebra."""
    body = _blob(x, y, (0, 0), (0.92, rng.uniform(0.6, 0.75)), power=2.5, edge=0.02)
    lungs = np.zeros_like(x)
    for sign in (-1, 1):
        size = rng.uniform(0.3, 0.36), rng.uniform(0.4, 0.5)
        lungs = np.maximum(lungs, _blob(x, y, (sign * 0.42, 0), size, edge=0.03))
    heart = _blob(x, y, (0.12, -0.12), (rng.uniform(0.25, 0.35), 0.3), edge=0.04)
    vertebra = _blob(x, y, (0, 0.42), (0.13, 0.11), edge=0.06)
    return 8 + 120 * body - 100 * lungs * (1 - heart) + 25 * heart + 90 * vertebra


def _blob(
    x: Plane,
    y: Plane,
    centre: tuple[float, float],
    radii: tuple[float, float],
    *,
    power: float = 2,
    edge: float = 0.1,
) -> Plane:
    """Return a filled (super)ellipse: 1 inside, 0 outside, with a soft edge of relative width ``edge``."""
    across, down = np.abs((x - centre[0]) / radii[0]), np.abs((y - centre[1]) / radii[1])
    radius = (across**power + down**power) ** (1 / power)
    return _step(1 - radius, edge)


def _step(distance: Plane, edge: float) -> Plane:
    """Return 0 far below zero, 1 far above it and a smooth slope of width ``edge`` between."""
    return np.asarray(0.5 + 0.5 * np.tanh(distance / edge), dtype=np.float32)


def _clouds(width: int, height: int, rng: np.random.Generator, strength: float) -> Plane:
    """Return smooth random shading on several scales, in gray values around zero.

    It is what keeps two pictures of one kind apart for a perceptual hash, as the many differences of real bodies do.
    """
    shading = np.zeros((height, width), dtype=np.float32)
    for cells, weight in ((3, 1.0), (6, 0.8), (11, 0.5), (18, 0.3)):
        grid = Image.fromarray(rng.normal(0, strength * weight, size=(cells, cells)).astype(np.float32))
        shading += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))
    return shading
