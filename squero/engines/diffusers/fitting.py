"""Sizes and lengths: what a pipeline can draw that holds what a shot asks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm
from typing import Any

from squero.shot import Shot

LEAST = 16
"""What every pipeline asks its sides to be a multiple of, however small its patches are."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Sides are multiples of `across` and `down` pixels, lengths of `beat` frames and one more."""

    across: int
    down: int
    beat: int

    @classmethod
    def of(cls, pipeline: Any) -> "Grid":
        """The grid of a loaded pipeline: what its VAE makes one of, times the patches."""
        cell = _either(pipeline, "vae_scale_factor_spatial", "vae_spatial_compression_ratio")
        beat = _either(pipeline, "vae_scale_factor_temporal", "vae_temporal_compression_ratio")
        patch = transformer_of(pipeline).config.patch_size
        down, across = patch[-2:] if isinstance(patch, Sequence) else (patch, patch)
        return cls(lcm(cell * across, LEAST), lcm(cell * down, LEAST), beat)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The least width and height that hold these, in pixels."""
        return up(width, self.across), up(height, self.down)

    def length(self, frames: int) -> int:
        """The least number of frames that holds these."""
        return up(frames - 1, self.beat) + 1


@dataclass(frozen=True, slots=True)
class Course:
    """When each frame of the clip is taken, in frames of the model's, which has its own pace."""

    frames: int
    fps: int
    pace: int

    @classmethod
    def of(cls, shot: Shot, pace: int | None) -> "Course":
        """The course of a shot, for a model that draws so many frames a second."""
        return cls(shot.frames, shot.fps, pace or shot.fps)

    @property
    def drawn(self) -> int:
        """How many frames of the model's it needs."""
        return ceil(self._place(self.frames - 1)) + 1

    def places(self) -> Iterator[tuple[int, float]]:
        """For each frame the one of the model's before it, and how far it is to the next."""
        for number in range(self.frames):
            place = self._place(number)
            yield floor(place), float(place - floor(place))

    def _place(self, number: int) -> Fraction:
        return Fraction(number * self.pace, self.fps)


def transformer_of(pipeline: Any) -> Any:
    """What draws; of two experts the first, unless the second is there alone."""
    return pipeline.transformer or pipeline.transformer_2


def up(length: int, step: int) -> int:
    """The least multiple of the step that is no shorter."""
    return -(-length // step) * step


def _either(pipeline: Any, *names: str) -> int:
    return next(int(getattr(pipeline, name)) for name in names if hasattr(pipeline, name))
