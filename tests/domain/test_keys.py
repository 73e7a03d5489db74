"""Keys: their text, who is behind one, what each may do, and what it has spent."""

import asyncio
import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from squero.domain import accounts, generation, keys
from squero.domain.fresh import Fresh
from squero.domain.keys import Callers, Terms
from squero.errors import (
    AuthenticationFailed,
    KeyNotFound,
    ModelNotAllowed,
    SpendLimitExceeded,
    TooManyKeys,
)
from squero.store.db import Database
from squero.store.statements import statement
from tests.domain.conftest import TEXT

pytestmark = pytest.mark.anyio

DAY = 86_400
PRICE = 50_000  # of TEXT

SPENT = """
INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros, key_id,
                       created_at, counted_on)
SELECT 'hold:' || %(key)s || n, %(account)s, 'USD', 'available', 'held', 1, %(key)s, moment,
       (moment AT TIME ZONE 'UTC')::date
FROM generate_series(1, 5000) n,
     LATERAL (SELECT squero_now() - n * interval '10 minutes') m (moment)
"""


@pytest.fixture
async def account(yard):
    async with yard.database.transaction() as tx:
        opened, _ = await accounts.find_or_open(tx, None, "prepaid")
        await accounts.top_up(tx, opened, 10_000_000)
    return opened


@pytest.fixture
def make(yard, account):
    """A key of the account and who is behind it: `await make(terms)`."""

    async def run(terms=None):
        async with yard.database.transaction() as tx:
            _, key = await keys.create(
                tx, yard.keyring, account.id, "INFERENCE", "", terms or Terms()
            )
        return await Callers(yard.database, yard.keyring).find(key)

    return run


@pytest.fixture
def look(yard, account):
    """A key as its owner sees it."""

    async def run(caller):
        async with yard.database.reading() as tx:
            return await keys.find(tx, account.id, caller.key_id)

    return run


@pytest.fixture
def noon(sql):
    """The database's clock at noon, so that a test does not cross midnight."""

    async def move():
        await sql(
            "UPDATE clock SET shift = date_trunc('day', now(), 'UTC') + interval '36 h' - now()"
        )

    return move


class TestText:
    def test_is_its_own_checksum(self):
        key = keys.make_key("SQUERO_INFERENCE_KEY_")
        assert keys.well_formed(key)
        for place in range(len(key)):
            for other in "0aZ_":
                typed = key[:place] + other + key[place + 1 :]
                assert keys.well_formed(typed) == (typed == key)

    async def test_that_is_mistyped_asks_nobody(self, yard):
        callers = Callers(None, yard.keyring)
        key = keys.make_key("SQUERO_INFERENCE_KEY_")
        for typed in ("", key[:-1], key + "0", key.swapcase(), "é" * 42, "x" * 10_000):
            with pytest.raises(AuthenticationFailed):
                await callers.find(typed)


class TestRoom:
    async def test_is_made_one_by_one(self, yard, account):
        async def make():
            async with yard.database.transaction() as tx:
                found = await keys.room(tx, account.id)
                if found.allowed:
                    await keys.create(tx, yard.keyring, account.id, "INFERENCE", "")
                return found

        done = await asyncio.gather(*(make() for _ in range(50)))
        lefts = sorted((one.remaining for one in done if one.allowed), reverse=True)
        assert lefts == list(range(19, -1, -1))
        assert {one.remaining for one in done if not one.allowed} == {0}

    async def test_comes_back_with_time(self, yard, account, sql, pass_time):
        async with yard.database.transaction() as tx:
            for _ in range(keys.MOST_A_MINUTE):
                await keys.create(tx, yard.keyring, account.id, "ADMIN", "")
            full = await keys.room(tx, account.id)
        assert not full.allowed and 0 <= full.reset - time.time() <= 61
        await pass_time(60)
        async with yard.database.transaction() as tx:
            assert (await keys.room(tx, account.id)).remaining == keys.MOST_A_MINUTE - 1

    @pytest.mark.parametrize("hours", [-1, 1])
    async def test_after_a_step_of_the_clock(self, yard, account, pass_time, hours):
        async with yard.database.transaction() as tx:
            for _ in range(keys.MOST_A_MINUTE):
                await keys.create(tx, yard.keyring, account.id, "ADMIN", "")
        await pass_time(hours * 3600)
        async with yard.database.transaction() as tx:
            assert (await keys.room(tx, account.id)).remaining == keys.MOST_A_MINUTE - 1

    async def test_of_those_that_expire(self, yard, account, sql, pass_time):
        later = datetime.now(UTC) + timedelta(hours=2)
        async with yard.database.transaction() as tx:
            for _ in range(keys.MOST_IN_FORCE):
                terms = Terms(expires_at=later)
                await keys.create(tx, yard.keyring, account.id, "INFERENCE", "", terms)
        await pass_time(3600)
        async with yard.database.transaction() as tx:
            with pytest.raises(TooManyKeys):
                await keys.room(tx, account.id)
        await pass_time(3601)
        async with yard.database.transaction() as tx:
            await keys.room(tx, account.id)
            assert await keys.find_all(tx, account.id) == []

    async def test_does_not_wait_for_jobs(self, yard, account, make):
        caller = await make()
        async with yard.database.transaction() as tx:
            await keys.room(tx, account.id)
            async with asyncio.timeout(5):
                await generation.queue(yard, caller, TEXT, None)


