"""The bodies of the key calls: the contract's, what its newer version adds, and our `models`."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictStr,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticKnownError

from squero.money import MICROS_PER_USD, usd_number
from squero.wire.issues import own

MOST_LIMIT = 9_999_999_999
"""The largest limit, in whole units of its currency."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(_DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z")
_MOST_MODELS = 1000


def _micros(value: object) -> int | None:
    """The nearest micros of a JSON number, as clients compute them; None is no limit."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("float_type")
    if value < 0:
        raise own("Number must be greater than or equal to 0", "too_small")
    if value > MOST_LIMIT:
        raise own(f"Number must be less than or equal to {MOST_LIMIT}", "too_big")
    return round(Decimal(repr(value)) * MICROS_PER_USD)


def _moment(value: object) -> datetime | None:
    """The moment that a text of the accepted forms names; a date is its first moment, in UTC."""
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    if value == "":
        return None
    if _DATE.fullmatch(value) or _MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        except ValueError:
            raise own("Invalid date", "invalid_date") from None
    raise own("Expected '', YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS(.mmm)Z", "invalid_string")


def _moment_or_none(value: object) -> datetime | None:
    return None if value is None else _moment(value)


def _some(models: list[str] | None) -> list[str] | None:
    if models is None:
        return None
    if not 1 <= len(models) <= _MOST_MODELS:
        raise own(f"Array must contain 1 to {_MOST_MODELS} elements", "too_small")
    return list(dict.fromkeys(models))


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _is_none(value: object) -> bool:
    return value is None


def _number(micros: int | None) -> int | float | None:
    return None if micros is None else usd_number(micros)


def _four_decimals(micros: int) -> str:
    """Rounded, and a half up."""
    whole, rest = divmod((micros + 50) // 100, 10_000)
    return f"{whole}.{rest:04d}"


_AMOUNT = {"type": ["number", "null"], "minimum": 0, "maximum": MOST_LIMIT}
_TIME = {"type": ["string", "null"]}
_Micros = Annotated[int | None, BeforeValidator(_micros), WithJsonSchema(_AMOUNT)]
_Expiry = Annotated[datetime | None, BeforeValidator(_moment), WithJsonSchema({"type": "string"})]
_ExpiryOrNone = Annotated[datetime | None, BeforeValidator(_moment_or_none), WithJsonSchema(_TIME)]
_Models = Annotated[list[StrictStr] | None, AfterValidator(_some)]
_Description = Annotated[StrictStr, Field(max_length=64)]
_Type = Literal["INFERENCE", "ADMIN"]
_Period = Literal["EPOCH", "MONTH", "LIFETIME"]
_Privacy = Literal["ALL", "PRIVATE_TEXT", "PRIVATE_ONLY"]

_Time = Annotated[datetime | None, PlainSerializer(_iso), WithJsonSchema(_TIME)]
_Amount = Annotated[int | None, PlainSerializer(_number), WithJsonSchema(_AMOUNT)]
_Usage = Annotated[int, PlainSerializer(_four_decimals), WithJsonSchema({"type": "string"})]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class _Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True
    )


class ConsumptionLimit(_Request):
    """What a key may spend in a period, in micros; what is null or absent has no limit."""

    usd: _Micros = None
    diem: _Micros = None
    vcu: _Micros = None
    """What DIEM was called: counts where `diem` is absent."""

    @property
    def diem_micros(self) -> int | None:
        """The limit in DIEM, under whichever name."""
        return self.diem if "diem" in self.model_fields_set else self.vcu


class CreateKeyRequest(_Request):
    """POST /api_keys."""

    api_key_type: _Type
    description: _Description
    consumption_limit: ConsumptionLimit = ConsumptionLimit()
    expires_at: _Expiry = None
    limit_period: _Period = "EPOCH"
    model_privacy: _Privacy = "ALL"
    models: _Models = None
    """Ours: the models that the key may use."""


class UpdateKeyRequest(_Request):
    """PATCH /api_keys: what is not sent stays as it is."""

    id: StrictStr
    description: _Description = ""
    consumption_limit: ConsumptionLimit = ConsumptionLimit()
    expires_at: _ExpiryOrNone = None
    limit_period: _Period = "EPOCH"
    model_privacy: _Privacy = "ALL"
    models: _Models = None


class DeleteKeyRequest(_Request):
    """DELETE /api_keys, when the id is not in the query."""

    id: StrictStr


class KeyLimits(_Answer):
    """What a key may spend in a period, in micros here and in whole units on the wire."""

    usd: _Amount
    diem: _Amount


class KeyWeek(_Answer):
    """What a key has spent in this epoch and the six before it."""

    usd: _Usage
    vcu: _Usage = 0
    diem: _Usage


class KeyUsage(_Answer):
    """What a key has spent of late."""

    trailing_seven_days: KeyWeek


class KeyPeriod(_Answer):
    """What a key has spent in the period of its limits."""

    usd: _Usage
    diem: _Usage


class _Terms(_Answer):
    id: str
    api_key_type: _Type
    description: str
    expires_at: _Time
    limit_period: _Period
    model_privacy: _Privacy
    models: list[str] | None = Field(default=None, exclude_if=_is_none)


class KeyAnswer(_Terms):
    """A key, without its text."""

    created_at: _Time
    last_used_at: _Time
    last6_chars: str
    consumption_limits: KeyLimits
    usage: KeyUsage | None = Field(default=None, exclude_if=_is_none)
    current_period_usage: KeyPeriod | None = Field(default=None, exclude_if=_is_none)


class KeysAnswer(_Answer):
    """GET /api_keys."""

    object: Literal["list"] = "list"
    data: list[KeyAnswer]


class OneKeyAnswer(_Answer):
    """GET /api_keys/{id}."""

    data: KeyAnswer


class UpdatedKeyAnswer(_Answer):
    """PATCH /api_keys."""

    success: bool = True
    data: KeyAnswer


class NewKey(_Terms):
    """A key that was made, with its text, which is told this once."""

    api_key: str
    consumption_limit: KeyLimits


class NewKeyAnswer(_Answer):
    """POST /api_keys."""

    success: bool = True
    data: NewKey


class DeletedKeyAnswer(_Answer):
    """DELETE /api_keys."""

    success: bool = True
