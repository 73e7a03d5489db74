"""A still picture under a camera."""

import threading
from math import cos, sin
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from squero.engines.motion.camera import Camera, View, ease
from squero.engines.motion.course import Room
from squero.engines.motion.planes import Planes, from_rgb
from squero.shot import BadInput

OVERSAMPLE = 1.6
"""The picture's pixels over the frame's, halfway between the camera's farthest and nearest view.

Measured against exact resampling of every frame: with less a near view is soft, with more a far
one flickers; with this, linear interpolation comes within 1 dB of cubic in a third of the time.
"""
FRAMES = 8
"""How many frames' pixels a sheet has at most: a long way or a deep zoom is a bit softer."""
DECODED = 3
"""How many times the frame a JPEG is decoded to at least; more is left to its own reduction."""
DISSOLVE = 1 / 3
"""The share of the clip, its last, over which the end picture appears."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
PIXELS = 64_000_000


class Picture:
    """A picture file, filling the frame under a camera, and perhaps one that it dissolves into."""

    def __init__(
        self, path: Path, width: int, height: int, camera: Camera, end: Path | None = None
    ) -> None:
        self._sheet = Sheet(path, width, height, camera)
        self._end = Sheet(end, width, height, camera) if end else None
        self._scratch = threading.local()
        self._size = width, height

    def expose(self, share: float, frame: Planes) -> None:
        """Fill the frame with what the camera sees at this share of the clip, from any thread."""
        self._sheet.expose(share, frame)
        shown = (share - 1 + DISSOLVE) / DISSOLVE
        if self._end and shown > 0:
            over = self._spare()
            self._end.expose(share, over)
            weight = ease(shown)
            cv2.addWeighted(over.buffer, weight, frame.buffer, 1 - weight, 0, dst=frame.buffer)

    def _spare(self) -> Planes:
        if not hasattr(self._scratch, "planes"):
            self._scratch.planes = Planes.blank(*self._size)
        planes: Planes = self._scratch.planes
        return planes


class Sheet:
    """What a camera ever sees of a picture file, at the size that it is sampled from."""

    def __init__(self, path: Path, width: int, height: int, camera: Camera) -> None:
        self._frame = width, height
        image = decoded(path, (width * DECODED, height * DECODED))
        scale = min(image.width / width, image.height / height)
        room = Room(image.width / width / scale, image.height / height / scale, width / height)
        self._camera = camera.over(room)
        course = self._camera.course
        self._reach = course.reach
        across, down = self._reach
        dense = min(
            OVERSAMPLE * (course.floor * course.near) ** 0.5, (FRAMES / (across * down)) ** 0.5
        )
        sides = (even(width * dense * across), even(height * dense * down))
        self.planes = from_rgb(middle(image, sides, (width * scale, height * scale), self._reach))

    def expose(self, share: float, frame: Planes) -> None:
        """Fill the frame with what the camera sees at this share of the clip."""
        luma = mapping(self._camera.view(share), self._frame, self._reach, self.planes.y.shape)
        chroma = HALVE @ luma @ SITE
        warp(self.planes.y, luma, frame.y)
        warp(self.planes.u, chroma, frame.u)
        warp(self.planes.v, chroma, frame.v)


def even(length: float) -> int:
    """The nearest even number of pixels."""
    return max(2, 2 * round(length / 2))


def decoded(path: Path, size: tuple[int, int]) -> Image.Image:
    """The picture upright and in RGB, perhaps reduced but covering `size`; raises BadInput."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > PIXELS:
                raise BadInput("The image has too many pixels")
            image.draft("RGB", (max(size), max(size)))
            upright = ImageOps.exif_transpose(image)
            return on_black(upright) if upright.has_transparency_data else upright.convert("RGB")
    except (MemoryError, BadInput):
        raise
    # A decoder fails on crooked files with whatever its author thought of.
    except Exception:
        raise BadInput("The image could not be decoded") from None


def on_black(image: Image.Image) -> Image.Image:
    """A picture with transparent parts, laid on black."""
    ground = Image.new("RGBA", image.size, "black")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def middle(
    image: Image.Image,
    size: tuple[int, int],
    fitting: tuple[float, float],
    reach: tuple[float, float],
) -> NDArray[np.uint8]:
    """The picture's middle part at this size: `reach` times what fits the frame, each way."""
    wide, high = min(image.width, fitting[0] * reach[0]), min(image.height, fitting[1] * reach[1])
    # A rounding error beyond an edge is one too many for Pillow.
    left, top = max(0.0, (image.width - wide) / 2), max(0.0, (image.height - high) / 2)
    box = (left, top, min(left + wide, image.width), min(top + high, image.height))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=box))


def mapping(
    view: View, frame: tuple[int, int], reach: tuple[float, float], sheet: tuple[int, ...]
) -> NDArray[np.float64]:
    """Where in the sheet each pixel of the frame looks; pixels are counted at their middles."""
    (wide, high), (rows, columns) = frame, sheet
    cosine, sine, aspect = cos(view.roll), sin(view.roll), wide / high
    onto = np.array(
        [
            [cosine / view.zoom, -sine / aspect / view.zoom, view.across],
            [sine * aspect / view.zoom, cosine / view.zoom, view.down],
            [0, 0, 1],
        ]
    )
    leaning = np.eye(3)
    leaning[2, 0] = view.keystone
    placed = scaled(1 / reach[0], 1 / reach[1])
    counted = scaled(columns / 2, rows / 2, columns / 2 - 0.5, rows / 2 - 0.5)
    halves = scaled(2 / wide, 2 / high, 1 / wide - 1, 1 / high - 1)
    whole: NDArray[np.float64] = counted @ placed @ onto @ leaning @ halves
    return whole


def scaled(across: float, down: float, right: float = 0, below: float = 0) -> NDArray[np.float64]:
    """The mapping that scales and then shifts."""
    return np.array([[across, 0, right], [0, down, below], [0, 0, 1]])


HALVE = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
"""From a pixel of the picture to its chroma, which sits between four pixels."""
SITE = np.array([[2, 0, 0], [0, 2, 0.5], [0, 0, 1]])
"""From the frame's chroma to its pixels: H.264 puts it on the left column, between two rows."""


def warp(plane: NDArray[np.uint8], matrix: NDArray[np.float64], out: NDArray[np.uint8]) -> None:
    """Resample the plane through a mapping, in place."""
    bends = matrix[2, 0] != 0
    through, matrix = (cv2.warpPerspective, matrix) if bends else (cv2.warpAffine, matrix[:2])
    through(
        plane,
        matrix,
        (out.shape[1], out.shape[0]),
        dst=out,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
