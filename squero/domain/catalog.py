"""The catalogue: which models there are, and which requests each of them takes.

A TOML file in `squero/models` holds one entry, or several as `[[models]]` with `[defaults]` that
they share; a file in the home's `models` folder adds some or replaces those with its ids.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from squero.errors import InvalidRequest, Issue, ModelNotFound
from squero.media.spool import DataUrl
from squero.money import micros_from_usd
from squero.needs import Needs

FPS = 24
SIZES: Mapping[str, tuple[int, int]] = {
    "480p": (848, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "360p": (640, 360),
    "480P": (848, 480),
    "540p": (960, 540),
    "580p": (1032, 580),
    "768P": (1366, 768),
    "true_1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2K": (2560, 1440),
    "2160p": (3840, 2160),
    "4k": (3840, 2160),
    "4K": (3840, 2160),
}
"""Width and height in pixels of a resolution at 16:9."""

LIMIT_QUOTED = 20
"""Characters of a value in an issue: an answer holds it three times, for three fields at most."""

DEFAULT_RESOLUTION = "720p"
DEFAULT_RATIO = "16:9"

LIMIT_ASKED = 500
"""Clips of a model whose prices are asked for, every few minutes."""

AspectRatio = Literal[
    "16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21", "5:4", "4:5"
]
ModelType = Literal["text-to-video", "image-to-video", "video"]


def _known_resolution(name: str) -> str:
    if name not in SIZES:
        raise ValueError(f"{name!r} is none of {', '.join(SIZES)}")
    return name


def _price(text: str) -> str:
    if micros_from_usd(text) < 0:
        raise ValueError("a price cannot be negative")
    return text


EngineOptions = Mapping[str, Mapping[str, object]]
"""By the name of an engine, what it is made with."""

Resolution = Annotated[str, AfterValidator(_known_resolution)]
Price = Annotated[str, AfterValidator(_price)]


class CatalogError(Exception):
    """An entry that cannot be used; the message names the file and the line's key."""


class Constraints(BaseModel):
    """What a model takes, in the API's own words; an empty list means: not supported."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_type: ModelType
    durations: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[1-9]\d{0,3}s$")], ...], Field(min_length=1)
    ]
    resolutions: tuple[Resolution, ...]
    aspect_ratios: tuple[AspectRatio, ...]
    audio: bool
    audio_configurable: bool
    end_image: bool = False
    """Whether it takes `end_image_url`."""
    audio_input: bool = False
    """Whether it takes `audio_url`."""
    video_input: bool = False
    """Whether it takes `video_url`."""
    prompt_character_limit: Annotated[int, Field(gt=0)] = 2500


class UpstreamPrice(BaseModel):
    """That a model costs what its upstreams ask, and a margin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin_percent: Annotated[int, Field(strict=True, ge=0, le=10_000)]


