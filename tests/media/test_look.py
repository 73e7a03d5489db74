"""Looking into media through the real sandbox: what passes, how it comes out, what is refused."""

import io
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image, ImageCms

from squero.media import look as media_look
from squero.media.look import BadMedia, Clip, Picture, look_at_clip, look_at_picture
from squero.media.sealed import SealedFile, SealedReader, SealedWriter
from squero.media.spool import Spool
from squero.sandbox import Sandbox
from squero.shot import Shot

from .samples import FRAGMENTS, FRONT, film, garbled, half, seal

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
UNREADABLE = "The image file is corrupted or unreadable"


@pytest.fixture
def target() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


async def look(
    sandbox: Sandbox, folder: Path, data: bytes, target: IO[bytes]
) -> tuple[Picture, Image.Image]:
    writer = Spool(folder).open()
    writer.write(data)
    with writer.finish() as spooled:
        sealed = SealedFile(target.fileno(), KEY)
        picture = await look_at_picture(sandbox, spooled.sealed, sealed)
    drawn = SealedReader(target.fileno(), KEY).read()
    assert picture.size == len(drawn)
    image = Image.open(io.BytesIO(drawn))
    image.load()
    assert image.size == (picture.width, picture.height)
    assert image.mode == "RGB"
    return picture, image


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def halves(left: str, right: str, size: tuple[int, int] = (200, 100)) -> Image.Image:
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def near(one: object, other: tuple[int, ...], slack: int = 12) -> bool:
    assert isinstance(one, tuple)
    return all(abs(a - b) <= slack for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("form", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/png")],
)
async def test_picture_is_drawn_anew(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes], form: str, media_type: str
) -> None:
    data = saved(halves("red", "blue"), form)
    picture, image = await look(sandbox, tmp_path, data, target)
    assert (picture.width, picture.height, picture.media_type) == (200, 100, media_type)
    assert near(image.getpixel((20, 50)), (255, 0, 0))
    assert near(image.getpixel((180, 50)), (0, 0, 255))


async def test_metadata_is_dropped(sandbox: Sandbox, tmp_path: Path, target: IO[bytes]) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    data = saved(halves("red", "blue"), "JPEG", exif=exif, comment=b"my name")
    assert b"where I live" in data
    _, image = await look(sandbox, tmp_path, data, target)
    assert not image.getexif()
    drawn = SealedReader(target.fileno(), KEY).read()
    assert b"where I live" not in drawn
    assert b"my name" not in drawn


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [(1, (200, 100), (20, 50)), (3, (200, 100), (180, 50)), (6, (100, 200), (50, 20))],
)
async def test_orientation_is_applied(
    sandbox: Sandbox,
    tmp_path: Path,
    target: IO[bytes],
    orientation: int,
    size: tuple[int, int],
    red_at: tuple[int, int],
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(halves("red", "blue"), "JPEG", exif=exif)
    picture, image = await look(sandbox, tmp_path, data, target)
    assert (picture.width, picture.height) == (picture.sent_width, picture.sent_height) == size
    assert near(image.getpixel(red_at), (255, 0, 0))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (4, False), (5, True), (8, True)])
async def test_what_was_sent_is_told_of_a_picture_made_smaller(
    sandbox: Sandbox,
    tmp_path: Path,
    target: IO[bytes],
    form: str,
    orientation: int,
    turned: bool,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.new("RGB", (7681, 500)), form, exif=exif)
    picture, _ = await look(sandbox, tmp_path, data, target)
    assert max(picture.width, picture.height) == 3840
    sent = (picture.sent_width, picture.sent_height)
    assert sent == ((500, 7681) if turned else (7681, 500))


async def test_broken_exif_is_no_reason_to_refuse(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes]
) -> None:
    data = saved(halves("red", "blue"), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
    picture, _ = await look(sandbox, tmp_path, data, target)
    assert picture.width == 200


async def test_cmyk(sandbox: Sandbox, tmp_path: Path, target: IO[bytes]) -> None:
    data = saved(halves("red", "blue").convert("CMYK"), "JPEG")
    _, image = await look(sandbox, tmp_path, data, target)
    assert near(image.getpixel((20, 50)), (255, 0, 0), 20)


async def test_sixteen_bit_grey_keeps_its_shades(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes]
) -> None:
    shades = np.full((100, 200), 0x4000, np.uint16)
    shades[:, 100:] = 0xC000
    _, image = await look(sandbox, tmp_path, saved(Image.fromarray(shades), "PNG"), target)
    assert near(image.getpixel((20, 50)), (64, 64, 64), 2)
    assert near(image.getpixel((180, 50)), (192, 192, 192), 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
async def test_other_modes(sandbox: Sandbox, tmp_path: Path, target: IO[bytes], mode: str) -> None:
    data = saved(halves("white", "black").convert(mode), "PNG")
    _, image = await look(sandbox, tmp_path, data, target)
    assert near(image.getpixel((20, 50)), (255, 255, 255))
    assert near(image.getpixel((180, 50)), (0, 0, 0))


async def test_transparency_is_flattened_on_white(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes]
) -> None:
    clear = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    _, image = await look(sandbox, tmp_path, saved(clear, "PNG"), target)
    assert image.getpixel((50, 50)) == (255, 255, 255)


