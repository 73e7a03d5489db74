"""The SQL of docs/money.md, run on real books."""

import re
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest

from squero.domain import accounts, generation, keys
from squero.domain.catalog import VideoRequest
from squero.domain.yard import Yard

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "money.md"


async def test_an_account_is_reconciled_by_hand(yard: Yard, database_url: str) -> None:
    async with yard.database.transaction() as tx:
        account, _ = await accounts.find_or_open(tx, "acme", "prepaid")
        await accounts.top_up(tx, account, 1_000_000)
        _, key = await keys.create(tx, yard.keyring, account.id, "INFERENCE", "")
    caller = await keys.Callers(yard.database, yard.keyring).find(key)
    wanted = VideoRequest(model="motion-text-to-video", prompt="a lagoon", duration="5s")
    running = await generation.queue(yard, caller, wanted, None)
    over = await generation.queue(yard, caller, wanted, None)
    await generation.cancel(yard, account.id, over.queue_id)
    price = generation.quote(yard, wanted)

    movements, sums, holds = _answers(database_url)
    assert [row[2:] for row in movements] == [
        ("funding", "available", 1_000_000),
        ("available", "held", price),
        ("available", "held", price),
        ("held", "available", price),
    ]
    assert sums == [(1_000_000 - price, price)] * 2
    assert holds == [(running.queue_id, "queued", price)]


def _answers(database_url: str) -> list[list[tuple[object, ...]]]:
    blocks = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with psycopg.connect(database_url) as connection:
        return [connection.execute(cast(LiteralString, block)).fetchall() for block in blocks]
