"""Sizes in pixels: what a model calls a resolution and an aspect ratio, by the size they make."""

from collections.abc import Mapping
from typing import NamedTuple

from squero.domain.clip import Clip, frame_size
from squero.domain.model import Model


class Named(NamedTuple):
    """What to ask a model for, to get a size; None where it lists none and has but one."""

    resolution: str | None
    aspect_ratio: str | None


def sizes(model: Model) -> Mapping[str, Named]:
    """Every size that can be asked of the model, as `1280x720`; none where its picture decides."""
    listed = model.constraints
    if model.starts_from and not listed.aspect_ratios:
        return {}
    found: dict[str, Named] = {}
    for resolution in model.rendered:
        for ratio in listed.aspect_ratios or (None,):
            width, height = frame_size(Clip(1, resolution, ratio, False), None)
            named = Named(resolution if listed.resolutions else None, ratio)
            found.setdefault(f"{width}x{height}", named)
    return found
