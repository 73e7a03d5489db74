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
    OBJECTS,
    PACES,
    PRONOUNS,
    RESTING,
    ROUND,
    STEADY,
    STYLES,
    UNLESS,
    VERBS,
    VERY,
    Verb,
    Way,
    Ways,
    plain,
)

ARTICLES = frozenset(["the", "a", "an", "this", "that"])
SEEN = frozenset(["a", "an", "his", "her", "their", "my"])
"""What stands before a thing that is there to be seen."""
HEADINGS = ("ward", "wards", "clockwise")


@dataclass(frozen=True, slots=True)
class Lead:
    """What stands before a verb: its subject's kind, and what the light words between them say."""

    camera: bool
    negated: bool
    article: bool
    pace: float | None
    styled: bool
    """Whether an adjective says how, as in "a slow arc" or "a smooth arc"."""
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
    camera = negated = article = styled = comma = False
    pace: float | None = None
    way = ""
    at = place - 1
    while at >= 0:
        word = words[at]
        if word in NEGATIONS:
            negated = True
        elif plain(word) in PACES:
            pace, styled = pace or paced(words, at), True
        elif is_heading(word) or (at == place - 1 and is_side(words, place)):
            way = DIRECTIONS[word]
        elif not (word in CAMERA or is_light(word) or is_comma_of_adjectives(words, at)):
            break
        camera |= films(words, at)
        article |= word in ("a", "an", "the")
        styled |= word in STYLES
        comma |= word == ","
        at -= 1
    stop = words[at] if at >= 0 else "."
    if comma and not (camera or stop in MARKS or stop in JOINTS):
        stop = ","
    return Lead(camera, negated, article, pace, styled, way, stop)


def is_light(word: str) -> bool:
    """Whether a word may stand between a verb and its subject."""
    return word in LIGHT or word in STEADY or (word.endswith("ly") and word not in FORMS)


def is_heading(word: str) -> bool:
    """Whether a word is nothing but a direction: "leftward", "clockwise"."""
    return word in DIRECTIONS and word.endswith(HEADINGS) and not word.startswith("toward")


def films(words: list[str], at: int) -> bool:
    """Whether this word is the camera, or a drone that films; "a drone" would be one to see."""
    if words[at] != "drone":
        return words[at] in CAMERA
    begin = next((n + 1 for n in range(at - 1, -1, -1) if words[n] in MARKS | JOINTS), 0)
    return at - begin <= 3 and not SEEN.intersection(words[begin:at])


def is_side(words: list[str], place: int) -> bool:
    """Whether the word before a camera's own verb is its direction: "left pan"."""
    stem, form = FORMS.get(words[place], ("", ""))
    return words[place - 1] in DIRECTIONS and form == "base" and VERBS[stem].sure


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
            if ways and not linked and way[0] == "zoom":
                break
            ways.append(way)
            end = at + 1
        at += 1
    aimed = rounded(ways, words, end) or distant(words, end, verb.ways)
    return Aim(aimed, end, pace or closing(words, end))


def rounded(ways: list[Way], words: list[str], end: int) -> tuple[Way, ...]:
    """The ways, with "left" and "around" as the one that they are together.

    The side may come later: "around him clockwise", "around it to the left".
    """
    if ("orbit", 1) not in ways:
        return tuple(ways)
    whom = end + (words[end] in OBJECTS)
    sides = [("orbit", sign) for name, sign in ways if name == "pan"]
    around = [*sides, *distant(words, whom, ROUND), ("orbit", 1)][0]
    return around, *(way for way in ways if way[0] not in ("pan", "orbit"))


def is_manner(word: str) -> bool:
    """Whether a word says how."""
    return plain(word) in PACES or (word.endswith("ly") and word not in FORMS)


def pointed(words: list[str], at: int, verb: Verb, cooks: bool) -> Way | None:
    """What the word here means as a direction of the verb."""
    word, after = words[at], words[at + 1]
    if after in UNLESS.get(word, ()) or (cooks and after in RESTING):
        return None
    beyond = words[at + 2] if after == "the" else after
    if word in ("back", "toward", "towards") and beyond in DIRECTIONS and beyond != "through":
        return None
    # A camera that moves or pans in a garden does not move in.
    if word == "in" and "left" in verb.ways and not (zooms(verb) or may_end(after)):
        return None
    if word == "up" and after in ("behind", "close"):
        return verb.ways.get("in")
    if word in ("up", "down") and after in ARTICLES and LANES.intersection(words[at + 2 : at + 5]):
        return verb.ways.get("in")
    return verb.ways.get(DIRECTIONS.get(word, ""))


def zooms(verb: Verb) -> bool:
    """Whether a verb goes nearer or farther of itself."""
    return any(name == "zoom" for name, _ in verb.bare)


def may_end(word: str) -> bool:
    """Whether "in" before this word is an adverb."""
    return word in MARKS or word in JOINTS or word in DIRECTIONS or word in ("on", "to", "close")


def distant(words: list[str], at: int, ways: Ways) -> tuple[Way, ...]:
    """A direction later in the phrase: "across the bay to the left"."""
    while words[at] not in MARKS and words[at] not in PRONOUNS:
        side = words[at - 2 : at] == ["to", "the"] and words[at + 1] != "of"
        if (is_heading(words[at]) or side) and words[at + 1] not in UNLESS.get(words[at], ()):
            way = ways.get(DIRECTIONS.get(words[at], ""))
            if way:
                return (way,)
        at += 1
    alone = ways.get(DIRECTIONS.get(words[at + 1], "")) if words[at] == "," else None
    return (alone,) if alone and words[at + 2] in MARKS else ()


def rest_of(words: list[str], place: int) -> list[str]:
    """The words of the phrase after this one, up to a mark or to another verb's "and"."""
    end = place + 1
    while words[end] not in MARKS and not (words[end] == "and" and words[end + 1] in FORMS):
        end += 1
    return words[place + 1 : end]


def closing(words: list[str], at: int) -> float | None:
    """The pace of an adverb at the very end of a phrase, or after it between commas."""
    while words[at] not in MARKS:
        at += 1
    if words[at] == ",":
        after = next(n for n in range(at + 1, len(words)) if words[n] not in VERY)
        if is_manner(words[after]) and words[after + 1] in MARKS:
            at = after + 1
    last = words[at - 1]
    alone = last in ("slow", "fast") and (words[at - 2] in MARKS or words[at - 2] in VERY)
    return paced(words, at - 1) if (alone or last.endswith("ly")) and plain(last) in PACES else None
