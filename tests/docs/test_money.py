"""The SQL of docs/money.md, run on real books."""

import re
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest

from squero.domain import accounts, generation, keys, ledger
from squero.domain.catalog import VideoRequest
from squero.domain.yard import Yard

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "money.md"


async def test_an_account_is_reconciled_by_hand(yard: Yard, database_url: str) -> None:
    async with yard.database.transaction() as tx:
        account = await accounts.open_new(tx, "acme", "postpaid", 1_000_000)
        await accounts.top_up(tx, account, 50_000)
        await accounts.top_up(tx, account, 10_000, "BUNDLED_CREDITS")
        await accounts.set_diem(tx, account, 150_000)
        _, key = await keys.create(tx, yard.keyring, account.id, "INFERENCE", "")
    caller = await keys.Callers(yard.database, yard.keyring).find(key)
    wanted = VideoRequest(model="motion-text-to-video", prompt="a lagoon", duration="5s")
    price = generation.quote(yard, wanted)
    assert price == 100_000
    # Paid in DIEM, the next two in USD; the first is over after its day.
    first, second, _ = [await generation.queue(yard, caller, wanted, None) for _ in range(3)]
    async with yard.database.transaction() as tx:
        await ledger.capture(tx, second.queue_id)
    await _next_day(database_url)
    await generation.cancel(yard, account.id, first.queue_id)

    movements, sums, holds, owed, spent, entries = _answers(database_url)
    made = sorted(row[2:3] + row[4:] for row in movements)
    assert made == sorted(
        [
            ("BUNDLED_CREDITS", "funding", "available", 10_000),
            ("DIEM", "funding", "available", 150_000),
            ("DIEM", "available", "held", price),
            ("DIEM", "held", "lapsed", price),
            ("USD", "line", "available", 1_000_000),
            ("USD", "funding", "available", 50_000),
            ("USD", "available", "held", price),
            ("USD", "available", "held", price),
            ("USD", "held", "revenue", price),
        ]
    )
    assert [(row[0], *row[2:]) for row in sums] == [
        ("BUNDLED_CREDITS", 10_000, 10_000, 0, 0),
        ("DIEM", 50_000, 50_000, 0, 0),
        ("USD", 850_000, 850_000, price, price),
    ]
    # The books were settled past the job, which still says that it is queued.
    assert [row[1:] for row in holds] == [("queued", "USD", price)]
    assert owed == [(1_000_000, 150_000)]
    assert [row[1:] for row in spent] == [("DIEM", 0, 0), ("USD", 2 * price, 2 * price)]
    assert entries == [("DIEM", 0, 0, 0), ("USD", -2 * price, price, price)]


async def _next_day(database_url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(database_url)
    async with connection:
        await connection.execute("UPDATE clock SET shift = shift + interval '1 day'")


def _answers(database_url: str) -> list[list[tuple[object, ...]]]:
    blocks = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with psycopg.connect(database_url) as connection:
        return [connection.execute(cast(LiteralString, block)).fetchall() for block in blocks]
