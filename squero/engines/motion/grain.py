"""The finish of a frame, as a lens and film would give it: darker corners, and a fine grain.

The grain hides the steps of smooth gradients, and is the same for the same seed.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.planes import Planes

STRENGTH = 1.5
"""The standard deviation of the grain, in steps of luma."""
SHIFT = 64
CORNER = 0.96
"""How much of its light a corner keeps."""


class Grain:
    """One sheet of grain, laid down differently on every frame; and, with a lens, dark corners."""

    def __init__(self, width: int, height: int, seed: int, *, lens: bool) -> None:
        self._seed = abs(seed)
        self._size = (height, width)
        chance = np.random.default_rng(self._seed)
        sheet = chance.standard_normal((height + SHIFT, width + SHIFT), np.float32)
        self._sheet = np.rint(sheet * STRENGTH).astype(np.int8)
        self._shade = shade(width, height) if lens else None

    def settle(self, number: int, planes: Planes) -> None:
        """Darken the corners of this frame's luma and add its grain."""
        top, left = np.random.default_rng([self._seed, number]).integers(0, SHIFT, 2)
        height, width = self._size
        part = self._sheet[top : top + height, left : left + width]
        if self._shade is not None:
            cv2.multiply(planes.y, self._shade, dst=planes.y, scale=1 / 255)
        cv2.add(planes.y, part, dst=planes.y, dtype=cv2.CV_8U)


def shade(width: int, height: int) -> NDArray[np.uint8]:
    """What each pixel keeps of its light, in 255ths: all of it in the middle."""
    across, down = np.linspace(-1, 1, width) ** 2, np.linspace(-1, 1, height) ** 2
    square = (across + down[:, None]) / 2
    return np.rint(255 * (1 - (1 - CORNER) * square**2)).astype(np.uint8)
