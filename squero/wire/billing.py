"""The billing calls: what they may be asked in a query, and what they answer."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from squero.errors import InvalidRequest, Issue
from squero.wire.query import Query, Wrong, day, moment, one_of, utc_moment, whole

CURRENCIES: Final = ("USD", "VCU", "DIEM", "BUNDLED_CREDITS")
"""What usage may be filtered by; nothing is charged in VCU."""
HISTORY_CURRENCIES: Final = ("USD", "DIEM", "BUNDLED_CREDITS")
MOST_DAYS: Final = 90
"""How many days an analysis may span."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = (
    "timestamp",
    "sku",
    "notes",
    "currency",
    "amount",
    "units",
    "pricePerUnitUsd",
    "requestId",
    "inferenceExecutionTime",
    "promptTokens",
    "completionTokens",
)
_MILLISECOND: Final = timedelta(milliseconds=1)

Number: TypeAlias = int | float
_NULLABLE = WithJsonSchema({"type": ["number", "null"]})
NullableNumber = Annotated[Number | None, _NULLABLE]


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """GET /billing/usage: a page of entries, of which `until` is not one any more."""

    currency: str | None
    start: datetime | None
    until: datetime | None
    limit: int
    page: int
    newest_first: bool


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """GET /billing/usage-history: where a walk begins, or the cursor with which it goes on."""

    cursor: str | None
    currency: str | None
    start: datetime | None
    until: datetime | None
    page_size: int


@dataclass(frozen=True, slots=True)
class AnalyticsQuery:
    """GET /billing/usage-analytics: the days from `first` to `last`, and how they were named."""

    lookback: str
    first: date
    last: date


def usage_query(values: Mapping[str, str]) -> UsageQuery:
    """What GET /billing/usage asks for; raises InvalidRequest."""
    query = Query(values)
    asked = UsageQuery(
        currency=query.read("currency", one_of(CURRENCIES), None),
        start=query.read("startDate", moment, None),
        until=query.read("endDate", _end, None),
        limit=query.read("limit", whole(1, 500), 200),
        page=query.read("page", whole(1, 999_999_999_999_999), 1),
        newest_first=query.read("sortOrder", one_of(("asc", "desc")), "desc") == "desc",
    )
    query.check()
    return asked


def history_query(values: Mapping[str, str]) -> HistoryQuery:
    """What GET /billing/usage-history asks for; raises InvalidRequest."""
    cursor = values.get("cursor")
    if cursor is not None and len(values) > 1:
        raise _refused("cursor", "cursor must be the only parameter")
    query = Query(values)
    asked = HistoryQuery(
        cursor=cursor,
        currency=query.read("currency", one_of(HISTORY_CURRENCIES), None),
        start=query.read("startTimestamp", utc_moment, None),
        until=query.read("endTimestamp", utc_moment, None),
        page_size=query.read("pageSize", whole(10, 1000), 1000),
    )
    query.check()
    return asked


def analytics_query(values: Mapping[str, str], today: date) -> AnalyticsQuery:
    """What GET /billing/usage-analytics asks for; days end with `today`. Raises InvalidRequest."""
    query = Query(values)
    days = query.read("lookback", _lookback, 7)
    first, last = query.read("startDate", day, None), query.read("endDate", day, None)
    query.check()
    if first is None and last is None:
        return AnalyticsQuery(f"{days}d", today - timedelta(days=days - 1), today)
    if "lookback" in values:
        raise _refused("lookback", "lookback excludes startDate and endDate")
    if first is None or last is None:
        missing = "startDate" if first is None else "endDate"
        raise _refused(missing, "Both startDate and endDate are required")
    if not 0 <= (last - first).days < MOST_DAYS:
        message = f"endDate must be from 0 to {MOST_DAYS - 1} days after startDate"
        raise _refused("endDate", message)
    return AnalyticsQuery(f"{first}:{last}", first, last)


def _refused(name: str, message: str) -> InvalidRequest:
    return InvalidRequest([Issue((name,), message)])


