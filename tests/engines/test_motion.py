import os
import platform
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from squero.engines import motion
from squero.engines.motion import Motion
from squero.engines.motion.darkroom import AHEAD
from squero.engines.motion.film import Coding
from squero.engines.motion.planes import Planes
from squero.engines.motion.scene import Scene
from squero.shot import BadInput, Shot, Stopped

ShotOf = Callable[..., Shot]
Frames = list[NDArray[np.uint8]]
FILMED = """
import sys
from pathlib import Path
from squero.engines.motion import Motion
from squero.shot import Shot
image, out = map(Path, sys.argv[1:])
shot = Shot("orbit", 320, 180, frames=30, fps=12, seed=7, media={"image": image})
Motion().render(shot, out, lambda share: None)
"""


def ignore(share: float) -> None:
    pass


def film(shot: Shot, out: Path) -> Path:
    engine = Motion()
    engine.load()
    engine.render(shot, out, ignore)
    return out


def frames(path: Path) -> Frames:
    with av.open(str(path)) as container:
        shown = container.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in shown]


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A picture whose red grows to the right and whose green grows downwards, 20 to 220."""
    across, down = np.meshgrid(np.linspace(20, 220, 320), np.linspace(20, 220, 180))
    path = tmp_path / "ramp.png"
    Image.fromarray(np.dstack([across, down, 0 * down]).astype(np.uint8)).save(path)
    return path


def seen(frame: NDArray[np.uint8]) -> dict[str, float]:
    """Where on the ramp a frame's sides lie, in shares of the picture."""
    red, green = frame[..., 0].mean(axis=0), frame[..., 1].mean(axis=1)
    sides = {"left": red[:4], "right": red[-4:], "top": green[:4], "bottom": green[-4:]}
    return {side: (float(values.mean()) - 20) / 200 for side, values in sides.items()}


class TestFile:
    @pytest.mark.parametrize(
        ("width", "height"), [(848, 480), (854, 480), (480, 848), (250, 250), (98, 66)]
    )
    @pytest.mark.parametrize("with_image", [True, False])
    def test_size_frames_and_codec(
        self, tmp_path: Path, ramp: Path, width: int, height: int, with_image: bool
    ) -> None:
        media = {"image": ramp} if with_image else {}
        shot = Shot("a lagoon", width, height, frames=7, fps=24, seed=1, media=media)
        with av.open(str(film(shot, tmp_path / "out.mp4"))) as container:
            video = container.streams.video[0]
            context = video.codec_context
            assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
            assert (context.width, context.height) == (width, height)
            assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
            assert video.average_rate == 24
            assert video.duration is not None and video.time_base is not None
            assert video.duration * video.time_base == Fraction(7, 24)
            assert len(list(container.decode(video))) == 7
            assert not container.streams.audio

    @pytest.mark.parametrize(("count", "fps"), [(24, 24), (17, 30), (1, 25)])
    def test_sound_is_exactly_as_long(
        self, tmp_path: Path, shot_of: ShotOf, count: int, fps: int
    ) -> None:
        out = film(shot_of(frames=count, fps=fps, audio=True), tmp_path / "out.mp4")
        with av.open(str(out)) as container:
            sound = container.streams.audio[0]
            assert (sound.codec_context.name, sound.channels, sound.rate) == ("aac", 2, 48_000)
            assert sound.duration is not None and sound.time_base is not None
            assert sound.duration * sound.time_base == Fraction(count, fps)

    def test_the_index_is_in_front(self, tmp_path: Path, shot_of: ShotOf) -> None:
        data = film(shot_of(audio=True), tmp_path / "out.mp4").read_bytes()
        assert 0 < data.index(b"moov") < data.index(b"mdat")

    def test_a_key_frame_every_two_seconds(self, tmp_path: Path, shot_of: ShotOf) -> None:
        out = film(shot_of(frames=50, fps=10), tmp_path / "out.mp4")
        with av.open(str(out)) as container:
            keys = [n for n, frame in enumerate(container.decode(video=0)) if frame.key_frame]
        assert keys == [0, 20, 40]

    def test_the_flattest_picture_is_not_taken_for_a_rejection(self, tmp_path: Path) -> None:
        Image.new("RGB", (64, 64), "grey").save(tmp_path / "flat.png")
        media = {"image": tmp_path / "flat.png"}
        shot = Shot("static shot", 848, 480, frames=24, fps=24, seed=1, media=media)
        size = film(shot, tmp_path / "out.mp4").stat().st_size
        assert size * 5 >= 200_000


