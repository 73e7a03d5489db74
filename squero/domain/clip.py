"""A clip: what a request comes to with a model, and how large its frames are."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from squero.domain.model import SIZES, Model

FPS = 24


class Clip(NamedTuple):
    """What a request comes to with a model: enough to price it."""

    seconds: int
    resolution: str
    aspect_ratio: str | None
    """None: as the picture is."""
    audio: bool

    @property
    def frames(self) -> int:
        """Exactly duration times 24."""
        return self.seconds * FPS


def clips(model: Model) -> Iterator[Clip]:
    """Every clip that a request to the model can come to."""
    listed = model.constraints
    ratios = dict.fromkeys((model.default_ratio, *listed.aspect_ratios))
    sounds = [listed.audio] if listed.audio or not listed.audio_input else [False, True]
    if listed.audio and listed.audio_configurable:
        sounds.append(False)
    for duration, *rest in product(listed.durations, model.rendered, ratios, sounds):
        yield Clip(int(duration.removesuffix("s")), *rest)


def frame_size(clip: Clip, source: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of the video, both even.

    It follows the picture or video that it starts from when no aspect ratio was named.
    """
    wide, short = SIZES[clip.resolution]
    ratio = clip.aspect_ratio or _nearest_ratio(*(source or (wide, short)))
    if ratio in ("16:9", "9:16"):
        across, down = wide, short
    else:
        one, other = sorted(map(int, ratio.split(":")))
        across, down = 2 * round(short * other / one / 2), short
    return (across, down) if _is_wide(ratio) else (down, across)


def _is_wide(ratio: str) -> bool:
    width, height = map(int, ratio.split(":"))
    return width >= height


def _nearest_ratio(width: int, height: int) -> str:
    if 4 * width >= 5 * height:
        return "16:9"
    return "9:16" if 4 * height >= 5 * width else "1:1"
