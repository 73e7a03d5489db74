"""The phrase around a verb of motion: what stands before it, and where it points."""

from dataclasses import dataclass

from squero.engines.motion.words import (
    CAMERA,
    DIRECTIONS,
    FORMS,
    GAP,
    JOINTS,
    LANES,
    LIGHT,
    MARKS,
    NEGATIONS,
    PACES,
    RESTING,
    STEADY,
    UNLESS,
    VERY,
    Verb,
    Way,
    plain,
)

HEADINGS = ("ward", "wards", "clockwise")


@dataclass(frozen=True, slots=True)
class Lead:
    """What stands before a verb: its subject's kind, and what the light words between them say."""

    camera: bool
    negated: bool
    article: bool
    pace: float | None
    way: str
    """The direction in "an upward tilt", or nothing."""
    stop: str

    @property
    def opens(self) -> bool:
        """Whether the verb begins its phrase."""
        return self.stop in MARKS or self.stop in JOINTS


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a verb points, up to which word, and how fast its adverbs say."""

    ways: tuple[Way, ...]
    end: int
    pace: float | None


def lead_of(words: list[str], place: int) -> Lead:
    """What stands before the word at this place."""
    camera = negated = article = False
    pace: float | None = None
    way = ""
    at = place - 1
    while at >= 0:
        word = words[at]
        if word in NEGATIONS:
            negated = True
        elif plain(word) in PACES:
            pace = pace or paced(words, at)
        elif is_heading(word):
            way = DIRECTIONS[word]
        elif not (word in CAMERA or is_light(word) or is_comma_of_adjectives(words, at)):
            break
        camera |= word in CAMERA
        article |= word in ("a", "an", "the")
        at -= 1
    return Lead(camera, negated, article, pace, way, words[at] if at >= 0 else ".")


def is_light(word: str) -> bool:
    """Whether a word may stand between a verb and its subject."""
    return word in LIGHT or word in STEADY or (word.endswith("ly") and word not in FORMS)


def is_heading(word: str) -> bool:
    """Whether a word is nothing but a direction: "leftward", "clockwise"."""
    return word in DIRECTIONS and word.endswith(HEADINGS) and not word.startswith("toward")


def is_comma_of_adjectives(words: list[str], at: int) -> bool:
    """Whether this is the comma in "slow, steady push"."""
    return words[at] == "," and at > 0 and plain(words[at - 1]) in PACES


def paced(words: list[str], at: int) -> float:
    """The pace that the word here gives, with the "very" before it."""
    pace = PACES[plain(words[at])]
    if at == 0 or words[at - 1] not in VERY:
        return pace
    return min(pace, 0.4) if pace < 1 else max(pace, 2.0)


def aim_of(words: list[str], place: int, verb: Verb, cooks: bool) -> Aim:
    """Where the verb at this place points; `cooks` says that it may be a pan to cook with."""
    ways: list[Way] = []
    pace: float | None = None
    linked = False
    end = at = place + 1
    while words[at] in GAP or words[at] in DIRECTIONS or is_manner(words[at]) or words[at] == "and":
        if words[at] == "and" and not ways:
            break
        linked |= words[at] == "and"
        if plain(words[at]) in PACES:
            pace, end = pace or paced(words, at), at + 1
        elif (way := pointed(words, at, verb, cooks)) and way not in ways:
            # "Left through the crowd" goes left alone, "up left" and "in and left" both ways.
            if ways and not linked and way[0] not in ("pan", "tilt"):
                break
            ways.append(way)
            end = at + 1
        at += 1
    return Aim(tuple(ways) or distant(words, end, verb), end, pace or closing(words, end))


def is_manner(word: str) -> bool:
    """Whether a word says how."""
    return plain(word) in PACES or (word.endswith("ly") and word not in FORMS)


def pointed(words: list[str], at: int, verb: Verb, cooks: bool) -> Way | None:
    """What the word here means as a direction of the verb."""
    word, after = words[at], words[at + 1]
    if after in UNLESS.get(word, ()) or (cooks and after in RESTING):
        return None
    beyond = words[at + 2] if after == "the" else after
    if word in ("back", "toward", "towards") and beyond in DIRECTIONS:
        return None
    # A camera that moves in a garden does not move in.
    if word == "in" and "around" in verb.ways and not may_end(after):
        return None
    if word in ("up", "down") and after == "the" and LANES.intersection(words[at + 2 : at + 4]):
        return verb.ways.get("in")
    return verb.ways.get(DIRECTIONS.get(word, ""))


def may_end(word: str) -> bool:
    """Whether "in" before this word is an adverb."""
    return word in MARKS or word in JOINTS or word in DIRECTIONS or word in ("on", "to", "close")


def distant(words: list[str], at: int, verb: Verb) -> tuple[Way, ...]:
    """A direction later in the phrase: "across the bay to the left"."""
    while words[at] not in MARKS:
        side = words[at - 2 : at] == ["to", "the"] and words[at + 1] != "of"
        if (is_heading(words[at]) or side) and words[at + 1] not in UNLESS.get(words[at], ()):
            way = verb.ways.get(DIRECTIONS.get(words[at], ""))
            if way:
                return (way,)
        at += 1
    return ()


def closing(words: list[str], at: int) -> float | None:
    """The pace of an adverb at the very end of a phrase, or after it between commas."""
    while words[at] not in MARKS:
        at += 1
    if words[at] == ",":
        after = next(n for n in range(at + 1, len(words)) if words[n] not in VERY)
        if is_manner(words[after]) and words[after + 1] in MARKS:
            at = after + 1
    last = words[at - 1]
    return paced(words, at - 1) if last.endswith("ly") and plain(last) in PACES else None
