"""The path of a camera over a flat picture, eased at both ends and never past an edge."""

from dataclasses import dataclass

from squero.engines.motion.move import Move

PUSH = 0.38
"""How much nearer a push in ends, as a share of the frame."""
ROOM = 0.25
"""How much nearer the camera stands while it pans or tilts, to have somewhere to go."""


@dataclass(frozen=True, slots=True)
class View:
    """What the camera sees, in shares of the picture: a part within [0, 1] on both axes."""

    left: float
    top: float
    size: float


class Camera:
    """The views of one move, from share 0 of the clip to share 1."""

    def __init__(self, move: Move) -> None:
        self._move = move
        travels = bool(move.pan or move.tilt)
        near = 1 + PUSH * move.pace
        floor = 1 + ROOM * move.pace if travels else 1.0
        ends = {0: (floor, floor), 1: (floor, floor * near), -1: (floor * near, floor)}
        self._start, self._end = ends[move.zoom]

    def view(self, share: float) -> View:
        """The view at this share of the clip."""
        eased = ease(share)
        # Zooming by equal factors looks even; by equal steps it looks as if it slowed down.
        size = 1 / (self._start * (self._end / self._start) ** eased)
        slack = (1 - size) / 2
        swing = 2 * eased - 1
        return View(
            left=slack * (1 + self._move.pan * swing),
            top=slack * (1 + self._move.tilt * swing),
            size=size,
        )


def ease(share: float) -> float:
    """Smooth start and end: 0 to 0, 1 to 1, flat at both."""
    return share * share * (3 - 2 * share)