class TestCallers:
    @pytest.fixture
    async def key(self, yard, account):
        async with yard.database.transaction() as tx:
            _, key = await keys.create(tx, yard.keyring, account.id, "INFERENCE", "")
        return key

    async def test_forget_what_was_changed(self, yard, account, key):
        callers = Callers(yard.database, yard.keyring)
        caller = await callers.find(key)
        async with yard.database.transaction() as tx:
            digest = await keys.change(tx, account.id, caller.key_id, {"models": ["a"]})
        assert (await callers.find(key)).models is None
        callers.forget(digest)
        assert (await callers.find(key)).models == ["a"]

    async def test_know_nothing_read_before_it_was_forgotten(self):
        let_go, read = asyncio.Event(), []

        async def source(key):
            read.append(key)
            number = len(read)
            await let_go.wait()
            return number

        known = Fresh(source, math.inf)
        first = asyncio.create_task(known.get("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        known.forget("a")
        second = asyncio.create_task(known.get("a"))
        await asyncio.sleep(0)
        let_go.set()
        assert (await first, await second, await known.get("a")) == (1, 2, 2)

    async def test_see_a_key_end_while_they_know_it(self, yard, account, monkeypatch, pass_time):
        """When the database says so: by their own clock alone it may seem to be over too soon."""
        terms = Terms(expires_at=datetime.now(UTC) + timedelta(minutes=1))
        async with yard.database.transaction() as tx:
            _, key = await keys.create(tx, yard.keyring, account.id, "INFERENCE", "", terms)
        callers = Callers(yard.database, yard.keyring)
        assert 58 < (await callers.find(key)).left_seconds <= 61
        now = keys.time.monotonic
        later = 62.0
        monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: now() + later))
        assert await callers.find(key)
        later += 62.0
        await pass_time(62)
        with pytest.raises(AuthenticationFailed):
            await callers.find(key)

    async def test_note_the_use_once_a_minute(self, yard, account, key, sql, pass_time):
        used = []
        for seconds in (0, 30, 31):
            await pass_time(seconds)
            await Callers(yard.database, yard.keyring).find(key)
            used += [row["last_used_at"] for row in await sql("SELECT last_used_at FROM keys")]
        assert used[0] == used[1] < used[2]


class TestTerms:
    async def test_of_models_bind_the_queue_alone(self, yard, make):
        caller = await make(Terms(models=["another"]))
        with pytest.raises(ModelNotAllowed):
            await generation.queue(yard, caller, TEXT, None)
        assert await generation.quote(yard, TEXT) == PRICE
        await generation.queue(yard, replace(caller, models=[TEXT.model]), TEXT, None)

    async def test_change_alone(self, yard, account, make, look):
        caller = await make(
            Terms(usd_limit_micros=5, diem_limit_micros=6, limit_period="MONTH", models=["a"])
        )
        before = await look(caller)
        for changes in (
            {"usd_limit_micros": None},
            {"diem_limit_micros": 0},
            {"limit_period": "EPOCH"},
            {"description": "x"},
            {"models": None},
            {"expires_at": datetime(2099, 1, 1, tzinfo=UTC)},
            {"model_privacy": "PRIVATE_TEXT"},
        ):
            async with yard.database.transaction() as tx:
                await keys.change(tx, account.id, caller.key_id, changes)
            before = replace(before, **changes)
            assert await look(caller) == before

    async def test_of_a_revoked_key_stay(self, yard, account, make):
        caller = await make()
        async with yard.database.transaction() as tx:
            await keys.revoke(tx, account.id, caller.key_id)
        for verb in (
            lambda tx: keys.revoke(tx, account.id, caller.key_id),
            lambda tx: keys.change(tx, account.id, caller.key_id, {"description": "x"}),
            lambda tx: keys.find(tx, account.id, caller.key_id),
        ):
            async with yard.database.transaction() as tx:
                with pytest.raises(KeyNotFound):
                    await verb(tx)

    async def test_of_a_limit_hold_at_once(self, yard, account, make):
        caller = await make()
        await generation.queue(yard, caller, TEXT, None)
        async with yard.database.transaction() as tx:
            await keys.change(tx, account.id, caller.key_id, {"usd_limit_micros": 2 * PRICE})
        await generation.queue(yard, caller, TEXT, None)
        with pytest.raises(SpendLimitExceeded):
            await generation.queue(yard, caller, TEXT, None)


