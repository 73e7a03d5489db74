"""The bodies of the calls in the shape of OpenAI's Videos, and of their errors."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, InstanceOf, StrictStr, model_validator

from squero.errors import (
    AuthenticationFailed,
    ContentRefused,
    InvalidRequest,
    Issue,
    ModelNotFound,
    Refused,
)
from squero.media.spool import DataUrl
from squero.wire.issues import own
from squero.wire.video import MediaUrl, Prompt, Text

Status = Literal["queued", "in_progress", "completed", "failed"]

_NESTED: Final = "input_reference["
_FIELDS: Final[Mapping[str | int, str]] = {
    "duration": "seconds",
    "resolution": "size",
    "aspect_ratio": "size",
    "image_url": "input_reference",
}
_BY_STATUS: Final[Mapping[int, tuple[str, str | None]]] = {
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "model_not_allowed"),
    404: ("invalid_request_error", "not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", "server_error"),
    503: ("server_error", "service_unavailable"),
}
_BY_CLASS: Final[Mapping[type[Refused], str]] = {
    AuthenticationFailed: "invalid_api_key",
    ContentRefused: "content_policy_violation",
    ModelNotFound: "model_not_found",
}


def _no_file(value: object) -> object:
    raise own("There are no uploaded files here: send the picture itself, or its image_url")


def _reference(value: object) -> object:
    return {"image_url": value} if isinstance(value, str | DataUrl) else value


class ImageReference(BaseModel):
    """A picture to start from: a `data:` URL or one that is fetched."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    file_id: Annotated[StrictStr | None, BeforeValidator(_no_file)] = None
    image_url: StrictStr | InstanceOf[DataUrl]


class CreateVideoRequest(BaseModel):
    """POST /v1/videos: closed, nothing is coerced; each model has limits of its own besides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Prompt
    model: Text = None
    seconds: Text = None
    size: Text = None
    input_reference: Annotated[ImageReference | None, BeforeValidator(_reference)] = None

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, fields: Any) -> Any:
        """A form names a field of an object in brackets."""
        inner = {
            name.removeprefix(_NESTED).removesuffix("]"): name
            for name in fields
            if name.startswith(_NESTED) and name.endswith("]")
        }
        if not inner or "input_reference" in fields:
            return fields
        outer = {name: value for name, value in fields.items() if name not in inner.values()}
        nested = {name: fields[spelled] for name, spelled in inner.items()}
        return outer | {"input_reference": nested}

    @property
    def picture(self) -> MediaUrl:
        """What the video starts from."""
        return None if self.input_reference is None else self.input_reference.image_url


class VideoError(BaseModel):
    """Why there is no video."""

    code: str
    message: str


class VideoAnswer(BaseModel):
    """A job; times are Unix timestamps in seconds."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Status
    progress: int
    """0 to 100."""
    created_at: int
    completed_at: int | None
    expires_at: int | None
    seconds: str
    size: str
    prompt: None = None
    """Never told: it is sealed."""
    remixed_from_video_id: None = None
    error: VideoError | None = None


class DeletedVideoAnswer(BaseModel):
    """A job that is not there any more."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class VideosAnswer(BaseModel):
    """A page of an account's jobs."""

    object: Literal["list"] = "list"
    data: Sequence[VideoAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


def error_body(refused: Refused) -> dict[str, object]:
    """The error that OpenAI's clients parse; of several things that are wrong the first."""
    kind, code = _BY_STATUS.get(refused.status, ("invalid_request_error", None))
    message, param = refused.message, None
    if isinstance(refused, InvalidRequest) and refused.issues:
        message, param = _told(refused.issues[0])
    code = _BY_CLASS.get(type(refused), code)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _told(issue: Issue) -> tuple[str, str | None]:
    if not issue.path:
        return issue.message, None
    first, *rest = issue.path
    param = ".".join(map(str, [_FIELDS.get(first, first), *rest]))
    return f"{param}: {issue.message}", param
