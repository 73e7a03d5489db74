"""How a video's frames are drawn: upright, with square pixels, in BT.709, no larger than ours."""

from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from squero.errand import SandboxRefusal

LIMIT_SIDE = 1920
LEAST_SIDE = 64
LIMIT_FRAME_PIXELS = 4096 * 2304

_TOO_SMALL = "Video dimensions are too small"
_TOO_LARGE = "Video dimensions are too large"
_UNSPECIFIED = 2


class Framing:
    """The size and the turn of a whole video, as its first frame and its pixels' aspect tell."""

    def __init__(self, first: VideoFrame, pixel_aspect: Fraction | None) -> None:
        if first.width * first.height > LIMIT_FRAME_PIXELS:
            raise SandboxRefusal(_TOO_LARGE)
        aspect = float(pixel_aspect or 1)
        aspect = aspect if 0.25 <= aspect <= 4 else 1.0
        wide, high = first.width * aspect, float(first.height)
        scale = min(1.0, LIMIT_SIDE / max(wide, high))
        if min(wide, high) * scale < LEAST_SIDE:
            raise SandboxRefusal(_TOO_SMALL)
        self._size = _even(wide * scale), _even(high * scale)
        self._quarters = round(first.rotation / 90) % 4
        self._scaler = VideoReformatter()
        turned = self._quarters % 2
        self.width, self.height = self._size[turned], self._size[1 - turned]

    def drawn(self, frame: VideoFrame) -> VideoFrame:
        """The frame as it is to be seen."""
        colours = frame.colorspace
        if colours == _UNSPECIFIED:
            colours = Colorspace.ITU709 if _is_high(frame) else Colorspace.ITU601
        scaled = self._scaler.reformat(
            frame,
            *self._size,
            "yuv420p",
            src_colorspace=colours,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=frame.color_range or ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        return _turned(scaled, self._quarters) if self._quarters else scaled


def _is_high(frame: VideoFrame) -> bool:
    # As players guess what an untagged video means: beyond the lines of PAL, BT.709.
    return max(frame.width, frame.height) >= 1280 or min(frame.width, frame.height) > 576


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _turned(frame: VideoFrame, quarters: int) -> VideoFrame:
    """The frame, turned anticlockwise by so many quarters."""
    width, height = frame.width, frame.height
    flat = frame.to_ndarray().reshape(-1)
    luma, chroma = width * height, width * height // 4
    planes = (
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(height // 2, width // 2),
        flat[luma + chroma :].reshape(height // 2, width // 2),
    )
    turned: NDArray[np.uint8] = np.concatenate(
        [np.rot90(plane, quarters).reshape(-1) for plane in planes]
    )
    across, down = (height, width) if quarters % 2 else (width, height)
    return VideoFrame.from_ndarray(turned.reshape(down * 3 // 2, across), format="yuv420p")
