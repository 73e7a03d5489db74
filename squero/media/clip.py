"""Reading a video whole: runs only in the sandbox's children."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from squero.errand import SandboxRefusal
from squero.media.container import MP4, codec_of, opened
from squero.media.sealed import SealedReader

VIDEO_CODECS = ("h264", "hevc")
AUDIO_CODECS = ("aac", "mp3", "opus")
LIMIT_SIDE = 8192
LIMIT_PACKETS = 200_000

_UNREADABLE = "The video file is corrupted or unreadable"


def warm() -> None:
    """Encodes and inspects a clip, so that nothing is left to load in a child."""
    av.logging.set_level(av.logging.PANIC)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for _ in range(3):
            container.mux(stream.encode(VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    with _opened(file) as container:
        _facts(container)


def inspect(arguments: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Demuxes the sealed MP4 of the first descriptor whole and decodes its first and last frames.

    Gives the fields of `squero.media.look.Clip`; refuses what is no sound MP4.
    """
    reader = SealedReader(descriptors[0], bytes.fromhex(arguments["source_key"]))
    try:
        with _opened(reader) as container:
            return _facts(container) | {"size": reader.size}
    except av.error.FFmpegError:
        raise SandboxRefusal(_UNREADABLE) from None


def _opened(file: Any) -> InputContainer:
    return opened(file, MP4, (*VIDEO_CODECS, *AUDIO_CODECS))


def _facts(container: InputContainer) -> dict[str, Any]:
    video, has_audio = _streams(container)
    context = video.codec_context
    context.thread_count = 1
    context.options = {"err_detect": "explode"}
    times = sorted(_shown(container, video))
    if not times:
        raise SandboxRefusal(_UNREADABLE)
    first, last = _ends(container, video, times[-1][0])
    if first.pts != times[0][0] or (first.width, first.height) != (last.width, last.height):
        raise SandboxRefusal(_UNREADABLE)
    seconds = float((times[-1][0] + times[-1][1] - times[0][0]) * _base(video))
    return {
        "width": first.width,
        "height": first.height,
        "frames": len(times),
        "fps": len(times) / seconds,
        "seconds": seconds,
        "has_audio": has_audio,
    }


def _streams(container: InputContainer) -> tuple[VideoStream, bool]:
    """The one video stream, and whether one of sound is beside it; anything else is refused."""
    video, audio = container.streams.video, container.streams.audio
    if len(video) != 1 or len(audio) > 1 or len(container.streams) != len(video) + len(audio):
        raise SandboxRefusal("The video file needs one video stream and at most one of sound")
    if codec_of(video[0]) not in VIDEO_CODECS or (audio and codec_of(audio[0]) not in AUDIO_CODECS):
        raise SandboxRefusal("The video file has an unsupported codec")
    if max(video[0].width, video[0].height) > LIMIT_SIDE:
        raise SandboxRefusal("The video's dimensions are too large")
    return video[0], bool(audio)


def _base(video: VideoStream) -> Fraction:
    if video.time_base is None:
        raise SandboxRefusal(_UNREADABLE)
    return video.time_base


def _shown(container: InputContainer, video: VideoStream) -> Iterator[tuple[int, int]]:
    """When each picture is shown and for how long, of every packet there is."""
    declared = {stream.index: stream.frames for stream in container.streams}
    counts = dict.fromkeys(declared, 0)
    for packet in container.demux():
        if packet.size == 0:
            continue
        counts[packet.stream_index] += 1
        if packet.is_corrupt or counts[packet.stream_index] > LIMIT_PACKETS:
            raise SandboxRefusal(_UNREADABLE)
        if packet.stream_index == video.index:
            if packet.pts is None or not packet.duration or packet.is_discard:
                raise SandboxRefusal(_UNREADABLE)
            yield packet.pts, packet.duration
    # The index of a fragmented file declares nothing.
    if any(declared[index] not in (0, count) for index, count in counts.items()):
        raise SandboxRefusal(_UNREADABLE)


def _ends(
    container: InputContainer, video: VideoStream, last_time: int
) -> tuple[VideoFrame, VideoFrame]:
    """The first frame, and the last one, reached from the key frame before it."""
    container.seek(0, stream=video)
    first = next(container.decode(video), None)
    container.seek(last_time, stream=video)
    last = None
    for last in container.decode(video):
        if last.is_corrupt:
            raise SandboxRefusal(_UNREADABLE)
    if first is None or last is None or last.pts != last_time:
        raise SandboxRefusal(_UNREADABLE)
    return first, last