def _lookback(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,1000}d", text):
        raise Wrong("Invalid lookback: a number of days such as 7d", "invalid_string")
    days = int(text[:-1])
    if days > MOST_DAYS:
        raise Wrong(f"Lookback cannot be more than {MOST_DAYS}d", "too_big")
    return days


def _end(text: str) -> datetime:
    """After the day or the millisecond, which is how exactly entries tell their time."""
    end = moment(text)
    step = _MILLISECOND if "T" in text else timedelta(days=1)
    return end if end.year == MAXYEAR else end + step


class _Answer(BaseModel):
    """camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True
    )


class Balances(_Answer):
    """What is left; DIEM is null for who was given none."""

    diem: NullableNumber
    usd: NullableNumber
    bundled_credits: Number


class BalanceAnswer(_Answer):
    """GET /billing/balance."""

    can_consume: bool
    consumption_currency: Annotated[
        str | None, WithJsonSchema({"enum": [*HISTORY_CURRENCIES, None]})
    ]
    balances: Balances
    diem_epoch_allocation: Number


class InferenceDetails(_Answer):
    """The job behind an entry; a video has no tokens. Milliseconds."""

    completion_tokens: NullableNumber = None
    inference_execution_time: NullableNumber
    prompt_tokens: NullableNumber = None
    request_id: str


class UsageEntry(_Answer):
    """A charge, which is negative, or a refund."""

    amount: Number
    currency: str
    inference_details: InferenceDetails
    notes: str
    price_per_unit_usd: Number
    sku: str
    timestamp: str
    units: Number


class Pagination(_Answer):
    """Which page it is, of how many."""

    limit: int
    page: int
    total: int
    total_pages: int


class UsageAnswer(_Answer):
    """GET /billing/usage."""

    data: list[UsageEntry]
    pagination: Pagination


class HistoryAnswer(_Answer):
    """GET /billing/usage-history."""

    data: list[UsageEntry]
    next_cursor: Annotated[str | None, WithJsonSchema({"type": ["string", "null"]})]


class DayTotals(_Answer):
    """What a day came to."""

    date: str
    usd: Number = Field(serialization_alias="USD", validation_alias="usd")
    diem: Number = Field(serialization_alias="DIEM", validation_alias="diem")


class ModelTotals(_Answer):
    """What a model came to."""

    model_name: str
    unit_type: str = "seconds"
    model_type: str = "VIDEO"
    total_usd: Number
    total_diem: Number
    total_units: Number


class KeyTotals(_Answer):
    """What a key came to."""

    api_key_id: str
    description: str
    total_usd: Number
    total_diem: Number
    total_units: Number


class AnalyticsAnswer(_Answer):
    """GET /billing/usage-analytics; a chart's `date` is in milliseconds of the Unix time."""

    lookback: str
    by_date: list[DayTotals]
    by_model: list[ModelTotals]
    by_model_daily: list[dict[str, Number]]
    top_models: list[str]
    by_key: list[KeyTotals]
    by_key_daily: list[dict[str, Number]]
    top_key_names: list[str]


def timestamp(at: datetime) -> str:
    """The moment as `2026-06-15T19:05:10.504Z`: what is finer than a millisecond is cut off."""
    return f"{at.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def csv_text(entries: Iterable[UsageEntry]) -> str:
    """A head line and a line an entry, in the CSV of RFC 4180."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(_COLUMNS)
    for one in entries:
        details = one.inference_details
        cells = (
            one.timestamp,
            one.sku,
            one.notes,
            one.currency,
            one.amount,
            one.units,
            one.price_per_unit_usd,
            details.request_id,
            details.inference_execution_time,
            details.prompt_tokens,
            details.completion_tokens,
        )
        lines.writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: str | Number | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # A spreadsheet would run it as a formula.
        return f"'{value}" if value.startswith(_FORMULA) else value
    return f"{value:.6f}".rstrip("0").rstrip(".")