async def test_profile_is_converted(sandbox: Sandbox, tmp_path: Path, target: IO[bytes]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    red = Image.new("RGB", (100, 100), "red")
    _, image = await look(sandbox, tmp_path, saved(red, "PNG", icc_profile=swapped), target)
    assert near(image.getpixel((50, 50)), (0, 0, 255))
    assert "icc_profile" not in image.info


async def test_profile_that_does_not_fit_is_ignored(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes]
) -> None:
    grey = Image.new("RGB", (100, 100), (100, 100, 100))
    data = saved(grey, "PNG", icc_profile=b"no profile at all")
    _, image = await look(sandbox, tmp_path, data, target)
    assert image.getpixel((50, 50)) == (100, 100, 100)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
async def test_first_frame_of_an_animation(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes], form: str
) -> None:
    frames = [Image.new("RGB", (100, 100), colour) for colour in ("red", "blue")]
    options: dict[str, object] = {"save_all": True, "append_images": frames[1:], "duration": 100}
    if form == "WEBP":
        options["lossless"] = True
    _, image = await look(sandbox, tmp_path, saved(frames[0], form, **options), target)
    assert near(image.getpixel((50, 50)), (255, 0, 0))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
async def test_large_picture_is_reduced(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes], form: str
) -> None:
    data = saved(halves("red", "blue", (5000, 2500)), form)
    picture, image = await look(sandbox, tmp_path, data, target)
    assert (picture.width, picture.height) == (3840, 1920)
    assert near(image.getpixel((100, 100)), (255, 0, 0))


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def part(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = part(b"IHDR", header) + part(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + part(b"IEND", b"")


def gondola() -> Image.Image:
    noise = np.random.default_rng(1).integers(0, 255, (120, 200, 3), np.uint8)
    return Image.fromarray(noise)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "Invalid image format"),
    "text": (lambda: b"hello" * 100, "Invalid image format"),
    "gif": (lambda: saved(gondola(), "GIF"), "Invalid image format"),
    "tiff": (lambda: saved(gondola(), "TIFF"), "Invalid image format"),
    "bmp": (lambda: saved(gondola(), "BMP"), "Invalid image format"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "Invalid image format"),
    "eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "Invalid image format"),
    "video": (lambda: film(), "Invalid image format"),
    "half a png": (lambda: saved(gondola(), "PNG")[:5000], UNREADABLE),
    "half a jpeg": (lambda: saved(gondola(), "JPEG")[:5000], UNREADABLE),
    "half a webp": (lambda: saved(gondola(), "WEBP")[:3000], UNREADABLE),
    "a hollow png": (lambda: png_of(2000, 2000), UNREADABLE),
    "a bomb": (lambda: png_of(30_000, 30_000), "Image dimensions are too large"),
    "a smaller bomb": (lambda: png_of(9_000, 9_000), "Image dimensions are too large"),
    "tiny": (lambda: saved(Image.new("RGB", (1, 1)), "PNG"), "Image dimensions are too small"),
    "a thread": (
        lambda: saved(Image.new("L", (9000, 100)), "PNG"),
        "Image dimensions are too small",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_refused_with_the_words_of_the_contract(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes], what: str
) -> None:
    make, message = REFUSED[what]
    with pytest.raises(BadMedia) as caught:
        await look(sandbox, tmp_path, make(), target)
    assert caught.value.message == message


async def watch(sandbox: Sandbox, data: bytes, expected: Shot | None = None) -> Clip:
    with tempfile.TemporaryFile() as file:
        return await look_at_clip(sandbox, seal(file, data, KEY), expected)


@pytest.mark.parametrize("audio", ["", "aac"])
@pytest.mark.parametrize("options", [{}, FRONT, FRAGMENTS])
async def test_clip_is_counted(sandbox: Sandbox, audio: str, options: dict[str, str]) -> None:
    data = film(48, audio=audio, options=options)
    clip = await watch(sandbox, data)
    assert clip == Clip(128, 64, 48, 24.0, 2.0, bool(audio), len(data))


@pytest.mark.parametrize("fps", [16, 24, 30])
@pytest.mark.parametrize("frames", [1, 2, 81])
async def test_clip_of_any_length(sandbox: Sandbox, frames: int, fps: int) -> None:
    clip = await watch(sandbox, film(frames, tick=fps))
    assert clip.frames == frames
    assert clip.fps == pytest.approx(fps, rel=1e-3)
    assert clip.seconds == pytest.approx(frames / fps, rel=1e-3)


SHOT = Shot(prompt="", width=128, height=64, frames=30, fps=24, seed=0)


async def test_clip_as_expected(sandbox: Sandbox) -> None:
    assert (await watch(sandbox, film(30), SHOT)).frames == 30


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: film(29), "29 frames, not 30"),
        (lambda: film(30, tick=30), "lasts 1.000 s, not 1.250 s"),
        (lambda: film(30, audio="aac"), "has sound"),
    ],
)
async def test_clip_that_differs(sandbox: Sandbox, data: Callable[[], bytes], message: str) -> None:
    with pytest.raises(BadMedia, match=message):
        await watch(sandbox, data(), SHOT)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{}'\n"

