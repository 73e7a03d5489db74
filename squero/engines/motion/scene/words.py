"""What a prompt asks to see: the place, the hour, the weather, and the colours it names."""

import re
from dataclasses import dataclass

import numpy as np

from squero.shot import Shot

_STOPS = (
    r"no|not|never|nor|without|avoid|in|on|at|over|under|above|below|with|from|by|to|of|for|and|or"
    r"|but|the|an?|this|that|is|are|as|while|when|where|then|just|only|into|through|across|behind"
    r"|before|after|until|near|around|along"
)
_NEXT = rf"(?!(?:{_STOPS})\b)\w[\w'-]*"
_LARGE = r"(?:huge|giant|enormous|vast|massive|big|great)"
_DISC = r"(?:suns?|moons?|planets?)"
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
    "huge": rf"{_LARGE},?(?:[\s-]+{_NEXT}){{0,2}}[\s-]+{_DISC}|{_DISC}\s(?:\w+\s){{0,2}}{_LARGE}"
    rf"|^{_LARGE}$",
    "stars": r"stars?|starry|starlit|milky way|constellations?|galax(?:y|ies)|nebulae?|cosmic",
    "aurora": r"auroras?|northern lights|southern lights|polar lights|borealis",
    "clouds": r"clouds?|cloudy|overcast|cumulus|clouded",
    "clear": r"clear|cloudless",
    "birds": r"birds?|gulls?|seagulls?|geese|crows?|swallows|flock",
    # weather
    "rain": r"rain(?:s|y|ed|ing|fall|drops?|storms?|swept)?(?![\s-]forest)|drizzl(?:e|es|y|ing)"
    r"|downpours?|monsoons?|sunshowers?|(?:april|spring|summer|heavy|passing|sudden) showers?",
    "storm": r"(?:thunder|rain|snow|sand)?storms?|stormy|tempest|thunder(?:s|y|ing|claps?|clouds?)?"
    r"|hurricanes?|squalls?|gales?",
    "lightning": r"lightnings?|thunder(?:s|y|ing|claps?|clouds?|storms?|bolts?)?",
    "snow": r"snow(?:s|y|ed|ing|fall|falls|flakes?|storms?|drifts?)?|blizzards?|flurr(?:y|ies)",
    "fog": r"fog(?:gy)?|mists?|misty|haz[ey]|smoky|smog",
    "wind": r"winds?|windy|breez(?:e|es|y)|gusts?|blizzards?",
    # land
    "mountains": r"mountain(?:s|ous|sides?|tops?)?|alps|alpine|peaks?|summits?|fjords?|himalayas?"
    r"|cliffs?|volcano(?:e?s)?|volcanic",
    "hills": r"hills?|valleys?|highlands?|tuscany|countryside|vineyards?|moor(?:s|land)?",
    "desert": r"deserts?|dunes?|sahara|sand|sandy|oasis|mars|martian",
    "arctic": r"arctic|antarctica?|polar|icebergs?|glaciers?|tundra|ice|icy|frozen"
    r"|winter(?:s|y|time)?",
    "forest": r"(?:rain)?forests?|woods|(?:in|into|through) (?:a|the) wood|woodlands?|trees?|pines?"
    r"|firs?|jungles?|birch(?:es)?|taiga",
    "field": r"(?:corn|wheat)?fields?|meadows?|grass(?:es|y|lands?)?|prairies?|steppes?|wheat"
    r"|farm(?:s|lands?|ers?|ing|houses?|yards?)?|savannah?|pastures?",
    "wheat": r"wheat(?:fields?)?|corn(?:fields?|stalks?)?|barley|harvest|savannah?|prairies?",
    "flowers": r"flowers?|poppies|lavender|tulips?|sunflowers?|wildflowers?",
    "blossom": r"blossom(?:s|ing)?|sakura|cherry trees?|petals?|springtime",
    "autumn": r"autumn(?:s|al)?|fall colou?rs|october|november|maples?",
    "leaves": r"(?:falling|drifting) (?:\w+ )?leaves|leaves (?:fall|drift|blow)(?:s|ing)?",
    # water
    "sea": r"seas?|oceans?|waves?|surf|beach(?:es|front|side)?|coast(?:s|al|lines?)?"
    r"|(?:sea)?shores?|shorelines?|seaside|tides?",
    "lake": r"lakes?|ponds?|lagoons?|rivers?|canals?|bays?|harbou?rs?|fjords?|venice|water"
    r"|waterfront|reflections?|streams?|reservoir",
    "boat": r"boats?|sail(?:s|ing|boats?|ships?)?|ships?|gondolas?|yachts?|canoes?",
    # made by people
    "city": r"cit(?:y|ies)|skylines?|skyscrapers?|downtown|metropolis|urban|towers?|manhattan"
    r"|tokyo|new york|chicago|hong kong|shanghai|venice|cyberpunk",
    "street": r"streets?|alleys?|avenues?|boulevards?|lanes?|crosswalk|traffic",
    "neon": r"neon|cyberpunk|synthwave|vaporwave",
    "fire": r"(?:camp|bon)?fires?|flames?|embers?|burning|candles?|hearth|fireplace",
    "fireflies": r"firefl(?:y|ies)|glow-?worms?",
    "space": r"(?:outer |deep )?space|galax(?:y|ies)|nebulae?|cosmos|universe|planets?|planetary"
    r"|orbit of|milky way from|asteroids?|saturn|jupiter",
    "rings": r"ringed (?:\w+ )?(?:planets?|worlds?|giants?)|planetary rings?|saturn"
    r"|planets? (?:\w+ ){0,3}rings?|rings? (?:of|around) (?:\w+ ){0,2}planets?",
}
SENSES = (
    # what is said of a picture
    r"depth[\s-]of[\s-]field|fields?[\s-]of[\s-](?:view|vision)|bird'?s?[\s-]eye",
    # clothes and colours of hair
    r"(?:rain|storm)[\s-](?:coats?|jackets?|boots?|hats?|gear)|sun[\s-](?:hats?|dress(?:es)?|screen)"
    r"|(?:evening|summer|night)[\s-](?:gowns?|dress(?:es)?|wear)|sandy[\s-](?:hair|blonde?)",
    # at home and at table
    r"ice[\s-](?:creams?|cubes?|tea|coffee|loll(?:y|ies)|box|buckets?)|frozen (?:food|pizza)"
    r"|corn[\s-](?:flakes|dogs?|bread|on the cob)|whole ?wheat|maple syrup|sea[\s-]?food"
    r"|(?:glass|glasses|cup|bottle|jug) of water|water[\s-](?:bottles?|colou?rs?|tanks?|coolers?)"
    r"|space[\s-](?:heaters?|bars?)|snow[\s-](?:globes?|white)|morning coffee|afternoon tea",
    r"(?:living|open|parking|office|work|personal|negative|empty|storage)[\s-]spaces?",
    r"clear (?:glass|plastic|skin|eyes?|voice)|bay windows?|(?:cargo|sick|parking) bays?",
    r"(?:palm|coconut|christmas|family|shoe)[\s-]trees?|pine[\s-](?:cones?|nuts?|tables?)",
    # on stage, in sport and in town
    r"(?:movie|film|rock|pop|five)[\s-]stars?|star[\s-](?:wars|trek|athlete|player)",
    r"ice[\s-](?:skat(?:es?|ers?|ing)|hockey|rink)|(?:football|soccer|playing|magnetic|force)[\s-]fields?",
    r"fire[\s-](?:trucks?|engines?|hydrants?|alarms?|escapes?|stations?|m[ae]n)"
    r"|bowling (?:alley|lane)s?|memory lane|jungle gym|great danes?|farmers?'? markets?"
    r"|lightning (?:fast|speed)",
    # verbs
    r"waves (?=(?:his|her|their|its|a|at|to|hello|goodbye|back)\b)"
    r"|(?:sound|radio|brain|heat)[\s-]waves?|winds (?=(?:through|along|around|up|down|its)\b)"
    r"|storms (?=(?:out|off|away|into)\b)|fires (?=(?:a|an|the|his|her|at)\b)"
    r"|swallows (?=(?:hard|his|her|the|a|it)\b)",
)
"""Where a word of FEATURES means something that is not drawn."""
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
_THING = rf"(?>(?:(?:any|an?|the|much|many)\s+)?{_NEXT}(?:\s+{_NEXT}){{0,2}})"
_SHOWING = r"(?:show|includ|add|draw|us|hav|depict|display|featur|render|want|see|be)(?:e|ing)?\s+"


