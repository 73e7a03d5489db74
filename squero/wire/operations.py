"""What our OpenAPI document tells of each call: one record a call, in our words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from squero.wire.models import MODEL_TYPES

_QUEUE_ID: Final = "3f0c8f8e-2f5e-4c5e-9d0a-6b1d8e7a4c21"
_TEXT_MODEL: Final = "motion-text-to-video"
_JOB: Final = {"model": _TEXT_MODEL, "queue_id": _QUEUE_ID}
_BALANCES: Final = ("x-venice-balance-usd", "x-venice-balance-diem")
_LIMITS: Final = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)
_PICTURE: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAUAAAAFAAQAAAADl65gHAAAAQ0lEQVR42u3KsQ0AAAgDoOr/P+sLriYwU5ObjiiK"
    "oiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoii+iwtVvgN/95uEZgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: its bodies by the names of their wire models, its headers, its refusals."""

    id: str
    tag: str
    summary: str
    description: str
    answered: str
    """What a 200 says."""
    refusals: tuple[str, ...]
    answer: str = ""
    answer_schema: Mapping[str, Any] | None = None
    answer_example: Any = None
    with_key: bool = True
    request: str = ""
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    parameters: tuple[Mapping[str, Any], ...] = ()
    more_content: Mapping[str, Any] = field(default_factory=dict)
    more_responses: Mapping[str, Any] = field(default_factory=dict)


def _parameter(place: str, name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "description": text, "required": False, "schema": schema}


_IDEMPOTENCY: Final = _parameter(
    "header",
    "Idempotency-Key",
    "The same key within 24 hours gives the first job again; with another body it is 400.",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
)
_RANGE: Final = _parameter(
    "header",
    "Range",
    "A part of a finished video, such as `bytes=0-1023`; the answer is 206.",
    {"type": "string", "pattern": "^bytes=[0-9]*-[0-9]*$"},
)
_TYPE: Final = _parameter(
    "query",
    "type",
    "Only the models of one type; without it every model.",
    {"type": "string", "enum": list(MODEL_TYPES)},
)
_MP4: Final = {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}
_WORDS: Final = {"type": "object", "additionalProperties": {"type": "string"}}


