"""The words of camera moves, as tables: what they mean, and what may stand around them.

A prompt is read as a list of words and marks. The marks: `.` ends a sentence, `,` a phrase, `&` is
"while", `|` is "then", and `<` is "after", which puts what follows before what was said.
"""

import re
from dataclasses import dataclass


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


Way = tuple[str, int]
"""A field of Move and its sign."""
Ways = dict[str, Way]

_ZOOM: Ways = {"in": ("zoom", 1), "out": ("zoom", -1)}
_SIDE: Ways = {"left": ("pan", -1), "right": ("pan", 1)}
_HEIGHT: Ways = {"up": ("tilt", -1), "down": ("tilt", 1)}
ROUND: Ways = {"left": ("orbit", -1), "right": ("orbit", 1)} | {
    "clockwise": ("orbit", -1),
    "counterclockwise": ("orbit", 1),
}
_TURN: Ways = {"left": ("roll", -1), "right": ("roll", 1)} | {
    "clockwise": ("roll", 1),
    "counterclockwise": ("roll", -1),
}
_AROUND: Ways = {"around": ("orbit", 1)}
_ANY: Ways = _ZOOM | _SIDE | _HEIGHT | _AROUND


@dataclass(frozen=True, slots=True)
class Verb:
    """What a verb means with each direction and without any; `sure` ones are the camera's own."""

    ways: Ways
    bare: tuple[Way, ...] = ()
    sure: bool = False
    pace: float = 1.0


_IN, _OUT, _RIGHT = (_ZOOM["in"],), (_ZOOM["out"],), (_SIDE["right"],)
_UP, _DOWN = (_HEIGHT["up"],), (_HEIGHT["down"],)
_ABOUT, _CLOCKWISE, _SHAKE = (ROUND["right"],), (_TURN["clockwise"],), (("shake", 1),)
_DIAGONAL = (_SIDE["right"], _HEIGHT["up"])

VERBS: dict[str, Verb] = {
    "zoom": Verb(_ZOOM, _IN, sure=True),
    "dolly": Verb(_ANY, _IN, sure=True),
    "pan": Verb(_ZOOM | _SIDE | _HEIGHT, _RIGHT, sure=True),
    "tilt": Verb(_HEIGHT | _TURN | {"sideways": _TURN["right"]}, _UP, sure=True),
    "orbit": Verb(ROUND, _ABOUT, sure=True),
    "circle": Verb(ROUND, _ABOUT),
    "arc": Verb(ROUND, _ABOUT),
    "revolve": Verb(ROUND, _ABOUT),
    "spiral": Verb(_ZOOM | _HEIGHT, _ABOUT),
    "push": Verb(_ZOOM | _SIDE, _IN),
    "pull": Verb(_ZOOM | _SIDE | _HEIGHT, _OUT),
    "close": Verb({"in": _ZOOM["in"]}),
    "approach": Verb({}, _IN),
    "advance": Verb(_ZOOM, _IN),
    "retreat": Verb({}, _OUT),
    "withdraw": Verb({}, _OUT),
    "recede": Verb({}, _OUT),
    "widen": Verb(_ZOOM, _OUT),
    "back": Verb(dict.fromkeys(("out", "up"), _ZOOM["out"])),
    "truck": Verb(_ZOOM | _SIDE | _AROUND, _RIGHT),
    "track": Verb(_ANY, _RIGHT),
    "scan": Verb(_SIDE | _HEIGHT, _RIGHT),
    "crane": Verb(_HEIGHT, _UP),
    "jib": Verb(_HEIGHT, _UP),
    "pedestal": Verb(_HEIGHT, _UP),
    "boom": Verb(_HEIGHT, _UP),
    "elevate": Verb({}, _UP),
    "raise": Verb(_HEIGHT, _UP),
    "rise": Verb(_HEIGHT, _UP),
    "lift": Verb(_HEIGHT, _UP),
    "ascend": Verb({}, _UP),
    "climb": Verb(_HEIGHT, _UP),
    "descend": Verb({}, _DOWN),
    "lower": Verb({}, _DOWN),
    "dip": Verb(_HEIGHT, _DOWN),
    "sink": Verb(_HEIGHT, _DOWN),
    "drop": Verb(_HEIGHT, _DOWN),
    "roll": Verb(_TURN, _CLOCKWISE),
    "bank": Verb(_TURN, _CLOCKWISE),
    "turn": Verb(_TURN | _ANY),
    "flip": Verb(_TURN | _ANY),
    "fall": Verb({"out": _ZOOM["out"], "down": _HEIGHT["down"]}),
    "look": Verb(_SIDE | _HEIGHT),
    "follow": Verb(_SIDE | _HEIGHT),
    "whip": Verb(_SIDE | _HEIGHT, pace=2.5),
    "drift": Verb(_ANY, _DIAGONAL, pace=0.65),
}
VERBS |= dict.fromkeys(_set("creep inch ease float"), Verb(_ANY, pace=0.65))
VERBS |= dict.fromkeys(
    _set("rotate spin twirl whirl swirl twist"), Verb(_TURN | _AROUND, _CLOCKWISE)
)
VERBS |= dict.fromkeys(_set("shake wobble sway tremble jitter"), Verb({}, _SHAKE))
VERBS |= dict.fromkeys(
    _set(
        "move glide slide travel fly soar swoop dive plunge sail wander rush race veer edge shift "
        "pivot go swing sweep come get draw"
    ),
    Verb(_ANY),
)

