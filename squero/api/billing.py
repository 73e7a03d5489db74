"""The billing calls: balance, usage by the page and by the cursor, and what it came to."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeAlias, TypedDict, TypeVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import answer
from squero.api.head import Header
from squero.api.house import House
from squero.domain import usage
from squero.domain.catalog import Catalog
from squero.domain.fresh import Fresh
from squero.domain.keys import Caller
from squero.domain.usage import Entry, Span, Total, Walk
from squero.money import usd_number
from squero.wire.billing import (
    AnalyticsAnswer,
    AnalyticsQuery,
    BalanceAnswer,
    Balances,
    DayTotals,
    HistoryAnswer,
    InferenceDetails,
    KeyTotals,
    ModelTotals,
    Number,
    Pagination,
    UsageAnswer,
    UsageEntry,
    analytics_query,
    csv_text,
    history_query,
    timestamp,
    usage_query,
)

_CACHE_SECONDS: Final = 600.0
_CACHED: Final = 1000
_TOP: Final = 8

K = TypeVar("K")
_Span: TypeAlias = tuple[UUID, date, date]


async def balance(house: House, request: Request, caller: Caller) -> Response:
    """GET /billing/balance: what the account may spend now."""
    found = await usage.balance(house.yard.database, caller.account_id)
    diem = usd_number(found.diem_micros) if found.staked else None
    return answer(
        BalanceAnswer(
            can_consume=found.enough,
            consumption_currency=found.next_currency,
            balances=Balances(
                diem=diem,
                usd=usd_number(found.spendable_usd_micros),
                bundled_credits=usd_number(found.bundled_micros),
            ),
            diem_epoch_allocation=usd_number(found.allocation_micros),
        )
    )


async def list_usage(house: House, request: Request, caller: Caller) -> Response:
    """GET /billing/usage: a page of entries, as JSON or CSV."""
    asked = usage_query(request.query_params)
    entries, total = await usage.page(
        house.yard.database,
        caller.account_id,
        Span(asked.currency, asked.start, asked.until),
        asked.page,
        asked.limit,
        newest_first=asked.newest_first,
    )
    place = Pagination(
        limit=asked.limit, page=asked.page, total=total, total_pages=-(-total // asked.limit)
    )
    headers = [
        (b"x-pagination-limit", b"%d" % place.limit),
        (b"x-pagination-page", b"%d" % place.page),
        (b"x-pagination-total", b"%d" % place.total),
        (b"x-pagination-total-pages", b"%d" % place.total_pages),
    ]
    data = [_entry(one) for one in entries]
    if _wants_csv(request):
        return _csv(data, "billing_usage.csv", headers)
    return answer(UsageAnswer(data=data, pagination=place), headers)


async def usage_history(house: House, request: Request, caller: Caller) -> Response:
    """GET /billing/usage-history: entries in the order in which they came to be."""
    yard, account_id = house.yard, caller.account_id
    asked = history_query(request.query_params)
    if asked.cursor is None:
        walk = Walk(Span(asked.currency, asked.start, asked.until), asked.page_size)
    else:
        walk = usage.read_cursor(yard.keyring, account_id, asked.cursor)
    entries, rest = await usage.history(yard.database, account_id, walk)
    cursor = None if rest is None else usage.write_cursor(yard.keyring, account_id, rest)
    data = [_entry(one) for one in entries]
    if not _wants_csv(request):
        return answer(HistoryAnswer(data=data, next_cursor=cursor))
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"[:-3]
    headers = [] if cursor is None else [(b"x-next-cursor", cursor.encode())]
    return _csv(data, f"billing-usage-history-{now}Z.csv", headers)


class Analytics:
    """GET /billing/usage-analytics: what it came to, known for ten minutes."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._known = Fresh(self._read, _CACHE_SECONDS, most=_CACHED)

    async def answer(self, house: House, request: Request, caller: Caller) -> Response:
        """The charges of days, models and keys."""
        asked = analytics_query(request.query_params, caller.today)
        totals = await self._known.get((caller.account_id, asked.first, asked.last))
        return answer(_analysis(asked, totals, house.yard.catalog))

    async def _read(self, span: _Span) -> Sequence[Total]:
        return await usage.totals(self._house.yard.database, *span)


def _entry(entry: Entry) -> UsageEntry:
    sign = -1 if entry.charge else 1
    if entry.charge:
        notes = "API Inference"
    else:
        notes = "API Inference refund" + (", lapsed with its epoch" if entry.lapsed else "")
    return UsageEntry(
        amount=usd_number(sign * entry.amount_micros),
        currency=entry.currency,
        inference_details=InferenceDetails(
            inference_execution_time=None if entry.render_us is None else entry.render_us // 1000,
            request_id=str(entry.queue_id),
        ),
        notes=notes,
        price_per_unit_usd=usd_number(entry.rate_micros),
        sku=f"{entry.model}-{entry.resolution}-video-second",
        timestamp=timestamp(entry.created_at),
        units=-sign * entry.seconds,
    )


