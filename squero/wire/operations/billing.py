"""The billing calls: what can be spent, and what was."""

from collections.abc import Mapping
from typing import Final

from squero.wire.billing import HISTORY_CURRENCIES, MOST_DAYS
from squero.wire.operations.operation import BALANCES, Operation, parameter

_ENTRIES: Final = (
    parameter(
        "query",
        "currency",
        "Only the entries of one currency.",
        {"type": "string", "enum": list(HISTORY_CURRENCIES)},
    ),
    parameter("query", "startDate", "Only entries from then on.", {"type": "string"}),
    parameter(
        "query",
        "endDate",
        "Only entries up to then; a day without a time counts whole.",
        {"type": "string"},
    ),
    parameter(
        "query",
        "limit",
        "Entries a page.",
        {"type": "integer", "minimum": 1, "maximum": 500, "default": 200},
    ),
    parameter("query", "page", "Which page.", {"type": "integer", "minimum": 1, "default": 1}),
    parameter(
        "query",
        "sortOrder",
        "Whether the newest comes last or first.",
        {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
    ),
)
_MOMENT: Final = {"type": "string", "format": "date-time", "maxLength": 40}
_WALK: Final = (
    _ENTRIES[0],
    parameter("query", "startTimestamp", "Only entries from then on, in UTC.", _MOMENT),
    parameter("query", "endTimestamp", "Only entries before then, in UTC.", _MOMENT),
    parameter(
        "query",
        "pageSize",
        "Entries a page.",
        {"type": "integer", "minimum": 10, "maximum": 1000, "default": 1000},
    ),
    parameter(
        "query",
        "cursor",
        "What the page before gave; it carries the other parameters and excludes them.",
        {"type": "string", "maxLength": 512, "pattern": "^[A-Za-z0-9_-]+$"},
    ),
)
_DAY: Final = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_DAYS: Final = (
    parameter(
        "query",
        "lookback",
        f"So many days, today among them; {MOST_DAYS} at most. Excludes the other two.",
        {"type": "string", "pattern": r"^[1-9]\d*d$", "default": "7d"},
    ),
    parameter("query", "startDate", "The first day, in UTC; with endDate.", _DAY),
    parameter("query", "endDate", "The last day.", _DAY),
)
_CSV: Final = {"text/csv": {"schema": {"type": "string"}}}

OPERATIONS: Final[Mapping[str, Operation]] = {
    "GET /billing/balance": Operation(
        id="getBillingBalance",
        tag="Billing",
        summary="The balance",
        description="What the account may spend now. Needs an ADMIN key, like all of billing.",
        headers=BALANCES,
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
            *BALANCES,
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
        headers=(*BALANCES, "x-next-cursor"),
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
        headers=BALANCES,
        parameters=_DAYS,
        answer="AnalyticsAnswer",
        answered="Totals, the largest first, and charts of the eight largest.",
        refusals=("400", "401", "429", "500", "503"),
    ),
}