DIRECTIONS: dict[str, str] = {
    word: direction
    for direction, words in {
        "left": "left leftward leftwards",
        "right": "right rightward rightwards",
        "up": "up upward upwards skyward skywards",
        "down": "down downward downwards",
        "in": "in into inward inwards forward forwards closer nearer toward towards through",
        "out": "out outward outwards back backward backwards away off",
        "sideways": "sideways",
        "clockwise": "clockwise",
        "counterclockwise": "counterclockwise",
        "around": "around round",
    }.items()
    for word in words.split()
}
UNLESS = {
    "right": _set("of hand behind next there away now angle"),
    "left": _set("of hand behind alone unattended"),
}
"""Before these words, "right" and "left" are no directions."""
LANES = _set(
    "hallway hall corridor passage street road highway avenue path trail alley canal river aisle "
    "lane tunnel track pier"
)
"""Up and down these one goes forward."""
RESTING = frozenset(["on", "in", "by", "out"])
"""Nor before these when it is "a pan"."""

CAMERA = _set(
    "camera cam lens shot view viewpoint pov fpv perspective frame framing camerawork footage "
    "steadicam gimbal we"
)
SHOTS = CAMERA - {"we", "lens"} | _set("move movement motion effect style feel")
SETTINGS = SHOTS | _set("composition image scene take video position setup tableau")
"""What a static one of says that the camera rests."""
THINGS = _set("truck crane boom track roll rise drop pedestal turn lift fly slide swing arc circle")
"""Verbs that are things after "a" and "the", unless it is a slow one or a shot."""
NEGATIONS = _set("no not never without avoid avoiding cannot nor neither")
MOVING = _set("drone aerial fpv gimbal steadicam")
"""The shots of these are of something, yet speak of the camera."""
PRONOUNS = _set("he she it they who you i")
MARKS = frozenset(".,&|<")
JOINTS = frozenset(["and", "or", "but", "with", "by"])
LIGHT = _set(
    "a an the one this that which any is are be being been will should would could can may must "
    "starts start starting begins begin beginning continues continue keeps do does did to in "
    "smooth steady cinematic sweeping fluid seamless panoramic epic elegant constant long short "
    "wide tight big single continuous low high angle "
    "opening final aerial drone medium extreme very extremely really super ultra so bit little "
    "more all let us have make just only now first also both handheld at from almost ever "
    "please use using want need add apply featuring degree lateral vertical horizontal full "
    "complete"
)
GAP = _set(
    "the to toward towards from camera shot view us very a bit little slightly back across over "
    "around straight further farther more even just up along extremely super really so off "
    "movement motion move"
)
STATIC = _set("static fixed locked lockedoff stationary motionless immobile unmoving still tripod")
HOLDS = _set("hold holds stop stops pause pauses rest rests settle settles freeze")
MOTION = frozenset(["movement", "movements", "motion", "motions", "moves"])
STEADY = _set("keep stays stay remains remain holds hold stands sits rests keeps kept held")
ORDERS = _set("drift push pull")
"""Verbs that are orders when they end a prompt alone, as the camera's own do anywhere."""
BEYOND = _set("across along over around round past through from shot move movement")
"""After these, a camera's own verb needs no direction."""
OBJECTS = _set("him her it them us")

_SLOW = _set(
    "slow gentle subtle slight soft gradual calm leisurely tender lazy delicate unhurried graceful "
    "measured"
)
_FAST = _set("fast quick rapid swift dramatic brisk sudden sharp hurried speedy energetic")
PACES: dict[str, float] = (
    dict.fromkeys(_SLOW, 0.65)
    | dict.fromkeys(_FAST, 1.4)
    | dict.fromkeys(_set("whip swish crash snap smash"), 2.5)
    | dict.fromkeys(("imperceptible", "glacial", "barely"), 0.4)
)
STYLES = _set("smooth steady cinematic lateral sweeping fluid seamless elegant panoramic epic")
"""They say that a thing moves as a camera does, but not how fast."""
VERY = _set("very extremely super ultra really so incredibly")
BESIDE = _set("across along alongside around beside over past round")
"""After these, an order of a verb that goes sideways or about needs none either."""
TERSE = BEYOND | BESIDE | OBJECTS | VERY | _set("with a bit little")
"""What an order of few words may hold besides its verb and how."""
OWN = _set("zoom pan dolly")
"""Verbs that nobody but a camera does, so that they are orders in "ing" as well."""

_DOUBLING = frozenset(["pan", "get", "spin", "drop", "jib", "whip", "flip", "dip"])