def _things(joint: str) -> str:
    """The pattern of a thing, or of a list whose last is joined by these words."""
    return rf"{_THING}(?:(?>(?:\s*,\s*{_THING})*)\s*,?\s+(?:{joint})\s+{_THING})?"


_NEGATED = re.compile(
    rf"\b(?:avoid(?:ing)?\s+(?:{_SHOWING})?|(?:not|dont|\w+n['’]t)\s+{_SHOWING}){_things('and|n?or')}"
    r"|\b(?:no|not|never|nor|neither|without|cannot|dont|\w+n['’]t|devoid of"
    r"|free (?:of|from)|instead of|rather than)\s+(?!(?:only|just|stop|end|ceas)\w*\b)"
    rf"(?:longer\s+)?(?:{_SHOWING})?(?:(?:any\s+|a\s+)?(?:signs?|traces?|hints?|drops?) of\s+)?"
    rf"{_things('n?or')}",
    re.IGNORECASE,
)
"""A thing that is ruled out, or a list of them with "or", after "avoid" also with "and"."""
_PATTERNS = {
    name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in FEATURES.items()
}
_OTHERWISE = re.compile(rf"\b(?:{'|'.join(SENSES)})\b", re.IGNORECASE)
_NAMED = {
    code: re.compile(rf"\b(?:{words})\b(?! hour)", re.IGNORECASE) for words, code in COLOURS.items()
}
_BELOW = (
    r"(?:meadows?|fields?|grass(?:es|lands?)?|hills?|lagoons?|lakes?|water|seas?|oceans?|rivers?"
    r"|ponds?|waves?|forests?|trees?|lea(?:f|ves)|foliage|woods|sands?|dunes?|mountains?|valleys?"
    r"|moss|lands?|deserts?|bays?|pastures?|flowers?|tulips|poppies|prairies?|moors?|canals?)"
)
"""What takes a colour and lies below the horizon."""
_ABOVE = (
    r"(?:sk(?:y|ies)|light(?:ing)?|northern lights|glow|suns?|sun(?:light|sets?|rises?)|dawn|dusk"
    r"|twilight|evening|morning|nights?|clouds?|haze|mists?|fog|smoke|moons?|moonlight|auroras?"
    r"|horizon|stars?|planets?|nebulae?|galax(?:y|ies)|space|storms?|rain|snow|ice|city|skyline"
    r"|neon|fires?|flames?|air|atmosphere|tones?|hues?|tints?|shades?|colou?rs?|palette|background)"
)
"""What takes a colour and lights the scene."""
_COLOUR = rf"(?:{'|'.join(COLOURS)}|white|black|brown)"
_OTHERS = rf"(?>(?:(?:\s*,\s*(?:and\s+)?|\s+(?:and|to)\s+|[\s-]+){_COLOUR}\b)*)"
_SAID_OF = re.compile(
    rf"{_OTHERS}(?:[\s-]+(?:{_NEXT}\s+)?(?:(?P<below>{_BELOW})|(?P<above>{_ABOVE}))\b"
    rf"|(?P<free>\s*(?:$|[^\w\s-]|(?:{_STOPS})\b)))",
    re.IGNORECASE,
)
_SAID_BY = re.compile(
    rf"\b(?:(?:(?P<below>{_BELOW})|(?P<above>{_ABOVE})|[\w-]+)\s+(?:is|are|turns?|turning|glows?"
    r"|glowing)|(?:m[ae]n|wom[ae]n|girls?|boys?|dressed|clad)\s+in|wearing|painted)\s+(?:\w+ly\s+)?$",
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
    text = _shown(prompt)
    return {name for name, pattern in _PATTERNS.items() if pattern.search(text)}


def colours(prompt: str) -> tuple[tuple[str, ...], str | None]:
    """The colours of the light and that of the ground; not those of what is not drawn."""
    text = _shown(prompt)
    spots = {code: match for code, named in _NAMED.items() if (match := named.search(text))}
    above: list[str] = []
    below: list[str] = []
    for code in sorted(spots, key=lambda code: spots[code].start()):
        bearer = _bearer(text, spots[code])
        if bearer:
            (below if bearer == "below" else above).append(code)
    return tuple(above), below[0] if below else None


def read(shot: Shot) -> Setting:
    """The setting of a shot; what its prompt leaves open is chosen by the seed.

    The place is left open where a picture or video shows it.
    """
    chance = np.random.default_rng([abs(shot.seed), 1])
    found = features(shot.prompt) - features(shot.negative_prompt)
    if found.isdisjoint(PLACES) and shot.media.keys() <= {"audio"}:
        *places, hour = USUAL[int(chance.integers(len(USUAL)))]
        found |= set(places) | (set() if found & set(HOURS) else {hour})
    return Setting(frozenset(found), _hour(found, chance), *colours(shot.prompt))


def _shown(prompt: str) -> str:
    """The prompt without titles, what it rules out, and words that mean something else."""
    return _OTHERWISE.sub("thing ", _NEGATED.sub(" ", _QUOTED.sub(" ", prompt))).strip()


def _bearer(text: str, colour: re.Match[str]) -> str | None:
    """What a colour is said of: "below", "above", "free" of any noun, or nothing that is drawn."""
    said = _SAID_OF.match(text, colour.end())
    if said and said.lastgroup == "free" and (by := _SAID_BY.search(text, 0, colour.start())):
        return by.lastgroup
    return said.lastgroup if said else None


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
