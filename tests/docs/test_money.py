"""The SQL of docs/money.md, run on real books."""

import re
from pathlib import Path
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest

from squero.domain import accounts, generation, keys, ledger
from squero.domain.accounts import Account
from squero.domain.keys import Caller
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "money.md"
WANTED = VideoRequest(model="motion-text-to-video", prompt="a lagoon", duration="5s")
PRICE = 100_000


async def test_a_postpaid_account_is_reconciled_by_hand(yard: Yard, database_url: str) -> None:
    account = await _open(yard, "acme", "postpaid", 1_000_000)
    async with yard.database.transaction() as tx:
        await accounts.top_up(tx, account, 50_000)
        await accounts.top_up(tx, account, 10_000, "BUNDLED_CREDITS")
        await accounts.set_diem(tx, account, 150_000)
    # Paid in DIEM, the next two in USD; the first is over after its day.
    first, second, _ = await _queue(yard, account, 3)
    await _earn(yard, second)
    await _next_day(database_url)
    await generation.cancel(yard, account.id, first)

    books, movements, sums, holds, owed, spent, entries = _answers(database_url, "acme")
    assert books == [
        ("BUNDLED_CREDITS", "available", 10_000),
        ("BUNDLED_CREDITS", "funding", -10_000),
        ("DIEM", "available", 50_000),
        ("DIEM", "funding", -150_000),
        ("DIEM", "held", 0),
        ("DIEM", "lapsed", PRICE),
        ("USD", "available", 850_000),
        ("USD", "funding", -50_000),
        ("USD", "held", PRICE),
        ("USD", "line", -1_000_000),
        ("USD", "revenue", PRICE),
    ]
    assert sorted(row[2:3] + row[4:] for row in movements) == sorted(
        [
            ("BUNDLED_CREDITS", "funding", "available", 10_000),
            ("DIEM", "funding", "available", 150_000),
            ("DIEM", "available", "held", PRICE),
            ("DIEM", "held", "lapsed", PRICE),
            ("USD", "line", "available", 1_000_000),
            ("USD", "funding", "available", 50_000),
            ("USD", "available", "held", PRICE),
            ("USD", "available", "held", PRICE),
            ("USD", "held", "revenue", PRICE),
        ]
    )
    assert [(row[0], *row[2:]) for row in sums] == [
        ("BUNDLED_CREDITS", 10_000, 10_000, 0, 0),
        ("DIEM", 50_000, 50_000, 0, 0),
        ("USD", 850_000, 850_000, PRICE, PRICE),
    ]
    assert [row[1:] for row in holds] == [("queued", "USD", PRICE)]
    assert owed == [(1_000_000, 150_000)]
    assert [row[1:] for row in spent] == [("DIEM", 0, 0), ("USD", 2 * PRICE, 2 * PRICE)]
    assert entries == [("DIEM", 0, 0, 0), ("USD", -2 * PRICE, PRICE, PRICE)]


@pytest.mark.parametrize(
    ("billing", "source", "left"), [("prepaid", "available", 800_000), ("unmetered", "funding", 0)]
)
async def test_any_account_is_reconciled_by_hand(
    yard: Yard, database_url: str, billing: accounts.Billing, source: str, left: int
) -> None:
    account, other = await _open(yard, "den", billing), await _open(yard, "acme", "unmetered")
    if billing == "prepaid":
        async with yard.database.transaction() as tx:
            await accounts.top_up(tx, account, 1_000_000)
    await _queue(yard, other, 1)
    refunded, earned, _ = await _queue(yard, account, 3)
    await generation.cancel(yard, account.id, refunded)
    await _earn(yard, earned)

    books, movements, sums, holds, owed, spent, entries = _answers(database_url, "den")
    assert sum(row[2] for row in books) == 0
    assert {row[1]: row[2] for row in books} == {
        "funding": -left - 2 * PRICE,
        "held": PRICE,
        "revenue": PRICE,
    } | ({"available": left} if left else {})
    assert {row[4:] for row in movements if row[4] == "held"} == {
        ("held", source, PRICE),
        ("held", "revenue", PRICE),
    }
    assert [row[2:] for row in sums] == [(left, left, PRICE, PRICE)]
    assert [row[1:] for row in holds] == [("queued", "USD", PRICE)]
    assert owed == [(0, -left)]
    assert [row[1:] for row in spent] == [("DIEM", 0, 0), ("USD", 2 * PRICE, 2 * PRICE)]
    assert entries == [("USD", -2 * PRICE, PRICE, PRICE)]


async def test_what_is_missing_shows(yard: Yard, database_url: str) -> None:
    account = await _open(yard, "acme", "prepaid")
    async with yard.database.transaction() as tx:
        await accounts.top_up(tx, account, 1_000_000)
    (queue_id,) = await _queue(yard, account, 1)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM balances")
        connection.execute("DELETE FROM generations")
    _, _, sums, holds, *_ = _answers(database_url, "acme")
    assert [(row[0], *row[2:]) for row in sums] == [
        ("USD", 1_000_000 - PRICE, None, PRICE, None),
    ]
    assert holds == [(queue_id, None, "USD", PRICE)]


async def _open(yard: Yard, name: str, billing: accounts.Billing, line_micros: int = 0) -> Account:
    async with yard.database.transaction() as tx:
        return await accounts.open_new(tx, name, billing, line_micros)


async def _queue(yard: Yard, account: Account, jobs: int) -> list[UUID]:
    assert await generation.quote(yard, WANTED) == PRICE
    async with yard.database.transaction() as tx:
        _, key = await keys.create(tx, yard.keyring, account.id, "INFERENCE", "")
    caller: Caller = await keys.Callers(yard.database, yard.keyring).find(key)
    return [(await generation.queue(yard, caller, WANTED, None)).queue_id for _ in range(jobs)]


async def _earn(yard: Yard, queue_id: UUID) -> None:
    """Past the job, which still says that it is queued."""
    async with yard.database.transaction() as tx:
        await ledger.capture(tx, queue_id)


async def _next_day(database_url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(database_url)
    async with connection:
        await connection.execute("UPDATE clock SET shift = shift + interval '1 day'")


def _answers(database_url: str, name: str) -> list[list[tuple[Any, ...]]]:
    """What each query of the page says of the account."""
    blocks = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert all("'acme'" in block for block in blocks)
    asked = [cast(LiteralString, block.replace("'acme'", f"'{name}'")) for block in blocks]
    with psycopg.connect(database_url) as connection:
        return [connection.execute(one).fetchall() for one in asked]
