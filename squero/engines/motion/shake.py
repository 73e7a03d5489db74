"""The unrest of a camera in somebody's hands: smooth noise of the seed, without fast jitter."""

import numpy as np

SWAY = 0.024
"""How far the hand strays at most, in halves of the frame."""
TURN = 0.005
"""How far it turns at most, in radians."""
SLOWEST_HERTZ, FASTEST_HERTZ = 0.25, 2.0
WAVES = 6


class Shake:
    """The way of one hand over a clip of so many seconds."""

    def __init__(self, seed: int, seconds: float) -> None:
        chance = np.random.default_rng([abs(seed), WAVES])
        hertz = np.geomspace(SLOWEST_HERTZ, FASTEST_HERTZ, WAVES)
        hertz = hertz * chance.uniform(0.85, 1.15, (3, WAVES))
        self._speeds = 2 * np.pi * hertz * seconds
        self._phases = chance.uniform(0, 2 * np.pi, (3, WAVES))
        strengths = 1 / np.sqrt(hertz)
        limits = np.array([[SWAY], [SWAY], [TURN]])
        self._strengths = limits * strengths / strengths.sum(axis=1, keepdims=True)

    def at(self, share: float) -> tuple[float, float, float]:
        """Aside and below, in halves of the frame, and a turn in radians."""
        waves = self._strengths * np.sin(self._speeds * share + self._phases)
        aside, below, turn = waves.sum(axis=1).tolist()
        return aside, below, turn
