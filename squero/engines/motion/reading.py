"""Which words of a prompt speak of the camera, and what they say it does.

A verb of motion is the camera's when a camera (a shot, "we") is its subject, when it is told as an
order or a heading ("slow pan left"), or when the camera was the last to act; not when somebody or
something else stands before it.
"""

from dataclasses import dataclass, field, replace

from squero.engines.motion.phrases import Aim, Lead, aim_of, is_light, lead_of
from squero.engines.motion.words import (
    BEYOND,
    CAMERA,
    FORMS,
    HOLDS,
    JOINTS,
    LIGHT,
    MARKS,
    MOTION,
    PRONOUNS,
    SHOTS,
    STATIC,
    THINGS,
    VERBS,
    Verb,
    Way,
)

EVERYTHING = frozenset(
    (name, sign)
    for name, signs in {
        "zoom": (1, -1),
        "pan": (1, -1),
        "tilt": (1, -1),
        "orbit": (1, -1),
        "roll": (1, -1),
        "shake": (1,),
    }.items()
    for sign in signs
)


@dataclass(slots=True)
class Segment:
    """What the camera does at once, as far as it was named."""

    ways: list[Way] = field(default_factory=list)
    paces: list[float] = field(default_factory=list)
    guesses: set[Way] = field(default_factory=set)
    """Those that a verb without a direction stands for."""
    holds: bool = False


