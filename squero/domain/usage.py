"""Usage: what an account may spend, what its jobs were charged, and where that went.

An entry is a charge, when a job is queued, or its refund, when the job ends without a video.
`docs/money.md` says how entries and transfers go together.
"""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final
from uuid import UUID

from squero.errors import InvalidCursor
from squero.media.keyring import Keyring
from squero.money import MICROS_PER_USD, UNMETERED_USD
from squero.store.db import Database, Tx

_SPENDABLE_MICROS: Final = 100_000  # DIEM below a tenth pays for nothing
_GRACE_SECONDS: Final = 1.0
_YOUNG_SECONDS: Final = 10.0
_MAC_BYTES: Final = 16
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,512}")


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account may spend now, in micros; the allocation is what this epoch began with."""

    billing: str
    usd_micros: int
    bundled_micros: int
    diem_micros: int
    allocation_micros: int

    @property
    def staked(self) -> bool:
        """Whether the account has DIEM in this epoch, be it spent."""
        return self.allocation_micros > 0

    @property
    def spendable_usd_micros(self) -> int:
        """USD; of an unmetered account more than anybody has."""
        unmetered = self.billing == "unmetered"
        return UNMETERED_USD * MICROS_PER_USD if unmetered else self.usd_micros

    @property
    def enough(self) -> bool:
        """Whether all of it together is at least a tenth."""
        both = self.spendable_usd_micros + self.bundled_micros
        return both + self.diem_micros >= _SPENDABLE_MICROS

    @property
    def next_currency(self) -> str | None:
        """What a small job would be paid with; None when there is nothing to pay with."""
        if self.billing != "unmetered":
            if self.diem_micros >= _SPENDABLE_MICROS:
                return "DIEM"
            if self.bundled_micros:
                return "BUNDLED_CREDITS"
        return "USD" if self.spendable_usd_micros else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A charge or a refund, with the job that it is for."""

    id: str
    created_at: datetime
    currency: str
    to_book: str
    amount_micros: int
    queue_id: UUID
    model: str
    resolution: str
    frames: int
    fps: int
    render_us: int | None

    @property
    def charge(self) -> bool:
        """Whether it takes money; a refund gives it back, or lets it lapse with its epoch."""
        return self.to_book == "held"

    @property
    def lapsed(self) -> bool:
        """Whether it is the refund of DIEM whose epoch was over."""
        return self.to_book == "lapsed"

    @property
    def seconds(self) -> int | float:
        """Of the video."""
        whole, rest = divmod(self.frames, self.fps)
        return self.frames / self.fps if rest else whole

    @property
    def rate_micros(self) -> int:
        """For a second of the video."""
        return self.amount_micros * self.fps // self.frames


@dataclass(frozen=True, slots=True)
class Span:
    """Which entries are meant: of one currency or all, from `start` on, before `until`."""

    currency: str | None = None
    start: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through a history, page after page: which entries, and the last one that was seen."""

    span: Span
    size: int
    after: str = ""
    """The id of the last entry; `span.start` is when it came to be."""


@dataclass(frozen=True, slots=True)
class Total:
    """The charges of a day, of one model by one key; refunds do not lessen them."""

    day: date
    model: str
    key_id: UUID
    usd_micros: int
    """Bundled credits among them."""
    diem_micros: int
    video_ms: int
    description: str
    last6: str


async def balance(database: Database, account_id: UUID) -> Balance:
    """What the account may spend now."""
    async with database.reading() as tx:
        found = await tx.one(Balance, "usage.balance", account_id=account_id)
    assert found is not None
    return found


async def page(
    database: Database, account_id: UUID, span: Span, number: int, size: int, *, newest_first: bool
) -> tuple[Sequence[Entry], int]:
    """A page of the account's entries, counted from 1, and how many entries there are."""
    offset = (number - 1) * size
    asked = {"account_id": account_id, **_bounds(span)}
    async with database.snapshot() as tx:
        total: int = await tx.value("usage.count", **asked)
        if offset >= total:
            return [], total
        asked |= {"limit": size, "offset": offset}
        if newest_first:
            return await tx.all(Entry, "usage.newest", **asked), total
        return await tx.all(Entry, "usage.oldest", **asked, after=""), total


async def history(
    database: Database, account_id: UUID, walk: Walk
) -> tuple[Sequence[Entry], Walk | None]:
    """The next entries of a walk in the order in which they came to be, and how it goes on.

    It ends where an earlier entry may still come, a second ago or when the oldest transaction
    that is open began: whoever has seen an entry has seen every one before it.
    """
    async with database.reading() as tx:
        # Two statements: what the second one sees must be younger than what the first one found.
        horizon: datetime = await tx.value(
            "usage.horizon", grace_seconds=_GRACE_SECONDS, young_seconds=_YOUNG_SECONDS
        )
        until = min(walk.span.until or horizon, horizon)
        found = await _after(tx, account_id, replace(walk.span, until=until), walk)
    entries = found[: walk.size]
    if len(found) <= walk.size:
        return entries, None
    seen = entries[-1]
    return entries, replace(walk, span=replace(walk.span, start=seen.created_at), after=seen.id)


async def _after(tx: Tx, account_id: UUID, span: Span, walk: Walk) -> Sequence[Entry]:
    place = {"after": walk.after, "limit": walk.size + 1, "offset": 0}
    return await tx.all(Entry, "usage.oldest", account_id=account_id, **_bounds(span), **place)


def _bounds(span: Span) -> dict[str, object]:
    return {"currency": span.currency, "start": span.start, "until": span.until}


async def totals(database: Database, account_id: UUID, first: date, last: date) -> Sequence[Total]:
    """The account's charges from the first UTC day to the last, by day, model and key."""
    async with database.reading() as tx:
        return await tx.all(Total, "usage.totals", account_id=account_id, first=first, last=last)


def write_cursor(keyring: Keyring, account_id: UUID, walk: Walk) -> str:
    """The walk as a text for this account alone, of at most 512 of `[A-Za-z0-9_-]`."""
    span = walk.span
    times = [None if at is None else at.isoformat() for at in (span.start, span.until)]
    text = json.dumps([span.currency, *times, walk.size, walk.after]).encode()
    return _text(_mac(keyring, account_id, text) + text)


def read_cursor(keyring: Keyring, account_id: UUID, cursor: str) -> Walk:
    """The walk again; raises InvalidCursor for what was not written for this account."""
    if not _CURSOR.fullmatch(cursor):
        raise InvalidCursor
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except binascii.Error:
        raise InvalidCursor from None
    mac, text = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    # What decodes to the same bytes is not the same cursor.
    if _text(raw) != cursor or not hmac.compare_digest(mac, _mac(keyring, account_id, text)):
        raise InvalidCursor
    currency, start, until, size, after = json.loads(text)
    return Walk(Span(currency, _time(start), _time(until)), size, after)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(keyring: Keyring, account_id: UUID, text: bytes) -> bytes:
    return keyring.hmac("usage cursor", account_id.bytes + text)[:_MAC_BYTES]
