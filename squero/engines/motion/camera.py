"""What the camera sees from moment to moment: the views along a course, never past an edge."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.course import Room, chart
from squero.engines.motion.move import Move
from squero.engines.motion.shake import Shake

RAMP = 0.1
"""Half as long as the camera takes to reach its speed, as a share of the clip; then it is even."""
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera looks, counted from the picture's middle.

    `across` and `down` are in halves of the frame that just fits the picture, `roll` is in
    radians, clockwise; `keystone` is how much nearer the frame's right side is than its middle.
    """

    across: float
    down: float
    zoom: float
    roll: float = 0.0
    keystone: float = 0.0

    @property
    def size(self) -> float:
        """The frame's size as a share of a picture with the frame's aspect."""
        return 1 / self.zoom

    @property
    def left(self) -> float:
        """How far in the frame begins, as a share of a picture with the frame's aspect."""
        return max(0.0, (1 + self.across - self.size) / 2)

    @property
    def top(self) -> float:
        """How far down the frame begins, as a share of a picture with the frame's aspect."""
        return max(0.0, (1 + self.down - self.size) / 2)


class Camera:
    """The views of the moves, one after the other, from share 0 of the clip to share 1."""

    def __init__(
        self,
        moves: tuple[Move, ...],
        seed: int = 0,
        seconds: float = 5.0,
        room: Room = Room(),  # noqa: B008
    ) -> None:
        self._plan = (moves, seed, seconds)
        self.course = chart(moves, room)
        # The way ends before the clip does by as much as its corners are rounded.
        self._times = self.course.shares[:, None] * (1 - 2 * RAMP) + RAMP
        lasting = np.maximum(np.diff(self._times, axis=0), LEAST)
        self._rates = np.diff(self.course.states, axis=0) / lasting
        self._shake = Shake(seed, seconds) if self.course.shakes else None

    def over(self, room: Room) -> "Camera":
        """The same camera over a picture of another shape."""
        return Camera(*self._plan, room)

    def view(self, share: float) -> View:
        """The view at this share of the clip."""
        gone = smooth(share - self._times)
        # Averaging a way of straight lines stays within what holds all of it, so no edge shows.
        state = self.course.states[0] + (self._rates * (gone[:-1] - gone[1:])).sum(axis=0)
        across, down, nearness, roll, keystone = state.tolist()
        if self._shake:
            aside, below, turn = self._shake.at(share)
            across, down = across + aside / self.course.floor, down + below / self.course.floor
            roll += turn
        return View(across, down, float(np.exp(nearness)), roll, keystone)


def smooth(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero before time 0 and the time itself after it, with the corner rounded over ±RAMP."""
    part = np.clip(time / RAMP, -1, 1)
    corner = (part + 1) / 2 + (part**2 - 1) / 4 - (np.cos(np.pi * part) + 1) / (2 * np.pi**2)
    return RAMP * corner + np.maximum(0, time - RAMP)


def ease(share: float) -> float:
    """Smooth start and end: 0 to 0, 1 to 1, flat at both."""
    return share * share * (3 - 2 * share)
