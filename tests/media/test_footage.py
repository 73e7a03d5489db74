"""Customers' videos through the real sandbox: what passes, how it comes out, what is refused."""

import io
import struct
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from squero.media.look import BadMedia, Footage, look_at_clip, look_at_footage
from squero.media.sealed import SealedFile, SealedReader
from squero.sandbox import Sandbox

from .samples import FRAGMENTS, FRONT, Picture, film, garbled, half, halves, recording, seal

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
INVALID = "Invalid video format. Supported formats: MP4, MOV, WebM"
UNREADABLE = "The video file is corrupted or unreadable"
CODEC = "The video file has an unsupported codec"
TOO_SHORT = "The video is too short. It must last at least 1 second"
TOO_LONG = "The video is too long. It must last at most 30 seconds"
TOO_MANY = "The video has too many frames"
TOO_SMALL = "Video dimensions are too small"
TOO_LARGE = "Video dimensions are too large"


async def watch(sandbox: Sandbox, data: bytes) -> tuple[Footage, bytes]:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        sealed = seal(source, data, OTHER_KEY)
        footage = await look_at_footage(sandbox, sealed, SealedFile(target.fileno(), KEY))
        # What comes out passes the check that our own results must pass.
        clip = await look_at_clip(sandbox, SealedFile(target.fileno(), KEY))
        assert (clip.width, clip.height) == (footage.width, footage.height)
        assert (clip.frames, clip.has_audio) == (footage.frames, footage.has_audio)
        assert clip.seconds == pytest.approx(footage.seconds)
        return footage, b"".join(SealedReader(target.fileno(), KEY).read_range(0, 1 << 40))


def pictures(data: bytes) -> list[Picture]:
    with av.open(io.BytesIO(data), "r") as container:
        shown = container.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in shown]


def near(pixel: Picture, colour: tuple[int, int, int], slack: int = 12) -> bool:
    return all(abs(int(one) - other) <= slack for one, other in zip(pixel, colour, strict=True))


RED, BLUE = (200, 0, 0), (0, 0, 200)

MADE: dict[str, dict[str, Any]] = {
    "mp4": {"audio": "aac"},
    "mp4, index in front": {"options": FRONT},
    "mp4 in fragments": {"options": FRAGMENTS, "audio": "aac"},
    "mp4 with hevc and mp3": {"codec": "libx265", "audio": "libmp3lame"},
    "mp4 with av1": {"codec": "libsvtav1"},
    "mov": {"form": "mov", "audio": "pcm_s16le"},
    "webm with vp8": {"form": "webm", "codec": "libvpx", "audio": "libopus"},
    "webm with vp9": {"form": "webm", "codec": "libvpx-vp9"},
    "webm that was streamed": {"form": "webm", "codec": "libvpx", "options": {"live": "1"}},
}


@pytest.mark.parametrize("what", MADE)
async def test_video_is_filmed_anew(sandbox: Sandbox, what: str) -> None:
    data = film(36, **MADE[what])
    footage, filmed = await watch(sandbox, data)
    assert (footage.width, footage.height, footage.media_type) == (128, 64, "video/mp4")
    assert (footage.frames, footage.fps, footage.seconds) == (36, 24.0, 1.5)
    assert footage.has_audio == ("audio" in MADE[what])
    assert footage.size == len(filmed)
    shown = pictures(filmed)
    assert len(shown) == 36
    assert all(near(one[32, 16], RED, 20) and near(one[32, 112], BLUE, 20) for one in shown)


async def test_metadata_and_other_tracks_are_dropped(sandbox: Sandbox) -> None:
    data = film(title="where I live")
    assert b"where I live" in data
    _, filmed = await watch(sandbox, data)
    assert b"where I live" not in filmed
    with av.open(io.BytesIO(filmed), "r") as container:
        assert [stream.type for stream in container.streams] == ["video"]
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)


