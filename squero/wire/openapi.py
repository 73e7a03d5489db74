"""Our own OpenAPI document: the calls in our words, their bodies from the wire models.

A call that is served and missing here fails a test.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import PydanticOmit, core_schema

from squero import errors
from squero.media.spool import DataUrl
from squero.wire import issues
from squero.wire.billing import AnalyticsAnswer, BalanceAnswer, HistoryAnswer, UsageAnswer
from squero.wire.keys import (
    CreateKeyRequest,
    DeletedKeyAnswer,
    KeysAnswer,
    NewKeyAnswer,
    OneKeyAnswer,
    UpdatedKeyAnswer,
    UpdateKeyRequest,
)
from squero.wire.models import ModelsAnswer
from squero.wire.operations import FIELDS, OPERATIONS, Operation
from squero.wire.rate_limits import RateLimitLogAnswer, RateLimitsAnswer
from squero.wire.video import (
    CompleteVideoAnswer,
    CompleteVideoRequest,
    ProcessingAnswer,
    QueueVideoAnswer,
    QueueVideoRequest,
    QuoteVideoAnswer,
    QuoteVideoRequest,
    RetrieveVideoRequest,
)

_REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    QuoteVideoRequest,
    QueueVideoRequest,
    RetrieveVideoRequest,
    CompleteVideoRequest,
    CreateKeyRequest,
    UpdateKeyRequest,
)
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    QuoteVideoAnswer,
    QueueVideoAnswer,
    ProcessingAnswer,
    CompleteVideoAnswer,
    ModelsAnswer,
    KeysAnswer,
    OneKeyAnswer,
    NewKeyAnswer,
    UpdatedKeyAnswer,
    DeletedKeyAnswer,
    BalanceAnswer,
    UsageAnswer,
    HistoryAnswer,
    AnalyticsAnswer,
    RateLimitsAnswer,
    RateLimitLogAnswer,
)
_REF: Final = "#/components/schemas/{model}"

_HEADERS: Final = {
    "cf-ray": "The id of this answer, drawn at random: name it when you report a problem.",
    "x-venice-version": "The version of Squero that answered.",
    "x-venice-balance-usd": "What was available before the call, in USD; 9999999999 without a "
    "meter.",
    "x-venice-balance-diem": "What is left of the day's DIEM; 0 for an account without.",
    "x-venice-model-id": "The model that the call was about.",
    "x-ratelimit-limit-requests": "Calls of this kind that the account may make in a minute.",
    "x-ratelimit-remaining-requests": "Calls that are left of them.",
    "x-ratelimit-reset-requests": "When they are full again: a Unix timestamp in seconds.",
    "retry-after": "Seconds to wait before the next try.",
    "idempotent-replayed": "true when this answer was given before, to the same Idempotency-Key.",
    "x-squero-position": "The place of a job that waits: 1 starts next.",
    "x-squero-remaining-ms": "What is left of the job, in milliseconds, as far as one can tell.",
    "x-pagination-limit": "Entries a page.",
    "x-pagination-page": "Which page this is.",
    "x-pagination-total": "How many entries there are.",
    "x-pagination-total-pages": "How many pages.",
    "x-next-cursor": "With CSV: what gives the next page; absent at the end.",
    "etag": "Names these bytes: send it back in If-Range.",
    "accept-ranges": "bytes",
    "content-range": "Which part of the video this is.",
}
_NUMBERS: Final = ("retry-after", "x-squero-position", "x-squero-remaining-ms")

_REFUSALS: Final[Mapping[str, tuple[errors.Refused, str]]] = {
    "400": (
        errors.InvalidRequest([errors.Issue(("duration",), "Field is required", "invalid_type")]),
        "Something is wrong with the request: `details` is a tree by field, `issues` a list. "
        "Also a queue_id that is unknown or another account's.",
    ),
    "401": (
        errors.AuthenticationFailed(),
        "The key is missing, wrong, expired or revoked, or no ADMIN key where it must be one.",
    ),
    "402": (errors.InsufficientBalance(), "The balance does not cover the price."),
    "403": (errors.ModelNotAllowed(), "The key may not use this model."),
    "404": (errors.ModelNotFound(), "There is no such model, or its media is gone."),
    "413": (errors.PayloadTooLarge(), "The body is larger than the server takes."),
    "415": (errors.UnsupportedContentType(), "The body is not application/json."),
    "422": (
        errors.InputRejected(),
        "The input cannot be rendered, or its prompt is refused. On a job that failed "
        "`credits_refunded` says that its price is back.",
    ),
    "429": (errors.RateLimited(), "Too many calls, or too many jobs that wait."),
    "500": (errors.InferenceFailed(), "It failed by us; on a job the price is back."),
    "503": (errors.AtCapacity(), "At capacity, or a job that waited too long. Try again later."),
}


class _Schemas(GenerateJsonSchema):
    """Schemas as a client sees them: no class of ours, and nothing may be null."""

    def is_instance_schema(self, schema: core_schema.IsInstanceSchema) -> dict[str, Any]:
        raise PydanticOmit

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def field_is_required(self, field: Any, total: bool) -> bool:
        # An answer has all its fields, those with a default among them, but for what it may omit.
        if self.mode == "serialization":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def document(version: str, served: Iterable[str] | None = None) -> dict[str, Any]:
    """The whole document: of the calls that are `served` ("POST /video/quote"), or of all."""
    wanted = OPERATIONS.keys() if served is None else OPERATIONS.keys() & set(served)
    paths: dict[str, Any] = {}
    for call, operation in OPERATIONS.items():
        if call in wanted:
            method, path = call.split(" ")
            paths.setdefault(path, {})[method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Squero",
            "version": version,
            "summary": "A self-hosted server that speaks the Venice API, video first.",
            "description": "Not affiliated with the hosted service. What differs from it is in "
            "COMPATIBILITY.md, beside the server's source.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "tags": [
            {"name": "Video", "description": "Price, queue, poll and delete videos."},
            {"name": "Models", "description": "What can be asked for."},
            {"name": "API keys", "description": "Who may call, and what a key may do."},
            {"name": "Billing", "description": "What can be spent, and what was."},
        ],
        "paths": paths,
        "components": _components(),
    }


def _components() -> dict[str, Any]:
    bearer = {"type": "http", "scheme": "bearer", "description": "A key of `squero keys create`."}
    return {
        "securitySchemes": {"BearerAuth": bearer},
        "headers": {name: _header(name, text) for name, text in _HEADERS.items()},
        "responses": {f"Error{status}": _refusal(status) for status in _REFUSALS},
        "schemas": _schemas(),
    }


def _header(name: str, text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "integer" if name in _NUMBERS else "string"}}


def _schemas() -> dict[str, Any]:
    requests: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for model in _REQUESTS
    ]
    answers: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "serialization") for model in _ANSWERS
    ]
    _, made = models_json_schema(requests + answers, ref_template=_REF, schema_generator=_Schemas)
    schemas = _as_texts(made["$defs"])
    for model in _REQUESTS:
        for name, field in schemas[model.__name__]["properties"].items():
            field.update(FIELDS.get(name, {}))
    return {**schemas, "Error": _error(), "DetailedError": _detailed_error()}


def _as_texts(schemas: Any) -> Any:
    """The schemas without DataUrl, our own reading of what travels as a text."""
    ours = {"$ref": _REF.format(model=DataUrl.__name__)}
    if isinstance(schemas, list):
        return [_as_texts(one) for one in schemas if one != ours]
    if not isinstance(schemas, dict):
        return schemas
    kept = {name: _as_texts(one) for name, one in schemas.items() if name != DataUrl.__name__}
    choices = kept.get("anyOf")
    return choices[0] if isinstance(choices, list) and len(choices) == 1 else kept


def _error() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "What went wrong, in a sentence.",
        "required": ["error"],
        "properties": {
            "error": {"type": "string"},
            "code": {"type": "string", "description": "With a 413: PAYLOAD_TOO_LARGE."},
            "credits_refunded": {
                "type": "boolean",
                "description": "On a job that failed: its price is back.",
            },
        },
    }


def _detailed_error() -> dict[str, Any]:
    issue = {
        "type": "object",
        "required": ["code", "message", "path"],
        "properties": {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "path": {"type": "array", "items": {"type": ["string", "integer"]}},
            "expected": {"type": "string"},
            "received": {"type": "string"},
        },
    }
    return {
        "type": "object",
        "description": "What is wrong with a request, field by field.",
        "required": ["error"],
        "properties": {
            "error": {"type": "string"},
            "details": {"type": "object", "description": "By field; `_errors` lists the words."},
            "issues": {"type": "array", "items": issue},
        },
    }


def _refusal(status: str) -> dict[str, Any]:
    refused, text = _REFUSALS[status]
    example: dict[str, object] = {"error": refused.message}
    schema = "Error"
    if isinstance(refused, errors.InvalidRequest):
        schema, example = "DetailedError", example | issues.body(refused.issues)
    if isinstance(refused, errors.PayloadTooLarge):
        example["code"] = refused.code
    if isinstance(refused, errors.JobFailed):
        example["credits_refunded"] = refused.credits_refunded
    names = ["cf-ray", "x-venice-version"]
    if status in ("429", "503"):
        names.append("retry-after")
    content = {"application/json": {"schema": _ref("schemas", schema), "example": example}}
    return {"description": text, "headers": _headers(names), "content": content}


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "security": [{"BearerAuth": []}] if operation.with_key else [],
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.request:
        body: dict[str, Any] = {"schema": _ref("schemas", operation.request)}
        body["examples"] = {name: {"value": value} for name, value in operation.examples.items()}
        described["requestBody"] = {"required": True, "content": {"application/json": body}}
    described["responses"] = {"200": _success(operation), **operation.more_responses}
    for status in operation.refusals:
        described["responses"][status] = _ref("responses", f"Error{status}")
    return described


def _success(operation: Operation) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": operation.answer_schema or _ref("schemas", operation.answer)}
    if operation.answer_example is not None:
        body["example"] = operation.answer_example
    content = {"application/json": body, **operation.more_content}
    names = ["cf-ray", "x-venice-version", *operation.headers]
    return {
        "description": operation.answered,
        "headers": _headers(names),
        "content": content,
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: _ref("headers", name) for name in names}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
