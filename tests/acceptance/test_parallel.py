"""Two hundred queue calls at once with money for three, again and again: never a fourth."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from squero.domain.keys import Terms
from squero.domain.ledger import Currency

from .conftest import Server, open_account, squero

pytestmark = [pytest.mark.anyio, pytest.mark.acceptance]

CALLS, COVERED = 200, 3
PRICE_MICROS = 50_000
PLENTY_MICROS = 1_000_000_000
LIMIT_MICROS = COVERED * PRICE_MICROS
JOB = json.dumps(
    {
        "model": "motion-text-to-video",
        "prompt": "a gondola at dawn",
        "duration": "5s",
        "resolution": "480p",
    }
).encode()
"""Of exactly the price above."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One where nothing is rendered: what is held stays held."""
    started = Server(tmp_path_factory.mktemp("parallel") / "home", "--workers", "0")
    try:
        with started.database() as database:
            # Without a worker that asks now and then, its models would be offline in two minutes.
            database.execute(
                "INSERT INTO workers (name, lane, hash, last_seen_at)"
                " VALUES ('asks', 'default', '', squero_now() + interval '1 hour')"
            )
        yield started
        checked = squero("ledger", "check", "--home", str(started.home), check=False)
        assert checked.returncode == 0, checked.stdout
        assert "The books are in order." in checked.stdout
        assert started.end() == 0
    finally:
        started.close()


@dataclass(frozen=True)
class Purse:
    """What an account has and its key may spend, which covers three jobs."""

    refusal: str
    micros: Mapping[Currency, int]
    terms: Terms | None = None

    @property
    def left_micros(self) -> int:
        """What no fourth job can be paid with."""
        return sum(self.micros.values()) - LIMIT_MICROS


POOR = "Insufficient USD or Diem balance to complete request"
LIMITED = (
    "API key {0} spend limit exceeded. Your account may still have {0} balance, but this API key"
    " has reached its configured {0} spending limit."
)
PURSES = {
    "usd": Purse(POOR, {"USD": LIMIT_MICROS}),
    # DIEM is of use from a tenth on: the last of it stays.
    "diem": Purse(POOR, {"DIEM": LIMIT_MICROS + PRICE_MICROS}),
    "one_of_each": Purse(
        POOR, {"DIEM": 2 * PRICE_MICROS, "BUNDLED_CREDITS": PRICE_MICROS, "USD": PRICE_MICROS}
    ),
    "usd_limit": Purse(
        LIMITED.format("USD"), {"USD": PLENTY_MICROS}, Terms(usd_limit_micros=LIMIT_MICROS)
    ),
    "diem_limit": Purse(
        LIMITED.format("DIEM"),
        {"DIEM": PLENTY_MICROS},
        Terms(diem_limit_micros=LIMIT_MICROS, limit_period="LIFETIME"),
    ),
}


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.kill)])
@pytest.mark.parametrize("purse", PURSES.values(), ids=PURSES)
async def test_exactly_three_are_taken(server: Server, purse: Purse, times: int) -> None:
    opened = [await open_account(server, purse.micros, terms=purse.terms) for _ in range(times)]
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line.open(server.url)) for _ in range(CALLS)]
        for _, key in opened:
            answers = Counter(await asyncio.gather(*(line.queue(key) for line in lines)))
            assert answers == {(200, None): COVERED, (402, purse.refusal): CALLS - COVERED}
    holds = (COVERED, LIMIT_MICROS)
    found = books(server, [account.id for account, _ in opened])
    assert found == [(purse.left_micros, LIMIT_MICROS, *holds, *holds, LIMIT_MICROS)] * times


@dataclass(frozen=True)
class Line:
    """A connection of its own: a client's pool of so many would take longer than the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator["Line"]:
        place = urlsplit(url)
        line = cls(*await asyncio.open_connection(place.hostname, place.port))
        try:
            yield line
        finally:
            line.writer.close()
            await line.writer.wait_closed()

    async def queue(self, key: str) -> tuple[int, str | None]:
        """The status of the answer, and its error."""
        self.writer.write(
            b"POST /api/v1/video/queue HTTP/1.1\r\nhost: squero\r\n"
            b"content-type: application/json\r\nauthorization: Bearer %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (key.encode(), len(JOB), JOB)
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = json.loads(await self.reader.readexactly(size))
        return int(head.split(" ", 2)[1]), body.get("error")


def books(server: Server, of: list[UUID]) -> list[tuple[int, ...]]:
    """Of each account: left, held; number and sum of its holds; the same of its jobs; spent."""
    with server.database() as database:
        return database.execute(
            """
            SELECT b.available, b.held, h.count, h.sum, g.count, g.sum, s.sum
            FROM unnest(%s::uuid[]) AS a (id)
            CROSS JOIN LATERAL (SELECT sum(available_micros) AS available, sum(held_micros) AS held
                FROM balances WHERE account_id = a.id) AS b
            CROSS JOIN LATERAL (SELECT count(*), sum(amount_micros)
                FROM transfers WHERE account_id = a.id AND to_book = 'held') AS h
            CROSS JOIN LATERAL (SELECT count(*), sum(price_micros)
                FROM generations WHERE account_id = a.id AND state = 'queued') AS g
            CROSS JOIN LATERAL (SELECT sum(lifetime_micros)
                FROM spending JOIN keys ON keys.id = key_id WHERE account_id = a.id) AS s
            """,
            [of],
        ).fetchall()