class TestDeterminism:
    @pytest.mark.parametrize("with_image", [True, False])
    def test_the_same_shot_gives_the_same_file(
        self, tmp_path: Path, ramp: Path, shot_of: ShotOf, with_image: bool
    ) -> None:
        shot = shot_of(media={"image": ramp} if with_image else {}, audio=True)
        first, second = film(shot, tmp_path / "a.mp4"), film(shot, tmp_path / "b.mp4")
        assert first.read_bytes() == second.read_bytes()

    @pytest.mark.parametrize("with_image", [True, False])
    def test_whatever_the_number_of_threads(
        self, tmp_path: Path, ramp: Path, shot_of: ShotOf, with_image: bool
    ) -> None:
        shot = shot_of("orbit", frames=30, media={"image": ramp} if with_image else {})
        shown = []
        for threads in (1, 2, 5):
            Motion(threads).render(shot, tmp_path / "out.mp4", ignore)
            shown.append(frames(tmp_path / "out.mp4"))
        assert np.array_equal(shown[0], shown[1])
        assert np.array_equal(shown[0], shown[2])

    @pytest.mark.parametrize("coding", ["FINE", "LIGHT"])
    def test_whatever_the_coder_makes_of_the_processor(
        self,
        tmp_path: Path,
        ramp: Path,
        shot_of: ShotOf,
        monkeypatch: pytest.MonkeyPatch,
        coding: str,
    ) -> None:
        media = {"image": ramp} if coding == "FINE" else {}
        shot = shot_of("orbit", width=320, height=180, frames=30, media=media)
        here = film(shot, tmp_path / "here.mp4")
        usual: Coding = getattr(motion, coding)
        monkeypatch.setattr(motion, coding, replace(usual, own=(*usual.own, "asm=0")))
        anywhere = film(shot, tmp_path / "anywhere.mp4")
        assert here.read_bytes() == anywhere.read_bytes()

    @pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc fills memory on request")
    def test_whatever_lies_in_memory(self, tmp_path: Path, ramp: Path) -> None:
        written = {self.filmed_over(filling, ramp, tmp_path) for filling in ("1", "77", "255")}
        assert len(written) == 1

    def filmed_over(self, filling: str, image: Path, folder: Path) -> bytes:
        """The file that a process makes whose fresh memory is full of some byte, and never zero."""
        out = folder / f"{filling}.mp4"
        filled = {"MALLOC_PERTURB_": filling, "MALLOC_MMAP_THRESHOLD_": "1000000000"}
        command = [sys.executable, "-c", FILMED, str(image), str(out)]
        subprocess.run(command, env=os.environ | filled, check=True, timeout=60)
        return out.read_bytes()

    def test_another_seed_gives_other_frames(self, tmp_path: Path, shot_of: ShotOf) -> None:
        first = frames(film(shot_of(seed=1), tmp_path / "a.mp4"))
        second = frames(film(shot_of(seed=2), tmp_path / "b.mp4"))
        assert not np.array_equal(first[0], second[0])


