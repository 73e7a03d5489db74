"""A model as its entry in the catalogue describes it, in the API's own words."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from squero.money import micros_from_usd
from squero.needs import Needs

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

DEFAULT_RESOLUTION = "720p"
DEFAULT_RATIO = "16:9"
PROMPT_LIMIT = 2500

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


def _is_none(value: object) -> bool:
    return value is None


Resolution = Annotated[str, AfterValidator(_known_resolution)]
Price = Annotated[str, AfterValidator(_price)]
ShortSide = Annotated[int, Field(strict=True, gt=0)]
Proportion = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


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
    end_image: bool | Literal["required"] = False
    """Whether it takes `end_image_url`, or cannot do without."""
    audio_input: bool = False
    """Whether it takes `audio_url`."""
    video_input: bool = False
    """Whether it takes `video_url`."""
    prompt_character_limit: Annotated[int, Field(gt=0)] = PROMPT_LIMIT
    reference_image_min_short_side_pixels: ShortSide | None = Field(
        default=None, exclude_if=_is_none
    )
    """Of every picture that is sent, as it was sent; the next two are its width / height."""
    reference_image_min_aspect_ratio: Proportion | None = Field(default=None, exclude_if=_is_none)
    reference_image_max_aspect_ratio: Proportion | None = Field(default=None, exclude_if=_is_none)

    @property
    def limits_pictures(self) -> bool:
        """Whether it takes pictures of some sizes or shapes alone."""
        return any(
            limit is not None
            for limit in (
                self.reference_image_min_short_side_pixels,
                self.reference_image_min_aspect_ratio,
                self.reference_image_max_aspect_ratio,
            )
        )


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
            "end_image_url": bool(listed.end_image),
            "audio_url": listed.audio_input,
            "video_url": listed.video_input,
        }
        return frozenset(name for name, can in able.items() if can and name)

    @property
    def needed(self) -> tuple[str, ...]:
        """The media fields that a queue call must send."""
        ends_at = "end_image_url" if self.constraints.end_image == "required" else None
        return tuple(name for name in (self.starts_from, ends_at) if name)

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
