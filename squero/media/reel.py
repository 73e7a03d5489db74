"""A plain MP4 in memory: H.264 at an even pace and, where there is sound, AAC beside it."""

import io
import math
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from squero.media.sound import SAMPLE_RATE, Samples

_AAC_FRAME = 1024
_AAC_BITS = 160_000
_GROUP_SECONDS = 2
# Noise fills what it may: the rate bounds a reel of thirty seconds to 90 MB.
_X264: dict[str, object] = {
    "preset": "superfast",
    "crf": "18",
    "maxrate": "24M",
    "bufsize": "24M",
    "a53cc": "0",
}
_BT709, _LIMITED = 1, 1


class Reel:
    """Frames of one size, `fps` a second, and rows of samples at 48 kHz in stereo."""

    def __init__(self, width: int, height: int, fps: int, sound: Samples | None) -> None:
        self.width, self.height = width, height
        self.frames = 0
        """The frames taken so far."""
        self._fps = fps
        self._sound = sound
        self._samples = 0
        self._file = io.BytesIO()
        timescale = str(math.lcm(SAMPLE_RATE, fps))
        options = {"movie_timescale": timescale}
        self._container = av.open(self._file, "w", format="mp4", options=options)
        self._video = self._add_video()
        self._audio = self._add_audio() if sound is not None else None

    def take(self, frame: VideoFrame) -> None:
        """The next frame, in 4:2:0 and BT.709; the same one may be taken again."""
        frame.pts, frame.time_base = self.frames, Fraction(1, self._fps)
        frame.pict_type = 0
        self._container.mux(self._video.encode(frame))
        self.frames += 1
        self._sound_up_to(self.frames * SAMPLE_RATE // self._fps - _AAC_FRAME)

    def finish(self) -> bytes:
        """The whole file, after which there is nothing more to take."""
        if self._sound is not None:
            self._sound_up_to(len(self._sound))
        for stream in (self._video, self._audio):
            if stream is not None:
                self._container.mux(stream.encode(None))
        self._container.close()
        return self._file.getvalue()

    def _add_video(self) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
        stream.time_base = Fraction(1, self._fps)
        stream.options = _X264
        context = stream.codec_context
        context.gop_size = _GROUP_SECONDS * self._fps
        # The sandbox has no other.
        context.thread_count = 1
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        return stream

    def _add_audio(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        stream.codec_context.bit_rate = _AAC_BITS
        return stream

    def _sound_up_to(self, end: int) -> None:
        while self._sound is not None and self._audio is not None and self._samples < end:
            part = self._sound[self._samples : self._samples + _AAC_FRAME]
            planes = np.ascontiguousarray(part.T.astype(np.float32) / 32768)
            frame = AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
            frame.pts, frame.sample_rate = self._samples, SAMPLE_RATE
            frame.time_base = Fraction(1, SAMPLE_RATE)
            self._container.mux(self._audio.encode(frame))
            self._samples += len(part)
