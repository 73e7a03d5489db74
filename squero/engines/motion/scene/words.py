"""What a prompt asks to see: the place, the hour, the weather, and the colours it names."""

import re
from dataclasses import dataclass

import numpy as np

from squero.shot import Shot

FEATURES = {
    # hours
    "dawn": r"dawn|sunrise|daybreak|early morning|first light|morning",
    "day": r"noon|midday|daylight|daytime|day|sunny|afternoon|blue sk(?:y|ies)|summer",
    "sunset": r"sunsets?|sundown|golden hour|evening sun|setting sun|evening",
    "dusk": r"dusk|twilight|blue hour|nightfall|gloaming",
    "night": r"(?:mid)?nights?|moonlit|moonlight|starlit|starry|nocturnal|after dark",
    # sky
    "sun": r"suns?",
    "moon": r"moons?|moonlit|moonlight|moonrise",
    "huge": r"huge|giant|enormous|vast|massive|big|great",
    "stars": r"stars?|starry|starlit|milky way|constellations?|galax(?:y|ies)|nebulae?|cosmic",
    "aurora": r"auroras?|northern lights|southern lights|polar lights|borealis",
    "clouds": r"clouds?|cloudy|overcast|cumulus|clouded",
    "clear": r"clear|cloudless",
    "birds": r"birds?|gulls?|seagulls?|geese|crows?|swallows|flock",
    # weather
    "rain": r"rain\w*|drizzle|downpour|monsoon|showers?",
    "storm": r"storms?|stormy|tempest|thunder\w*|hurricane|squall|gale",
    "lightning": r"lightnings?|thunder\w*",
    "snow": r"snowfall|snow(?:ing|flakes?|y)?|blizzard|flurr(?:y|ies)",
    "fog": r"fog(?:gy)?|mists?|misty|haz[ey]|smoky|smog",
    "wind": r"winds?|windy|breez\w+|gusts?|blizzard",
    # land
    "mountains": r"mountain\w*|alps|alpine|peaks?|summits?|fjords?|himalayas?|cliffs?|volcano\w*",
    "hills": r"hills?|valleys?|highlands?|tuscany|countryside|vineyards?|moor(?:s|land)?",
    "desert": r"deserts?|dunes?|sahara|sand|sandy|oasis|mars|martian",
    "arctic": r"arctic|antarctic\w*|polar|icebergs?|glaciers?|tundra|ice|icy|frozen|winter\w*",
    "forest": r"forests?|woods?|woodlands?|trees?|pines?|firs?|jungle|birch\w*|taiga",
    "field": r"fields?|meadows?|grass\w*|prairies?|steppes?|wheat|farm\w*|savannah?|pastures?",
    "wheat": r"wheat|corn\w*|barley|harvest|savannah?|prairies?",
    "flowers": r"flowers?|poppies|lavender|tulips?|sunflowers?|wildflowers?",
    "blossom": r"blossom\w*|sakura|cherry trees?|petals?|springtime",
    "autumn": r"autumn\w*|fall colou?rs|october|november|maples?",
    "leaves": r"(?:falling|drifting) (?:\w+ )?leaves|leaves (?:fall|drift|blow)\w*",
    # water
    "sea": r"seas?|oceans?|waves?|surf|beach\w*|coast\w*|shores?|seaside|tides?",
    "lake": r"lakes?|ponds?|lagoons?|rivers?|canals?|bays?|harbou?rs?|fjords?|venice|water"
    r"|waterfront|reflections?|streams?|reservoir",
    "boat": r"boats?|sail\w*|ships?|gondolas?|yachts?|canoes?",
    # made by people
    "city": r"cit(?:y|ies)|skylines?|skyscrapers?|downtown|metropolis|urban|towers?|manhattan"
    r"|tokyo|new york|chicago|hong kong|shanghai|venice|cyberpunk",
    "street": r"streets?|alleys?|avenues?|boulevards?|lanes?|crosswalk|traffic",
    "neon": r"neon|cyberpunk|synthwave|vaporwave",
    "fire": r"(?:camp|bon)?fires?|flames?|embers?|burning|candles?|hearth|fireplace",
    "fireflies": r"firefl(?:y|ies)|glow-?worms?",
    "space": r"(?:outer |deep )?space|galax(?:y|ies)|nebulae?|cosmos|universe|planets?|orbit of"
    r"|milky way from|asteroids?|saturn|jupiter",
    "rings": r"rings?|ringed|saturn",
}
COLOURS = {
    "red": "#d8352a",
    "crimson": "#b0182c",
    "orange": "#f58a2c",
    "amber": "#f5a832",
    "gold(?:en)?": "#f2b84b",
    "yellow": "#f5d547",
    "green": "#4fae5c",
    "emerald": "#1f9d72",
    "teal": "#1f9a9a",
    "turquoise": "#35c5c0",
    "cyan": "#33c9e6",
    "blue": "#3a78d8",
    "indigo": "#4a3fb0",
    "violet|purple": "#8146c8",
    "magenta": "#d6359e",
    "pink": "#f28ab5",
    "lilac|lavender": "#b9a0dc",
    "grey|gray|silver": "#9aa2aa",
    "sepia": "#b08a5c",
}
_QUOTED = re.compile(r"“([^”]+)”|\"([^\"]+)\"|«([^»]+)»|„([^“”]+)[“”]")
_NEGATED = re.compile(
    r"\b(?:no|without|not|never|nor)\s+(?:any\s+|a\s+|an\s+|the\s+)?[\w-]+(?:\s+or\s+[\w-]+)?",
    re.IGNORECASE,
)
_PATTERNS = {
    name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in FEATURES.items()
}
_NAMED = {
    code: re.compile(rf"\b(?:{words})\b(?! hour)", re.IGNORECASE) for words, code in COLOURS.items()
}
_BELOW = re.compile(
    r"[\s-]+(?:\w+\s+)?(?:meadow|field|grass|hill|lagoon|lake|water|sea|ocean|river|pond|wave|forest|tree|lea[fv]"
    r"|wood|sand|dune|mountain|valley|moss|land|desert|bay|pasture|flower)",
    re.IGNORECASE,
)
HOURS = ("dawn", "sunset", "dusk", "night", "day")
_LAND = ("mountains", "hills", "desert", "arctic", "forest", "field", "flowers", "blossom")
PLACES = frozenset((*_LAND, "sea", "lake", "city", "street", "space", "fire"))
USUAL = (
    ("mountains", "lake", "sunset"),
    ("hills", "field", "dawn"),
    ("sea", "clouds", "sunset"),
    ("mountains", "forest", "dawn"),
    ("city", "lake", "dusk"),
    ("hills", "lake", "dusk"),
)
"""What is shown when the prompt names no place that can be drawn; the seed chooses."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is to be seen: names of FEATURES, the hour, and colours as #rrggbb."""

    features: frozenset[str]
    hour: str
    colours: tuple[str, ...] = ()
    """Those of the light and the sky."""
    ground: str | None = None
    """That of the ground or the water."""

    def has(self, *names: str) -> bool:
        """Whether any of these features is asked for."""
        return not self.features.isdisjoint(names)


