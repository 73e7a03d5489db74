"""Small pictures, films and recordings of every kind, good ones and bad ones."""

import base64
import io
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from squero.media.sealed import SealedFile, SealedWriter

Picture = NDArray[np.uint8]
RATE = 48_000
FRONT = {"movflags": "faststart"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


def seal(file: IO[bytes], data: bytes, key: bytes) -> SealedFile:
    """The bytes, sealed into the file."""
    writer = SealedWriter(file.fileno(), key)
    writer.write(data)
    writer.finish()
    return SealedFile(file.fileno(), key)


def halves(width: int = 128, height: int = 64) -> Picture:
    """Red on the left, blue on the right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2, 0] = picture[:, width // 2 :, 2] = 200
    return picture


def still(form: str = "PNG") -> bytes:
    """The halves as a file."""
    file = io.BytesIO()
    Image.fromarray(halves(400, 300)).save(file, form)
    return file.getvalue()


def film(
    times: Sequence[int] | int = 24,
    *,
    form: str = "mp4",
    codec: str = "libx264",
    audio: str = "",
    tick: int = 24,
    picture: Picture | None = None,
    grey: Callable[[int], int] | None = None,
    turn: int = 0,
    pixel_aspect: Fraction | None = None,
    title: str = "",
    options: dict[str, str] | None = None,
) -> bytes:
    """A video with a frame at each of the times, in ticks, and a tone from half a second on."""
    times = range(times) if isinstance(times, int) else times
    picture = halves() if picture is None else picture
    # A file with a path: to put the index in front, FFmpeg opens it a second time.
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", format=form, options=options or {}) as container:
            container.metadata["title"] = title
            stream = container.add_stream(codec, rate=tick)
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width, _ = picture.shape
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            stream.time_base = stream.codec_context.time_base = Fraction(1, tick)
            if pixel_aspect:
                stream.codec_context.sample_aspect_ratio = pixel_aspect
            if turn:
                stream.set_display_rotation(turn)
            sound = container.add_stream(audio, rate=RATE, layout="stereo") if audio else None
            for number, time in enumerate(times):
                shown = np.full_like(picture, grey(number)) if grey else picture
                frame = av.VideoFrame.from_ndarray(shown)
                frame.pts, frame.time_base = time, Fraction(1, tick)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if sound is not None:
                wave = tone((times[-1] + 1) / tick)
                wave[: RATE // 2] = 0
                _record(container, sound, wave, RATE)
        return Path(file.name).read_bytes()


def recording(
    seconds: float = 4.0,
    *,
    form: str = "wav",
    codec: str = "pcm_s16le",
    rate: int = RATE,
    layout: str = "stereo",
    title: str = "",
    hertz: int = 440,
) -> bytes:
    """A tone and nothing else."""
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", format=form) as container:
            container.metadata["title"] = title
            stream = container.add_stream(codec, rate=rate, layout=layout)
            _record(container, stream, tone(seconds, rate, hertz), rate)
        return Path(file.name).read_bytes()


def tone(seconds: float, rate: int = RATE, hertz: int = 440) -> NDArray[np.float32]:
    """The samples of a sine."""
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def data_url(content: bytes, media_type: str = "application/octet-stream") -> str:
    """A file as it travels in a request."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def garbled(data: bytes) -> bytes:
    """Every compressed picture overwritten; the index in front stays as it is."""
    start = data.index(b"mdat") + 4
    return data[:start] + b"\xff" * (len(data) - start)


def half(data: bytes) -> bytes:
    """The first half of it."""
    return data[: len(data) // 2]


def _record(container: Any, stream: Any, wave: NDArray[np.float32], rate: int) -> None:
    context = stream.codec_context
    layout = context.layout.name
    every = np.ascontiguousarray(np.tile(wave, (context.channels, 1)))
    frame = av.AudioFrame.from_ndarray(every, format="fltp", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    resampler = av.AudioResampler(context.format, layout, rate, context.frame_size or 1024)
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(stream.encode(part))
    container.mux(stream.encode())
