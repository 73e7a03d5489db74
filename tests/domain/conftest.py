"""What these tests stand on: both PostgreSQLs, a look behind the verbs, and a clock that moves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from squero.domain import accounts, attempt, generation, keys, presence, unfinished
from squero.domain.inputs import Sealing
from squero.domain.video_request import VideoRequest
from squero.media.sealed import SealedWriter

TEXT = VideoRequest("motion-text-to-video", "a lagoon", "5s", resolution="480p")

MULTIPLY = """
WITH old AS (SELECT {columns} FROM generations WHERE queue_id = %(queue_id)s
), more AS (
    INSERT INTO generations (queue_id, {columns})
    SELECT gen_random_uuid(), {columns} FROM old, generate_series(1, %(count)s)
    RETURNING queue_id
), held AS (
    INSERT INTO transfers
        (id, account_id, currency, epoch, from_book, to_book, amount_micros, queue_id, key_id,
         counted_on)
    SELECT 'hold:' || more.queue_id, account_id, currency, epoch, from_book, to_book, amount_micros,
           more.queue_id, key_id, counted_on
    FROM more, transfers WHERE id = 'hold:' || %(queue_id)s::text
), spent AS (
    UPDATE spending s SET day_micros = s.day_micros + %(count)s * old.price_micros,
        month_micros = s.month_micros + %(count)s * old.price_micros,
        lifetime_micros = s.lifetime_micros + %(count)s * old.price_micros
    FROM old WHERE (s.key_id, s.currency) = (old.key_id, old.currency)
), shared AS (
    UPDATE shares s SET queued = s.queued + %(count)s,
        waiting_us = s.waiting_us + %(count)s * old.estimate_us
    FROM old WHERE (s.lane, s.account_id) = (old.lane, old.account_id)
)
UPDATE balances b SET held_micros = b.held_micros + %(count)s * old.price_micros
FROM old WHERE b.account_id = old.account_id
"""


@pytest.fixture(scope="session", params=["wheel", pytest.param("system", marks=pytest.mark.system)])
def cluster(request: pytest.FixtureRequest, start_cluster: Callable[[str], str]) -> str:
    """The wheel's PostgreSQL, and the one on PATH where there is one."""
    return start_cluster(request.param)


