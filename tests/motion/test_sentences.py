"""The camera does what the words say: measured by optical flow over a table of sentences."""

from dataclasses import dataclass
from math import log
from pathlib import Path

import av
import pytest

from squero.engines.motion import Motion
from squero.engines.motion.camera import Camera
from squero.engines.motion.course import ORBIT, PUSH, ROLL, TRAVEL
from squero.engines.motion.move import parse
from squero.engines.motion.picture import Picture
from squero.engines.motion.planes import Plane, Planes
from squero.shot import Shot

from .conftest import Texture
from .flow import Flow, flow_of

pytestmark = pytest.mark.motion

WIDTH, HEIGHT, FRAMES = 320, 180, 32
ENOUGH = 0.95
TREMOR = 0.0008
NAMES = {
    "in": ("nearer", 1),
    "out": ("nearer", -1),
    "left": ("across", -1),
    "right": ("across", 1),
    "up": ("down", -1),
    "down": ("down", 1),
    "orbit left": ("leaned", -1),
    "orbit right": ("leaned", 1),
    "clockwise": ("turned", 1),
    "anticlockwise": ("turned", -1),
}
PLAIN = {
    "nearer": log(1 + PUSH),
    "across": TRAVEL,
    "down": TRAVEL,
    "leaned": 2 * ORBIT,
    "turned": ROLL,
}
"""How far a move goes that is neither slow nor fast."""
LEAST, MOST = 0.3, 0.2
"""What a named move reaches at least, and one that was not named at most, as shares of that."""


@dataclass(frozen=True)
class Case:
    sentence: str
    negative: str
    parts: tuple[frozenset[str], ...]
    pace: str
    shape: str


def case_of(line: str) -> Case:
    said, _, asked = line.partition(" => ")
    sentence, _, negative = said.partition(" ~ ")
    marks = {mark: f" {mark}" in asked for mark in ("slow", "fast", "portrait", "panorama")}
    for mark in marks:
        asked = asked.replace(f" {mark}", "")
    parts = tuple(frozenset(part.split("+")) for part in asked.split(" then "))
    named = [mark for mark in marks if marks[mark]]
    pace = next((mark for mark in named if mark in ("slow", "fast")), "")
    shape = next((mark for mark in named if mark in ("portrait", "panorama")), "")
    return Case(sentence, negative, parts, pace, shape)


def table() -> list[Case]:
    lines = (Path(__file__).parent / "sentences.txt").read_text().splitlines()
    return [case_of(line) for line in lines if line and not line.startswith("#")]


def exposed(case: Case, path: Path) -> list[Plane]:
    camera = Camera(parse(case.sentence, case.negative), seed=5)
    picture = Picture(path, WIDTH, HEIGHT, camera)
    frame = Planes.blank(WIDTH, HEIGHT)
    frames = []
    for number in range(FRAMES):
        picture.expose(number / (FRAMES - 1), frame)
        frames.append(frame.y.copy())
    return frames


def differences(case: Case, flow: Flow) -> list[str]:
    """What is wrong with a flow, in words; nothing when the words were obeyed."""
    wrong = []
    for number, names in enumerate(case.parts):
        part = flow.part(number, len(case.parts))
        gone = {field: float(getattr(part, field).sum()) / PLAIN[field] for field in PLAIN}
        asked = dict(NAMES[name] for name in names - {"shake", "still"})
        wrong += [
            f"{field} {gone[field]:+.2f} in part {number + 1}"
            for field in PLAIN
            if not obeyed(gone[field], asked.get(field, 0), free(case, field, names))
        ]
        wrong += paced(case, [abs(gone[field]) for field in asked])
    shaken = "shake" in frozenset().union(*case.parts)
    if shaken != (flow.tremor > TREMOR):
        wrong.append(f"tremor {flow.tremor:.5f}")
    return wrong


def free(case: Case, field: str, names: frozenset[str]) -> bool:
    """Whether a way that was not named may be taken: around, or along a long picture."""
    orbits = field == "across" and any(name.startswith("orbit") for name in names)
    longer = {"portrait": "down", "panorama": "across"}.get(case.shape)
    scenic = field == longer and names & {"in", "out"}
    return bool(orbits or scenic or (field != "nearer" and "shake" in names))


def obeyed(gone: float, sign: int, free: bool) -> bool:
    if sign:
        return gone * sign >= LEAST
    return free or abs(gone) <= MOST


def paced(case: Case, amounts: list[float]) -> list[str]:
    slow, fast = case.pace == "slow" and max(amounts, default=0) > 0.8, case.pace == "fast"
    return ["not slow"] * slow + ["not fast"] * (fast and max(amounts, default=0) < 1.2)


def test_the_table_has_two_hundred_sentences() -> None:
    cases = table()
    assert len({(case.sentence, case.negative) for case in cases}) >= 200
    assert {name for case in cases for part in case.parts for name in part} == {
        *NAMES,
        "shake",
        "still",
    }


@pytest.mark.timeout(600)
def test_the_flow_agrees_with_the_words(texture: Texture) -> None:
    cases, failures = table(), []
    for case in cases:
        if wrong := differences(case, flow_of(exposed(case, texture(case.shape)))):
            failures.append(f"{case.sentence!r}: {', '.join(wrong)}")
    print(*failures, f"{len(cases) - len(failures)} of {len(cases)} obeyed", sep="\n")
    assert len(failures) <= (1 - ENOUGH) * len(cases), "\n".join(failures)


@pytest.mark.parametrize(("shape", "field"), [("portrait", "down"), ("panorama", "across")])
def test_a_push_travels_along_a_longer_picture(texture: Texture, shape: str, field: str) -> None:
    case = Case("push in", "", (frozenset(["in"]),), "", shape)
    flow = flow_of(exposed(case, texture(shape)))
    assert abs(getattr(flow, field).sum()) > 0.5
    assert flow.nearer.sum() > 0.2


@pytest.mark.parametrize(
    "line",
    [
        "The camera slowly pushes in => in slow",
        "pan left => left",
        "tilt up, then zoom out => up then out",
        "orbit right around the tower => orbit right",
        "static shot => still",
    ],
)
def test_so_does_the_video(tmp_path: Path, texture: Texture, line: str) -> None:
    case, engine = case_of(line), Motion()
    media = {"image": texture(case.shape)}
    shot = Shot(case.sentence, WIDTH, HEIGHT, FRAMES, 24, seed=1, media=media)
    engine.load()
    engine.render(shot, tmp_path / "out.mp4", lambda share: None)
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert differences(case, flow_of(shown)) == []
