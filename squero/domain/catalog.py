"""The catalogue: which models there are, and which requests each of them takes.

An entry is one TOML file in `squero/models`; a file in the home's `models` folder adds one or
replaces the one with its id.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from squero.errors import InvalidRequest, Issue, ModelNotFound
from squero.media.spool import DataUrl
from squero.money import micros_from_usd

FPS = 24
SIZES: Mapping[str, tuple[int, int]] = {
    "480p": (848, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
}
"""Width and height in pixels of a resolution at 16:9."""

AspectRatio = Literal["16:9", "9:16", "1:1"]


def _known_resolution(name: str) -> str:
    if name not in SIZES:
        raise ValueError(f"{name!r} is none of {', '.join(SIZES)}")
    return name


def _price(text: str) -> str:
    if micros_from_usd(text) < 0:
        raise ValueError("a price cannot be negative")
    return text


Resolution = Annotated[str, AfterValidator(_known_resolution)]
Price = Annotated[str, AfterValidator(_price)]


class CatalogError(Exception):
    """An entry that cannot be used; the message names the file and the line's key."""


class Constraints(BaseModel):
    """What a model takes, in the API's own words; an empty list means: not supported."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_type: Literal["text-to-video", "image-to-video"]
    durations: tuple[Annotated[str, Field(pattern=r"^\d+s$")], ...]
    resolutions: tuple[Resolution, ...]
    aspect_ratios: tuple[AspectRatio, ...]
    audio: bool
    audio_configurable: bool
    prompt_character_limit: int = 2500


class Model(BaseModel):
    """One entry of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    description: str
    created: int
    lane: str = "default"
    engine: str
    options: Mapping[str, object] = {}
    constraints: Constraints
    usd_per_second: Mapping[Resolution, Price]
    render_seconds_per_second: Mapping[Resolution, Annotated[float, Field(gt=0)]]
    """What a render takes for a second of video, until ten of a kind have been measured."""

    @property
    def takes_image(self) -> bool:
        """Whether a picture is what it starts from."""
        return self.constraints.model_type == "image-to-video"

    @property
    def default_resolution(self) -> str:
        """720p where the model has it, else the first it lists."""
        listed = self.constraints.resolutions
        return "720p" if "720p" in listed else listed[0]


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """What a customer asks for: fields of the right type, not yet held against a model."""

    model: str
    prompt: str
    duration: str
    negative_prompt: str = ""
    resolution: str | None = None
    aspect_ratio: object = None
    audio: object = None
    media: Mapping[str, str | DataUrl] = field(default_factory=dict)
    """The API's field, such as `image_url`, to its value."""


@dataclass(frozen=True, slots=True)
class Clip:
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


class Catalog:
    """Every model by its id."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models = {model.id: model for model in models}

    def find(self, model_id: str) -> Model:
        """The model of this id; raises ModelNotFound, with the nearest id there is."""
        if model_id in self.models:
            return self.models[model_id]
        near = difflib.get_close_matches(model_id[:100], self.models, n=1, cutoff=0.3)
        hint = f" Did you mean: {near[0]}?" if near else ""
        raise ModelNotFound(f"Specified model not found: {model_id[:100]}.{hint}")


def load(*folders: Path) -> Catalog:
    """The catalogue of these folders, later ones winning; raises CatalogError."""
    models: dict[str, Model] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            model = _entry(path)
            models[model.id] = model
    return Catalog(models.values())


def check(model: Model, request: VideoRequest) -> Clip:
    """What the request comes to; raises InvalidRequest with everything that is wrong with it."""
    resolution = request.resolution or model.default_resolution
    listed = model.constraints
    issues = [
        *_prompt_issues(model, request),
        *_choice("duration", request.duration, listed.durations),
        *_choice("resolution", resolution, listed.resolutions),
        *_choice("aspect_ratio", request.aspect_ratio, listed.aspect_ratios),
        *_audio_issues(model, request.audio),
        *_media_issues(model, request.media),
    ]
    if issues:
        raise InvalidRequest(issues)
    return clip(model, request)


def clip(model: Model, request: VideoRequest) -> Clip:
    """The same for a quote: whatever the model does not take is as if it were not there."""
    listed = model.constraints
    if issues := _choice("duration", request.duration, listed.durations):
        raise InvalidRequest(issues)
    named = request.resolution if request.resolution in listed.resolutions else None
    default_ratio = None if model.takes_image else next(iter(listed.aspect_ratios), None)
    ratio = request.aspect_ratio if request.aspect_ratio in listed.aspect_ratios else default_ratio
    silent = listed.audio_configurable and request.audio is False
    return Clip(
        seconds=int(request.duration.removesuffix("s")),
        resolution=named or model.default_resolution,
        aspect_ratio=None if ratio is None else str(ratio),
        audio=listed.audio and not silent,
    )


def frame_size(clip: Clip, picture: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of the video, which follows the picture when no aspect ratio was named."""
    wide, short = SIZES[clip.resolution]
    sizes = {"16:9": (wide, short), "9:16": (short, wide), "1:1": (short, short)}
    if clip.aspect_ratio is not None:
        return sizes[clip.aspect_ratio]
    width, height = picture or (wide, short)
    if 4 * width >= 5 * height:
        return sizes["16:9"]
    return sizes["9:16"] if 4 * height >= 5 * width else sizes["1:1"]


def _prompt_issues(model: Model, request: VideoRequest) -> list[Issue]:
    limit = model.constraints.prompt_character_limit
    return [
        Issue((name,), f"String must contain at most {limit} character(s)", "too_big")
        for name in ("prompt", "negative_prompt")
        if len(getattr(request, name)) > limit
    ]


def _choice(name: str, value: object, listed: tuple[str, ...]) -> list[Issue]:
    if value is None or value in listed:
        return []
    if not listed:
        return [Issue((name,), f"This model does not support {name}")]
    expected = " | ".join(f"'{choice}'" for choice in listed)
    received = value[:100] if isinstance(value, str) else type(value).__name__
    message = f"Invalid enum value. Expected {expected}, received '{received}'"
    return [Issue((name,), message, "invalid_enum_value", expected, received)]


def _audio_issues(model: Model, audio: object) -> list[Issue]:
    if audio is None:
        return []
    if not isinstance(audio, bool):
        message = f"Expected boolean, received {_json_type(audio)}"
        return [Issue(("audio",), message, "invalid_type", "boolean", _json_type(audio))]
    # A client that always sends `audio: true` asks for what the model does anyway.
    if model.constraints.audio_configurable or audio == model.constraints.audio:
        return []
    return [Issue(("audio",), "This model does not support audio configuration")]


def _media_issues(model: Model, media: Mapping[str, str | DataUrl]) -> list[Issue]:
    taken = {"image_url"} if model.takes_image else set()
    issues = [
        Issue((name,), f"This model does not support {name}") for name in media if name not in taken
    ]
    if model.takes_image and "image_url" not in media:
        issues.append(Issue(("image_url",), "Field is required", "invalid_type", "string"))
    return issues


def _json_type(value: object) -> str:
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _entry(path: Path) -> Model:
    try:
        model = Model.model_validate(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as broken:
        raise CatalogError(f"{path}: {broken}") from broken
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CatalogError(f"{path}: {where}: {first['msg']}") from wrong
    for rates in (model.usd_per_second, model.render_seconds_per_second):
        if missing := set(model.constraints.resolutions) - set(rates):
            raise CatalogError(f"{path}: no price or render time for {sorted(missing)}")
    return model
