"""The ledger: hold at queue, capture at success, release at failure; each at most once.

The hold is part of the statement that queues. Every function takes the transaction of the verb that
it is part of. `docs/money.md` tells how an account is reconciled by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID, uuid4

from squero.store.db import Tx

Currency = Literal["DIEM", "BUNDLED_CREDITS", "USD"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A balance that is not the sum of its transfers; without amounts, there is none."""

    account: str
    currency: str
    epoch: date
    available_micros: int | None
    held_micros: int | None
    available_sum: int
    held_sum: int


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A job whose end and whose money disagree, and how; without a state, there is no such job."""

    queue_id: str
    state: str | None
    fault: str


@dataclass(frozen=True, slots=True)
class Miscount:
    """A share whose counts are not those of its generations."""

    lane: str
    account: str
    queued: int
    running: int
    waiting_us: int
    queued_rows: int
    running_rows: int
    waiting_us_rows: int


@dataclass(frozen=True, slots=True)
class Miscounted:
    """A count of a key's spending that is not the sum of its holds; without one, it is missing."""

    account: str
    last6: str
    currency: str
    period: str
    spent_micros: int | None
    spent_sum: int


@dataclass(frozen=True, slots=True)
class Total:
    """What was looked at of a currency."""

    currency: str
    balances: int
    transfers: int
    revenue_micros: int
    held_micros: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What `squero ledger check` found; in order when there is nothing in the first four."""

    differences: Sequence[Difference]
    unsettled: Sequence[Unsettled]
    miscounts: Sequence[Miscount]
    miscounted: Sequence[Miscounted]
    totals: Sequence[Total]

    @property
    def in_order(self) -> bool:
        """Whether the books add up."""
        return not (self.differences or self.unsettled or self.miscounts or self.miscounted)


async def credit(tx: Tx, account_id: UUID, amount_micros: int, currency: Currency = "USD") -> None:
    """Add money from outside to an account's balance: USD or bundled credits."""
    await tx.run("ledger.credit", **_move("credit", account_id, amount_micros, currency))


async def set_line(tx: Tx, account_id: UUID, amount_micros: int) -> bool:
    """Make an account's credit line as large as this; False when more of it is spent or held."""
    now_micros = await tx.value("ledger.line", account_id=account_id)
    more = amount_micros - now_micros
    move = _move("line", account_id, abs(more), "USD") | {"book": "line"}
    if more == 0:
        return True
    return await tx.run("ledger.credit" if more > 0 else "ledger.debit", **move) == 1


def _move(kind: str, account_id: UUID, amount_micros: int, currency: Currency) -> dict[str, object]:
    return {
        "id": f"{kind}:{uuid4()}",
        "book": "funding",
        "account_id": account_id,
        "currency": currency,
        "amount_micros": amount_micros,
    }


async def capture(tx: Tx, queue_id: UUID) -> None:
    """What was held for the job is earned."""
    await tx.run("ledger.capture", queue_id=queue_id)


async def release(tx: Tx, queue_id: UUID) -> None:
    """What was held for the job goes back to the customer."""
    await tx.run("ledger.release", queue_id=queue_id)


async def audit(tx: Tx) -> Audit:
    """Recompute every balance, share and count of spending, and name what does not add up."""
    return Audit(
        differences=await tx.all(Difference, "ledger.differences"),
        unsettled=await tx.all(Unsettled, "ledger.unsettled"),
        miscounts=await tx.all(Miscount, "shares.differences"),
        miscounted=await tx.all(Miscounted, "ledger.miscounted"),
        totals=await tx.all(Total, "ledger.totals"),
    )
