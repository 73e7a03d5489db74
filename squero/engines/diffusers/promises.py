"""An entry's constraints against its model: what it promises and the model cannot do."""

import re
from collections.abc import Iterator, Mapping

from squero.engines.diffusers.arguments import ENLARGED, Abilities

SHORT_SIDES = {"2K": 1440, "4k": 2160, "4K": 2160}
"""Of the resolutions whose names do not tell their shorter side in pixels."""


def broken(able: Abilities, constraints: Mapping[str, object]) -> Iterator[str]:
    """What the constraints, in the catalogue's words, say of the model and is not so: key, fact."""
    kind = constraints.get("model_type")
    if able.takes.isdisjoint({"num_frames", "video"}):
        yield "model_type: it draws no video"
    if kind == "image-to-video" and not able.image:
        yield "model_type: it takes no image"
    if kind != "image-to-video" and "image" in able.takes:
        yield "model_type: it needs an image"
    if kind != "video" and "video" in able.takes:
        yield "model_type: it needs a video"
    if constraints.get("video_input") and "video" not in able.takes:
        yield "video_input: it takes no video"
    if constraints.get("end_image") and not able.end_image:
        yield "end_image: it takes no last image"
    if constraints.get("audio") and not able.sound:
        yield "audio: it makes no sound"
    yield from _larger(able, constraints.get("resolutions"))


def _larger(able: Abilities, resolutions: object) -> Iterator[str]:
    if able.side and isinstance(resolutions, list | tuple):
        for name in map(str, resolutions):
            if 16 * short_side(name) ** 2 > 9 * (able.side * ENLARGED) ** 2:
                yield f"resolutions: {name} is more than the {able.side**2} pixels that it draws"


def short_side(resolution: str) -> int:
    """In pixels, of a resolution by its name; 0 for one that is not known."""
    number = re.search(r"(\d{3,4})[pP]$", resolution)
    return int(number[1]) if number else SHORT_SIDES.get(resolution, 0)
