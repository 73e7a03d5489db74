"""Pictures as planes of YUV 4:2:0, BT.709 in the limited range, as the encoder takes them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]

BLACK, WHITE, NEUTRAL = 16, 235, 128
_KR, _KB = 0.2126, 0.0722
_LUMA = np.array([_KR, 1 - _KR - _KB, _KB])


def _matrix() -> NDArray[np.float64]:
    """RGB in 0…255 to Y, U, V: 219 steps of luma, 224 of chroma."""
    blue = (np.array([0, 0, 1]) - _LUMA) / (2 * (1 - _KB))
    red = (np.array([1, 0, 0]) - _LUMA) / (2 * (1 - _KR))
    rows = np.stack([_LUMA * 219, blue * 224, red * 224]) / 255
    return np.hstack([rows, [[BLACK], [NEUTRAL], [NEUTRAL]]])


MATRIX = _matrix()


@dataclass(frozen=True, slots=True)
class Planes:
    """One picture: `y` at full size, `u` and `v` at half, all views of one buffer."""

    y: Plane
    u: Plane
    v: Plane
    buffer: Plane
    """Height × 3/2 rows of the picture's width, in the order that PyAV reads."""

    @classmethod
    def blank(cls, width: int, height: int) -> "Planes":
        """Planes with nothing in them; raises ValueError unless both sizes are even."""
        if width % 2 or height % 2:
            raise ValueError(f"{width}×{height} has an odd side, which 4:2:0 cannot have")
        return cls.over(np.empty((height * 3 // 2, width), np.uint8))

    @classmethod
    def over(cls, buffer: Plane) -> "Planes":
        """The planes in a whole buffer of a picture with even sides."""
        rows, width = buffer.shape
        height = rows * 2 // 3
        y, u, v = np.split(buffer.reshape(-1), [width * height, width * height * 5 // 4])
        half = (height // 2, width // 2)
        return cls(
            y.reshape(height, width),
            u.reshape(half),
            v.reshape(half),
            buffer,
        )


def from_rgb(rgb: NDArray[np.uint8]) -> Planes:
    """The planes of a picture with even sides; chroma sits in the middle of its four pixels."""
    height, width = rgb.shape[:2]
    planes = Planes.blank(width, height)
    yuv = cv2.transform(rgb, MATRIX)
    planes.y[:] = yuv[..., 0]
    half = cv2.resize(yuv[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    planes.u[:], planes.v[:] = half[..., 0], half[..., 1]
    return planes
