"""The MP4: H.264 video and, where wanted, AAC sound of exactly the same length."""

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
from squero.engines.motion.sound import SAMPLE_RATE, Samples
from squero.shot import Shot

AAC_FRAME = 1024
QUALITY = "20"
GROUP_SECONDS = 2
BT709, LIMITED = 1, 1


class Film:
    """A video being written: fill `planes`, then `advance`; it is whole after the `with`."""

    def __init__(self, out: Path, shot: Shot, threads: int, sound: Samples | None) -> None:
        self.planes = Planes.blank(shot.width, shot.height)
        self._fps = shot.fps
        self._frames = 0
        self._sound = sound
        self._samples = 0
        # The index goes to the front, so that players can start before the end has arrived; and
        # edit lists count in the movie's time scale, where thousandths would cut the sound short.
        options = {
            "movflags": "+faststart",
            "movie_timescale": str(math.lcm(SAMPLE_RATE, shot.fps)),
        }
        self._container = av.open(str(out), "w", format="mp4", options=options)
        self._video = self._add_video(shot, threads)
        self._audio = self._add_audio() if sound is not None else None

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
        self._sound_up_to(self._frames * SAMPLE_RATE // self._fps - AAC_FRAME)

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

    def _sound_up_to(self, end: int) -> None:
        """Write the sound in whole codec frames, the last of which may be shorter."""
        while self._sound is not None and self._audio and self._samples < end:
            part = np.ascontiguousarray(self._sound[:, self._samples :][:, :AAC_FRAME])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.pts, frame.sample_rate = self._samples, SAMPLE_RATE
            frame.time_base = Fraction(1, SAMPLE_RATE)
            self._container.mux(self._audio.encode(frame))
            self._samples += part.shape[1]

    def _finish(self) -> None:
        if self._sound is not None:
            self._sound_up_to(self._sound.shape[1])
        for stream in (self._video, self._audio):
            if stream:
                self._container.mux(stream.encode(None))
