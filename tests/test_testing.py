import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from squero.domain.catalog import load
from squero.engines import Tell
from squero.engines.motion import Motion
from squero.shot import BadInput, Shot, Stopped
from squero.testing import SHOT, ContractBroken, engine_contract

EXAMPLE = Path(__file__).parents[1] / "examples" / "engine"


@pytest.fixture
def waves() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("squero_waves", EXAMPLE / "squero_waves.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["squero_waves"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["squero_waves"]


def test_motion_keeps_it() -> None:
    engine_contract(Motion())


def test_with_an_image(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.linear_gradient("L").save(path)
    engine_contract(Motion(), replace(SHOT, media={"image": path}))


def test_the_example_keeps_it(waves: ModuleType) -> None:
    engine_contract(waves.Waves(bands=2))
    assert len((EXAMPLE / "squero_waves.py").read_text().splitlines()) <= 40


def test_the_entry_of_the_example_is_sound(waves: ModuleType) -> None:
    model = load(EXAMPLE / "models").find("waves")
    assert model.engine == "waves"
    waves.Waves(**model.options)


Wrong = Callable[["Faulty", Shot, Path, Tell], None]


class Faulty:
    """Motion with one fault."""

    def __init__(self, render: Wrong) -> None:
        self.motion = Motion(instant=True)
        self.renders = 0
        self._render = render

    def load(self) -> None:
        self.motion.load()

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        if "image" in shot.media:
            raise BadInput("The image cannot be decoded")
        self.renders += 1
        self._render(self, shot, out, tell)


def writes_nothing(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    tell(0.0)
    tell(1.0)


def says_nothing(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(shot, out, lambda share, note=None: None)


def falls_back(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(shot, out, lambda share, note=None: tell(1 - share))


def overshoots(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(shot, out, lambda share, note=None: tell(2 * share))


def is_larger(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(replace(shot, width=shot.width + 2), out, tell)


def is_longer(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(replace(shot, frames=shot.frames + 1), out, tell)


def is_slower(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(replace(shot, fps=shot.fps - 1), out, tell)


def sounds(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(replace(shot, audio=True), out, tell)


def hides_its_index(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(shot, out, tell)
    out.write_bytes(b"\x00\x00\x00\x0cmdat----" + out.read_bytes())


def never_repeats(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    engine.motion.render(replace(shot, prompt="x" * engine.renders), out, tell)


def swallows_a_stop(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    try:
        engine.motion.render(shot, out, tell)
    except Stopped:
        return


def chokes_on_a_stop(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    try:
        engine.motion.render(shot, out, tell)
    except Stopped:
        raise RuntimeError from None


def stops_late(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    try:
        engine.motion.render(shot, out, tell)
    except Stopped:
        time.sleep(1.2)
        raise


def is_silent_for_long(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    time.sleep(1.2)
    engine.motion.render(shot, out, tell)


def keeps_what_a_stop_left(engine: Faulty, shot: Shot, out: Path, tell: Tell) -> None:
    prompt = shot.prompt if engine.renders < 4 else "something else"
    engine.motion.render(replace(shot, prompt=prompt), out, tell)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (writes_nothing, "no file"),
        (says_nothing, "does not rise"),
        (falls_back, "falls"),
        (overshoots, "leaves 0 to 1"),
        (is_larger, r"\(100, 66\) is not the size"),
        (is_longer, "13 frames in place of 12"),
        (is_slower, "is not exact"),
        (sounds, r"\['audio', 'video'\] in place of \['video'\]"),
        (hides_its_index, "index is not at the front"),
        (never_repeats, "same seed"),
        (swallows_a_stop, "A stop did not pass$"),
        (chokes_on_a_stop, "A stop did not pass: RuntimeError"),
        (stops_late, "s to stop"),
        (is_silent_for_long, "without a chance to stop"),
        (keeps_what_a_stop_left, "left something"),
    ],
)
def test_a_fault_is_named(fault: Wrong, words: str) -> None:
    with pytest.raises(ContractBroken, match=words):
        engine_contract(Faulty(fault), stop_seconds=1.0)


class Blind(Faulty):
    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        self.motion.render(replace(shot, media={}), out, tell)


def test_a_broken_image_that_nobody_minds() -> None:
    with pytest.raises(ContractBroken, match=r"A broken image is no BadInput$"):
        engine_contract(Blind(writes_nothing))