class TestMoves:
    def ends(self, tmp_path: Path, ramp: Path, prompt: str) -> tuple[dict[str, float], ...]:
        shot = Shot(prompt, 320, 180, frames=12, fps=12, seed=1, media={"image": ramp})
        shown = frames(film(shot, tmp_path / "out.mp4"))
        return seen(shown[0]), seen(shown[-1])

    def test_push_in_starts_with_all_and_ends_in_the_middle(
        self, tmp_path: Path, ramp: Path
    ) -> None:
        first, last = self.ends(tmp_path, ramp, "push in")
        margin = (1 - 1 / 1.38) / 2
        assert first == pytest.approx({"left": 0, "right": 1, "top": 0, "bottom": 1}, abs=0.05)
        near = {"left": margin, "right": 1 - margin, "top": margin, "bottom": 1 - margin}
        assert last == pytest.approx(near, abs=0.05)

    def test_pull_out_is_the_way_back(self, tmp_path: Path, ramp: Path) -> None:
        first, last = self.ends(tmp_path, ramp, "pull out")
        assert last == pytest.approx({"left": 0, "right": 1, "top": 0, "bottom": 1}, abs=0.05)
        assert first["left"] == pytest.approx((1 - 1 / 1.38) / 2, abs=0.05)

    @pytest.mark.parametrize(
        ("prompt", "start", "end"),
        [
            ("pan right", {"left": 0, "right": 0.8}, {"left": 0.2, "right": 1}),
            ("pan left", {"left": 0.2, "right": 1}, {"left": 0, "right": 0.8}),
            ("tilt down", {"top": 0, "bottom": 0.8}, {"top": 0.2, "bottom": 1}),
            ("tilt up", {"top": 0.2, "bottom": 1}, {"top": 0, "bottom": 0.8}),
        ],
    )
    def test_travel_goes_from_edge_to_edge(
        self,
        tmp_path: Path,
        ramp: Path,
        prompt: str,
        start: dict[str, float],
        end: dict[str, float],
    ) -> None:
        first, last = self.ends(tmp_path, ramp, prompt)
        assert {side: first[side] for side in start} == pytest.approx(start, abs=0.05)
        assert {side: last[side] for side in end} == pytest.approx(end, abs=0.05)

    @pytest.mark.parametrize("size", [(320, 180), (900, 100), (100, 900), (7, 5)])
    def test_nothing_from_beyond_the_edge(self, tmp_path: Path, size: tuple[int, int]) -> None:
        Image.new("RGB", size, "white").save(tmp_path / "white.png")
        media = {"image": tmp_path / "white.png"}
        shot = Shot("pan left, pull out", 128, 96, frames=9, fps=9, seed=1, media=media)
        assert min(frame.min() for frame in frames(film(shot, tmp_path / "o.mp4"))) > 240