@pytest.mark.parametrize(
    ("turn", "size", "red_at", "blue_at"),
    [
        (90, (64, 128), (112, 32), (16, 32)),
        (-90, (64, 128), (16, 32), (112, 32)),
        (180, (128, 64), (32, 112), (32, 16)),
    ],
)
async def test_orientation_is_applied(
    sandbox: Sandbox,
    turn: int,
    size: tuple[int, int],
    red_at: tuple[int, int],
    blue_at: tuple[int, int],
) -> None:
    footage, filmed = await watch(sandbox, film(form="mov", turn=turn))
    assert (footage.width, footage.height) == size
    shown = pictures(filmed)[-1]
    assert near(shown[red_at], RED, 20)
    assert near(shown[blue_at], BLUE, 20)


async def test_pixels_are_made_square(sandbox: Sandbox) -> None:
    footage, _ = await watch(sandbox, film(pixel_aspect=Fraction(2, 1)))
    assert (footage.width, footage.height) == (256, 64)


@pytest.mark.parametrize("size", [(2560, 1280), (1280, 2560)])
async def test_large_video_is_reduced(sandbox: Sandbox, size: tuple[int, int]) -> None:
    footage, filmed = await watch(sandbox, film(range(0, 24, 8), picture=halves(*size)))
    assert max(footage.width, footage.height) == 1920
    assert footage.width * size[1] == footage.height * size[0]
    assert near(pictures(filmed)[0][100, 100], RED, 20)


async def test_odd_sides_become_even(sandbox: Sandbox) -> None:
    footage, _ = await watch(sandbox, film(codec="libvpx", form="webm", picture=halves(129, 65)))
    assert footage.width in (128, 130)
    assert footage.height in (64, 66)


class TestPace:
    @pytest.mark.parametrize(
        ("tick", "count", "fps", "frames"), [(60, 90, 30, 45), (50, 75, 25, 38), (10, 20, 10, 20)]
    )
    async def test_a_high_rate_is_divided(
        self, sandbox: Sandbox, tick: int, count: int, fps: int, frames: int
    ) -> None:
        footage, filmed = await watch(sandbox, film(count, tick=tick))
        assert (footage.frames, footage.fps) == (frames, fps)
        assert len(pictures(filmed)) == frames

    async def test_an_uneven_one_is_made_even_by_its_timestamps(self, sandbox: Sandbox) -> None:
        # Five frames in the first half second, then one that stays for a whole one.
        times = [0, 100, 200, 300, 400, 500, 1500, 1600, 1700, 1800, 1900]
        data = film(times, tick=1000, form="webm", codec="libvpx", grey=lambda n: 20 * n + 20)
        footage, filmed = await watch(sandbox, data)
        assert footage.seconds == pytest.approx(2)
        shown = [one.mean() for one in pictures(filmed)]
        waiting = [level for level in shown if abs(level - 120) < 6]
        assert footage.fps == 10
        assert len(waiting) == 10
        assert shown == sorted(shown)
        assert (shown[0], shown[-1]) == pytest.approx((20, 220), abs=6)

    async def test_one_that_starts_late_starts_at_once(self, sandbox: Sandbox) -> None:
        times = range(240, 264)
        footage, filmed = await watch(sandbox, film(times, grey=lambda n: 10 * n))
        assert footage.frames == 24
        shown = [one.mean() for one in pictures(filmed)]
        assert shown == pytest.approx([10 * n for n in range(24)], abs=5)


@pytest.mark.parametrize(
    ("form", "codec", "audio"),
    [("mp4", "libx264", "aac"), ("mov", "libx264", "pcm_s16le"), ("webm", "libvpx", "libopus")],
)
async def test_sound_keeps_its_place(sandbox: Sandbox, form: str, codec: str, audio: str) -> None:
    _, filmed = await watch(sandbox, film(48, form=form, codec=codec, audio=audio))
    with av.open(io.BytesIO(filmed), "r") as container:
        sound = container.streams.audio[0]
        assert (sound.codec_context.name, sound.rate, sound.channels) == ("aac", 48_000, 2)
        assert sound.duration is not None and sound.time_base is not None
        assert sound.duration * sound.time_base == 2
        heard = np.concatenate([part.to_ndarray()[0] for part in container.decode(sound)])
    loud = np.flatnonzero(np.abs(heard) > 0.1)
    assert loud[0] / 48_000 == pytest.approx(0.5, abs=0.02)
    assert loud[-1] / 48_000 == pytest.approx(2, abs=0.05)


