"""The camera move that a prompt describes."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """Where the camera goes: each direction is -1, 0 or 1; `pace` scales how far."""

    zoom: int = 0
    """1 pushes in, -1 pulls out."""
    pan: int = 0
    """1 looks to the right, -1 to the left."""
    tilt: int = 0
    """1 looks down, -1 up, as rows of a picture count."""
    pace: float = 1.0


STILL = Move()
PUSH_IN = Move(zoom=1)

_CAMERA = r"(?:pan|truck|slid|track|swing|glid|dolly|camera (?:mov|turn|drift))\w*"
_LIFT = r"(?:tilt|crane|pedestal|boom|camera (?:mov|turn|drift|ris|descend))\w*"
_GAP = r"(?:[\s-]+(?:\w+ly|camera|shot|back|across|from|(?:to|towards?)|the|\w+ to))*[\s-]+"
_ZOOM = r"(?:zoom|push|dolly|dollie|mov|track)\w*"

_WORDS: tuple[tuple[str, int, str], ...] = (
    ("zoom", 1, rf"{_ZOOM}(?:[\s-]+(?:\w+ly|camera|us))*[\s-]+in(?:to|wards?)?|close(?:s|r)? in"),
    ("zoom", 1, r"(?:mov|com|gett?|draw)\w*[\s-]+closer"),
    ("zoom", -1, rf"(?:{_ZOOM}|pull\w*)(?:[\s-]+(?:\w+ly|camera|us))*[\s-]+(?:out|back|away)\w*"),
    ("pan", -1, rf"{_CAMERA}{_GAP}left(?:wards?)?(?! to)"),
    ("pan", 1, rf"{_CAMERA}{_GAP}right(?:wards?)?(?! to)"),
    ("tilt", -1, rf"{_LIFT}{_GAP}up(?:wards?)?|camera rises"),
    ("tilt", 1, rf"{_LIFT}{_GAP}down(?:wards?)?|camera descends"),
)
_PATTERNS = tuple(
    (axis, way, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for axis, way, words in _WORDS
)
_STILL = re.compile(
    r"\b(?:static|locked|fixed|still|stationary|motionless)[\s-]+(?:off[\s-]+)?(?:camera|shot|frame)"
    r"|\bno camera (?:move|motion)|\bcamera (?:is|stays|remains|holds) (?:still|static|fixed)",
    re.IGNORECASE,
)
_SLOW = re.compile(r"\b(?:slow|gentl|subtl|slight|soft)\w*", re.IGNORECASE)
_FAST = re.compile(r"\b(?:fast|quick|rapid|swift|dramatic)\w*", re.IGNORECASE)


def parse(prompt: str) -> Move:
    """The move in a prompt; on each axis the first one named wins, and none at all pushes in."""
    found: dict[str, tuple[int, int]] = {}
    for axis, way, pattern in _PATTERNS:
        if match := pattern.search(prompt):
            found[axis] = min(found.get(axis, (len(prompt), 0)), (match.start(), way))
    if not found:
        return STILL if _STILL.search(prompt) else PUSH_IN
    ways = {axis: way for axis, (_, way) in found.items()}
    return Move(**ways, pace=_pace(prompt))


def _pace(prompt: str) -> float:
    if _SLOW.search(prompt):
        return 0.65
    return 1.35 if _FAST.search(prompt) else 1.0
