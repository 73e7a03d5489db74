"""What a camera did, measured from its frames alone: by the points that stay with the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.planes import Plane

GRID = 14
SURE_PIXELS = 0.5
"""A point that does not find its way back this well has not been followed."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flow:
    """What each step from frame to frame did to the picture, as the camera would say it.

    `across` and `down` in frames, `nearer` as a logarithm, `turned` clockwise in radians, `leaned`
    as how much nearer the right side came.
    """

    across: Numbers
    down: Numbers
    nearer: Numbers
    turned: Numbers
    leaned: Numbers

    def part(self, number: int, parts: int) -> "Flow":
        """The steps of one of so many parts, leaving out what is eased between them."""
        length = len(self.across)
        edges = np.linspace(0.1, 0.9, parts + 1) * length
        first = 0 if number == 0 else round(edges[number]) + 1
        last = length if number == parts - 1 else round(edges[number + 1])
        steps = slice(first, last)
        return Flow(
            self.across[steps],
            self.down[steps],
            self.nearer[steps],
            self.turned[steps],
            self.leaned[steps],
        )

    @property
    def tremor(self) -> float:
        """How unsteadily the camera was held: the spread of the changes of its turning."""
        return float(np.std(np.diff(self.turned)))


def flow_of(frames: Sequence[Plane]) -> Flow:
    """The flow through these frames; raises AssertionError when it cannot be followed."""
    steps = np.array([step_of(before, after) for before, after in pairwise(frames)])
    return Flow(*steps.T)


def step_of(before: Plane, after: Plane) -> tuple[float, float, float, float, float]:
    """What one step did, by a homography fitted to points that can be followed both ways."""
    height, width = before.shape
    places = np.stack(
        np.meshgrid(np.linspace(0.06, 0.94, GRID), np.linspace(0.08, 0.92, GRID)), axis=-1
    )
    starts = (places.reshape(-1, 1, 2) * [width, height]).astype(np.float32)
    window = {"winSize": (21, 21), "maxLevel": 4}
    ends, found, _ = cv2.calcOpticalFlowPyrLK(before, after, starts, None, **window)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, ends, None, **window)
    near = np.abs(back - starts).max(axis=(1, 2)) < SURE_PIXELS
    kept = near & (found[:, 0] == 1) & (returned[:, 0] == 1)
    assert kept.sum() >= GRID * GRID / 4, f"only {kept.sum()} points could be followed"
    middle = np.array([width - 1, height - 1]) / 2
    source, target = ((points[kept, 0] - middle) / (width / 2) for points in (starts, ends))
    fitted, _ = cv2.findHomography(source, target, cv2.RANSAC, 0.01)
    moved = fitted / fitted[2, 2]
    nearer = np.log(np.hypot(moved[0, 0], moved[1, 0]))
    turned = -np.arctan2(moved[1, 0], moved[0, 0])
    return (
        -moved[0, 2] / 2,
        -moved[1, 2] / 2 * width / height,
        float(nearer),
        float(turned),
        -moved[2, 0],
    )