class TestSpent:
    async def test_by_epoch_and_by_week(self, yard, make, look, noon, pass_time):
        await noon()
        caller = await make()
        for day in range(7):
            await generation.queue(yard, caller, TEXT, None)
            spent = await look(caller)
            assert (spent.period_usd_micros, spent.week_usd_micros) == (PRICE, (day + 1) * PRICE)
            await pass_time(DAY)
        spent = await look(caller)
        assert (spent.period_usd_micros, spent.week_usd_micros) == (0, 6 * PRICE)
        await pass_time(6 * DAY)
        assert (await look(caller)).week_usd_micros == 0

    async def test_what_is_given_back_does_not_count(
        self, yard, account, make, look, noon, pass_time
    ):
        await noon()
        caller = await make(Terms(limit_period="LIFETIME"))
        jobs = [(await generation.queue(yard, caller, TEXT, None)).queue_id for _ in range(3)]
        await generation.cancel(yard, account.id, jobs[0])
        assert (await look(caller)).week_usd_micros == 2 * PRICE
        await pass_time(DAY)
        await generation.cancel(yard, account.id, jobs[1])
        spent = await look(caller)
        assert (spent.week_usd_micros, spent.period_usd_micros) == (PRICE, PRICE)
        await pass_time(6 * DAY)  # the hold is out of the week, and so is what comes of it
        await generation.cancel(yard, account.id, jobs[2])
        assert (await look(caller)).week_usd_micros == 0

    async def test_diem_by_itself_and_credits_as_usd(self, yard, account, make, look, noon):
        await noon()
        async with yard.database.transaction() as tx:
            await accounts.set_diem(tx, account, 2 * PRICE)
            await accounts.top_up(tx, account, PRICE, "BUNDLED_CREDITS")
        caller = await make()
        for _ in range(4):
            await generation.queue(yard, caller, TEXT, None)
        spent = await look(caller)
        # Less than a tenth of DIEM is of no use, so the second job is not paid with it.
        assert (spent.week_diem_micros, spent.week_usd_micros) == (PRICE, 3 * PRICE)

    async def test_by_others_is_not_told(self, yard, make, look):
        caller, other = await make(), await make()
        await generation.queue(yard, other, TEXT, None)
        assert (await look(caller)).week_usd_micros == 0


async def test_a_week_of_busy_keys_is_found_by_its_index(yard, account, make, sql):
    for _ in range(20):
        caller = await make()
        await sql(SPENT, key=caller.key_id, account=account.id)
    await sql("ANALYZE transfers")
    names = {"account_id": account.id, "key_id": None, "limit": 500, "offset": 0}
    rows = await sql("EXPLAIN ANALYZE " + statement("keys.list"), **names)
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert "transfers_of_key" in plan and "loops=20" in plan, plan
    assert "Seq Scan on transfers" not in plan, plan


async def test_the_last_day_is_read_wherever_the_database_is(yard, account, sql, database_url):
    [row] = await sql("SELECT current_database() AS name")
    await sql(f"ALTER DATABASE {row['name']} SET timezone TO 'Asia/Tokyo'")
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    database = Database(database_url)
    await database.open()
    try:
        async with database.transaction() as tx:
            terms = Terms(expires_at=last)
            await keys.create(tx, yard.keyring, account.id, "INFERENCE", "", terms)
        async with database.reading() as tx:
            [key] = await keys.find_all(tx, account.id, 10, 0)
    finally:
        await database.close()
    assert key.expires_at == last
