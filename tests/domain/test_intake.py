"""Jobs that are queued by one statement, beside the same jobs queued by themselves."""

import asyncio
from collections import defaultdict
from datetime import datetime

import psycopg
import pytest
from psycopg.errors import DeadlockDetected

from squero.domain import accounts, generation, upkeep
from squero.domain.video_request import VideoRequest
from squero.errors import (
    AuthenticationFailed,
    InsufficientBalance,
    SpendLimitExceeded,
    TooManyQueued,
)

pytestmark = pytest.mark.anyio

TEXT = VideoRequest("motion-text-to-video", "a lagoon", "5s", resolution="480p")
PRICE = 50_000


class Told:
    """What the statement was asked and answered; raises `error` in its place."""

    def __init__(self, intake, monkeypatch):
        self.asked, self.taken, self.error = [], set(), None
        self.before = None
        self._queue = intake._queue
        monkeypatch.setattr(intake, "_queue", self)

    async def __call__(self, jobs):
        self.asked.append([job.account_id for job in jobs])
        if self.before is not None:
            await self.before()
        if self.error is not None:
            raise self.error
        taken = await self._queue(jobs)
        self.taken |= taken
        return taken


@pytest.fixture
def told(yard, monkeypatch):
    return Told(yard.intake, monkeypatch)