def lengthened(data: bytes) -> bytes:
    """An MP4 whose headers claim a length of more than a day."""
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        at = data.index(box) + offset
        data = data[:at] + struct.pack(">I", 0x7FFFFFFF) + data[at + 4 :]
    return data


async def test_what_is_declared_is_not_believed(sandbox: Sandbox) -> None:
    footage, _ = await watch(sandbox, lengthened(film()))
    assert footage.seconds == 1


LONG = range(0, 32 * 24, 24)


def vast() -> bytes:
    """A frame too large for us, twice, of one colour: a few kilobytes."""
    return film([0, 24], picture=np.zeros((4096, 4096, 3), np.uint8))


REFUSED: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "nothing": (lambda: b"", {INVALID}),
    "text": (lambda: b"hello" * 1000, {INVALID}),
    "matroska": (lambda: film(form="matroska"), {INVALID}),
    "avi": (lambda: film(form="avi", codec="mpeg4"), {INVALID}),
    "mpegts": (lambda: film(form="mpegts"), {INVALID}),
    "gif": (lambda: b"GIF89a" + bytes(100), {INVALID}),
    "the name of an mp4": (lambda: b"\0\0\0\x20ftypisom" + bytes(500), {UNREADABLE}),
    "the name of a webm": (lambda: b"\x1a\x45\xdf\xa3webm" + bytes(500), {UNREADABLE}),
    "half": (lambda: half(film(48)), {UNREADABLE}),
    "half with its index in front": (lambda: film(48, options=FRONT)[:-500], {UNREADABLE}),
    "garbled": (lambda: garbled(film(48, options=FRONT)), {UNREADABLE}),
    "mpeg4": (lambda: film(codec="mpeg4"), {CODEC}),
    "mjpeg": (lambda: film(codec="mpeg2video"), {CODEC}),
    "sound alone": (lambda: recording(form="mp4", codec="aac"), {UNREADABLE}),
    "one frame": (lambda: film(1), {TOO_SHORT}),
    "half a second": (lambda: film(12), {TOO_SHORT}),
    "half a minute and more": (lambda: film(LONG), {TOO_LONG}),
    "two frames a day apart": (lambda: film([0, 86_400], tick=1), {TOO_LONG}),
    "a thousand frames a second": (lambda: film(2000, tick=1000), {TOO_MANY}),
    "tiny": (lambda: film(picture=halves(128, 32)), {TOO_SMALL}),
    "vast": (vast, {TOO_LARGE, UNREADABLE}),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_refused_with_the_words_of_the_contract(sandbox: Sandbox, what: str) -> None:
    make, messages = REFUSED[what]
    with pytest.raises(BadMedia) as caught:
        await watch(sandbox, make())
    assert caught.value.message in messages


@pytest.mark.parametrize(
    "playlist", ["#EXTM3U\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n"]
)
async def test_playlist_never_leads_elsewhere(
    sandbox: Sandbox, tmp_path: Path, playlist: str
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(film())
    with pytest.raises(BadMedia, match="Invalid video format"):
        await watch(sandbox, playlist.format(other).encode())
    assert (await watch(sandbox, other.read_bytes()))[0].frames == 24


async def test_a_refused_video_leaves_the_target_as_it_was(sandbox: Sandbox) -> None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        sealed = seal(source, b"no video", OTHER_KEY)
        with pytest.raises(BadMedia):
            await look_at_footage(sandbox, sealed, SealedFile(target.fileno(), KEY))
        assert target.read() == b""
