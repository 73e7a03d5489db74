"""The bodies of the four video calls, as the contract of 2025-12-30 has them.

`end_image_url` is of the newer one.
"""

from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    InstanceOf,
    StrictBool,
    StrictStr,
)
from pydantic.types import StringConstraints
from pydantic_core import PydanticKnownError

from squero.media.spool import DataUrl

NEGATIVE_PROMPT = "low resolution, error, worst quality, low quality, defects"


def _text(value: object) -> object:
    # A field that may be left out is not one that may be null.
    if value is None:
        raise PydanticKnownError("string_type")
    return value


Prompt = Annotated[str, StringConstraints(strict=True, min_length=1)]
Text = Annotated[StrictStr | None, BeforeValidator(_text)]
MediaUrl = Annotated[StrictStr | InstanceOf[DataUrl] | None, BeforeValidator(_text)]


class QueueVideoRequest(BaseModel):
    """POST /video/queue: closed, nothing is coerced; each model has limits of its own besides."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    model: StrictStr
    prompt: Prompt
    negative_prompt: StrictStr = NEGATIVE_PROMPT
    duration: StrictStr
    aspect_ratio: StrictStr | None = None
    resolution: Text = None
    audio: StrictBool | None = None
    image_url: MediaUrl = None
    end_image_url: MediaUrl = None
    audio_url: MediaUrl = None
    video_url: StrictStr | InstanceOf[DataUrl] | None = None

    @property
    def media(self) -> dict[str, str | DataUrl]:
        """The media fields that were sent."""
        sent = {
            "image_url": self.image_url,
            "end_image_url": self.end_image_url,
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