def _of_models(name: str, summary: str, description: str, example: object) -> Operation:
    schema = {
        "type": "object",
        "required": ["object", "type", "data"],
        "properties": {
            "object": {"type": "string", "const": "list"},
            "type": {"type": "string"},
            "data": _WORDS,
        },
    }
    return Operation(
        id=name,
        tag="Models",
        summary=summary,
        description=description,
        answered="A map to the ids of models.",
        answer_schema=schema,
        answer_example={"object": "list", "type": "video", "data": example},
        with_key=False,
        parameters=(_TYPE,),
        refusals=("400", "500", "503"),
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "POST /video/quote": Operation(
        id="quoteVideo",
        tag="Video",
        summary="What a video costs",
        description="The price in USD of the video that these fields describe: exactly what a "
        "queue call with them will take. Needs no key, and drops what it does not know.",
        with_key=False,
        request="QuoteVideoRequest",
        examples={
            "text": {"model": _TEXT_MODEL, "duration": "5s", "resolution": "480p"},
            "portrait": {"model": _TEXT_MODEL, "duration": "10s", "aspect_ratio": "9:16"},
        },
        answer="QuoteVideoAnswer",
        answer_example={"quote": 0.05},
        answered="The price.",
        refusals=("400", "404", "413", "415", "500", "503"),
    ),
    "POST /video/queue": Operation(
        id="queueVideo",
        tag="Video",
        summary="Order a video",
        description="Takes a job and its price. Strict: a field that is unknown, or that the "
        "model has no use for, is 400, and media is looked into before any money moves. Media is "
        "a data URL or an http(s) URL.",
        request="QueueVideoRequest",
        examples={
            "text": {
                "model": _TEXT_MODEL,
                "prompt": "a slow pan over the lagoon at dawn",
                "duration": "5s",
                "resolution": "480p",
                "aspect_ratio": "16:9",
            },
            "image": {
                "model": "motion-image-to-video",
                "prompt": "push in",
                "duration": "5s",
                "resolution": "480p",
                "image_url": _PICTURE,
            },
        },
        headers=(*_BALANCES, *_LIMITS, "idempotent-replayed"),
        parameters=(_IDEMPOTENCY,),
        answer="QueueVideoAnswer",
        answer_example=_JOB,
        answered="What names the job.",
        refusals=("400", "401", "402", "404", "413", "415", "422", "429", "500", "503"),
    ),
    "POST /video/retrieve": Operation(
        id="retrieveVideo",
        tag="Video",
        summary="How a job goes, or its video",
        description="JSON while the job waits or renders; then the MP4 itself, as often as you "
        "like until it is deleted or expires. The Content-Type tells which. With "
        "`delete_media_on_completion` the video is deleted once its last byte has arrived.",
        request="RetrieveVideoRequest",
        examples={"poll": _JOB, "last": _JOB | {"delete_media_on_completion": True}},
        headers=(
            *_BALANCES,
            *_LIMITS,
            "x-squero-position",
            "x-squero-remaining-ms",
            "etag",
            "accept-ranges",
        ),
        parameters=(_RANGE,),
        answer="ProcessingAnswer",
        answer_example={
            "status": "PROCESSING",
            "average_execution_time": 4000,
            "execution_duration": 1200,
        },
        answered="Times in milliseconds, or the video.",
        more_content=_MP4,
        more_responses={
            "206": {
                "description": "The part of the video that was asked for.",
                "headers": {"content-range": {"$ref": "#/components/headers/content-range"}},
                "content": _MP4,
            },
            "416": {"description": "The video has no such part."},
        },
        refusals=("400", "401", "404", "413", "415", "422", "429", "500", "503"),
    ),
    "POST /video/complete": Operation(
        id="completeVideo",
        tag="Video",
        summary="Delete a job's media",
        description="Destroys the key and the bytes of a finished job's media, at once. While "
        "the job waits or renders it changes nothing and answers `false`.",
        request="CompleteVideoRequest",
        examples={"job": _JOB},
        headers=_BALANCES,
        answer="CompleteVideoAnswer",
        answer_example={"success": True},
        answered="Whether the media is gone.",
        refusals=("400", "401", "404", "413", "415", "429", "500", "503"),
    ),
    "GET /models": Operation(
        id="listModels",
        tag="Models",
        summary="The models",
        description="What can be asked for, with the values that each model takes; an empty list "
        "means that the field is not supported. A video's price is told by a quote.",
        with_key=False,
        parameters=(_TYPE,),
        answer="ModelsAnswer",
        answered="The models.",
        refusals=("400", "500", "503"),
    ),
    "GET /models/traits": _of_models(
        "listModelTraits",
        "Models by trait",
        "Which model stands for a trait.",
        {"default": _TEXT_MODEL},
    ),
    "GET /models/compatibility_mapping": _of_models(
        "listModelCompatibilityMapping",
        "Models by other names",
        "Which model answers to a name that other services use.",
        {},
    ),
}
"""By method and path below /api/v1."""


def _field(text: str, *examples: object) -> dict[str, Any]:
    return {"description": text} | ({"examples": list(examples)} if examples else {})


_MEDIA: Final = "A data URL, or an http(s) URL on port 80 or 443."

FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "model": _field("An id of GET /models.", _TEXT_MODEL),
    "prompt": _field("What is to be seen.", "a slow pan over the lagoon at dawn"),
    "negative_prompt": _field("What is not to be seen."),
    "duration": _field("One of the model's durations, a text.", "5s"),
    "aspect_ratio": _field("One of the model's aspect ratios.", "16:9"),
    "resolution": _field("One of the model's resolutions.", "480p"),
    "audio": _field("Whether it has sound, where the model lets one choose.", True),
    "image_url": _field(f"The picture to begin with. {_MEDIA}"),
    "end_image_url": _field(f"The picture to end with. {_MEDIA}"),
    "audio_url": _field(f"A WAV or MP3 to go with it. {_MEDIA}"),
    "video_url": _field(f"An MP4, MOV or WebM to work on. {_MEDIA}"),
    "upscale_factor": _field("How many times larger it becomes."),
    "reference_image_urls": _field(f"Pictures to go by. {_MEDIA}"),
    "reference_video_urls": _field(f"Videos to go by. {_MEDIA}"),
    "reference_audio_urls": _field(f"Sounds to go by. {_MEDIA}"),
    "reference_video_total_duration": _field("The seconds of all videos to go by together."),
    "queue_id": _field("What the queue call gave.", _QUEUE_ID),
    "delete_media_on_completion": _field("Delete the video once its last byte has arrived."),
}
"""What the fields of a request mean, by name."""