async def alone(play):
    """Takes as long as it takes, as a job does that goes by itself."""
    go_on = asyncio.Event()
    others = [play.beside(play.yard.intake.take(None, go_on.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    return go_on, others


async def together(play, tenants):
    """What became of a job of each tenant, all of which wait at the same time."""
    intake, all_wait = play.yard.intake, asyncio.Event()
    take_them = intake._go_on

    async def take_all():
        await all_wait.wait()
        await take_them()

    intake._go_on = take_all
    go_on, others = await alone(play)
    calls = [play.beside(play.queue(tenant)) for tenant in tenants]
    async with asyncio.timeout(10):
        while len(intake._waiting) < len(calls):
            await asyncio.sleep(0.001)
    all_wait.set()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert not any(other.done() for other in others)
    go_on.set()
    await asyncio.gather(*others)
    return found


@pytest.fixture
def open_all(yard, open_tenant, sql):
    """Tenants of every way to pay, each with what `count` jobs need."""

    async def make(count):
        unmetered, prepaid, postpaid, bundled, daily, limited = [
            await open_tenant(credit) for credit in (None, *5 * [count * PRICE])
        ]
        await sql("UPDATE accounts SET billing = 'postpaid' WHERE id = %s", postpaid.account.id)
        async with yard.database.transaction() as tx:
            await accounts.top_up(tx, bundled.account, count * PRICE, "BUNDLED_CREDITS")
        await sql("UPDATE accounts SET diem_micros = 9000000 WHERE id = %s", daily.account.id)
        await sql(
            "UPDATE keys SET usd_limit_micros = %s, limit_period = 'MONTH' WHERE account_id = %s",
            *(count * PRICE, limited.account.id),
        )
        return [unmetered, prepaid, postpaid, bundled, daily, limited]

    return make


def counts(world):
    """Every number of the rows that are added to, by what they belong to."""
    found = defaultdict(int)
    for table in ("balances", "spending", "shares"):
        for row in world[table]:
            of = tuple(str(value) for value in row.values() if not isinstance(value, int))
            for name, value in row.items():
                if isinstance(value, int) and name not in ("weight", "cap", "virtual_us"):
                    found[table, of, name] = value
    return found


def change(before, after):
    return {key: after[key] - before[key] for key in after if after[key] != before[key]}


def told_apart(rows):
    """Rows without what differs from job to job."""
    own = ("id", "queue_id", "seq", "seed", "prompt", "wrapped_key", "expected_wait_us")
    return [
        {
            name: value
            for name, value in row.items()
            if name not in own and not isinstance(value, datetime)
        }
        for row in rows
    ]


class TestTogether:
    async def test_does_what_each_by_itself_does(self, yard, play, open_all, told):
        tenants = await open_all(2)
        for tenant in tenants[4:5]:
            # The day's first job makes the day's balance.
            await generation.cancel(yard, tenant.account.id, await play.queue(tenant))
        none = await play.world()
        first = [await play.queue(tenant) for tenant in tenants]
        alone = await play.world()
        assert told.asked == []
        second = await together(play, tenants)
        both = await play.world()
        assert list(map(set, told.asked)) == [{tenant.account.id for tenant in tenants}]
        assert told.taken == set(second)
        assert change(counts(none), counts(alone)) == change(counts(alone), counts(both))
        for table in ("generations", "transfers"):
            of = {"queue_id": first}, {"queue_id": second}
            one, other = [
                sorted(
                    told_apart([row for row in both[table] if row["queue_id"] in ids["queue_id"]]),
                    key=lambda row: str(row["account_id"]),
                )
                for ids in of
            ]
            assert one == other
            assert len(one) == len(tenants)
        assert (await upkeep.audit(yard)).in_order

    async def test_each_hears_of_its_own_refusal(self, yard, play, open_all, told, sql):
        [unmetered, prepaid, revoked, _, crowded, limited] = tenants = await open_all(2)
        for tenant in tenants:
            await play.queue(tenant)
        await sql(
            "UPDATE balances SET available_micros = 0 WHERE account_id = %s", prepaid.account.id
        )
        await sql(
            "UPDATE keys SET revoked_at = squero_now() WHERE account_id = %s", revoked.account.id
        )
        most = yard.settings.queued_per_account
        await sql("UPDATE shares SET queued = %s WHERE account_id = %s", most, crowded.account.id)
        await sql(
            "UPDATE keys SET usd_limit_micros = %s WHERE account_id = %s", PRICE, limited.account.id
        )
        found = await together(play, tenants)
        assert [type(one) for one in found if isinstance(one, Exception)] == [
            InsufficientBalance,
            AuthenticationFailed,
            TooManyQueued,
            SpendLimitExceeded,
        ]
        assert told.taken == {found[0], found[3]}
        rows = await sql(
            "SELECT queue_id FROM generations WHERE account_id = %s", unmetered.account.id
        )
        assert found[0] in {row["queue_id"] for row in rows}

    async def test_who_comes_back_does_so_by_itself(self, yard, play, open_tenant, told):
        tenants = [await open_tenant() for _ in range(3)]
        await play.queue(tenants[0])
        found = await together(play, tenants)
        assert told.taken == {found[0]}
        assert (await upkeep.audit(yard)).in_order
        shares = await play.sql("SELECT queued FROM shares")
        assert sorted(row["queued"] for row in shares) == [1, 1, 2]

    async def test_an_account_has_one_in_a_statement(self, yard, play, open_tenant, told):
        tenants = [await open_tenant() for _ in range(2)]
        for tenant in tenants:
            await play.queue(tenant)
        found = await together(play, 3 * tenants)
        assert len(set(found)) == 6
        assert all(len(ids) == len(set(ids)) for ids in told.asked)
        shares = await play.sql("SELECT queued FROM shares")
        assert [row["queued"] for row in shares] == [4, 4]
        assert (await upkeep.audit(yard)).in_order

    async def test_a_locked_share_keeps_nobody_else(self, yard, play, open_tenant, database_url):
        tenants = [await open_tenant() for _ in range(3)]
        for tenant in tenants:
            await play.queue(tenant)
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            await other.execute(
                "SELECT FROM shares WHERE account_id = %s FOR UPDATE", [tenants[0].account.id]
            )
            go_on, _ = await alone(play)
            calls = [play.beside(play.queue(tenant)) for tenant in tenants]
            async with asyncio.timeout(10):
                await asyncio.gather(*calls[1:])
            assert not calls[0].done()
            go_on.set()
        await calls[0]
        assert (await upkeep.audit(yard)).in_order


class TestFailures:
    @pytest.mark.parametrize(
        "error", [DeadlockDetected, psycopg.DataError, psycopg.errors.CheckViolation]
    )
    async def test_leave_each_to_itself(self, yard, play, open_tenant, told, error):
        tenants = [await open_tenant() for _ in range(3)]
        told.error = error()
        found = await together(play, tenants)
        assert len(told.asked) == 1
        rows = await play.sql("SELECT queue_id FROM generations")
        assert {row["queue_id"] for row in rows} == set(found)
        assert (await upkeep.audit(yard)).in_order

    async def test_of_the_connection_is_everybodys(self, play, open_tenant, told):
        tenants = [await open_tenant() for _ in range(3)]
        told.error = psycopg.OperationalError()
        found = await together(play, tenants)
        assert found == 3 * [told.error]
        assert await play.sql("SELECT queue_id FROM generations") == []
        told.error = None
        await play.queue(tenants[0])

    async def test_by_itself_lets_others_in(self, yard, play, open_tenant):
        async def fails():
            raise LookupError

        for _ in range(3):
            with pytest.raises(LookupError):
                await yard.intake.take(None, fails)
        await play.queue(await open_tenant())

    async def test_who_has_left_is_not_taken(self, yard, play, open_tenant, told):
        tenants = [await open_tenant() for _ in range(3)]
        for tenant in tenants:
            await play.queue(tenant)
        hold = asyncio.Event()
        told.before = hold.wait
        go_on, _ = await alone(play)
        calls = [play.beside(play.queue(tenant)) for tenant in 2 * tenants]
        while len(yard.intake._waiting) < 3:
            await asyncio.sleep(0.001)
        left = yard.intake._waiting[0]
        left.taken.cancel()
        hold.set()
        found = await asyncio.gather(*calls, return_exceptions=True)
        go_on.set()
        assert [type(one) for one in found].count(asyncio.CancelledError) == 1
        rows = await play.sql("SELECT queue_id FROM generations")
        assert left.job.queue_id not in {row["queue_id"] for row in rows}
        assert len(rows) == 8
