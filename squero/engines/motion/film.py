"""The MP4: H.264 video and, where wanted, AAC sound of exactly the same length."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio import AudioStream
from av.codec.context import ThreadType
from av.video import VideoStream
from av.video.codeccontext import VideoCodecContext

from squero.engines.motion.ambience import Samples
from squero.engines.motion.planes import Planes
from squero.engines.motion.sound import SAMPLE_RATE
from squero.shot import Shot

AAC_FRAME = 1024
GROUP_SECONDS = 2
BT709, LIMITED = 1, 1
CODING_THREADS = 3
"""What x264 takes on two cores; the same on any machine, since the frames may depend on it."""
CANONICAL = "cpu-independent=1"
"""Keeps x264 to what it does alike on any processor.

Else it weighs blocks by the processor's own arithmetic, which with AVX-512 reads past rows that are
no multiple of eight blocks long: then the frames depend on what happens to lie in memory there.
"""


@dataclass(frozen=True, slots=True)
class Coding:
    """How x264 codes: FFmpeg's options for it, and those that go by x264's own names only."""

    options: Mapping[str, str]
    own: tuple[str, ...] = ()

    def set_up(self, context: VideoCodecContext, width: int, height: int, fps: int) -> None:
        """Make the coder ready for frames of this size and pace."""
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, fps), Fraction(fps)
        own = ":".join([*self.own, CANONICAL])
        context.options = {**self.options, "x264-params": own}
        context.gop_size = GROUP_SECONDS * fps
        # Slices would cost bits, and wait for one another at the end of every frame.
        context.thread_count, context.thread_type = CODING_THREADS, ThreadType.FRAME
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED


FINE = Coding({"preset": "veryfast", "crf": "20"})
LIGHT = Coding({"preset": "superfast", "crf": "20"}, ("mbtree=1", "rc-lookahead=5"))
"""For what was drawn: half the time for a tenth more bytes, since rain has nowhere to be found."""


class Film:
    """A video being written, frame by frame; it is whole after the `with`."""

    def __init__(self, out: Path, shot: Shot, sound: Samples | None, coding: Coding = FINE) -> None:
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
        self._video = self._add_video(shot, coding)
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

    def advance(self, planes: Planes) -> None:
        """Take the planes as the next frame; they are free again afterwards."""
        frame = av.VideoFrame.from_numpy_buffer(planes.buffer, format="yuv420p")
        frame.pts, frame.time_base = self._frames, Fraction(1, self._fps)
        self._container.mux(self._video.encode(frame))
        self._pass()

    def splice(self, coded: bytes) -> None:
        """Take a frame that was coded before, in the same way, as the next one."""
        packet = av.Packet(coded)
        packet.stream, packet.time_base = self._video, Fraction(1, self._fps)
        packet.pts = packet.dts = self._frames
        packet.duration = 1
        self._container.mux(packet)
        self._pass()

    def _pass(self) -> None:
        self._frames += 1
        self._sound_up_to(self._frames * SAMPLE_RATE // self._fps - AAC_FRAME)

    def _add_video(self, shot: Shot, coding: Coding) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=shot.fps)
        stream.time_base = Fraction(1, shot.fps)
        coding.set_up(stream.codec_context, shot.width, shot.height, shot.fps)
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