class TestPicture:
    def test_colours_survive(self, tmp_path: Path) -> None:
        Image.new("RGB", (64, 64), (200, 80, 40)).save(tmp_path / "plain.png")
        shot = Shot("static shot", 96, 64, 3, 24, 1, media={"image": tmp_path / "plain.png"})
        with av.open(str(film(shot, tmp_path / "o.mp4"))) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert frame.mean(axis=(0, 1)) == pytest.approx([200, 80, 40], abs=3)

    def test_stands_upright_as_its_camera_was_held(self, tmp_path: Path, ramp: Path) -> None:
        with Image.open(ramp) as image:
            exif = image.getexif()
            exif[0x0112] = 3
            image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
        shot = Shot("static shot", 320, 180, 2, 2, 1, media={"image": tmp_path / "turned.jpg"})
        sides = seen(frames(film(shot, tmp_path / "o.mp4"))[0])
        assert sides["left"] > 0.9 > 0.1 > sides["right"]

    @pytest.mark.parametrize("mode", ["RGBA", "L", "P", "I;16", "CMYK", "1", "LA"])
    def test_takes_every_mode(self, tmp_path: Path, shot_of: ShotOf, mode: str) -> None:
        path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
        Image.new(mode, (40, 30)).save(path)
        shot = shot_of(frames=2, media={"image": path})
        assert len(frames(film(shot, tmp_path / "o.mp4"))) == 2

    @pytest.mark.parametrize("damage", ["empty", "text", "cut", "svg"])
    def test_what_is_no_picture_is_bad_input(
        self, tmp_path: Path, ramp: Path, shot_of: ShotOf, damage: str
    ) -> None:
        data = ramp.read_bytes()
        bad = {"empty": b"", "text": b"hello", "cut": data[: len(data) // 2], "svg": b"<svg/>"}
        path = tmp_path / "bad"
        path.write_bytes(bad[damage])
        with pytest.raises(BadInput, match="could not be decoded"):
            film(shot_of(media={"image": path}), tmp_path / "o.mp4")

    def test_a_bomb_is_bad_input(self, tmp_path: Path, ramp: Path, shot_of: ShotOf) -> None:
        data = ramp.read_bytes()
        header = b"IHDR" + struct.pack(">II", 9_000, 9_000) + data[24:29]
        check = struct.pack(">I", zlib.crc32(header))
        (tmp_path / "bomb.png").write_bytes(data[:12] + header + check + data[33:])
        with pytest.raises(BadInput, match="too many pixels"):
            film(shot_of(media={"image": tmp_path / "bomb.png"}), tmp_path / "o.mp4")


class TestEndImage:
    def test_is_what_is_seen_last(self, tmp_path: Path, ramp: Path) -> None:
        Image.new("RGB", (320, 180), "white").save(tmp_path / "white.png")
        media = {"image": ramp, "end_image": tmp_path / "white.png"}
        shot = Shot("static shot", 160, 90, frames=12, fps=12, seed=1, media=media)
        shown = frames(film(shot, tmp_path / "o.mp4"))
        assert shown[0].mean() < 110
        assert shown[-1].mean() > 240

    def test_that_is_none_is_bad_input(self, tmp_path: Path, ramp: Path, shot_of: ShotOf) -> None:
        (tmp_path / "bad").write_text("hello")
        media = {"image": ramp, "end_image": tmp_path / "bad"}
        with pytest.raises(BadInput, match="could not be decoded"):
            film(shot_of(media=media), tmp_path / "o.mp4")


class TestProgress:
    def test_is_told_for_every_frame(self, tmp_path: Path, shot_of: ShotOf) -> None:
        shares: list[float] = []
        Motion().render(shot_of(frames=4), tmp_path / "o.mp4", shares.append)
        assert shares == [0.25, 0.5, 0.75, 1]

    def test_a_stop_passes(self, tmp_path: Path, shot_of: ShotOf) -> None:
        def stop(share: float) -> None:
            raise Stopped

        before = threading.active_count()
        with pytest.raises(Stopped):
            Motion().render(shot_of(audio=True), tmp_path / "o.mp4", stop)
        assert threading.active_count() == before

    def test_a_stop_is_heeded_within_a_few_frames(
        self, tmp_path: Path, shot_of: ShotOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exposed: list[float] = []
        expose = Scene.expose

        def counted(scene: Scene, share: float, planes: Planes) -> None:
            exposed.append(share)
            expose(scene, share, planes)

        def stop(share: float) -> None:
            raise Stopped

        monkeypatch.setattr(Scene, "expose", counted)
        with pytest.raises(Stopped):
            Motion().render(shot_of(frames=100), tmp_path / "o.mp4", stop)
        assert len(exposed) <= AHEAD

    def test_what_goes_wrong_in_a_frame_is_told(
        self, tmp_path: Path, shot_of: ShotOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def expose(scene: Scene, share: float, planes: Planes) -> None:
            if share > 0.5:
                raise MemoryError

        monkeypatch.setattr(Scene, "expose", expose)
        shares: list[float] = []
        with pytest.raises(MemoryError):
            Motion().render(shot_of(frames=9), tmp_path / "o.mp4", shares.append)
        assert shares == pytest.approx([n / 9 for n in range(1, 6)])
