"""The bodies of the model calls."""

from typing import Literal

from pydantic import BaseModel, Field

MODEL_TYPES = (
    "asr",
    "embedding",
    "image",
    "music",
    "text",
    "tts",
    "upscale",
    "inpaint",
    "video",
    "all",
    "code",
)
"""What GET /models may be asked for."""

NAMED_TYPES = MODEL_TYPES[:-2]
"""What traits and compatibility_mapping may be asked for."""


def _is_none(value: object) -> bool:
    return value is None


class VideoConstraints(BaseModel):
    """What a video model takes; an empty list means that the field is not supported.

    The limits on its pictures are there where it has some.
    """

    model_type: str
    aspect_ratios: list[str]
    resolutions: list[str]
    durations: list[str]
    audio: bool
    audio_configurable: bool
    audio_input: bool
    """Whether it takes `audio_url`."""
    video_input: bool
    """Whether it takes `video_url`."""
    prompt_character_limit: int
    reference_image_min_short_side_pixels: int | None = Field(default=None, exclude_if=_is_none)
    reference_image_min_aspect_ratio: float | None = Field(default=None, exclude_if=_is_none)
    """Width / height."""
    reference_image_max_aspect_ratio: float | None = Field(default=None, exclude_if=_is_none)


class ModelSpec(BaseModel):
    """What is told of a model; a video's price is told by POST /video/quote alone."""

    name: str
    description: str
    privacy: Literal["private"] = "private"
    offline: bool = False
    traits: list[str] = []
    constraints: VideoConstraints


class ModelAnswer(BaseModel):
    """One model of the list."""

    id: str
    object: Literal["model"] = "model"
    owned_by: Literal["venice.ai"] = "venice.ai"
    type: Literal["video"] = "video"
    created: int
    model_spec: ModelSpec


class ModelsAnswer(BaseModel):
    """GET /models."""

    object: Literal["list"] = "list"
    type: str
    data: list[ModelAnswer]


class NamesAnswer(BaseModel):
    """GET /models/traits and /models/compatibility_mapping: names, and the models behind them."""

    object: Literal["list"] = "list"
    type: str
    data: dict[str, str]
