"""Drawing an image anew: runs only in the sandbox's children."""

import io
import re
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

from PIL import (
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from squero.errand import SandboxRefusal
from squero.media.sealed import KEY_BYTES, SealedReader, SealedWriter

FORMATS = ("PNG", "JPEG", "WEBP")
PLUGINS = (JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""The formats' and those they lean on: two pictures in one JPEG, and EXIF. Named here, so that
Pillow does not load all that it has."""
LIMIT_PIXELS = 50_000_000
LIMIT_SIDE = 3840
LEAST_SIDE = 64
LIMIT_SCANS = 100
"""Of a JPEG: each goes over the whole picture again, and costs its file a few hundred bytes."""

_FINEST = 0  # colour at the full size, as libjpeg counts it

# Not one that pads, that stands for a byte of the picture, or that only keeps it in step.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd8\x01])")
_START_OF_SCAN, _END_OF_IMAGE = b"\xda", b"\xd9"

_TELL_OF_TURNS = frozenset(("exif", "xmp"))
"""Where a JPEG says that it lies on its side."""

_INVALID = "Invalid image format"
_UNREADABLE = "The image file is corrupted or unreadable"
_TOO_SMALL = "Image dimensions are too small"
_TOO_LARGE = "Image dimensions are too large"


def warm() -> None:
    """Loads every part of Pillow that a child will need and could no longer load.

    And does once what each child would do for the first time, sealing above all.
    """
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Corrupt EXIF")
    Image.MAX_IMAGE_PIXELS = LIMIT_PIXELS
    for form in FORMATS:
        file = io.BytesIO()
        sample = Image.new("RGB", (LEAST_SIDE, LEAST_SIDE))
        sample.save(file, form, icc_profile=ImageCms.ImageCmsProfile(_srgb()).tobytes())
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            writer = SealedWriter(source, bytes(KEY_BYTES))
            writer.write(file.getbuffer())
            writer.finish()
            keys = {"source_key": bytes(KEY_BYTES).hex(), "target_key": bytes(KEY_BYTES).hex()}
            redraw(keys, [source.fileno(), target.fileno()])


def redraw(arguments: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Reads the sealed image of the first descriptor, seals it anew into the second.

    Gives the fields of `squero.media.look.Picture`; refuses with the contract's words.
    """
    source, target = descriptors
    with SealedReader(source, bytes.fromhex(arguments["source_key"])) as reader:
        data = reader.whole()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            form = str(image.format)
            _check(image.size)
            if isinstance(image, JpegImagePlugin.JpegImageFile):
                _check_scans(data)
            sampling = JpegImagePlugin.get_sampling(image) if form == "JPEG" else _FINEST
            plain, sent = _plain(image)
    except (SandboxRefusal, MemoryError):
        raise
    except UnidentifiedImageError:
        raise SandboxRefusal(_INVALID) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise SandboxRefusal(_TOO_LARGE) from None
    except Exception:
        # A decoder of broken bytes may raise anything at all.
        raise SandboxRefusal(_UNREADABLE) from None
    writer = SealedWriter(target, bytes.fromhex(arguments["target_key"]))
    media_type = _save(plain, form, writer, max(sampling, _FINEST))
    size = writer.finish()
    return {
        "width": plain.width,
        "height": plain.height,
        "sent_width": sent[0],
        "sent_height": sent[1],
        "media_type": media_type,
        "size": size,
    }


def _check(size: tuple[int, int]) -> None:
    if size[0] * size[1] > LIMIT_PIXELS:
        raise SandboxRefusal(_TOO_LARGE)
    if min(size) * min(1.0, LIMIT_SIDE / max(size)) < LEAST_SIDE:
        raise SandboxRefusal(_TOO_SMALL)


def _check_scans(data: bytes) -> None:
    """Refuses a JPEG that names more scans than any camera or program makes."""
    if sum(1 for _ in _scans(data)) > LIMIT_SCANS:
        raise SandboxRefusal(_UNREADABLE)


def _scans(data: bytes) -> Iterator[int]:
    """Where each scan begins, up to the picture's end; behind it anything may follow."""
    position = 2
    while (marker := _MARKER.search(data, position)) and marker[1] != _END_OF_IMAGE:
        if marker[1] == _START_OF_SCAN:
            yield marker.start()
        length = data[marker.end() : marker.end() + 2]
        position = marker.end() + max(2, int.from_bytes(length))


def _plain(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """The first frame: upright, in sRGB without alpha, no side longer than LIMIT_SIDE.

    And what its size was upright, before it was made smaller.
    """
    profile = image.info.get("icc_profile")
    width, height = image.size
    if image.format == "JPEG":
        # The decoder halves a much larger picture by itself, at an eighth of the cost.
        image.draft(None, _reduced(image.size))
    image.load()
    sent = (height, width) if _turn(image) else (width, height)
    colours = _colours(image)
    if colours.size != _reduced(colours.size):
        size = _reduced(colours.size)
        colours = colours.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    flat = _in_srgb(_opaque(colours), profile)
    flat.info.clear()
    return flat, sent


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, LIMIT_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _turn(image: Image.Image) -> bool:
    """Turns it upright; whether its width and height changed places."""
    if image.format == "JPEG" and not image.info.keys() & _TELL_OF_TURNS:
        return False
    before = image.size
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:
        # Broken EXIF is no reason to refuse a picture that is sound.
        return image.size != before
    return image.size != before


def _colours(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized; CMYK stays for its profile to convert."""
    if image.mode.startswith("I"):
        # Pillow's own conversion would clip sixteen bits to white.
        return image.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(image)
    return white.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, given, _srgb(), outputMode="RGB")
            return converted or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            # A profile that does not fit its picture is ignored, as browsers do.
            pass
    # Another name for the same pixels: saving a file's own image would ask where the file lies.
    return image._new(image.im) if image.mode == "RGB" else image.convert("RGB")


def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


def _save(image: Image.Image, form: str, file: Any, sampling: int = _FINEST) -> str:
    if form == "JPEG":
        # Colour that came at half the size gains nothing from being stored at the whole.
        image.save(file, "JPEG", quality=95, subsampling=sampling)
        return "image/jpeg"
    image.save(file, "PNG", compress_level=1)
    return "image/png"