def _forms(stem: str) -> tuple[tuple[str, str], ...]:
    """A verb's forms, each with its name: base, "s", "ing" or "ed"."""
    trunk = stem + stem[-1] if stem in _DOUBLING else stem.removesuffix("e")
    third = stem + "s"
    if stem.endswith("ly"):
        third = stem.removesuffix("y") + "ies"
    elif stem.endswith(("h", "o")):
        third = stem + "es"
    return (stem, "base"), (third, "s"), (trunk + "ing", "ing"), (trunk + "ed", "ed")


POSES = _set("looking facing faces pointing points staring aiming aims")
"""Who films "looking down" stands there and does not move."""
FORMS: dict[str, tuple[str, str]] = {
    word: (stem, form) for stem in VERBS for word, form in _forms(stem) if word not in POSES
}

_NOUNS = "movement|motion|roll|spin|turn|rotation|pan|tilt|zoom|push|orbit|rise|drift|sweep"
_FROM = r"\b(?:from )?(?:the )?"
_THEN = (
    r"then|before|finally|eventually|subsequently|afterwards?|followed by|after (?:that|which)"
    r"|and (?:ends?|finish(?:es)?) (?:with|on|in)|end(?:s|ing) (?:with|on|in)"
)
_SPELLINGS = (
    (r"\"[^\"]*\"|“[^”]*”", " , "),
    (r"[’`]", "'"),
    (r"n't\b|(?<=do)nt\b|(?<=does)nt\b|(?<=should)nt\b", " not"),
    (r"\b(?:instead of|rather than)\b", "without"),
    (r"\b(\w+)'(?:s|re|ll)\b", r"\1"),
    (r"[-‑]", " "),
    (r"\bzoom(s|ed|ing)?(in|out)\b", r"zoom\1 \2"),
    (r"\bthru\b", "through"),
    (r"\bmovement (?=(?:to|from|for|back|left|right|up|down|around)(?:ward)?s?\b)", "move "),
    (r"\bupside down\b", "clockwise"),
    (r"\b(?:rotating|spinning|revolving|360 ?°?(?: degree)?) (?=shot)", "orbit "),
    (r"\b(?:pull|rack)(?:s|ing)? focus\b|\b(?:low|high)(?: earth)? orbits?\b", " , "),
    (rf"\b({_NOUNS}) of the camera\b", r"camera \1"),
    (r"\bcamera(?: \w+)? ?[:=] ?none\b", "no camera movement"),
    (r"\bcamera(?: \w+)? ?[:=]", "camera "),
    (r"\b(as|des)cent\b", r"\1cend"),
    (r"\brotation\b", "rotate"),
    (r"\bhand held\b", "handheld"),
    (r"\b(?:counter|anti) ?clockwise\b", "counterclockwise"),
    (r"\block(?:ed)? (?:off|down)\b", "lockedoff"),
    (r"\b(?:shot|filmed|mounted|camera) on (?:a|the) (?:\w+ )?tripod\b", "lockedoff"),
    (r"\bdutch (?:angle|tilt|roll)\b", "camera roll"),
    (r"\b(?:shaky|wobbly) (?=cam|foot|shot)", "camera shake , "),
    (r"\b(?:camera|cam) (?:shak(?:es|ing|iness)|jitters?|wobbles?)\b", "camera shake"),
    (r"\b(?:ken burns|dolly zoom|vertigo effect)\b", "zoom in"),
    (r"\bin (?:a|slow|wide|tight) (?:circle|arc)s?\b", "around"),
    (rf"{_FROM}(?:left|right) to (?:the )?(left|right)\b", r"\1ward"),
    (rf"{_FROM}(?:top|bottom) to (?:the )?top\b", "upward"),
    (rf"{_FROM}(?:top|bottom) to (?:the )?bottom\b", "downward"),
    (r"\btilt shift\b", "tiltshift"),
    (r",(?: and)? ([^,.;:]+) (?:afterwards?|after (?:that|this))(?= ?[,.;]|$)", r" | \1 "),
    (rf"\b(?:and |, )?(?:{_THEN})\b|\bnext,", " | "),
    (r"\bafter (?=\w+ing\b)", " < "),
    (r"\b(?:while|whilst|as|when|simultaneously|at the same time)\b", " & "),
    (r"[.!?;\n]+", " . "),
    (r"[,:()/–—]+", " , "),
)
_COMPILED = tuple((re.compile(pattern), to) for pattern, to in _SPELLINGS)


def words_of(prompt: str) -> list[str]:
    """The prompt as words and marks, in lower case, with marks at its end to look ahead to."""
    text = prompt.lower()
    for pattern, to in _COMPILED:
        text = pattern.sub(to, text)
    return [*re.findall(r"[^\W\d_]+|[.,&|<]", text), ".", "."]


def plain(word: str) -> str:
    """An adverb as its adjective: "gently" as "gentle"."""
    if not word.endswith("ly"):
        return word
    stems = (word[:-2], word[:-1] + "e", word[:-4] + "le", word[:-3] + "y", word[:-4])
    return next((stem for stem in stems if stem in PACES), word[:-2])