def quoted(prompt: str) -> list[str]:
    """The texts in quotation marks, in their order."""
    return ["".join(match.groups("")).strip() for match in _QUOTED.finditer(prompt)]


def features(prompt: str) -> set[str]:
    """The names of what the prompt asks for, apart from titles and what it rules out."""
    text = _NEGATED.sub(" ", _QUOTED.sub(" ", prompt))
    return {name for name, pattern in _PATTERNS.items() if pattern.search(text)}


def read(shot: Shot) -> Setting:
    """The setting of a shot; what its prompt leaves open is chosen by the seed.

    The place is left open where a picture or video shows it.
    """
    chance = np.random.default_rng([abs(shot.seed), 1])
    found = features(shot.prompt) - features(shot.negative_prompt)
    if found.isdisjoint(PLACES) and shot.media.keys() <= {"audio"}:
        *places, hour = USUAL[int(chance.integers(len(USUAL)))]
        found |= set(places) | (set() if found & set(HOURS) else {hour})
    text = _QUOTED.sub(" ", shot.prompt)
    spots = {code: match for code, named in _NAMED.items() if (match := named.search(text))}
    order = sorted(spots, key=lambda code: spots[code].start())
    below = [code for code in order if _BELOW.match(text, spots[code].end())]
    above = tuple(code for code in order if code not in below)
    return Setting(frozenset(found), _hour(found, chance), above, below[0] if below else None)


def _hour(found: set[str], chance: np.random.Generator) -> str:
    for hour in HOURS:
        if hour in found:
            return hour
    if found & {"moon", "stars", "aurora", "neon", "fireflies", "space", "fire", "lightning"}:
        return "night"
    if found & {"snow", "arctic", "rain", "storm", "fog", "field", "flowers", "blossom"}:
        return "day"
    if found & {"autumn", "hills"}:
        return str(chance.choice(["dawn", "day", "sunset"]))
    if "sun" in found:
        return "sunset"
    return str(chance.choice(["dawn", "day", "sunset", "dusk"]))
