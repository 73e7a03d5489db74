"""A video as the source: its whole length fitted to the clip's, its middle to the clip's size.

The server hands in videos of an even pace, so time is counted in frames.
"""

from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from squero.engines.motion.picture import even
from squero.engines.motion.planes import Plane, Planes
from squero.shot import BadInput, Shot

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"


class Footage:
    """A video file under even re-timing: its first frame comes first, and its last frame last."""

    def __init__(self, path: Path, shot: Shot, threads: int) -> None:
        self._size = shot.width, shot.height
        self._threads = threads
        self._scaler = VideoReformatter()
        self._last = counted(path) - 1
        # Blending hides the steps of a slowed video, and would smear a hastened one.
        self._blends = self._last < shot.frames - 1
        self._container = opened(path)
        self._frames = self._container.decode(video=0)
        self._at = 0
        self._now = self._next = self._advanced()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    def expose(self, share: float, frame: Planes) -> None:
        """Fill the frame with what is seen at this share of the video; shares only grow."""
        place = share * self._last
        if not self._blends:
            place = round(place)
        after = ceil(place)
        while self._at < after:
            self._now, self._next = self._next, self._advanced()
            self._at += 1
        rest = after - place
        cv2.addWeighted(self._now, rest, self._next, 1 - rest, 0, dst=frame.buffer)

    def _advanced(self) -> Plane:
        try:
            return self._fitted(next(self._frames))
        except (StopIteration, av.error.FFmpegError, ValueError):
            raise BadInput("The video could not be decoded") from None

    def _fitted(self, frame: VideoFrame) -> Plane:
        whole = self._scaled(frame, even(frame.width), even(frame.height), frame.colorspace)
        middle = VideoFrame.from_ndarray(cropped(whole, *self._size).buffer, format="yuv420p")
        return self._scaled(middle, *self._size, Colorspace.ITU709)

    def _scaled(self, frame: VideoFrame, width: int, height: int, colours: int) -> Plane:
        scaled = self._scaler.reformat(
            frame,
            width,
            height,
            "yuv420p",
            src_colorspace=colours,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=frame.color_range or ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=self._threads,
        )
        return np.asarray(scaled.to_ndarray(), np.uint8)


def cropped(buffer: Plane, width: int, height: int) -> Planes:
    """The largest middle part of a picture's planes with the aspect of this size."""
    whole = Planes.over(buffer)
    rows, columns = whole.y.shape
    across = min(columns, even(rows * width / height))
    down = min(rows, even(columns * height / width))
    # Even, so that the colours stay where they are.
    left, top = (columns - across) // 4 * 2, (rows - down) // 4 * 2
    part = Planes.blank(across, down)
    part.y[:] = whole.y[top : top + down, left : left + across]
    for small, large in ((part.u, whole.u), (part.v, whole.v)):
        small[:] = large[top // 2 : (top + down) // 2, left // 2 : (left + across) // 2]
    return part


def counted(path: Path) -> int:
    """How many frames a video file has; raises BadInput when there are none to be had."""
    try:
        with opened(path) as container:
            count = sum(bool(packet.size) for packet in container.demux(video=0))
    except (av.error.FFmpegError, ValueError, IndexError):
        count = 0
    if count == 0:
        raise BadInput("The video could not be decoded")
    return count


def opened(path: Path) -> InputContainer:
    """The video file, which may lead to no other."""
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    container: InputContainer = av.open(str(path), container_options=options)
    return container
