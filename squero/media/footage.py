"""Filming a customer's video anew: runs only in the sandbox's children.

The file is read three times: for its timing, for its sound, and for its pictures, which are
encoded as they come. What its headers declare is neither believed nor kept.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from squero.errand import SandboxRefusal
from squero.media.container import MP4, WEBM, codec_of, opened
from squero.media.framing import LIMIT_FRAME_PIXELS, Framing
from squero.media.reel import Reel
from squero.media.sealed import SealedReader, SealedWriter
from squero.media.sound import CHANNELS, SAMPLE_RATE, Samples, heard

LEAST_SECONDS = 1
LIMIT_SECONDS = 30
SLACK_SECONDS = 0.1
LIMIT_FPS = 30
LIMIT_FRAMES = 1_860
"""Thirty seconds at sixty frames, and a little for frames that are never shown."""
LIMIT_PIXELS = 4_000_000_000
"""Of all frames together: thirty seconds of 1080p at sixty, or fifteen of 2160p at thirty."""
LIMIT_PACKETS = 20_000

_VIDEO_CODECS = ("h264", "hevc", "vp8", "vp9", "av1")
_AUDIO_CODECS = ("aac", "mp3", "opus", "vorbis", "pcm_s16le", "pcm_s16be")
_CODECS = (*_VIDEO_CODECS, *_AUDIO_CODECS, "libdav1d", "mp3float", "libopus")
# A telephone's MOV has up to seven tracks of data beside the pictures and the sound.
_LIMIT_STREAMS = 16
_MAGIC_BYTES = 64
_UNEVEN = 1.25
_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

_INVALID = "Invalid video format. Supported formats: MP4, MOV, WebM"
_UNREADABLE = "The video file is corrupted or unreadable"
_CODEC = "The video file has an unsupported codec"
_TOO_SHORT = f"The video is too short. It must last at least {LEAST_SECONDS} second"
_TOO_LONG = f"The video is too long. It must last at most {LIMIT_SECONDS} seconds"
_TOO_MANY = "The video has too many frames"

Open = Callable[[], InputContainer]


@dataclass(frozen=True, slots=True)
class _Timing:
    """When the first picture is shown, how long all of them are, and our frames for them."""

    start: float
    seconds: float
    fps: int

    @property
    def frames(self) -> int:
        return max(1, round(self.seconds * self.fps))


def warm() -> None:
    """Films a clip anew, so that nothing is left to load in a child."""
    av.logging.set_level(av.logging.PANIC)
    reel = Reel(64, 64, 10, np.zeros((SAMPLE_RATE, CHANNELS), np.int16))
    for _ in range(10):
        reel.take(VideoFrame(64, 64, "yuv420p"))
    file = io.BytesIO(reel.finish())
    _refilmed(lambda: opened(file, MP4, _CODECS))


def refilm(arguments: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Reads the sealed video of the first descriptor, seals it into the second as a plain MP4.

    Gives the fields of `squero.media.look.Footage`; refuses with the contract's words.
    """
    source, target = descriptors
    reader = SealedReader(source, bytes.fromhex(arguments["source_key"]))
    demuxer = _demuxer(reader.read(_MAGIC_BYTES))

    def again() -> InputContainer:
        reader.seek(0)
        return opened(reader, demuxer, _CODECS, streams=_LIMIT_STREAMS)

    try:
        data, facts = _refilmed(again)
    except (av.error.FFmpegError, ValueError):
        raise SandboxRefusal(_UNREADABLE) from None
    writer = SealedWriter(target, bytes.fromhex(arguments["target_key"]))
    writer.write(data)
    return facts | {"media_type": "video/mp4", "size": writer.finish()}


def _demuxer(magic: bytes) -> str:
    if magic[4:8] in _QUICKTIME:
        return MP4
    if magic.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in magic:
        return WEBM
    raise SandboxRefusal(_INVALID)


def _refilmed(again: Open) -> tuple[bytes, dict[str, Any]]:
    with again() as container:
        timing = _timing(container)
    with again() as container:
        sound = _sound(container, timing)
    with again() as container:
        data, reel = _pictures(container, timing, sound)
    return data, {
        "width": reel.width,
        "height": reel.height,
        "frames": timing.frames,
        "fps": float(timing.fps),
        "seconds": timing.frames / timing.fps,
        "has_audio": sound is not None,
    }


