"""The course of a camera: the stops between its moves, and how near it must stand to have room."""

from dataclasses import dataclass
from math import hypot, log

import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.move import Move
from squero.engines.motion.shake import SWAY, TURN

PUSH = 0.38
"""How much nearer a push in ends, as a share of the frame."""
TRAVEL = 0.25
"""How far a pan or tilt goes where the picture is no longer than the frame, in frames."""
LONG_TRAVEL = 2.0
"""How far it goes at most over a picture that is longer."""
SCENIC_TRAVEL = 0.75
"""How far the frame goes over a longer picture when the words name no way, around its middle."""
ROLL = 0.12
"""How far a roll turns, in radians."""
ORBIT = 0.025
"""How much nearer one side is at the end of an orbit: with more, straight lines would lean."""
ORBIT_TRAVEL = 0.1
SPAN, DEPTH, LEAN = 0.5, log(3), 0.4
"""What all moves together span at most: frames in any direction, logarithm of the zoom, radians.

With more, a drawn scene's ground would pass overhead, and a sliver of a picture fill the frame.
"""
FARTHEST, QUICKEST = 1.6, 1.4
"""The pace beyond which a move goes no farther, and beyond which it takes less time."""

ACROSS, DOWN, NEAR, TURNED, KEYSTONE = range(5)
States = NDArray[np.float64]
"""Rows of across, down, logarithm of the zoom, roll and keystone, in the units of `View`."""


@dataclass(frozen=True, slots=True)
class Room:
    """A picture's width and height in frames that just fit into it, and the frame's aspect."""

    across: float = 1.0
    down: float = 1.0
    aspect: float = 16 / 9


@dataclass(frozen=True, slots=True)
class Course:
    """A way in straight lines: the states where it bends, and at which share of the clip."""

    shares: NDArray[np.float64]
    states: States
    floor: float
    """The least zoom; the greatest is `near`."""
    near: float
    reach: tuple[float, float]
    """Width and height of all that is ever seen, in the units of `Room`."""
    shakes: bool


def chart(moves: tuple[Move, ...], room: Room) -> Course:
    """The course of these moves, one after the other, that shows nothing beyond the picture."""
    states, shakes = _gone(moves), any(move.shake for move in moves)
    extent = _extent(states, room.aspect, shakes)
    spans = np.ptp(states[:, :NEAR], axis=0)
    sides = np.array([room.across, room.down])
    floor = max(1.0, *(extent + spans) / sides)
    # What is cut off for the other axis's sake is no reason to go farther.
    free = np.minimum(sides * floor - extent, SPAN + (sides - 1) * floor)
    for axis in (ACROSS, DOWN):
        states[:, axis] = _stretched(states[:, axis], free[axis])
    if not spans.any() and max(sides) > 1:
        axis, way = (ACROSS, 1) if room.across > room.down else (DOWN, -1)
        states[:, axis] = _scenic(moves, free[axis], way)
    reach = (np.ptp(states[:, :NEAR], axis=0) + extent) / floor
    states[:, :NEAR] *= 2 / floor
    states[:, NEAR] += log(floor) - states[:, NEAR].min()
    near = float(np.exp(states[:, NEAR].max()))
    bends = np.repeat(np.arange(len(moves) + 1), 2)[1:-1]
    return Course(_shares(moves), states[bends], floor, near, tuple(reach), shakes)


def _gone(moves: tuple[Move, ...]) -> States:
    """The states after each move, within what a clip may span; ways in frames, around zero."""
    steps = np.zeros((len(moves) + 1, 5))
    for step, move in zip(steps[1:], moves, strict=True):
        pace = min(move.pace, FARTHEST)
        step[ACROSS] = (TRAVEL * move.pan + ORBIT_TRAVEL * move.orbit) * pace
        step[DOWN] = TRAVEL * move.tilt * pace
        step[NEAR] = move.zoom * log(1 + PUSH * pace)
        step[TURNED] = ROLL * move.roll * pace
        step[KEYSTONE] = 2 * ORBIT * move.orbit * pace
    states = np.cumsum(steps, axis=0)
    for axis in (ACROSS, DOWN, KEYSTONE):
        states[:, axis] = _centred(states[:, axis])
    # Scaled rather than cut off: of too long a way, each move is still seen.
    most = np.array([SPAN, SPAN, DEPTH, LEAN, ORBIT])
    gone = np.abs(states).max(axis=0)
    across, down, gone[NEAR] = np.ptp(states[:, : NEAR + 1], axis=0)
    gone[:NEAR] = hypot(across, down)
    spanned: States = states * (most / np.maximum(most, gone))
    return spanned


def _centred(way: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = way - (way.max() + way.min()) / 2
    return centred


def _extent(states: States, aspect: float, shakes: bool) -> NDArray[np.float64]:
    """Width and height of the upright box around a frame that is turned, leans and shakes."""
    turn = np.abs(states[:, TURNED]).max() + TURN * shakes
    lean = 1 - np.abs(states[:, KEYSTONE]).max()
    slants = np.array([1 / aspect, aspect])
    # A box is at its largest where a corner of the frame lies straight aside or above.
    turns = np.minimum(turn, np.arctan(slants))
    box: NDArray[np.float64] = (np.cos(turns) + np.sin(turns) * slants) / lean + SWAY * shakes
    return box


def _stretched(way: NDArray[np.float64], free: float) -> NDArray[np.float64]:
    """A way, longer where the picture has more room than it takes."""
    span = float(np.ptp(way))
    return way * min(free / span, LONG_TRAVEL / TRAVEL) if span else way


def _scenic(moves: tuple[Move, ...], free: float, way: int) -> NDArray[np.float64]:
    """The way along a long picture while the camera only turns or goes nearer or farther."""
    steps = [move.pace if move.zoom or move.roll else 0.0 for move in moves]
    gone = _centred(np.cumsum([0.0, *steps])) * way
    span = float(np.ptp(gone))
    return gone * min(free / span, SCENIC_TRAVEL) if span else gone


def _shares(moves: tuple[Move, ...]) -> NDArray[np.float64]:
    """When each move begins and ends: in the middle of its equal part, all of it unless quick."""
    middles = (np.arange(len(moves)) + 0.5) / len(moves)
    halves = [min(1.0, QUICKEST / move.pace) / len(moves) / 2 for move in moves]
    return np.stack([middles - halves, middles + halves], axis=1).reshape(-1)
