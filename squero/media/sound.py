"""Recording a sound anew: runs only in the sandbox's children."""

import io
import wave
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.filter import Graph
from numpy.typing import NDArray

from squero.errand import SandboxRefusal
from squero.media.container import codec_of, opened
from squero.media.sealed import SealedReader, SealedWriter

SAMPLE_RATE = 48_000
CHANNELS = 2
LEAST_SECONDS = 3
LIMIT_SECONDS = 30
SLACK_SECONDS = 0.1
"""What an encoder may add to a sound of exactly the longest length."""
LIMIT_DAMAGE = 3
"""How many packets may be broken, such as the last one of a recording that was cut short."""

_MAGIC_BYTES = 12
_PCM = ("pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_alaw", "pcm_mulaw")
_CODECS = {"wav": _PCM, "mp3": ("mp3", "mp3float")}

_INVALID = "Invalid audio format. Supported formats: WAV, MP3"
_UNREADABLE = "The audio file is corrupted or unreadable"
_TOO_SHORT = f"The audio is too short. It must last at least {LEAST_SECONDS} seconds"
_TOO_LONG = f"The audio is too long. It must last at most {LIMIT_SECONDS} seconds"

Samples = NDArray[np.int16]
"""Rows of a left and a right sample."""


def warm() -> None:
    """Decodes a sound, so that nothing is left to load in a child."""
    av.logging.set_level(av.logging.PANIC)
    file = io.BytesIO(_wave([np.zeros((SAMPLE_RATE, CHANNELS), np.int16)]))
    with opened(file, "wav", _CODECS["wav"]) as container:
        list(heard(container, container.streams.audio[0]))


def rerecord(arguments: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Reads the sealed sound of the first descriptor, seals it into the second as 16-bit WAV.

    Gives the fields of `squero.media.look.Sound`; refuses with the contract's words.
    """
    source, target = descriptors
    reader = SealedReader(source, bytes.fromhex(arguments["source_key"]))
    form = _form(reader.read(_MAGIC_BYTES))
    reader.seek(0)
    try:
        with opened(reader, form, _CODECS[form]) as container:
            parts = _all(container, _CODECS[form])
    except (av.error.FFmpegError, ValueError):
        raise SandboxRefusal(_UNREADABLE) from None
    writer = SealedWriter(target, bytes.fromhex(arguments["target_key"]))
    writer.write(_wave(parts))
    return {
        "seconds": sum(map(len, parts)) / SAMPLE_RATE,
        "media_type": "audio/wav",
        "size": writer.finish(),
    }


def _form(magic: bytes) -> str:
    if magic[:4] == b"RIFF" and magic[8:12] == b"WAVE":
        return "wav"
    # An MP3 has no header of its own: a tag, or the eleven set bits that start each frame and
    # the two that say layer III.
    if magic[:3] == b"ID3" or (magic[:1] == b"\xff" and magic[1:2] and magic[1] & 0xE6 == 0xE2):
        return "mp3"
    raise SandboxRefusal(_INVALID)


def _all(container: InputContainer, codecs: Sequence[str]) -> list[Samples]:
    if not container.streams.audio or codec_of(container.streams.audio[0]) not in codecs:
        raise SandboxRefusal(_INVALID)
    parts, count = [], 0
    for _, part in heard(container, container.streams.audio[0]):
        parts.append(part)
        count += len(part)
        if count > (LIMIT_SECONDS + SLACK_SECONDS) * SAMPLE_RATE:
            raise SandboxRefusal(_TOO_LONG)
    if count == 0:
        raise SandboxRefusal(_UNREADABLE)
    if count < LEAST_SECONDS * SAMPLE_RATE:
        raise SandboxRefusal(_TOO_SHORT)
    return parts


def heard(container: InputContainer, stream: AudioStream) -> Iterator[tuple[float, Samples]]:
    """The stream's sound at 48 kHz in stereo, part by part, and when the first part begins.

    The time is in seconds and the same for every part. Raises FFmpegError or ValueError.
    """
    stream.codec_context.thread_count = 1
    graph, start = None, 0.0
    for frame in _decoded(container, stream):
        if graph is None:
            graph, start = _graph(frame), frame.time or 0.0
        graph.push(frame)
        yield from ((start, part) for part in _pulled(graph))
    if graph is not None:
        graph.push(None)
        yield from ((start, part) for part in _pulled(graph))


def _decoded(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    damage, form = 0, None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damage += 1
            if damage > LIMIT_DAMAGE:
                raise
            continue
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            now = (frame.format.name, frame.layout.name, frame.sample_rate)
            form = form or now
            if now != form:
                raise ValueError("The sound changes its form on the way")
            yield frame


def _graph(frame: AudioFrame) -> Graph:
    """The way from the frame's form to ours; PyAV's own resampler would start threads."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base,
    )
    ours = graph.add(
        "aformat", sample_rates=str(SAMPLE_RATE), sample_fmts="s16", channel_layouts="stereo"
    )
    graph.link_nodes(source, ours, graph.add("abuffersink")).configure()
    return graph


def _pulled(graph: Graph) -> Iterator[Samples]:
    while True:
        try:
            frame = graph.pull()
        except (EOFError, av.error.BlockingIOError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame.to_ndarray().reshape(-1, CHANNELS).astype(np.int16)


def _wave(parts: list[Samples]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(CHANNELS)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        for part in parts:
            writer.writeframesraw(part.astype("<i2").tobytes())
    return file.getvalue()
