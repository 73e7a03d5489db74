"""The camera moves that a prompt describes."""

from dataclasses import dataclass

from squero.engines.motion.reading import Reading, Segment
from squero.engines.motion.words import Way, words_of


@dataclass(frozen=True, slots=True)
class Move:
    """Where the camera goes: each direction is -1, 0 or 1; `pace` scales how far."""

    zoom: int = 0
    """1 pushes in, -1 pulls out."""
    pan: int = 0
    """1 goes to the right, -1 to the left."""
    tilt: int = 0
    """1 goes down, -1 up, as rows of a picture count."""
    orbit: int = 0
    """1 goes around to the right, -1 to the left."""
    roll: int = 0
    """1 turns the camera clockwise, -1 the other way."""
    shake: int = 0
    """1 when somebody holds the camera in their hands."""
    pace: float = 1.0


STILL = Move()
PUSH_IN = Move(zoom=1)
MOST = 8
"""How many moves a clip has at most: its seconds leave each little time as it is."""


def parse(prompt: str, negative_prompt: str = "") -> tuple[Move, ...]:
    """The moves in a prompt, one after the other, without those that the negative prompt names.

    A prompt without any pushes in gently; one whose moves are all ruled out stands still. What
    follows the first MOST is left out.
    """
    said = Reading(words_of(prompt))
    removed = said.removed | Reading(words_of(negative_prompt), denies=True).removed
    named = [segment for segment in said.segments if segment.ways or segment.holds]
    if not named:
        return (STILL if ("zoom", 1) in removed else PUSH_IN,)
    return tuple(move_of(segment, removed) for segment in named[:MOST])


def move_of(segment: Segment, removed: set[Way]) -> Move:
    """A segment's move: the pace is that of the first way that says one."""
    ways = {name: sign for name, sign in segment.ways if (name, sign) not in removed}
    if not ways:
        return STILL
    pace = next((pace for pace in segment.paces if pace != 1), 1.0)
    return Move(**ways, pace=pace)
