"""What our OpenAPI document tells of each call: one record a call, in our words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from squero.wire.billing import HISTORY_CURRENCIES, MOST_DAYS
from squero.wire.models import MODEL_TYPES

_QUEUE_ID: Final = "3f0c8f8e-2f5e-4c5e-9d0a-6b1d8e7a4c21"
_KEY_ID: Final = "e28e82dc-9df2-4b47-b726-d0a222ef2ab5"
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
_ENTRIES: Final = (
    _parameter(
        "query",
        "currency",
        "Only the entries of one currency.",
        {"type": "string", "enum": list(HISTORY_CURRENCIES)},
    ),
    _parameter("query", "startDate", "Only entries from then on.", {"type": "string"}),
    _parameter(
        "query",
        "endDate",
        "Only entries up to then; a day without a time counts whole.",
        {"type": "string"},
    ),
    _parameter(
        "query",
        "limit",
        "Entries a page.",
        {"type": "integer", "minimum": 1, "maximum": 500, "default": 200},
    ),
    _parameter("query", "page", "Which page.", {"type": "integer", "minimum": 1, "default": 1}),
    _parameter(
        "query",
        "sortOrder",
        "Whether the newest comes last or first.",
        {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
    ),
)
_MOMENT: Final = {"type": "string", "format": "date-time", "maxLength": 40}
_WALK: Final = (
    _ENTRIES[0],
    _parameter("query", "startTimestamp", "Only entries from then on, in UTC.", _MOMENT),
    _parameter("query", "endTimestamp", "Only entries before then, in UTC.", _MOMENT),
    _parameter(
        "query",
        "pageSize",
        "Entries a page.",
        {"type": "integer", "minimum": 10, "maximum": 1000, "default": 1000},
    ),
    _parameter(
        "query",
        "cursor",
        "What the page before gave; it carries the other parameters and excludes them.",
        {"type": "string", "maxLength": 512, "pattern": "^[A-Za-z0-9_-]+$"},
    ),
)
_DAY: Final = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_DAYS: Final = (
    _parameter(
        "query",
        "lookback",
        f"So many days, today among them; {MOST_DAYS} at most. Excludes the other two.",
        {"type": "string", "pattern": r"^[1-9]\d*d$", "default": "7d"},
    ),
    _parameter("query", "startDate", "The first day, in UTC; with endDate.", _DAY),
    _parameter("query", "endDate", "The last day.", _DAY),
)
_KEY: Final = {
    "id": _KEY_ID,
    "apiKeyType": "INFERENCE",
    "description": "render farm",
    "expiresAt": None,
    "limitPeriod": "MONTH",
    "modelPrivacy": "ALL",
    "models": [_TEXT_MODEL],
    "createdAt": "2026-01-05T09:30:00.000Z",
    "lastUsedAt": None,
    "last6Chars": "2V2jNW",
    "consumptionLimits": {"usd": 50, "diem": None},
}
_SPENT: Final = {
    "usage": {"trailingSevenDays": {"usd": "10.2424", "vcu": "0.0000", "diem": "0.0000"}},
    "currentPeriodUsage": {"usd": "10.2424", "diem": "0.0000"},
}
_NEW_KEY: Final = {
    "apiKey": "SQUERO_INFERENCE_KEY_…",
    "id": _KEY_ID,
    "apiKeyType": "INFERENCE",
    "description": "render farm",
    "expiresAt": None,
    "limitPeriod": "MONTH",
    "modelPrivacy": "ALL",
    "models": [_TEXT_MODEL],
    "consumptionLimit": {"usd": 50, "diem": None},
}
_CSV: Final = {"text/csv": {"schema": {"type": "string"}}}
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
    "GET /api_keys": Operation(
        id="listApiKeys",
        tag="API keys",
        summary="The keys in force",
        description="The keys of the account, the newest first, with what each has spent. Needs "
        "an ADMIN key, like every call about keys.",
        headers=_BALANCES,
        parameters=(
            _parameter(
                "query",
                "limit",
                "Keys a page; without it every key.",
                {"type": "integer", "minimum": 1, "default": 500},
            ),
            _parameter(
                "query", "page", "Which page.", {"type": "integer", "minimum": 1, "default": 1}
            ),
        ),
        answer="KeysAnswer",
        answer_example={"object": "list", "data": [_KEY | _SPENT]},
        answered="The keys, without their text.",
        refusals=("401", "429", "500", "503"),
    ),
    "POST /api_keys": Operation(
        id="createApiKey",
        tag="API keys",
        summary="Make a key",
        description="20 a minute, and 500 in force at a time. `vcu` is an old name of `diem`; a "
        "limit that is null or absent is none, and 0 is nothing.",
        request="CreateKeyRequest",
        headers=_BALANCES,
        answer="NewKeyAnswer",
        answer_example={"success": True, "data": _NEW_KEY},
        answered="The key, whose text is told this once.",
        refusals=("400", "401", "413", "415", "429", "500", "503"),
    ),
    "PATCH /api_keys": Operation(
        id="updateApiKey",
        tag="API keys",
        summary="Change a key",
        description="What is not sent stays as it is; `consumptionLimit` is replaced whole, and "
        "`models` may be null.",
        request="UpdateKeyRequest",
        headers=_BALANCES,
        answer="UpdatedKeyAnswer",
        answer_example={"success": True, "data": _KEY},
        answered="The key as it is now.",
        refusals=("400", "401", "413", "415", "429", "500", "503"),
    ),
    "DELETE /api_keys": Operation(
        id="deleteApiKey",
        tag="API keys",
        summary="Revoke a key",
        description="It is refused from then on. The id may also be in a JSON body.",
        headers=_BALANCES,
        parameters=(_parameter("query", "id", "The key's id.", {"type": "string"}),),
        answer="DeletedKeyAnswer",
        answer_example={"success": True},
        answered="The key is revoked.",
        refusals=("400", "401", "413", "415", "429", "500", "503"),
    ),
    "GET /api_keys/rate_limits": Operation(
        id="getApiKeyRateLimits",
        tag="API keys",
        summary="What a key may do, and how often",
        description="Of the key that asks: what it may still spend, which is the balance or what "
        "its own limits leave of it, and how many queue calls each model takes in a minute.",
        headers=_BALANCES,
        answer="RateLimitsAnswer",
        answer_example={
            "data": {
                "accessPermitted": True,
                "apiTier": {"id": "paid", "isCharged": True},
                "balances": {"USD": 50.23, "DIEM": 100.023, "BUNDLED_CREDITS": 0},
                "keyExpiration": None,
                "nextEpochBegins": "2026-05-07T00:00:00.000Z",
                "rateLimits": [
                    {"apiModelId": _TEXT_MODEL, "rateLimits": [{"amount": 20, "type": "RPM"}]}
                ],
            }
        },
        answered="Permission, tier, balances and limits.",
        refusals=("401", "429", "500", "503"),
    ),
    "GET /api_keys/rate_limits/log": Operation(
        id="getApiKeyRateLimitLogs",
        tag="API keys",
        summary="Calls that came too often",
        description="The last 50 of the account, the newest first; of many in a second only some.",
        headers=_BALANCES,
        answer="RateLimitLogAnswer",
        answer_example={
            "object": "list",
            "data": [
                {
                    "apiKeyId": _KEY_ID,
                    "modelId": "endpoint:api/v1/video/queue",
                    "rateLimitTier": "paid",
                    "rateLimitType": "RPM",
                    "timestamp": "2026-05-06T12:00:00.000Z",
                }
            ],
        },
        answered="The calls that were refused; `rateLimitType` is `RPM` or `FAILED_REQUESTS`.",
        refusals=("401", "429", "500", "503"),
    ),
    "GET /api_keys/{id}": Operation(
        id="getApiKey",
        tag="API keys",
        summary="One key",
        description="Also one that has expired.",
        headers=_BALANCES,
        parameters=(
            {
                "name": "id",
                "in": "path",
                "description": "The key's id.",
                "required": True,
                "schema": {"type": "string"},
            },
        ),
        answer="OneKeyAnswer",
        answer_example={"data": _KEY | _SPENT},
        answered="The key, without its text.",
        refusals=("400", "401", "429", "500", "503"),
    ),
    "GET /billing/balance": Operation(
        id="getBillingBalance",
        tag="Billing",
        summary="The balance",
        description="What the account may spend now. Needs an ADMIN key, like all of billing.",
        headers=_BALANCES,
        answer="BalanceAnswer",
        answer_example={
            "canConsume": True,
            "consumptionCurrency": "DIEM",
            "balances": {"diem": 90.5, "usd": 25, "bundledCredits": 0},
            "diemEpochAllocation": 100,
        },
        answered="By currency; `diem` is null where none is allotted.",
        refusals=("401", "429", "500", "503"),
    ),
    "GET /billing/usage": Operation(
        id="getBillingUsage",
        tag="Billing",
        summary="Usage by the page",
        description="Charges, negative, when jobs were queued, and refunds when they ended without "
        "a video. As CSV with `Accept: text/csv`.",
        headers=(
            *_BALANCES,
            "x-pagination-limit",
            "x-pagination-page",
            "x-pagination-total",
            "x-pagination-total-pages",
        ),
        parameters=_ENTRIES,
        answer="UsageAnswer",
        answered="A page of entries.",
        more_content=_CSV,
        refusals=("400", "401", "429", "500", "503"),
    ),
    "GET /billing/usage-history": Operation(
        id="getBillingUsageHistory",
        tag="Billing",
        summary="Usage, to be followed",
        description="The same entries, oldest first, from cursor to cursor; none comes later among "
        "those that were told. As CSV with `Accept: text/csv`.",
        headers=(*_BALANCES, "x-next-cursor"),
        parameters=_WALK,
        answer="HistoryAnswer",
        answered="Entries; `nextCursor` is null at the end.",
        more_content=_CSV,
        refusals=("400", "401", "429", "500", "503"),
    ),
    "GET /billing/usage-analytics": Operation(
        id="getBillingUsageAnalytics",
        tag="Billing",
        summary="What usage came to",
        description="Charges by day, model and key; refunds do not lessen them. Up to ten minutes "
        "old.",
        headers=_BALANCES,
        parameters=_DAYS,
        answer="AnalyticsAnswer",
        answered="Totals, the largest first, and charts of the eight largest.",
        refusals=("400", "401", "429", "500", "503"),
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
    "id": _field("The key's id.", _KEY_ID),
    "apiKeyType": _field("ADMIN keys administer the account, and may do what others may."),
    "description": _field("What the key is for.", "render farm"),
    "consumptionLimit": _field("What the key may spend in a period.", {"usd": 50, "diem": 10}),
    "expiresAt": _field(
        "When it ends: `YYYY-MM-DD`, that day's beginning in UTC, or `YYYY-MM-DDTHH:MM:SS(.mmm)Z`; "
        "empty is never.",
        "2030-01-01",
        "2030-01-01T12:00:00Z",
    ),
    "limitPeriod": _field("The UTC day, the calendar month, or for ever."),
    "modelPrivacy": _field("Kept as it is set: every model is private."),
    "models": _field("The models that the key may use; without it every one.", [_TEXT_MODEL]),
}
"""What the fields of a request mean, by name."""