class Reading:
    """The segments that a text names, and the ways that it rules out."""

    def __init__(self, words: list[str], denies: bool = False) -> None:
        self.segments = [Segment()]
        self.removed: set[Way] = set()
        self._words = words
        self._denies = denies
        self._here = self.segments[0]
        self._subject: str | None = None
        self._spoke = False
        self._denied = -1
        place = 0
        while place < len(words):
            place = max(place + 1, self._read(place))

    def _read(self, place: int) -> int:
        """Take the word at this place in; the place up to which it has been understood."""
        word = self._words[place]
        if word in MARKS:
            self._mark(word)
        elif word in FORMS and (end := self._verb(place)):
            self._subject = "camera"
            return end
        elif word == "handheld":
            self._handheld(place)
        elif word in STATIC or word in HOLDS:
            self._hold(place)
        elif word in MOTION:
            self._motion(place)
        if word in CAMERA:
            self._subject = "camera"
        elif word in PRONOUNS:
            self._subject = "camera" if word == "it" and self._is_it(place) else "other"
        elif not is_light(word) and word not in MARKS and word not in STATIC:
            self._subject = self._subject or "other"
        return place + 1

    def _is_it(self, place: int) -> bool:
        """Whether "it" is the camera: it begins a phrase, and the camera was the last to act."""
        begins = place == 0 or self._words[place - 1] in MARKS
        return begins and (self._subject or ("camera" if self._spoke else "")) == "camera"

    def _mark(self, mark: str) -> None:
        if mark == ".":
            self._spoke, self._subject = self._subject == "camera", None
        elif mark == "|":
            self._here = Segment()
            self.segments.append(self._here)
        elif mark == "<":
            self._here = Segment()
            self.segments.insert(len(self.segments) - 1, self._here)
        if mark in ".,":
            self._here = self.segments[-1]

    def _verb(self, place: int) -> int | None:
        """Take a verb in if it is the camera's; the place where its phrase ends."""
        stem, form = FORMS[self._words[place]]
        verb, lead = VERBS[stem], lead_of(self._words, place)
        aside = form == "base" and not (lead.camera or lead.pace)
        cooks = stem == "pan" and aside and (lead.article or not lead.opens)
        aim = aim_of(self._words, place, verb, cooks)
        if lead.way in verb.ways and not aim.ways:
            aim = replace(aim, ways=(verb.ways[lead.way],))
        if lead.negated or self._denies or self._continues(place, lead, aim):
            return self._deny(place, verb, lead, aim)
        if not self._is_camera(place, verb, lead, bool(aim.ways)):
            return None
        self._add(aim.ways or verb.bare, lead.pace or aim.pace or verb.pace, not aim.ways)
        return aim.end

    def _is_camera(self, place: int, verb: Verb, lead: Lead, aimed: bool) -> bool:
        stem, form = FORMS[self._words[place]]
        after = self._words[place + 1]
        if not aimed and not verb.bare:
            return False
        if lead.camera:
            return True
        if form == "ed" or (
            lead.article and stem in THINGS and not lead.pace and after not in SHOTS
        ):
            return False
        if after in SHOTS:
            return form != "s"
        if lead.stop == "it" and verb.sure:
            return self._subject == "camera"
        if not lead.opens:
            orders = form == "base" and verb.sure and aimed
            return orders and lead.stop not in PRONOUNS and not lead.stop.endswith("s")
        if aimed:
            return self._may_act(form, verb, lead)
        if lead.pace and form == "base":
            return verb.sure or after != "of"
        if self._subject == "camera" and form == "s":
            return lead.stop == "and"
        return verb.sure and self._subject != "other" and after in BEYOND

    def _may_act(self, form: str, verb: Verb, lead: Lead) -> bool:
        """Whether a verb with a direction that begins its phrase is the camera's."""
        if self._subject != "other" or (verb.sure and form != "s"):
            return True
        return form == "base" and lead.stop not in ("and", "or")

    def _continues(self, place: int, lead: Lead, aim: Aim) -> bool:
        """Whether this is the next of "no pan, tilt or zoom"."""
        between = self._words[self._denied : place] if self._denied >= 0 else ["."]
        near = all(word in (",", "or", "nor", "and") or is_light(word) for word in between)
        plainly = not (aim.ways or lead.pace)
        return near and (plainly or "or" in between or "nor" in between)

    def _deny(self, place: int, verb: Verb, lead: Lead, aim: Aim) -> int | None:
        if not (lead.camera or lead.opens):
            return None
        general = "around" in verb.ways and not verb.bare
        names = {name for name, _ in verb.bare or verb.ways.values()}
        whole = {way for way in EVERYTHING if general or way[0] in names}
        self.removed |= set(aim.ways) or whole
        self._denied = aim.end
        return aim.end

    def _add(self, ways: tuple[Way, ...], pace: float, guessed: bool = False) -> None:
        for way in ways:
            opposite = way[0], -way[1]
            if opposite in self._here.guesses:
                self._here.guesses.remove(opposite)
                self._here.ways.remove(opposite)
            if opposite in self._here.ways:
                self._here = Segment()
                self.segments.append(self._here)
            if way not in self._here.ways:
                self._here.ways.append(way)
                self._here.paces.append(pace)
            if guessed:
                self._here.guesses.add(way)

    def _handheld(self, place: int) -> None:
        after, lead = self._words[place + 1], lead_of(self._words, place)
        if after not in MARKS | SHOTS | LIGHT and after not in JOINTS and not lead.camera:
            return
        if lead.negated or self._denies:
            self.removed.add(("shake", 1))
            self._denied = place + 1
        else:
            self._add((("shake", 1),), 1.0)

    def _hold(self, place: int) -> None:
        word, lead = self._words[place], lead_of(self._words, place)
        after = self._words[place + 1]
        further = self._words[place + 2] if is_light(after) or after in STATIC else after
        held = lead.camera or (word in HOLDS and lead.stop == "|")
        if word in STATIC:
            alone = word in ("static", "stationary") and lead.opens and after in MARKS
            held |= alone or word == "lockedoff" or {after, further} & (CAMERA - {"we"}) != set()
        if held and not lead.negated and not self._denies:
            self._here.holds = True

    def _motion(self, place: int) -> None:
        lead = lead_of(self._words, place)
        about = self._words[place + 1] != "blur" and (lead.camera or lead.opens)
        if about and (lead.negated or self._denies):
            self.removed |= EVERYTHING
