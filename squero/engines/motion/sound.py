"""The clip's sound: a file's, trimmed to the clip, padded and softly faded, or an ambience."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame

from squero.engines.motion.ambience import Samples, ambience
from squero.shot import BadInput, Shot

SAMPLE_RATE = 48_000
CHANNELS = 2
FADE_IN_SECONDS = 0.02
FADE_OUT_SECONDS = 0.3
DEMUXERS = "wav,mp3"


def sound_of(shot: Shot) -> Samples | None:
    """What is heard, exactly as long as the clip; None when the shot wants no track at all.

    A sound that was given is heard whatever `audio` says; without one it is the quiet ambience of
    what the prompt names. Raises BadInput for a broken one.
    """
    length = round(Fraction(shot.frames * SAMPLE_RATE, shot.fps))
    if "audio" in shot.media:
        return fitted(shot.media["audio"], length)
    if not shot.audio:
        return None
    heard = ambience(shot, length, SAMPLE_RATE)
    fade(heard)
    return heard


def fitted(path: Path, length: int) -> Samples:
    """So many samples of the file: cut or filled up with silence, faded where it is heard."""
    whole = np.zeros((CHANNELS, length), np.float32)
    filled = 0
    for part in decoded(path):
        taken = min(part.shape[1], length - filled)
        whole[:, filled : filled + taken] = part[:, :taken]
        filled += taken
        if filled == length:
            break
    fade(whole[:, :filled])
    return whole


def fade(heard: Samples) -> None:
    """Let the sound swell at its start and die away at its end, in place."""
    half = heard.shape[1] // 2
    swell = min(half, round(FADE_IN_SECONDS * SAMPLE_RATE))
    dying = min(half, round(FADE_OUT_SECONDS * SAMPLE_RATE))
    if swell:
        heard[:, :swell] *= slope(swell)
    if dying:
        heard[:, -dying:] *= slope(dying)[::-1]


def slope(length: int) -> Samples:
    """From silence to full, level at both ends."""
    rise: Samples = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, length))).astype(np.float32)
    return rise


def decoded(path: Path) -> Iterator[Samples]:
    """The file's sound, part by part; raises BadInput when there is none to be had."""
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
    try:
        with av.open(str(path), container_options=options) as container:
            for frame in chain(container.decode(audio=0), [None]):
                # Without anything to convert, the flushing None comes back as it is.
                yield from map(samples, filter(None, resampler.resample(frame)))
    except (av.error.FFmpegError, ValueError, IndexError):
        raise BadInput("The audio could not be decoded") from None


def samples(frame: AudioFrame) -> Samples:
    """The frame's samples as an array."""
    return np.asarray(frame.to_ndarray(), np.float32)
