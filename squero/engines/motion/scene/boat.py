"""Boats under sail, rocking far out on the water."""

import numpy as np

from squero.engines.motion.scene.land import lit
from squero.engines.motion.scene.layer import Canvas, Layer, Placing, texture
from squero.engines.motion.scene.noise import Chance, smooth
from squero.engines.motion.scene.palette import Palette, rgb
from squero.engines.motion.scene.stage import Box, Matrix, Pose, Stage


def boats(stage: Stage, chance: Chance, palette: Palette) -> list[Layer]:
    """A few of them, so near the horizon that the water mirrors them."""
    places = chance.permutation([-0.34, -0.12, 0.1, 0.32])[:3] * stage.aspect
    return [
        boat(stage, palette, float(x), high, float(chance.uniform(0, 6)))
        for x, high in zip(places, (0.17, 0.12, 0.075), strict=True)
    ]


def boat(stage: Stage, palette: Palette, x: float, high: float, phase: float) -> Layer:
    """One boat, so high."""
    foot = stage.horizon + 0.012 * high / 0.1
    depth = stage.depth(foot)
    canvas = Canvas(stage, Box(x - high, x + high, foot - 1.2 * high, foot + 0.03 * high), 1.5)
    hull, sails = canvas.sheet(), canvas.sheet()

    def at(points: list[tuple[float, float]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.array([(x + a * high, foot - b * high) for a, b in points], np.float32)

    canvas.fill(hull, at([(-0.36, 0.12), (0.4, 0.14), (0.3, -0.02), (-0.28, -0.02)]))
    canvas.fill(hull, at([(-0.012, 0.1), (-0.006, 1.12), (0.006, 1.12), (0.012, 0.1)]))
    canvas.fill(sails, at([(-0.02, 0.2), (-0.015, 1.08), (-0.2, 0.55), (-0.36, 0.22)]))
    canvas.fill(sails, at([(0.03, 0.2), (0.02, 1.0), (0.18, 0.55), (0.37, 0.24)]), 205)
    tone = sails.astype(np.float32) / 255
    cover = np.clip(hull.astype(np.float32) / 255 + smooth(tone, 0, 0.6), 0, 1)
    wood = lit(palette, rgb("#5a4438"), np.full_like(tone, 0.3))
    cloth = lit(palette, rgb("#fbf3e4"), (0.25 + 0.6 * tone).astype(np.float32))
    colours = wood + (cloth - wood) * smooth(tone, 0, 0.6)[..., None]
    return Layer(
        canvas, texture(np.clip(colours, 0, 1), cover), _rocking(stage, depth, foot, phase)
    )


def _rocking(stage: Stage, depth: float, foot: float, phase: float) -> Placing:
    def place(pose: Pose) -> Matrix:
        lean = 0.035 * np.sin(1.3 * pose.seconds + phase)
        drift = 0.003 * pose.seconds - lean * (foot - 1)
        return stage.matrix(pose, depth, drift, lean)

    return place
