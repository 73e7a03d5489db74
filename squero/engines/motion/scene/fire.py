"""A fire on the ground: flames that lick upwards, and the glow that they throw around."""

import cv2
import numpy as np

from squero.engines.motion.planes import MATRIX, Planes
from squero.engines.motion.scene.layer import Field
from squero.engines.motion.scene.noise import Chance, clouded, smooth
from squero.engines.motion.scene.palette import rgb
from squero.engines.motion.scene.stage import Pose, Stage

ROWS, COLUMNS = 96, 77
DEPTH = 1.0
RISE = 1.5
"""How many of its heights the fire's noise rises in a second."""


class Fire:
    """Flames so high that burn at a row of the scene, in its middle."""

    def __init__(self, stage: Stage, chance: Chance, foot: float, high: float) -> None:
        self._stage, self._foot, self._high = stage, foot, high
        self._noise = np.tile(clouded(chance, (4 * ROWS, COLUMNS), (11, 4), 3), (2, 1))
        self._across = np.linspace(-1, 1, COLUMNS, dtype=np.float32)
        self._up = np.linspace(1, 0, ROWS, dtype=np.float32)[:, None]
        inks = np.stack([rgb(code) for code in ("#5a0c04", "#e8481a", "#ffb03a", "#fff2b8")])
        self._inks = (255 * inks) @ MATRIX[:, :3].T + MATRIX[:, 3]
        self._glow = (MATRIX[1:, :3] @ (255 * rgb("#ff8a3a"))).tolist()

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Draw the glow and the flames over the frame."""
        matrix = self._stage.matrix(pose, DEPTH)
        zoom = float(matrix[0, 0])
        x, y = float(matrix[0, 2]), float(matrix[1, 1] * self._foot + matrix[1, 2])
        self._throw(
            frame, x, y, zoom, 1 + 0.12 * np.sin(9 * pose.seconds) * np.sin(5.3 * pose.seconds)
        )
        self._burn(frame, x, y, zoom, self._heat(pose.seconds))

    def _heat(self, seconds: float) -> Field:
        """How hot it is, 0 to 1, from the tips of the flames to their foot."""
        length = self._noise.shape[0] // 2
        at = (RISE * ROWS * seconds) % length
        low = int(at)
        part = np.float32(at - low)
        lick = (
            self._noise[low : low + ROWS] * (1 - part)
            + self._noise[low + 1 : low + 1 + ROWS] * part
        )
        sway = 0.22 * self._up * np.sin(3.1 * seconds + 4 * self._up)
        across = (self._across + sway + 0.2 * lick * self._up) / (
            0.8 * (1.05 - self._up) ** 0.6 + 0.04
        )
        heat: Field = (1 - across**2) * (1.08 - self._up) + 0.55 * lick * (0.25 + self._up)
        return np.clip(heat, 0, 1).astype(np.float32)

    def _burn(self, frame: Planes, x: float, y: float, zoom: float, heat: Field) -> None:
        high, wide = self._high * zoom, self._high * zoom * 0.8
        cover = smooth(heat, 0.12, 0.4)
        for plane, inks, shrink in zip(
            (frame.y, frame.u, frame.v), self._inks.T, (1, 2, 2), strict=True
        ):
            matrix = np.array(
                [
                    [wide / shrink / COLUMNS, 0, (x - wide / 2) / shrink],
                    [0, high / shrink / ROWS, (y - high) / shrink],
                ]
            )
            ink = np.interp(heat, (0.1, 0.4, 0.68, 1.0), inks).astype(np.float32)
            left, right = max(0, int((x - wide) / shrink)), int((x + wide) / shrink)
            top, bottom = max(0, int((y - 1.1 * high) / shrink)), int((y + 4) / shrink)
            part = plane[top:bottom, left:right]
            if not part.size:
                return
            matrix[:, 2] -= (left, top)
            size = (part.shape[1], part.shape[0])
            light = cv2.warpAffine(ink * cover, matrix, size, flags=cv2.INTER_LINEAR)
            kept = 1 - cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR)
            part[:] = np.clip(part * kept + light, 0, 255)

    def _throw(self, frame: Planes, x: float, y: float, zoom: float, power: float) -> None:
        """Light up what is near the fire, at an eighth of the frame's size."""
        rows, columns = frame.y.shape[0] // 8, frame.y.shape[1] // 8
        across = (np.arange(columns, dtype=np.float32) * 8 - x) / (zoom * 1.1)
        down = (np.arange(rows, dtype=np.float32)[:, None] * 8 - (y - 0.3 * self._high * zoom)) / (
            zoom * 0.6
        )
        light = (np.exp(-2.2 * np.sqrt(across**2 + down**2 + 0.01)) * power).astype(np.float32)
        for plane, much in zip((frame.y, frame.u, frame.v), (84, *self._glow), strict=True):
            glow = cv2.resize(
                light * np.float32(much if much > 80 else 0.75 * much), plane.shape[::-1]
            )
            plane[:] = cv2.add(plane, glow, dtype=cv2.CV_8U)
