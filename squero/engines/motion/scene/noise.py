"""Noise that looks grown: sums of smooth random fields, each finer and weaker than the last."""

import cv2
import numpy as np

from squero.engines.motion.scene.layer import Field

Chance = np.random.Generator


def clouded(
    chance: Chance, shape: tuple[int, int], cells: tuple[float, float], octaves: int = 5
) -> Field:
    """A field about 0, mostly within ±1, with so many cells down and across."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight, sum_of_squares = 1.0, 0.0
    for octave in range(octaves):
        rows = max(2, round(cells[0] * 2**octave) + 1)
        columns = max(2, round(cells[1] * 2**octave) + 1)
        if rows > 2 * height or columns > 2 * width:
            break
        grid = chance.standard_normal((rows, columns), np.float32)
        total += np.float32(weight) * cv2.resize(
            grid, (width, height), interpolation=cv2.INTER_CUBIC
        )
        sum_of_squares += weight * weight
        weight *= 0.5
    total /= np.float32(1.6 * sum_of_squares**0.5)
    return total


def sampled(field: Field, x: Field, y: Field) -> Field:
    """The field at these places in shares of it, mirrored beyond its edges."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    across = np.ascontiguousarray(np.broadcast_to(x * (field.shape[1] - 1), shape), np.float32)
    down = np.ascontiguousarray(np.broadcast_to(y * (field.shape[0] - 1), shape), np.float32)
    return np.asarray(
        cv2.remap(field, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32
    )


def line(chance: Chance, x: Field, cells: float, octaves: int = 6, rough: float = 0.5) -> Field:
    """A line about 0, mostly within ±1, at these places; so many cells for each unit of x."""
    span = float(x[-1] - x[0])
    total = np.zeros_like(x)
    weight = 1.0
    for octave in range(octaves):
        knots = max(4, round(cells * span * 2**octave) + 3)
        heights = chance.standard_normal(knots)
        at = np.linspace(0, knots - 1, x.size)
        low = np.clip(at.astype(int), 0, knots - 2)
        part = at - low
        part = part * part * (3 - 2 * part)
        total += (weight * (heights[low] * (1 - part) + heights[low + 1] * part)).astype(np.float32)
        weight *= rough
    total /= np.float32(1.5)
    return total


def smooth(field: Field, low: float, high: float) -> Field:
    """0 below the low value, 1 above the high one, and soft between."""
    part = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    soft: Field = (part * part * (3 - 2 * part)).astype(np.float32)
    return soft
