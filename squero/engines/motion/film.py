"""The MP4: H.264 video and, where wanted, silent AAC sound of exactly the same length."""

import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio import AudioStream
from av.video import VideoStream

from squero.engines.motion.planes import Planes
from squero.shot import Shot

SAMPLE_RATE = 48_000
AAC_FRAME = 1024
QUALITY = "20"
GROUP_SECONDS = 2
BT709, LIMITED = 1, 1


class Film:
    """A video being written: fill `planes`, then `advance`; it is whole after the `with`."""

    def __init__(self, out: Path, shot: Shot, threads: int) -> None:
        self.planes = Planes.blank(shot.width, shot.height)
        self._fps = shot.fps
        self._frames = 0
        self._samples = 0
        # The index goes to the front, so that players can start before the end has arrived; and
        # edit lists count in the movie's time scale, where thousandths would cut the sound short.
        options = {
            "movflags": "+faststart",
            "movie_timescale": str(math.lcm(SAMPLE_RATE, shot.fps)),
        }
        self._container = av.open(str(out), "w", format="mp4", options=options)
        self._video = self._add_video(shot, threads)
        self._audio = self._add_audio() if shot.audio else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._container.close()

    def advance(self) -> None:
        """Take the planes as the next frame."""
        frame = av.VideoFrame.from_ndarray(self.planes.buffer, format="yuv420p")
        frame.pts, frame.time_base = self._frames, Fraction(1, self._fps)
        self._container.mux(self._video.encode(frame))
        self._frames += 1
        self._hush(whole=True)

    def _add_video(self, shot: Shot, threads: int) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=shot.fps)
        stream.width, stream.height, stream.pix_fmt = shot.width, shot.height, "yuv420p"
        stream.time_base = Fraction(1, shot.fps)
        stream.options = {"preset": "veryfast", "crf": QUALITY}
        context = stream.codec_context
        context.gop_size = GROUP_SECONDS * shot.fps
        context.thread_count = threads
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED
        return stream

    def _add_audio(self) -> AudioStream:
        return self._container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")

    def _hush(self, *, whole: bool) -> None:
        """Fill the sound with silence up to the picture, in whole codec frames or to the end."""
        end = round(Fraction(self._frames * SAMPLE_RATE, self._fps))
        while self._audio and self._samples + (AAC_FRAME if whole else 1) <= end:
            length = min(AAC_FRAME, end - self._samples)
            silence = np.zeros((2, length), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
            frame.pts, frame.sample_rate = self._samples, SAMPLE_RATE
            frame.time_base = Fraction(1, SAMPLE_RATE)
            self._container.mux(self._audio.encode(frame))
            self._samples += length

    def _finish(self) -> None:
        self._hush(whole=False)
        for stream in (self._video, self._audio):
            if stream:
                self._container.mux(stream.encode(None))