@pytest.fixture
def sql(database_url: str) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """Runs a statement past the domain: `await sql("SELECT …", value, …)`."""

    async def run(text: str, *values: object, **named: object) -> list[dict[str, Any]]:
        async with await psycopg.AsyncConnection.connect(
            database_url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = await connection.execute(text, named or values or None)
            return [] if cursor.description is None else await cursor.fetchall()

    return run


@pytest.fixture
def pass_time(sql) -> Callable[[float], Awaitable[None]]:
    """Moves the database's clock on: `await pass_time(seconds)`."""

    async def move(seconds: float) -> None:
        await sql("UPDATE clock SET shift = shift + make_interval(secs => %s)", seconds)

    return move


@pytest.fixture
def look(yard, pass_time):
    """Reaps as the chore does, every two seconds, for so long; gives how many were lost."""

    async def look_for(seconds: int) -> int:
        lost = 0
        for _ in range(0, seconds, 2):
            await pass_time(2)
            lost += await unfinished.reap(yard)
        return lost

    return look_for


@pytest.fixture
async def calm(yard, look, sql):
    """The server has run for longer than a lease: nothing is hushed any more.

    Its clock stands still but for what passes: a test held up for a second would be an outage.
    """
    (row,) = await sql("SELECT now()::text AS now")
    await sql(
        "CREATE OR REPLACE FUNCTION squero_now() RETURNS timestamptz LANGUAGE sql STABLE"
        f" AS $$SELECT timestamptz '{row['now']}' + shift FROM clock$$"
    )
    await look(2 * yard.settings.lease_seconds)


class Play:
    """The verbs with their usual arguments."""

    def __init__(self, yard, sql) -> None:
        self.yard = yard
        self.sql = sql
        self.server = uuid4()
        self.tasks: list[asyncio.Task[Any]] = []

    def beside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """What goes on beside the test, and ends with it, also when the test fails."""
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]

    async def hire(self, lane="default", *, own=False):
        """A worker of a lane."""
        async with self.yard.database.transaction() as tx:
            server = self.server if own else None
            worker_id, _ = await keys.create_worker(tx, self.yard.keyring, "w", lane, server=server)
        # Not looked up: in a crowd it may have been revoked by now.
        return keys.Worker(worker_id, lane, own, "w")

    async def queue(self, tenant, key=None, request=TEXT, **terms):
        """A job of the tenant's; `weight=…` and `cap=…` are the account's."""
        if terms:
            async with self.yard.database.transaction() as tx:
                await accounts.set_share(
                    tx, tenant.account, terms.get("weight", 1), terms.get("cap")
                )
        return (await generation.queue(self.yard, tenant.caller, request, key)).queue_id

    async def seen(self, worker, *troubles):
        """A worker asks for work, all but that of these models."""
        await presence.seen(self.yard, worker, dict.fromkeys(troubles, "It has no GPU"))

    async def claim(self, worker, warm=(), troubles=()):
        """The next job, or None."""
        found = await attempt.claim(self.yard, worker, warm, troubles)
        return None if found is None else found.claimed

    async def rendering(self, tenant, worker, **terms):
        """A job of the tenant's that this worker renders."""
        queue_id = await self.queue(tenant, **terms)
        claimed = await self.claim(worker)
        assert claimed.queue_id == queue_id
        return claimed

    async def finish(self, worker, claimed):
        await attempt.finish(self.yard, worker, claimed.queue_id, claimed.attempt)

    async def fail(self, worker, claimed, kind="crash", message=None):
        await attempt.fail(self.yard, worker, claimed.queue_id, claimed.attempt, kind, message)

    async def retrieve(self, tenant, queue_id, model=TEXT.model):
        return await generation.retrieve(self.yard, tenant.caller, model, str(queue_id))

    async def row(self, queue_id: UUID):
        """The whole row of a generation."""
        return (await self.sql("SELECT * FROM generations WHERE queue_id = %s", queue_id))[0]

    async def world(self):
        """Every row that a job can change."""
        return {
            table: await self.sql(f"SELECT * FROM {table} ORDER BY 1, 2")
            for table in ("generations", "shares", "lanes", "balances", "transfers", "spending")
        }

    async def balance(self, tenant):
        """What is available and what is held, in micros."""
        [row] = await self.sql(
            "SELECT * FROM balances WHERE account_id = %s AND currency = 'USD'", tenant.account.id
        )
        return row["available_micros"], row["held_micros"]

    async def multiply(self, queue_id: UUID, count: int) -> None:
        """So many more jobs like this queued one of an unmetered account, all at once."""
        row = await self.row(queue_id)
        columns = ", ".join(name for name in row if name not in ("queue_id", "seq"))
        await self.sql(MULTIPLY.format(columns=columns), queue_id=queue_id, count=count)

    def seal_result(self, claimed, video=b"video") -> None:
        """The attempt's result in its place, as an upload leaves it."""
        generation_key = self.yard.keyring.unwrap(claimed.wrapped_key, claimed.key_day)
        sealing, role = Sealing(claimed.queue_id, generation_key), f"result/{claimed.attempt}"
        with self.yard.folder.create(sealing.name(role)) as draft:
            writer = SealedWriter(draft.fileno(), sealing.key(role))
            writer.write(video)
            writer.finish()
            draft.publish()

    def store(self, name: str) -> None:
        """An object with anything in it."""
        with self.yard.folder.create(name) as draft:
            draft.write(b"anything")
            draft.publish()

    def stored(self, queue_id: UUID) -> list[str]:
        """The names of a generation's objects."""
        return sorted(self.yard.folder.names(f"generations/{queue_id}"))


@pytest.fixture
async def play(yard, sql) -> AsyncIterator[Play]:
    """The verbs with their usual arguments."""
    made = Play(yard, sql)
    yield made
    # Their yard closes now: what they met then would be laid at the door of another test.
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


@pytest.fixture
async def tenant(open_tenant):
    """An account with a dollar."""
    return await open_tenant(credit_micros=1_000_000)


@pytest.fixture
async def worker(play):
    """A worker of the default lane."""
    return await play.hire()
