"""The bodies of the four video calls, as the contract of 2025-12-30 has them."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, InstanceOf, StrictBool, StrictStr, ValidationError
from pydantic.types import StringConstraints

from squero.media.spool import DataUrl
from squero.wire.issues import refusal

NEGATIVE_PROMPT = "low resolution, error, worst quality, low quality, defects"
_LIMIT_PROMPT = 20_000  # the widest that any model takes; each model's own limit comes after

Text = Annotated[str, StringConstraints(strict=True, max_length=_LIMIT_PROMPT)]
Prompt = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=_LIMIT_PROMPT)]
MediaUrl = StrictStr | InstanceOf[DataUrl]
Request = TypeVar("Request", bound=BaseModel)


class QueueVideoRequest(BaseModel):
    """POST /video/queue: closed, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    model: StrictStr
    prompt: Prompt
    negative_prompt: Text = NEGATIVE_PROMPT
    duration: StrictStr
    aspect_ratio: object = None
    resolution: StrictStr | None = None
    audio: object = None
    image_url: MediaUrl | None = None
    audio_url: MediaUrl | None = None
    video_url: MediaUrl | None = None

    @property
    def media(self) -> dict[str, str | DataUrl]:
        """The media fields that were sent."""
        sent = {
            "image_url": self.image_url,
            "audio_url": self.audio_url,
            "video_url": self.video_url,
        }
        return {name: value for name, value in sent.items() if value is not None}


class QuoteVideoRequest(BaseModel):
    """POST /video/quote: lenient, what it does not know or use is dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: StrictStr
    duration: StrictStr
    aspect_ratio: object = None
    resolution: object = None
    audio: object = None


class RetrieveVideoRequest(BaseModel):
    """POST /video/retrieve."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: StrictStr
    queue_id: StrictStr
    delete_media_on_completion: StrictBool = False


class CompleteVideoRequest(BaseModel):
    """POST /video/complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: StrictStr
    queue_id: StrictStr


class QuoteVideoAnswer(BaseModel):
    """The price in USD."""

    quote: int | float


class QueueVideoAnswer(BaseModel):
    """The job that was taken."""

    model: str
    queue_id: str


class ProcessingAnswer(BaseModel):
    """A job that is not done; times in milliseconds."""

    status: str = "PROCESSING"
    average_execution_time: int
    execution_duration: int


class CompleteVideoAnswer(BaseModel):
    """Whether the media is gone."""

    success: bool


def parse(kind: type[Request], fields: Mapping[str, object]) -> Request:
    """The request in these fields; raises InvalidRequest."""
    try:
        return kind.model_validate(fields)
    except ValidationError as wrong:
        raise refusal(wrong) from None