def _wants_csv(request: Request) -> bool:
    """Whether the client would rather have CSV than JSON."""
    wanted = {"text/csv": 0.0, "application/json": 0.0}
    for part in request.headers.get("accept", "").split(","):
        name, _, parameters = part.partition(";")
        try:
            weight = float(parameters.replace(" ", "").removeprefix("q=") or 1)
        except ValueError:
            weight = 1.0
        if name.strip().lower() in wanted:
            wanted[name.strip().lower()] = weight
    return wanted["text/csv"] > wanted["application/json"]


def _csv(data: Iterable[UsageEntry], name: str, headers: Sequence[Header]) -> Response:
    disposition = {"content-disposition": f"attachment; filename={name}"}
    response = Response(csv_text(data), 200, disposition, "text/csv")
    response.raw_headers += headers
    return response


class _Totals(TypedDict):
    total_usd: Number
    total_diem: Number
    total_units: Number


@dataclass(slots=True)
class _Sum:
    """Of charges."""

    usd_micros: int = 0
    diem_micros: int = 0
    video_ms: int = 0

    def add(self, total: Total) -> None:
        self.usd_micros += total.usd_micros
        self.diem_micros += total.diem_micros
        self.video_ms += total.video_ms

    @property
    def micros(self) -> int:
        """One DIEM is worth one USD."""
        return self.usd_micros + self.diem_micros

    @property
    def in_all(self) -> _Totals:
        """As a row of the answer."""
        whole, rest = divmod(self.video_ms, 1000)
        return {
            "total_usd": usd_number(self.usd_micros),
            "total_diem": usd_number(self.diem_micros),
            "total_units": self.video_ms / 1000 if rest else whole,
        }


def _analysis(asked: AnalyticsQuery, totals: Sequence[Total], catalog: Catalog) -> AnalyticsAnswer:
    days = [asked.first + timedelta(days=n) for n in range((asked.last - asked.first).days + 1)]
    by_day = _summed(totals, lambda one: one.day)
    by_model = _summed(totals, lambda one: one.model)
    by_key = _summed(totals, lambda one: one.key_id)
    models = _labels({one: (_model_name(catalog, one), one) for one in by_model})
    keys = _labels({one.key_id: (one.description, one.last6) for one in totals})
    return AnalyticsAnswer(
        lookback=asked.lookback,
        by_date=[_day(day, by_day.get(day, _Sum())) for day in reversed(days)],
        by_model=[
            ModelTotals(model_name=models[one], **total.in_all) for one, total in by_model.items()
        ],
        by_model_daily=_daily(days, totals, lambda one: one.model, models, list(by_model)[:_TOP]),
        top_models=[models[one] for one in list(by_model)[:_TOP]],
        by_key=[
            KeyTotals(api_key_id=str(one), description=keys[one], **total.in_all)
            for one, total in by_key.items()
        ],
        by_key_daily=_daily(days, totals, lambda one: one.key_id, keys, list(by_key)[:_TOP]),
        top_key_names=[keys[one] for one in list(by_key)[:_TOP]],
    )


def _summed(totals: Iterable[Total], of: Callable[[Total], K]) -> dict[K, _Sum]:
    """The sum of each, the largest first."""
    found: dict[K, _Sum] = {}
    for total in totals:
        found.setdefault(of(total), _Sum()).add(total)
    return dict(sorted(found.items(), key=lambda item: -item[1].micros))


def _daily(
    days: Sequence[date],
    totals: Iterable[Total],
    of: Callable[[Total], K],
    labels: Mapping[K, str],
    top: Sequence[K],
) -> list[dict[str, Number]]:
    """What each of the top ones came to on each day, for a chart."""
    found = _summed(totals, lambda one: (one.day, of(one)))
    return [
        {labels[one]: usd_number(found.get((day, one), _Sum()).micros) for one in top}
        | {"date": _unix_ms(day)}
        for day in days
    ]


def _labels(named: Mapping[K, tuple[str, str]]) -> dict[K, str]:
    """A name for each that no other has, nor a chart itself."""
    counts = Counter(name for name, _ in named.values()) + Counter({"": 2, "date": 2})
    return {
        one: name if counts[name] == 1 else f"{name} ({more})".strip()
        for one, (name, more) in named.items()
    }


def _model_name(catalog: Catalog, model: str) -> str:
    entry = catalog.models.get(model)
    return model if entry is None else entry.name


def _day(day: date, total: _Sum) -> DayTotals:
    return DayTotals(
        date=str(day), usd=usd_number(total.usd_micros), diem=usd_number(total.diem_micros)
    )


def _unix_ms(day: date) -> int:
    return (day - date(1970, 1, 1)) // timedelta(milliseconds=1)
