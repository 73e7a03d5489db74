"""The video calls: price, queue, poll and delete."""

from collections.abc import Mapping
from typing import Final

from squero.wire.operations.operation import (
    BALANCES,
    LIMITS,
    QUEUE_ID,
    TEXT_MODEL,
    Operation,
    parameter,
)

_JOB: Final = {"model": TEXT_MODEL, "queue_id": QUEUE_ID}
_PICTURE: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAUAAAAFAAQAAAADl65gHAAAAQ0lEQVR42u3KsQ0AAAgDoOr/P+sLriYwU5ObjiiK"
    "oiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoii+iwtVvgN/95uEZgAAAABJRU5ErkJggg=="
)
_IDEMPOTENCY: Final = parameter(
    "header",
    "Idempotency-Key",
    "The same key within 24 hours gives the first job again; with another body it is 400.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9_-]+$"},
)
_RANGE: Final = parameter(
    "header",
    "Range",
    "A part of a finished video, such as `bytes=0-1023`; the answer is 206.",
    {"type": "string", "pattern": "^bytes=[0-9]*-[0-9]*$"},
)
_MP4: Final = {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}

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
            "text": {"model": TEXT_MODEL, "duration": "5s", "resolution": "480p"},
            "portrait": {"model": TEXT_MODEL, "duration": "10s", "aspect_ratio": "9:16"},
        },
        answer="QuoteVideoAnswer",
        answer_example={"quote": 0.05},
        answered="The price.",
        refusals=("400", "404", "413", "415", "429", "500", "503"),
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
                "model": TEXT_MODEL,
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
        headers=(*BALANCES, *LIMITS, "idempotent-replayed"),
        parameters=(_IDEMPOTENCY,),
        answer="QueueVideoAnswer",
        answer_example=_JOB,
        answered="What names the job.",
        refusals=("400", "401", "402", "403", "404", "413", "415", "422", "429", "500", "503"),
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
            *BALANCES,
            *LIMITS,
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
        headers=BALANCES,
        answer="CompleteVideoAnswer",
        answer_example={"success": True},
        answered="Whether the media is gone.",
        refusals=("400", "401", "404", "413", "415", "429", "500", "503"),
    ),
}