BAD_CLIPS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"hello" * 1000,
    "picture": lambda: saved(gondola(), "PNG"),
    "half": lambda: half(film(48)),
    "half with its index in front": lambda: film(48, options=FRONT)[:-500],
    "half of its fragments": lambda: film(48, options=FRAGMENTS)[:-300],
    "garbled": lambda: garbled(film(48, options=FRONT)),
    "mpeg4": lambda: film(codec="mpeg4"),
    "mjpeg": lambda: film(codec="mpeg2video"),
    "matroska": lambda: film(form="matroska"),
    "mpegts": lambda: film(form="mpegts"),
}


@pytest.mark.parametrize("what", BAD_CLIPS)
async def test_bad_clip_is_refused(sandbox: Sandbox, what: str) -> None:
    with pytest.raises(BadMedia):
        await watch(sandbox, BAD_CLIPS[what]())


@pytest.mark.parametrize("playlist", [PLAYLIST, CONCAT])
async def test_playlist_never_leads_elsewhere(
    sandbox: Sandbox, tmp_path: Path, playlist: str
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(film())
    with pytest.raises(BadMedia):
        await watch(sandbox, playlist.format(other).encode())
    assert (await watch(sandbox, other.read_bytes())).frames == 24


async def test_foreign_key_is_refused(sandbox: Sandbox) -> None:
    with tempfile.TemporaryFile() as file:
        SealedWriter(file.fileno(), KEY).finish()
        with pytest.raises(BadMedia):
            await look_at_clip(sandbox, SealedFile(file.fileno(), KEY[::-1]))


def rescanned(times: int) -> bytes:
    """A JPEG whose last scan is there so many times."""
    data = saved(halves("red", "blue"), "JPEG", progressive=True)
    begin = data.rindex(b"\xff\xda")
    return data[:begin] + data[begin:-2] * times + data[-2:]


class TestScans:
    async def test_that_are_many(self, sandbox: Sandbox, tmp_path: Path, target: IO[bytes]) -> None:
        await look(sandbox, tmp_path, rescanned(80), target)
        with pytest.raises(BadMedia, match=UNREADABLE):
            await look(sandbox, tmp_path, rescanned(100), target)

    async def test_that_are_none(self, sandbox: Sandbox, tmp_path: Path, target: IO[bytes]) -> None:
        """A thumbnail's in the metadata, and whatever a telephone puts behind its picture."""
        data = saved(halves("red", "blue"), "JPEG", exif=b"Exif\0\0" + b"\xff\xda\0\2" * 500)
        await look(sandbox, tmp_path, data + b"\xff\xda\0\2" * 500, target)


async def test_footage_that_takes_too_long(
    sandbox: Sandbox, tmp_path: Path, target: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_look, "_FOOTAGE_SECONDS", 0.001)
    writer = Spool(tmp_path).open()
    writer.write(film())
    with writer.finish() as spooled, pytest.raises(BadMedia, match="takes too long"):
        await media_look.look_at_footage(sandbox, spooled.sealed, SealedFile(target.fileno(), KEY))
