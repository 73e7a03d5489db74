"""An upstream's video as it was ordered: taken as it is, or fitted in size, pace and sound."""

import errno
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler

from squero.engines.motion.ambience import Samples
from squero.engines.motion.film import Film
from squero.engines.motion.footage import Footage, opened
from squero.engines.motion.planes import Planes
from squero.engines.motion.sound import CHANNELS, SAMPLE_RATE
from squero.engines.remote.upstream import Broke
from squero.shot import BadInput, Shot

VIDEO_CODECS, AUDIO_CODECS = ("h264", "hevc"), ("aac", "mp3", "opus")
"""What the server takes, which no engine may import: `squero/media/clip.py`."""
OURS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
THREADS = 2


def deliver(source: Path, shot: Shot, out: Path) -> None:
    """Put the video at `source` to `out`, exactly as ordered; raises Broke for one that is none."""
    try:
        if not is_as_ordered(source, shot):
            _fit(source, shot, out)
        elif is_faststart(source):
            source.replace(out)
        else:
            _remux(source, out)
    except av.error.FFmpegError as error:
        # What this machine lacks is not the video's fault, which may have been paid for.
        if isinstance(error, MemoryError) or error.errno in OURS:
            raise
        raise Broke from None
    except (BadInput, ValueError, IndexError, struct.error):
        raise Broke from None
    finally:
        source.unlink(missing_ok=True)


def is_as_ordered(source: Path, shot: Shot) -> bool:
    """Whether the file has the shot's size, frames, pace and sound already."""
    with opened(source) as container:
        video, sounds = container.streams.video[0], container.streams.audio
        frames = sum(bool(packet.size) for packet in container.demux(video))
        return (
            video.codec_context.codec.canonical_name in VIDEO_CODECS
            and (video.width, video.height) == (shot.width, shot.height)
            and (frames, video.average_rate) == (shot.frames, Fraction(shot.fps))
            and len(sounds) == shot.audio
            and all(one.codec_context.codec.canonical_name in AUDIO_CODECS for one in sounds)
            and len(container.streams) == 1 + len(sounds)
        )


def is_faststart(source: Path) -> bool:
    """Whether an MP4's index comes before its media, so that players can start early."""
    with source.open("rb") as file:
        while head := file.read(8):
            size, kind = struct.unpack(">I4s", head)
            if kind in (b"moov", b"mdat"):
                return bool(kind == b"moov")
            if size == 1:
                size = struct.unpack(">Q", file.read(8))[0] - 8
            if size < 8:
                break
            file.seek(size - 8, 1)
    return False


def _remux(source: Path, out: Path) -> None:
    """The same packets with the index at the front."""
    options = {"movflags": "+faststart"}
    with opened(source) as container, av.open(str(out), "w", format="mp4", options=options) as new:
        streams = {one.index: new.add_stream_from_template(one) for one in container.streams}
        for packet in container.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)


def _fit(source: Path, shot: Shot, out: Path) -> None:
    sound = _sound(source, shot) if shot.audio else None
    planes = Planes.blank(shot.width, shot.height)
    with Footage(source, shot, THREADS) as footage, Film(out, shot, sound) as film:
        for number in range(shot.frames):
            footage.expose(number / max(1, shot.frames - 1), planes)
            film.advance(planes)


def _sound(source: Path, shot: Shot) -> Samples:
    """The video's own sound, cut or filled up with silence to the shot's length."""
    whole = np.zeros((CHANNELS, round(Fraction(shot.frames * SAMPLE_RATE, shot.fps))), np.float32)
    filled = 0
    with opened(source) as container:
        if not container.streams.audio:
            return whole
        resampler = AudioResampler("fltp", "stereo", SAMPLE_RATE)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                samples = part.to_ndarray()[:, : whole.shape[1] - filled]
                whole[:, filled : filled + samples.shape[1]] = samples
                filled += samples.shape[1]
    return whole
