"""The stage: where the camera stands at each moment, and what that does to things at a depth.

Scene coordinates count in heights of the frame: y is 0 at its top and 1 at its bottom, x is 0 in
its middle, as seen in the widest view of the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.camera import Camera

Matrix = NDArray[np.float64]

SKY, HORIZON, BOTTOM = 0.12, 0.3, 1.25
"""How far things move when the camera moves by one: at infinity, at the horizon, at our feet."""
STEPS = 48


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the camera stands, and when."""

    x: float
    y: float
    zoom: float
    seconds: float
    roll: float = 0.0
    """In radians, clockwise."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the scene."""

    left: float
    right: float
    top: float
    bottom: float


class Stage:
    """The frame, its horizon, and the camera's way through the clip."""

    def __init__(
        self, size: tuple[int, int], horizon: float, camera: Camera, seconds: float
    ) -> None:
        self.width, self.height = size
        self.aspect = self.width / self.height
        self.horizon = horizon
        self.seconds = seconds
        self._camera = camera
        views = [camera.view(step / STEPS) for step in range(STEPS + 1)]
        self._widest = max(view.size for view in views)
        self._poses = [self.pose(step / STEPS) for step in range(STEPS + 1)]

    def pose(self, share: float) -> Pose:
        """The camera at this share of the clip."""
        view = self._camera.view(share)
        x = (view.left + view.size / 2 - 0.5) / self._widest * self.aspect
        y = (view.top + view.size / 2 - 0.5) / self._widest
        return Pose(x, y, self._widest / view.size, share * self.seconds, view.roll)

    @property
    def enlarging(self) -> float:
        """How much larger a frame must be drawn so that turning it shows nothing beyond it."""
        most = max(abs(pose.roll) for pose in self._poses) * 1.02
        return float(np.cos(most) + max(self.aspect, 1 / self.aspect) * np.sin(most))

    def depth(self, foot: float) -> float:
        """How far things move that stand on the ground at this row of the scene."""
        return HORIZON + (BOTTOM - HORIZON) * max(0.0, (foot - self.horizon) / (1 - self.horizon))

    def matrix(self, pose: Pose, depth: float, drift: float = 0.0, lean: float = 0.0) -> Matrix:
        """From scene to frame in pixels, for what stands upright at a depth.

        It has drifted by so much to the right, and leans by so much where it is high.
        """
        zoom = nearer(pose.zoom, depth) * self.height
        x, y = drift - depth * pose.x, -self.horizon - depth * pose.y
        return np.array(
            [
                [zoom, lean * zoom, zoom * (x - lean) + self.width / 2],
                [0, zoom, zoom * y + self.horizon * self.height],
                [0, 0, 1.0],
            ]
        )

    def plane(self, pose: Pose) -> Matrix:
        """From scene to frame in pixels, for what lies flat from the horizon to our feet."""
        zoom = nearer(pose.zoom, (HORIZON + BOTTOM) / 2) * self.height
        slope = (BOTTOM - HORIZON) / (1 - self.horizon)
        far_x, far_y = HORIZON * pose.x, HORIZON * pose.y
        high = 1 - slope * pose.y
        return np.array(
            [
                [
                    zoom,
                    -zoom * slope * pose.x,
                    zoom * (slope * pose.x * self.horizon - far_x) + self.width / 2,
                ],
                [
                    0,
                    zoom * high,
                    self.horizon * (self.height - zoom * high) - zoom * far_y,
                ],
                [0, 0, 1.0],
            ]
        )

    def skyline(self, pose: Pose) -> float:
        """The frame's row, in pixels, at which the horizon lies."""
        plane = self.plane(pose)
        return float(plane[1, 1] * self.horizon + plane[1, 2])

    def reach(self, depth: float | None, drifts: Sequence[float] = (0.0,)) -> Box:
        """What the camera sees on its way at a depth (None: of the ground)."""
        corners = np.array(
            [[x, y, 1] for x in (0, self.width) for y in (0, self.height)], np.float64
        ).T
        seen = np.concatenate(
            [
                np.linalg.inv(
                    self.plane(pose) if depth is None else self.matrix(pose, depth, drift)
                )
                @ corners
                for pose in self._poses
                for drift in drifts
            ],
            axis=1,
        )
        margin = 0.02
        (left, top, _), (right, bottom, _) = seen.min(axis=1), seen.max(axis=1)
        return Box(left - margin, right + margin, top - margin, bottom + margin)


def nearer(zoom: float, depth: float) -> float:
    """How much larger things at a depth become; what is at our feet must not leave the frame."""
    return float(zoom ** (0.12 + 0.55 * depth))
