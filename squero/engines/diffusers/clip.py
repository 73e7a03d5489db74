"""What a pipeline drew as the clip: exactly its size, its number of frames and its sound."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from squero.engines.diffusers.fitting import Course
from squero.engines.motion.ambience import Samples
from squero.engines.motion.sound import CHANNELS, SAMPLE_RATE, fitted
from squero.shot import Shot

Picture = NDArray[np.uint8]


class Short(RuntimeError):
    """The model drew fewer frames or pixels than it was asked for."""


def frames(
    video: Sequence[Picture], course: Course, shot: Shot, *, scales: bool
) -> Iterator[Picture]:
    """The clip's frames in RGB, out of those that the model drew; raises Short.

    Between two of the model's frames both show through. Pictures are cut to the middle; those of a
    model that `scales` are first brought to where they just cover the clip.
    """
    if len(video) < course.drawn:
        raise Short(f"{len(video)} frames of {course.drawn}")
    for before, onwards in course.places():
        now = framed(video[before], shot, scales=scales)
        if onwards:
            following = framed(video[before + 1], shot, scales=scales)
            now = np.asarray(cv2.addWeighted(now, 1 - onwards, following, onwards, 0), np.uint8)
        yield now


def developed(video: Any) -> list[Picture]:
    """The pictures in a tensor of frames, channels, rows and columns from 0 to 1."""
    return [picture(frame) for frame in video]


def picture(frame: Any) -> Picture:
    """One frame of a tensor as rows of pixels."""
    whole = (frame.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return np.ascontiguousarray(whole.cpu().numpy(), np.uint8)


def framed(drawn: Picture, shot: Shot, *, scales: bool) -> Picture:
    """The picture's middle at the shot's size."""
    rows, columns = drawn.shape[:2]
    if scales and (columns, rows) != (shot.width, shot.height):
        scale = max(shot.width / columns, shot.height / rows)
        columns = max(shot.width, round(columns * scale))
        rows = max(shot.height, round(rows * scale))
        drawn = np.asarray(cv2.resize(drawn, (columns, rows), interpolation=cv2.INTER_AREA))
    if columns < shot.width or rows < shot.height:
        raise Short(f"{columns}×{rows} pixels of {shot.width}×{shot.height}")
    left, top = (columns - shot.width) // 2, (rows - shot.height) // 2
    return np.ascontiguousarray(drawn[top : top + shot.height, left : left + shot.width])


def heard(shot: Shot, made: Any, rate: int) -> Samples | None:
    """The clip's sound, exactly as long: the one that was given, else the one the model made.

    `made` is a tensor of channels and samples at this rate, or None. None when no sound is wanted;
    raises BadInput when the given one cannot be decoded.
    """
    length = round(Fraction(shot.frames * SAMPLE_RATE, shot.fps))
    if "audio" in shot.media:
        return fitted(shot.media["audio"], length)
    if not shot.audio:
        return None
    whole = np.zeros((CHANNELS, length), np.float32)
    heard = resampled(made.float().clamp(-1, 1).cpu().numpy(), rate)[:, :length]
    whole[:, : heard.shape[1]] = heard
    return whole


def resampled(samples: Samples, rate: int) -> Samples:
    """The same sound in stereo at 48 kHz."""
    both = np.ascontiguousarray(np.broadcast_to(samples, (CHANNELS, samples.shape[1])))
    frame = av.AudioFrame.from_ndarray(both, format="fltp", layout="stereo")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
    parts = [*resampler.resample(frame), *filter(None, resampler.resample(None))]
    return np.concatenate([np.asarray(part.to_ndarray(), np.float32) for part in parts], axis=1)
