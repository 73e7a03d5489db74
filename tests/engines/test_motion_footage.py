"""The motion engine with a video: all of it fitted to the clip, its middle to the frame."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from squero.engines.motion import Motion
from squero.engines.motion.footage import Footage, cropped
from squero.engines.motion.planes import Planes
from squero.shot import BadInput, Shot

ShotOf = Callable[..., Shot]
Picture = NDArray[np.uint8]


def shoot(path: Path, pictures: list[Picture], *, fps: int = 10, sound: bool = False) -> Path:
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "5"}
        audio = container.add_stream("aac", rate=48_000, layout="stereo") if sound else None
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="itu709")))
        container.mux(stream.encode())
        if audio is not None:
            noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 48_000)).astype(np.float32)
            loud = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
            loud.sample_rate = 48_000
            container.mux(audio.encode(loud))
            container.mux(audio.encode())
    return path


def greys(count: int, size: tuple[int, int] = (64, 96)) -> list[Picture]:
    """Even pictures from dark to light, from 40 to 200."""
    levels = np.linspace(40, 200, count)
    return [np.full((*size, 3), level, np.uint8) for level in levels]


def film(shot: Shot, out: Path) -> Path:
    Motion().render(shot, out, lambda share: None)
    return out


def levels(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        shown = container.decode(video=0)
        return [float(frame.to_ndarray(format="rgb24").mean()) for frame in shown]


class TestTiming:
    @pytest.mark.parametrize("source", [5, 12, 60])
    @pytest.mark.parametrize("count", [2, 12, 30])
    def test_all_of_it_fits_the_clip_evenly(
        self, tmp_path: Path, shot_of: ShotOf, source: int, count: int
    ) -> None:
        media = {"video": shoot(tmp_path / "in.mp4", greys(source))}
        shown = levels(film(shot_of(frames=count, media=media), tmp_path / "out.mp4"))
        assert len(shown) == count
        assert shown == pytest.approx(list(np.linspace(40, 200, count)), abs=160 / source + 3)
        assert (shown[0], shown[-1]) == pytest.approx((40, 200), abs=3)

    def test_a_slowed_video_is_blended(self, tmp_path: Path, shot_of: ShotOf) -> None:
        media = {"video": shoot(tmp_path / "in.mp4", greys(3))}
        shown = levels(film(shot_of(frames=17, media=media), tmp_path / "out.mp4"))
        assert shown == pytest.approx(list(np.linspace(40, 200, 17)), abs=3)

    def test_a_hastened_video_is_not(self, tmp_path: Path, shot_of: ShotOf) -> None:
        flicker = [np.full((64, 96, 3), 40 + 160 * (n % 2), np.uint8) for n in range(30)]
        media = {"video": shoot(tmp_path / "in.mp4", flicker)}
        shown = levels(film(shot_of(frames=13, media=media), tmp_path / "out.mp4"))
        assert all(min(abs(level - 40), abs(level - 200)) < 6 for level in shown)

    def test_a_clip_of_one_frame_and_a_video_of_one(self, tmp_path: Path, shot_of: ShotOf) -> None:
        one = {"video": shoot(tmp_path / "one.mp4", greys(1))}
        many = {"video": shoot(tmp_path / "many.mp4", greys(9))}
        assert len(levels(film(shot_of(frames=5, media=one), tmp_path / "a.mp4"))) == 5
        assert len(levels(film(shot_of(frames=1, media=many), tmp_path / "b.mp4"))) == 1


def banner(width: int, height: int) -> Picture:
    """Red in its left third, green in the middle, blue on the right, and as much from the top."""
    picture = np.zeros((height, width, 3), np.uint8)
    long = width if width > height else height
    for channel in range(3):
        part = slice(channel * long // 3, (channel + 1) * long // 3)
        picture[(slice(None), part) if width > height else part] = [
            200 * (channel == other) for other in range(3)
        ]
    return picture


class TestFrame:
    @pytest.mark.parametrize("size", [(300, 100), (100, 300)])
    def test_the_middle_fills_the_frame(
        self, tmp_path: Path, shot_of: ShotOf, size: tuple[int, int]
    ) -> None:
        media = {"video": shoot(tmp_path / "in.mp4", [banner(*size)] * 2)}
        out = film(shot_of(width=96, height=96, frames=2, media=media), tmp_path / "out.mp4")
        with av.open(str(out)) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert frame.shape == (96, 96, 3)
        inner = frame[6:-6, 6:-6].reshape(-1, 3)
        assert (np.abs(inner.mean(axis=0) - [0, 200, 0]) < 5).all()
        assert (inner[:, 1] > 150).all()

    def test_the_colours_survive_a_change_of_size(self, tmp_path: Path, shot_of: ShotOf) -> None:
        plain = np.full((128, 128, 3), (200, 80, 40), np.uint8)
        media = {"video": shoot(tmp_path / "in.mp4", [plain] * 2)}
        out = film(shot_of(frames=2, media=media), tmp_path / "out.mp4")
        with av.open(str(out)) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert frame.mean(axis=(0, 1)) == pytest.approx([200, 80, 40], abs=4)

    def test_cropped_keeps_the_middle_and_its_colours(self) -> None:
        whole = Planes.blank(12, 4)
        whole.y[:] = np.arange(12)
        whole.u[:] = whole.v[:] = np.arange(6)
        part = cropped(whole.buffer, 10, 10)
        assert part.y.tolist() == [[4, 5, 6, 7]] * 4
        assert part.u.tolist() == part.v.tolist() == [[2, 3]] * 2


class TestSound:
    def test_its_own_is_dropped(self, tmp_path: Path, shot_of: ShotOf) -> None:
        media = {"video": shoot(tmp_path / "in.mp4", greys(10), sound=True)}
        with av.open(str(film(shot_of(media=media), tmp_path / "out.mp4"))) as container:
            assert not container.streams.audio

    def test_a_track_is_quiet_and_not_the_video_s(self, tmp_path: Path, shot_of: ShotOf) -> None:
        media = {"video": shoot(tmp_path / "in.mp4", greys(10), sound=True)}
        with av.open(str(film(shot_of(audio=True, media=media), tmp_path / "o.mp4"))) as container:
            parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
        assert parts and 0 < max(np.abs(part).max() for part in parts) < 0.3


class TestBadInput:
    @pytest.mark.parametrize("what", ["nothing", "text", "playlist", "half", "garbled"])
    def test_what_is_no_video(self, tmp_path: Path, shot_of: ShotOf, what: str) -> None:
        good = shoot(tmp_path / "good.mp4", greys(20))
        data = good.read_bytes()
        start = data.index(b"mdat") + 4
        end = data.index(b"moov") - 4
        bad = {
            "nothing": b"",
            "text": b"hello" * 100,
            "playlist": f"ffconcat version 1.0\nfile '{good}'\n".encode(),
            "half": data[: len(data) // 2],
            "garbled": data[:start] + b"\xff" * (end - start) + data[end:],
        }
        (tmp_path / "bad.mp4").write_bytes(bad[what])
        with pytest.raises(BadInput, match="video could not be decoded"):
            film(shot_of(media={"video": tmp_path / "bad.mp4"}), tmp_path / "out.mp4")

    def test_a_sound_alone_is_no_video(self, tmp_path: Path, shot_of: ShotOf) -> None:
        with av.open(str(tmp_path / "sound.mp4"), "w") as container:
            stream = container.add_stream("aac", rate=48_000, layout="stereo")
            frame = av.AudioFrame.from_ndarray(
                np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with pytest.raises(BadInput, match="video could not be decoded"):
            Footage(tmp_path / "sound.mp4", shot_of(), 1)