class Model(BaseModel):
    """One entry of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
    description: str
    created: int
    lane: str = "default"
    engine: str
    options: Mapping[str, object] = {}
    constraints: Constraints
    usd_per_second: Mapping[Resolution, Price] = {}
    upstream_price: UpstreamPrice | None = None
    """In place of `usd_per_second`."""
    render_seconds_per_second: Mapping[Resolution, Annotated[float, Field(gt=0)]]
    """What a render takes for a second of video, until ten of a kind have been measured."""
    requests_per_minute: Annotated[int, Field(gt=0)] | None = None
    """How many queue calls of an account it takes in a minute, besides the limit of the tier."""

    needs: Needs = Needs()
    """What a machine must have to load it; workers of one that has not leave its jobs to others."""
    keep_warm: bool = False
    """Whether it is among the last to leave when memory is needed for another."""
    on_oom: Mapping[str, object] = {}
    """Options in place of those of the same name, once memory did not suffice for a job."""

    @property
    def starts_from(self) -> str | None:
        """The field with what it starts from; None when it starts from the prompt alone."""
        return _STARTS_FROM[self.constraints.model_type]

    @property
    def takes(self) -> frozenset[str]:
        """The media fields that a queue call may send."""
        listed = self.constraints
        able = {
            self.starts_from: True,
            "end_image_url": listed.end_image,
            "audio_url": listed.audio_input,
            "video_url": listed.video_input,
        }
        return frozenset(name for name, can in able.items() if can and name)

    @property
    def default_resolution(self) -> str:
        """720p where the model has it or lists none, else the first it lists."""
        listed = self.constraints.resolutions
        has = DEFAULT_RESOLUTION in listed or not listed
        return DEFAULT_RESOLUTION if has else listed[0]

    @property
    def default_ratio(self) -> str | None:
        """16:9 where the model has it, else the first it lists; None: as what it starts from."""
        listed = self.constraints.aspect_ratios
        if self.starts_from or not listed:
            return None
        return DEFAULT_RATIO if DEFAULT_RATIO in listed else listed[0]

    @property
    def rendered(self) -> tuple[str, ...]:
        """Every resolution that it renders."""
        return self.constraints.resolutions or (self.default_resolution,)


_STARTS_FROM: Mapping[ModelType, str | None] = {
    "text-to-video": None,
    "image-to-video": "image_url",
    "video": "video_url",
}


@dataclass(slots=True)
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


def load(*folders: Path, options: EngineOptions = MappingProxyType({})) -> Catalog:
    """The catalogue of these folders, later ones winning; raises CatalogError.

    An engine's `options` are those of every model that it serves, but for what an entry says.
    """
    models: dict[str, Model] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            models |= {model.id: model for model in _entries(path)}
    return Catalog(_equipped(model, options) for model in models.values())


def files(folder: Path) -> dict[str, Path]:
    """By model, the file with the entry that `load` takes from this folder; raises CatalogError."""
    return {model.id: path for path in sorted(folder.glob("*.toml")) for model in _entries(path)}


def _equipped(model: Model, options: EngineOptions) -> Model:
    given = options.get(model.engine, {})
    return model.model_copy(update={"options": {**given, **model.options}})


def check(model: Model, request: VideoRequest) -> Clip:
    """What the request comes to; raises InvalidRequest with everything that is wrong with it."""
    listed = model.constraints
    issues = [
        *_prompt_issues(model, request),
        *_choice("duration", request.duration, listed.durations),
        *_choice("resolution", request.resolution, listed.resolutions),
        *_choice("aspect_ratio", request.aspect_ratio, listed.aspect_ratios),
        *_audio_issues(model, request),
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
    asked = request.aspect_ratio
    ratio = asked if asked in listed.aspect_ratios else model.default_ratio
    silent = listed.audio_configurable and request.audio is False
    brought = "audio_url" in request.media and listed.audio_input
    return Clip(
        seconds=int(request.duration.removesuffix("s")),
        resolution=named or model.default_resolution,
        aspect_ratio=None if ratio is None else str(ratio),
        audio=brought or (listed.audio and not silent),
    )


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
    return [not_listed(name, value if isinstance(value, str) else _json_type(value), listed)]


def not_listed(name: str, value: str, listed: Iterable[str]) -> Issue:
    """What is wrong with a field whose value is none of those listed."""
    expected = " | ".join(f"'{choice}'" for choice in listed)
    received = value[:LIMIT_QUOTED]
    message = f"Invalid enum value. Expected {expected}, received '{received}'"
    return Issue((name,), message, "invalid_enum_value", expected, received)


def _audio_issues(model: Model, request: VideoRequest) -> list[Issue]:
    audio = request.audio
    if audio is None:
        return []
    if not isinstance(audio, bool):
        message = f"Expected boolean, received {_json_type(audio)}"
        return [Issue(("audio",), message, "invalid_type", "boolean", _json_type(audio))]
    if not audio and "audio_url" in request.media and "audio_url" in model.takes:
        return [Issue(("audio",), "audio cannot be false together with audio_url")]
    # A client that always sends `audio: true` asks for what the model does anyway.
    if model.constraints.audio_configurable or audio == model.constraints.audio:
        return []
    return [Issue(("audio",), "This model does not support audio configuration")]


def _media_issues(model: Model, media: Mapping[str, str | DataUrl]) -> list[Issue]:
    issues = [
        Issue((name,), f"This model does not support {name}")
        for name in media
        if name not in model.takes
    ]
    if model.starts_from and model.starts_from not in media:
        issues.append(Issue((model.starts_from,), "Field is required", "invalid_type", "string"))
    return issues


def _json_type(value: object) -> str:
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _entries(path: Path) -> Iterator[Model]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise CatalogError(f"{path}: {broken}") from broken
    if "models" not in table:
        yield _entry(path, table)
        return
    if strange := table.keys() - {"defaults", "models"}:
        raise CatalogError(f"{path}: {sorted(strange)} beside defaults and models")
    for entry in table["models"]:
        yield _entry(path, table.get("defaults", {}) | entry)


def _entry(path: Path, table: Mapping[str, Any]) -> Model:
    name = f"{path}: {table.get('id', '')}".rstrip(": ")
    try:
        model = Model.model_validate(table)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CatalogError(f"{name}: {where}: {first['msg']}") from wrong
    _check_price(name, model)
    if missing := set(model.rendered) - set(model.render_seconds_per_second):
        raise CatalogError(f"{name}: render_seconds_per_second: none for {sorted(missing)}")
    if model.starts_from == "video_url" and not model.constraints.video_input:
        raise CatalogError(f"{name}: model_type video needs video_input")
    if model.constraints.end_image and model.starts_from != "image_url":
        raise CatalogError(f"{name}: end_image needs model_type image-to-video")
    return model


def _check_price(name: str, model: Model) -> None:
    if model.upstream_price is None:
        if missing := set(model.rendered) - set(model.usd_per_second):
            raise CatalogError(f"{name}: usd_per_second: none for {sorted(missing)}")
    elif model.usd_per_second:
        raise CatalogError(f"{name}: upstream_price: there is usd_per_second too; one alone counts")
    elif sum(1 for _ in clips(model)) > LIMIT_ASKED:
        raise CatalogError(f"{name}: upstream_price: more than {LIMIT_ASKED} clips to ask for")
