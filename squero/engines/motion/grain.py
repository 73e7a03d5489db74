"""Fine film grain: it hides the steps of smooth gradients, and is the same for the same seed."""

import cv2
import numpy as np

from squero.engines.motion.planes import Planes

STRENGTH = 1.5
"""The standard deviation, in steps of luma."""
SHIFT = 64


class Grain:
    """One sheet of grain, laid down differently on every frame."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self._seed = abs(seed)
        self._size = (height, width)
        chance = np.random.default_rng(self._seed)
        sheet = chance.standard_normal((height + SHIFT, width + SHIFT), np.float32)
        self._sheet = np.rint(sheet * STRENGTH).astype(np.int16)

    def settle(self, number: int, planes: Planes) -> None:
        """Add this frame's grain to its luma."""
        top, left = np.random.default_rng([self._seed, number]).integers(0, SHIFT, 2)
        height, width = self._size
        part = self._sheet[top : top + height, left : left + width]
        cv2.add(planes.y, part, dst=planes.y, dtype=cv2.CV_8U)