def _video(container: InputContainer) -> VideoStream:
    shown = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not shown:
        raise SandboxRefusal(_UNREADABLE)
    if codec_of(shown[0]) not in _VIDEO_CODECS:
        raise SandboxRefusal(_CODEC)
    return shown[0]


def _timing(container: InputContainer) -> _Timing:
    """The pace of the packets; a rate above ours is halved, or divided further, until it fits."""
    video = _video(container)
    times = sorted(_times(container, video))
    if not times or video.time_base is None:
        raise SandboxRefusal(_UNREADABLE)
    if times[0] == times[-1]:
        raise SandboxRefusal(_TOO_SHORT)
    rate = _rate(times) / float(video.time_base)
    seconds = float((times[-1] - times[0]) * video.time_base) + 1 / rate
    if seconds < LEAST_SECONDS - SLACK_SECONDS:
        raise SandboxRefusal(_TOO_SHORT)
    if seconds > LIMIT_SECONDS + SLACK_SECONDS:
        raise SandboxRefusal(_TOO_LONG)
    whole = max(1, round(rate))
    return _Timing(float(times[0] * video.time_base), seconds, whole // -(-whole // LIMIT_FPS))


def _rate(times: Sequence[int]) -> float:
    """Frames to a tick: the mean, or the median's where pauses make the two differ."""
    mean = (len(times) - 1) / (times[-1] - times[0])
    usual = median(later - earlier for earlier, later in pairwise(times))
    return 1 / usual if usual and 1 / usual > _UNEVEN * mean else mean


def _times(container: InputContainer, video: VideoStream) -> Iterator[int]:
    packets = frames = 0
    for packet in container.demux():
        packets += 1
        if packets > LIMIT_PACKETS:
            raise SandboxRefusal(_UNREADABLE)
        if packet.size == 0 or packet.stream_index != video.index or packet.is_discard:
            continue
        frames += 1
        if frames > LIMIT_FRAMES:
            raise SandboxRefusal(_TOO_MANY)
        if packet.is_corrupt or packet.pts is None:
            raise SandboxRefusal(_UNREADABLE)
        yield packet.pts


def _sound(container: InputContainer, timing: _Timing) -> Samples | None:
    """The first track of sound, laid where the pictures begin and cut where they end."""
    tracks = [track for track in container.streams.audio if codec_of(track) in _AUDIO_CODECS]
    if not tracks:
        return None
    whole = np.zeros((timing.frames * SAMPLE_RATE // timing.fps, CHANNELS), np.int16)
    position: int | None = None
    for start, part in heard(container, tracks[0]):
        if position is None:
            position = round((start - timing.start) * SAMPLE_RATE)
        begin, end = max(0, position), min(len(whole), position + len(part))
        if begin < end:
            whole[begin:end] = part[begin - position : end - position]
        position += len(part)
        if position >= len(whole):
            break
    return whole


def _pictures(
    container: InputContainer, timing: _Timing, sound: Samples | None
) -> tuple[bytes, Reel]:
    video = _video(container)
    frames = _decoded(container, video)
    first = next(frames, None)
    if first is None:
        raise SandboxRefusal(_UNREADABLE)
    framing = Framing(first, video.sample_aspect_ratio)
    reel = Reel(framing.width, framing.height, timing.fps, sound)
    held = framing.drawn(first)
    for frame in frames:
        # A frame is shown from the middle of the slot that it begins in.
        due = round(((frame.time or 0.0) - timing.start) * timing.fps)
        while reel.frames < min(due, timing.frames):
            reel.take(held)
        held = framing.drawn(frame)
    while reel.frames < timing.frames:
        reel.take(held)
    return reel.finish(), reel


def _decoded(container: InputContainer, video: VideoStream) -> Iterator[VideoFrame]:
    context = video.codec_context
    context.thread_count = 1
    context.options = {"max_pixels": str(LIMIT_FRAME_PIXELS)}
    pixels = 0
    for frames, frame in enumerate(container.decode(video), 1):
        pixels += frame.width * frame.height
        if frames > LIMIT_FRAMES or pixels > LIMIT_PIXELS:
            raise SandboxRefusal(_TOO_MANY)
        if frame.pts is None or frame.is_corrupt:
            raise SandboxRefusal(_UNREADABLE)
        yield frame
