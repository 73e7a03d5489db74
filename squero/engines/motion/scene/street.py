"""What stands along a street and on the roof from which a city is seen."""

import numpy as np

from squero.engines.motion.planes import Plane
from squero.engines.motion.scene.layer import Canvas, Layer, texture
from squero.engines.motion.scene.noise import Chance
from squero.engines.motion.scene.palette import Palette, mix, rgb
from squero.engines.motion.scene.sky import upright
from squero.engines.motion.scene.stage import Box, Stage


def street_lamps(stage: Stage, palette: Palette) -> list[Layer]:
    """Posts along both sides of a street, each with its halo."""
    layers = []
    for foot, high in ((0.02, 0.075), (0.05, 0.13), (0.11, 0.23), (0.24, 0.44)):
        row = stage.horizon + foot
        depth = stage.depth(row)
        aside = (0.05 + 1.5 * foot) * min(1.0, stage.aspect)
        for side in (-1, 1):
            layers.append(_lamp(stage, palette, side * aside, row, high, depth, side))
    return layers


def _lamp(
    stage: Stage, palette: Palette, x: float, foot: float, high: float, depth: float, side: int
) -> Layer:
    halo = 0.42 * high
    top = foot - high
    canvas = Canvas(stage, Box(x - 1.6 * halo, x + 1.6 * halo, top - halo, foot + 0.01))
    ink = canvas.sheet()
    half = 0.011 * high
    arm = x - side * 0.2 * high
    bar(canvas, ink, x - half, top + 0.03 * high, x + half, foot)
    bar(canvas, ink, min(arm, x), top + 0.02 * high, max(arm, x), top + 0.02 * high + half)
    bar(canvas, ink, arm - 0.04 * high, top + 0.02 * high, arm + 0.04 * high, top + 0.05 * high)
    cover = ink.astype(np.float32) / 255
    colours = canvas.colour(palette.shade * np.float32(0.5))
    if palette.dark:
        away = np.hypot(canvas.x - arm, canvas.y - top - 0.05 * high) / halo
        glow = 0.9 * np.exp(-9 * away) + 0.3 * np.clip(1 - away, 0, 1) ** 2
        lamp = mix(rgb(palette.lamps[1]), np.ones(3, np.float32), 0.3)
        share = np.clip(glow / np.maximum(glow + 0.6 * cover, 1e-3), 0, 1)[..., None]
        colours = (colours + (lamp - colours) * share).astype(np.float32)
        cover = np.clip(cover + glow, 0, 1).astype(np.float32)
    return Layer(canvas, texture(colours, cover), upright(stage, depth))


def roofs(stage: Stage, chance: Chance, palette: Palette) -> Layer:
    """A dark roof at our feet with its parapet, tank, aerials and railing."""
    depth = 1.3
    seen = stage.reach(depth)
    canvas = Canvas(stage, Box(seen.left, seen.right, 0.6, max(1.02, seen.bottom)))
    ink = canvas.sheet()
    base = 0.92
    x = canvas.box.left
    while x < canvas.box.right:
        wide = chance.uniform(0.2, 0.5)
        head = base + chance.choice([0.0, 0.022, -0.018])
        bar(canvas, ink, x, head, x + wide, canvas.box.bottom + 0.1)
        kind = chance.random()
        middle = x + wide * chance.uniform(0.25, 0.75)
        if kind < 0.35:
            tank(canvas, ink, middle, head, 0.05)
        elif kind < 0.65:
            aerial(canvas, ink, chance, middle, head)
        else:
            bar(canvas, ink, middle, head - 0.05, middle + 0.09, head)
            bar(canvas, ink, middle + 0.02, head - 0.075, middle + 0.035, head)
        x += wide
    cover = ink.astype(np.float32) / 255
    low = np.clip((canvas.y - 0.8) * 3, 0, 1)[..., None] * np.ones((1, canvas.width, 1), np.float32)
    colours = mix(palette.shade * 0.32, palette.haze * 0.3, 0.25) * (1.1 - 0.5 * low)
    rim = np.clip(cover - np.roll(cover, 2, axis=0), 0, 1)[..., None]
    colours = colours + (palette.haze - colours) * 0.5 * rim
    return Layer(canvas, texture(colours.astype(np.float32), cover), upright(stage, depth))


def bar(canvas: Canvas, ink: Plane, left: float, top: float, right: float, bottom: float) -> None:
    """Fill a rectangle."""
    shape = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    canvas.fill(ink, shape)


def tank(canvas: Canvas, ink: Plane, x: float, foot: float, half: float) -> None:
    """A water tank on legs."""
    for leg in (-0.8, -0.27, 0.27, 0.8):
        bar(canvas, ink, x + leg * half - 0.003, foot - 1.3 * half, x + leg * half + 0.003, foot)
    bar(canvas, ink, x - half, foot - 3.1 * half, x + half, foot - 1.2 * half)
    roof = [
        [x - 1.1 * half, foot - 3.1 * half],
        [x, foot - 3.9 * half],
        [x + 1.1 * half, foot - 3.1 * half],
    ]
    canvas.fill(ink, np.array(roof, np.float32))


def aerial(canvas: Canvas, ink: Plane, chance: Chance, x: float, foot: float) -> None:
    """An old aerial with its rungs."""
    high = chance.uniform(0.12, 0.19)
    bar(canvas, ink, x - 0.0016, foot - high, x + 0.0016, foot)
    for rung in range(4):
        y, half = foot - high * (0.97 - 0.1 * rung), 0.016 + 0.007 * rung
        bar(canvas, ink, x - half, y - 0.0012, x + half, y + 0.0012)
