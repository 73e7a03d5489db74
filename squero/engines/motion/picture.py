"""A still picture under a camera."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from squero.engines.motion.camera import Camera, View
from squero.engines.motion.planes import Planes, from_rgb
from squero.shot import BadInput

OVERSAMPLE = 1.6
"""The picture's size over the frame's, so that it is still sharp where the camera comes near."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
PIXELS = 64_000_000


class Picture:
    """A picture file, cropped to the frame's aspect and seen through a camera."""

    def __init__(self, path: Path, width: int, height: int, camera: Camera) -> None:
        size = (even(width * OVERSAMPLE), even(height * OVERSAMPLE))
        self._planes = from_rgb(covering(path, size))
        self._camera = camera

    def expose(self, share: float, frame: Planes) -> None:
        """Fill the frame with what the camera sees at this share of the clip."""
        view = self._camera.view(share)
        luma = mapping(view, frame.y.shape, self._planes.y.shape)
        chroma = HALVE @ luma @ SITE
        warp(self._planes.y, luma, frame.y)
        warp(self._planes.u, chroma, frame.u)
        warp(self._planes.v, chroma, frame.v)


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


def covering(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of the picture at exactly this size, cropped where the aspects differ."""
    image = decoded(path, size)
    scale = min(image.width / size[0], image.height / size[1])
    wide, high = size[0] * scale, size[1] * scale
    # A rounding error beyond an edge is one too many for Pillow.
    left, top = max(0.0, (image.width - wide) / 2), max(0.0, (image.height - high) / 2)
    box = (left, top, min(left + wide, image.width), min(top + high, image.height))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=box))


def mapping(view: View, frame: tuple[int, ...], picture: tuple[int, ...]) -> NDArray[np.float64]:
    """Where in the picture each pixel of the frame looks; pixels are counted at their middles."""
    across = view.size * picture[1] / frame[1]
    down = view.size * picture[0] / frame[0]
    return np.array(
        [
            [across, 0, view.left * picture[1] + across / 2 - 0.5],
            [0, down, view.top * picture[0] + down / 2 - 0.5],
            [0, 0, 1],
        ]
    )


HALVE = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
"""From a pixel of the picture to its chroma, which sits between four pixels."""
SITE = np.array([[2, 0, 0], [0, 2, 0.5], [0, 0, 1]])
"""From the frame's chroma to its pixels: H.264 puts it on the left column, between two rows."""


def warp(plane: NDArray[np.uint8], matrix: NDArray[np.float64], out: NDArray[np.uint8]) -> None:
    """Resample the plane through a mapping, in place."""
    cv2.warpAffine(
        plane,
        matrix[:2],
        (out.shape[1], out.shape[0]),
        dst=out,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
