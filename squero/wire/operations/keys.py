"""The key calls: who may call, what a key may do, and how often."""

from collections.abc import Mapping
from typing import Final

from squero.wire.operations.operation import (
    BALANCES,
    KEY_ID,
    LIMITS,
    TEXT_MODEL,
    Operation,
    parameter,
)

_KEY: Final = {
    "id": KEY_ID,
    "apiKeyType": "INFERENCE",
    "description": "render farm",
    "expiresAt": None,
    "limitPeriod": "MONTH",
    "modelPrivacy": "ALL",
    "models": [TEXT_MODEL],
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
    "id": KEY_ID,
    "apiKeyType": "INFERENCE",
    "description": "render farm",
    "expiresAt": None,
    "limitPeriod": "MONTH",
    "modelPrivacy": "ALL",
    "models": [TEXT_MODEL],
    "consumptionLimit": {"usd": 50, "diem": None},
}

OPERATIONS: Final[Mapping[str, Operation]] = {
    "GET /api_keys": Operation(
        id="listApiKeys",
        tag="API keys",
        summary="The keys in force",
        description="The keys of the account, the newest first, with what each has spent. Needs "
        "an ADMIN key, like every call about keys.",
        headers=BALANCES,
        parameters=(
            parameter(
                "query",
                "limit",
                "Keys a page; without it every key.",
                {"type": "integer", "minimum": 1, "default": 500},
            ),
            parameter(
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
        headers=(*BALANCES, *LIMITS),
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
        headers=BALANCES,
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
        headers=BALANCES,
        parameters=(parameter("query", "id", "The key's id.", {"type": "string"}),),
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
        headers=BALANCES,
        answer="RateLimitsAnswer",
        answer_example={
            "data": {
                "accessPermitted": True,
                "apiTier": {"id": "paid", "isCharged": True},
                "balances": {"USD": 50.23, "DIEM": 100.023, "BUNDLED_CREDITS": 0},
                "keyExpiration": None,
                "nextEpochBegins": "2026-05-07T00:00:00.000Z",
                "rateLimits": [
                    {"apiModelId": TEXT_MODEL, "rateLimits": [{"amount": 20, "type": "RPM"}]}
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
        headers=BALANCES,
        answer="RateLimitLogAnswer",
        answer_example={
            "object": "list",
            "data": [
                {
                    "apiKeyId": KEY_ID,
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
        headers=BALANCES,
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
}
