"""What a customer asks for, held against a model: the clip that it comes to, or what is wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from squero.domain.clip import Clip
from squero.domain.model import PROMPT_LIMIT, Model
from squero.errors import LIMIT_QUOTED, InvalidRequest, Issue
from squero.media.spool import DataUrl


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


def _prompt_issues(model: Model, request: VideoRequest) -> list[Issue]:
    limit = model.constraints.prompt_character_limit
    # A short limit is the prompt's alone: the default negative prompt would break it, unsent.
    limits = {"prompt": limit, "negative_prompt": max(limit, PROMPT_LIMIT)}
    return [
        Issue((name,), f"String must contain at most {most} character(s)", "too_big")
        for name, most in limits.items()
        if len(getattr(request, name)) > most
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
    missing = (name for name in model.needed if name not in media)
    return [
        *issues,
        *(Issue((name,), "Field is required", "invalid_type", "string") for name in missing),
    ]


def _json_type(value: object) -> str:
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")
