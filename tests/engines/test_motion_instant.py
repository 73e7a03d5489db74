"""Slates: everything a test looks at is right, and they come at once."""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from squero.engines.motion import Motion
from squero.engines.motion.instant import band, ground, mark
from squero.engines.motion.planes import Planes
from squero.shot import BadInput, Shot, Stopped

ShotOf = Callable[..., Shot]
Frames = list[NDArray[np.uint8]]
SECONDS = 0.15


@pytest.fixture(scope="module")
def engine() -> Motion:
    engine = Motion(instant=True)
    engine.load()
    return engine


def lumas(path: Path) -> Frames:
    with av.open(str(path)) as container:
        shown = container.decode(video=0)
        return [
            Planes.over(np.ascontiguousarray(frame.to_ndarray(), np.uint8)).y for frame in shown
        ]


def film(engine: Motion, shot: Shot, out: Path) -> Path:
    engine.render(shot, out, lambda share: None)
    return out


class TestFile:
    @pytest.mark.parametrize(
        ("width", "height", "seconds"),
        [
            (640, 360, 3),
            (1280, 720, 5),
            (480, 848, 5),
            (854, 480, 4),
            (720, 720, 5),
            (480, 1120, 3),
        ],
    )
    def test_is_what_was_asked_for(
        self, tmp_path: Path, engine: Motion, width: int, height: int, seconds: int
    ) -> None:
        count = seconds * 24
        shot = Shot("a lagoon", width, height, count, 24, seed=1, audio=True)
        out = film(engine, shot, tmp_path / "out.mp4")
        assert out.stat().st_size >= 100_000
        with av.open(str(out)) as container:
            video, sound = container.streams.video[0], container.streams.audio[0]
            context = video.codec_context
            assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
            assert (context.width, context.height) == (width, height)
            assert (video.average_rate, sound.codec_context.name) == (24, "aac")
            for stream in (video, sound):
                assert stream.duration is not None and stream.time_base is not None
                assert stream.duration * stream.time_base == Fraction(seconds)
            assert len(list(container.decode(video))) == count

    def test_of_the_smallest_frame(self, tmp_path: Path, engine: Motion) -> None:
        assert len(lumas(film(engine, Shot("p", 64, 64, 2, 24, 1), tmp_path / "out.mp4"))) == 2

    def test_has_no_sound_where_none_is_wanted(
        self, tmp_path: Path, engine: Motion, shot_of: ShotOf
    ) -> None:
        with av.open(str(film(engine, shot_of(), tmp_path / "out.mp4"))) as container:
            assert not container.streams.audio

    def test_a_sound_that_is_none_is_bad_input(
        self, tmp_path: Path, engine: Motion, shot_of: ShotOf
    ) -> None:
        (tmp_path / "bad").write_text("hello")
        with pytest.raises(BadInput):
            film(engine, shot_of(media={"audio": tmp_path / "bad"}), tmp_path / "out.mp4")


class TestSlate:
    def test_every_frame_shows_its_number(self, tmp_path: Path, engine: Motion) -> None:
        shown = lumas(film(engine, Shot("p", 320, 180, 26, 24, 1), tmp_path / "out.mp4"))
        for number, frame in enumerate(shown):
            drawn = ground(320, 180)
            mark(drawn, number)
            rows, letters = band(drawn), slice(0, 200)
            off = np.abs(frame[:rows, letters].astype(int) - drawn.y[:rows, letters])
            assert off.mean() < 3, number

    def test_what_is_kept_between_shots_fits_the_next_to_the_bit(
        self, tmp_path: Path, engine: Motion
    ) -> None:
        """The frames that follow a first one were coded behind another first one."""
        first, other = (
            lumas(film(engine, Shot(prompt, 320, 180, 40, 24, 1), tmp_path / "out.mp4"))
            for prompt in ("a lagoon at dusk", "snow falls on the arsenal, " * 8)
        )
        rows = band(ground(320, 180))
        for one, two in zip(first, other, strict=True):
            assert np.array_equal(one[:rows], two[:rows])
            assert np.array_equal(one[rows:], first[0][rows:])
            assert np.array_equal(two[rows:], other[0][rows:])

    def test_shows_the_prompt(self, tmp_path: Path, engine: Motion, shot_of: ShotOf) -> None:
        def ink(prompt: str) -> float:
            shot = shot_of(prompt, width=320, height=180, frames=2)
            frame = lumas(film(engine, shot, tmp_path / "out.mp4"))[-1]
            return float((frame[band(ground(320, 180)) :] > 150).mean())

        assert ink("") == 0 == ink("\U00010330\U00010331")
        assert 0.003 < ink("gondola") < ink("gondola gondola gondola gondola gondola")


class TestSpeed:
    def test_in_a_warm_engine(self, tmp_path: Path, engine: Motion) -> None:
        """Counted in processor time, which other work on the machine hardly changes."""
        shot = Shot("a slow pan over the lagoon", 1280, 720, 120, 24, seed=1, audio=True)
        film(engine, shot, tmp_path / "out.mp4")
        taken = []
        for _ in range(5):
            began = time.process_time()
            film(engine, shot, tmp_path / "out.mp4")
            taken.append(time.process_time() - began)
        assert min(taken) <= SECONDS

    def test_a_stop_passes(self, tmp_path: Path, engine: Motion, shot_of: ShotOf) -> None:
        def stop(share: float) -> None:
            raise Stopped

        with pytest.raises(Stopped):
            engine.render(shot_of(), tmp_path / "out.mp4", stop)
