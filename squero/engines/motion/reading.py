"""Which words of a prompt speak of the camera, and what they say it does.

A verb of motion is the camera's when a camera (a shot, "we") is its subject, when it is told as an
order or a heading ("slow pan left"), or when the camera was the last to act; not when somebody or
something else stands before it.
"""

from dataclasses import dataclass, field, replace

from squero.engines.motion.phrases import (
    ARTICLES,
    Aim,
    Lead,
    aim_of,
    films,
    is_light,
    is_manner,
    lead_of,
    may_end,
    rest_of,
)
from squero.engines.motion.words import (
    BESIDE,
    BEYOND,
    CAMERA,
    DIRECTIONS,
    FORMS,
    HOLDS,
    JOINTS,
    LIGHT,
    MARKS,
    MOTION,
    MOVING,
    OBJECTS,
    ORDERS,
    OWN,
    POSES,
    PRONOUNS,
    SETTINGS,
    SHOTS,
    STATIC,
    TERSE,
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

    @property
    def asked(self) -> set[Way]:
        """Those whose direction was named."""
        return set(self.ways) - self.guesses

    def moves_unlike(self, ways: tuple[Way, ...], guessed: bool) -> bool:
        """Whether the camera moves here, but in none of these ways, as far as they are known."""
        known = {name for name, _ in (self.ways if guessed else self.guesses)}
        return bool(self.ways) and not any(way in self.ways or way[0] in known for way in ways)


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
        self._told = False
        self._last = Verb({})
        self._together = False
        self._denied = -1
        self._shunned: set[Way] = set()
        place = 0
        while place < len(words):
            place = max(place + 1, self._read(place))
        # "No pan, truck left" goes left.
        self.removed |= self._shunned - {way for part in self.segments for way in part.asked}

    def _read(self, place: int) -> int:
        """Take the word at this place in; the place up to which it has been understood."""
        word = self._words[place]
        if word in MARKS:
            self._mark(place)
        elif self._form(place)[0] and (end := self._verb(place)):
            self._subject = "camera"
            return end
        elif word == "handheld":
            self._handheld(place)
        elif word in STATIC or word in HOLDS:
            self._hold(place)
        elif word in MOTION:
            self._motion(place)
        if films(self._words, place):
            self._subject = "other" if self._shows(place) else "camera"
        elif word in PRONOUNS:
            self._subject = "camera" if word == "it" and self._is_it(place) else "other"
        elif not is_light(word) and word not in MARKS and word not in STATIC:
            self._subject = self._subject or "other"
        return place + 1

    def _shows(self, place: int) -> bool:
        """Whether this is the shot in "a shot of a boat", where what follows is the boat's."""
        of = self._words[place + 1] == "of" and self._subject != "camera"
        return of and self._words[place - 1] not in MOVING

    def _is_it(self, place: int) -> bool:
        """Whether "it" is the camera: it begins a phrase, and the camera was the last to act."""
        begins = place == 0 or self._words[place - 1] in MARKS
        return begins and (self._subject or ("camera" if self._spoke else "")) == "camera"

    def _mark(self, place: int) -> None:
        mark = self._words[place]
        if mark == ".":
            self._spoke, self._subject = self._subject == "camera", None
            self._together = False
        elif mark == "|":
            self._begin()
            self._again(place)
        elif mark == "<":
            self._here = Segment()
            self.segments.insert(len(self.segments) - 1, self._here)
        elif mark == "&":
            self._together = True
        if mark in ".,":
            self._here = self.segments[-1]

    def _form(self, place: int) -> tuple[str, str]:
        """The stem and the form of a verb; whatever a camera does in a direction is to move."""
        word, after = self._words[place], self._words[place + 1]
        if word in FORMS or not word.endswith(("s", "ing")) or word in SHOTS | POSES:
            return FORMS.get(word, ("", ""))
        at = place - 1
        while is_manner(self._words[at]) and at > 0:
            at -= 1
        acts = at >= 0 and films(self._words, at) and not is_light(word)
        return ("move", "s") if acts and after in DIRECTIONS else ("", "")

    def _again(self, place: int) -> None:
        """Take in a direction without a verb: "left, then right"."""
        aim = aim_of(self._words, place, self._last, cooks=False)
        if aim.end > place + 1 and aim.ways and may_end(self._words[aim.end]):
            self._add(aim.ways, aim.pace or 1.0)

    def _verb(self, place: int) -> int | None:
        """Take a verb in if it is the camera's; the place where its phrase ends."""
        stem, form = self._form(place)
        verb, lead = VERBS[stem], lead_of(self._words, place)
        aside = form == "base" and not (lead.camera or lead.styled)
        cooks = stem == "pan" and aside and (lead.article or not lead.opens)
        aim = aim_of(self._words, place, verb, cooks)
        if lead.way in verb.ways:
            aim = replace(aim, ways=(verb.ways[lead.way],))
        if lead.negated or self._denies or self._continues(place, lead, aim):
            return self._deny(place, verb, lead, aim)
        orders = self._is_order(place, verb, lead)
        if not self._is_camera(place, verb, lead, bool(aim.ways)) and not orders:
            return None
        tells = form == "s" or (form == "base" and not (lead.styled or lead.article))
        ways, guessed = aim.ways or verb.bare, not aim.ways
        if tells and self._told and (aim.ways or orders) and self._follows(lead, ways, guessed):
            self._begin()
        self._told, self._last = tells, verb
        self._add(ways, lead.pace or aim.pace or verb.pace, guessed)
        return aim.end

    def _follows(self, lead: Lead, ways: tuple[Way, ...], guessed: bool) -> bool:
        """Whether this is the next of "pan left, tilt up"."""
        apart = lead.stop in (",", ".", "it") and not self._together
        if self._here.holds and not self._here.ways:
            return apart and len(self.segments) > 1
        return apart and self._here is self.segments[-1] and self._here.moves_unlike(ways, guessed)

    def _begin(self) -> None:
        self._here = Segment()
        self.segments.append(self._here)

    def _is_camera(self, place: int, verb: Verb, lead: Lead, aimed: bool) -> bool:
        stem, form = self._form(place)
        after = self._words[place + 1]
        if not aimed and not verb.bare:
            return False
        if lead.camera or self._moves_it(place):
            return True
        if form == "ed" or (
            lead.article and stem in THINGS and not lead.styled and after not in SHOTS
        ):
            return False
        if form != "s" and self._is_shot(place):
            return True
        if lead.stop == "it" and (verb.sure or self._words[place - 2] == "|"):
            return self._subject == "camera"
        if not lead.opens:
            orders = form == "base" and verb.sure and aimed
            return orders and lead.stop not in PRONOUNS and not lead.stop.endswith("s")
        if aimed:
            return self._may_act(place, verb, lead)
        if lead.styled and form == "base":
            return verb.sure or after != "of"
        if self._subject == "camera" and form == "s":
            return lead.stop in ("and", "|")
        if self._subject == "camera" and form == "ing" and lead.stop in (",", "&"):
            return True
        return verb.sure and self._subject != "other" and after in BEYOND

    def _is_order(self, place: int, verb: Verb, lead: Lead) -> bool:
        """Whether this is an order of few words: "orbit", "tilt slowly", "circle around it"."""
        stem, form = self._form(place)
        joins = lead.stop == "and" and self._told and self._subject == "camera"
        begins = lead.stop in MARKS or joins
        rest = [word for word in rest_of(self._words, place) if not is_manner(word)]
        of_it = verb.sure and not OBJECTS.isdisjoint(rest)
        told = form == "base" or (form == "ing" and (of_it or stem in OWN))
        if not (told and begins and verb.bare) or lead.article:
            return False
        if self._words[place + 1] in MARKS:
            return verb.sure or (stem in ORDERS and self._words[place + 1] == ".")
        name = verb.bare[0][0]
        follows = BEYOND if verb.sure else BESIDE if name in ("pan", "orbit") else MARKS
        whole = ARTICLES if name == "orbit" else MARKS
        if rest and rest[0] in follows | whole:
            return True
        return name not in ("roll", "shake") and TERSE.issuperset(rest)

    def _may_act(self, place: int, verb: Verb, lead: Lead) -> bool:
        """Whether a verb with a direction that begins its phrase is the camera's."""
        form = self._form(place)[1]
        if verb.sure and (form != "s" or lead.stop in MARKS):
            return True
        if self._subject != "other":
            return form != "ing" or lead.styled or not self._leads_on(place)
        return form == "base" and lead.stop not in ("and", "or")

    def _is_shot(self, place: int) -> bool:
        """Whether the verb names a shot: "descending crane shot"."""
        after, further = self._words[place + 1 : place + 3]
        return after in SHOTS or ((after in FORMS or is_light(after)) and further in SHOTS)

    def _moves_it(self, place: int) -> bool:
        """Whether the verb is done to the camera: "lower the camera"."""
        return self._words[place + 1] in ("the", "our") and self._words[place + 2] == "camera"

    def _leads_on(self, place: int) -> bool:
        """Whether this is "moving left" in "moving left, she" or "moving left, the car"."""
        comma = next(n for n in range(place, len(self._words)) if self._words[n] in MARKS)
        if self._subject is not None or self._words[comma] != ",":
            return False
        first, second = self._words[comma + 1 : comma + 3]
        return first in PRONOUNS or (first in ARTICLES and second not in CAMERA)

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
        if aim.ways:
            self.removed |= set(aim.ways)
        else:
            self._shunned |= whole
        self._denied = aim.end
        return aim.end

    def _add(self, ways: tuple[Way, ...], pace: float, guessed: bool = False) -> None:
        for way in ways:
            if guessed and any(way[0] == name for name, _ in self._here.ways):
                continue
            opposite = way[0], -way[1]
            if opposite in self._here.guesses:
                self._here.guesses.remove(opposite)
                self._here.ways.remove(opposite)
            if opposite in self._here.ways:
                self._begin()
            if way not in self._here.ways:
                self._here.ways.append(way)
                self._here.guesses |= {way} if guessed else set()
            elif not guessed:
                self._here.guesses.discard(way)
            self._here.paces.append(pace)

    def _handheld(self, place: int) -> None:
        after, lead = self._words[place + 1], lead_of(self._words, place)
        about = MARKS | SHOTS | LIGHT | JOINTS | FORMS.keys()
        of = SETTINGS.intersection(self._words[place + 1 : place + 3])
        if after not in about and not (of or lead.camera):
            return
        if lead.negated or self._denies:
            self.removed.add(("shake", 1))
            self._denied = place + 1
        else:
            self._add((("shake", 1),), 1.0)

    def _hold(self, place: int) -> None:
        word, lead = self._words[place], lead_of(self._words, place)
        after = self._words[place + 1]
        rest = (word for word in self._words[place + 1 :] if not (is_light(word) or word in STATIC))
        further = next(rest)
        held = lead.camera or (word in HOLDS and lead.stop == "|")
        if word in STATIC:
            # "Still, the river runs" says something else.
            calm = word == "still" and (after == "." or lead.stop == ",")
            alone = (calm or word in ("static", "stationary")) and lead.opens and after in MARKS
            of = {after, further} & (SETTINGS | {"lens"})
            held |= alone or word == "lockedoff" or of != set()
        if lead.negated or self._denies:
            return
        if word in HOLDS and lead.stop in (",", ".") and self._told and self._subject != "other":
            self._begin()
            held = True
        self._here.holds |= held

    def _motion(self, place: int) -> None:
        lead = lead_of(self._words, place)
        about = self._words[place + 1] != "blur" and (lead.camera or lead.opens)
        # "No sudden movements" asks for smooth ones.
        if about and (self._denies or (lead.negated and not lead.styled)):
            self.removed |= EVERYTHING
