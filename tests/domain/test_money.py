"""Who pays for a job: which currency, of which epoch, and how much a key may spend of it."""

import asyncio
import random
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import psycopg
import pytest

from squero.domain import accounts, generation, keys, upkeep
from squero.domain.accounts import LineSpent
from squero.domain.video_request import VideoRequest
from squero.errors import (
    AuthenticationFailed,
    InsufficientBalance,
    SpendLimitExceeded,
    StaleAttempt,
)

pytestmark = pytest.mark.anyio

PRICE = 50_000
DEAR = VideoRequest("motion-text-to-video", "a lagoon", "10s", resolution="720p")  # 200,000 micros
LONG_AGO = date(1970, 1, 1)
INSUFFICIENT = "Insufficient USD or Diem balance to complete request"
LIMITED = (
    "API key {0} spend limit exceeded. Your account may still have {0} balance, but this API key"
    " has reached its configured {0} spending limit."
)


@pytest.fixture
def pay(yard):
    """Gives an account what it may spend: `await pay(tenant, usd=…, bundled=…, diem=…)`."""

    async def change(verb, *words):
        # One a transaction, as the commands do it: no two balances are locked in any order.
        async with yard.database.transaction() as tx:
            await verb(tx, *words)

    async def give(tenant, usd=0, bundled=0, diem=None):
        if usd:
            await change(accounts.top_up, tenant.account, usd)
        if bundled:
            await change(accounts.top_up, tenant.account, bundled, "BUNDLED_CREDITS")
        if diem is not None:
            await change(accounts.set_diem, tenant.account, diem)

    return give


@pytest.fixture
async def poor(open_tenant):
    """A prepaid account without anything."""
    return await open_tenant(credit_micros=0)


@pytest.fixture
def limit(sql):
    """What a tenant's key may spend: `await limit(tenant, usd=…, diem=…, period=…)`."""

    async def set_limit(tenant, usd=None, diem=None, period="LIFETIME"):
        await sql(
            "UPDATE keys SET usd_limit_micros = %s, diem_limit_micros = %s, limit_period = %s"
            " WHERE id = %s",
            usd,
            diem,
            period,
            tenant.caller.key_id,
        )

    return set_limit


@pytest.fixture
def behind(play, sql, database_url):
    """The tenant's second queue call, while it waits: `async with behind(tenant) as call`."""

    @asynccontextmanager
    async def wait(tenant):
        await play.queue(tenant)
        async with await psycopg.AsyncConnection.connect(database_url) as first:
            await first.execute(
                "SELECT FROM shares WHERE account_id = %s FOR UPDATE", [tenant.account.id]
            )
            call = play.beside(play.queue(tenant))
            async with asyncio.timeout(5):
                while not await sql("SELECT pid FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.01)
            yield call

    return wait


@pytest.fixture
def at(sql):
    """Sets the database's clock, which then goes on: `await at("2030-01-31 23:50")`, in UTC."""

    async def move(moment):
        await sql("UPDATE clock SET shift = %s::timestamptz - now()", f"{moment}+00")

    return move


@pytest.fixture
def balances(sql):
    """The account's balances: `(currency, epoch): (available, held)`."""

    async def read(tenant):
        rows = await sql("SELECT * FROM balances WHERE account_id = %s", tenant.account.id)
        return {
            (row["currency"], row["epoch"]): (row["available_micros"], row["held_micros"])
            for row in rows
        }

    return read


async def another_key(yard, tenant):
    """The tenant by another key of the same account."""
    async with yard.database.transaction() as tx:
        key_id, key = await keys.create(tx, yard.keyring, tenant.account.id, "INFERENCE", "")
    return replace(tenant, key=key, caller=replace(tenant.caller, key_id=key_id))


async def currencies(play, queue_ids):
    return [(await play.row(queue_id))["currency"] for queue_id in queue_ids]


async def refusal(play, tenant, **terms):
    """The words of the 402, which leaves neither a job nor a hold."""

    async def left():
        world = await play.world()
        return [world[name] for name in ("generations", "spending")], [
            row for row in world["transfers"] if row["to_book"] == "held"
        ]

    before = await left()
    with pytest.raises((InsufficientBalance, SpendLimitExceeded)) as refused:
        await play.queue(tenant, **terms)
    assert refused.value.status == 402
    assert await left() == before
    return refused.value.message


class TestPurse:
    async def test_diem_then_bundled_credits_then_usd(self, yard, play, poor, pay):
        await pay(poor, usd=PRICE, bundled=PRICE, diem=150_000)
        taken = [await play.queue(poor) for _ in range(4)]
        # Of 0.15 DIEM two jobs leave 0.05, which would cover a third: but that is below a tenth.
        assert await currencies(play, taken) == ["DIEM", "DIEM", "BUNDLED_CREDITS", "USD"]
        assert await refusal(play, poor) == INSUFFICIENT
        assert (await upkeep.audit(yard)).in_order

    async def test_the_first_that_covers_the_whole_price(self, play, poor, pay):
        await pay(poor, usd=500_000, bundled=199_999, diem=199_999)
        dear = await play.queue(poor, request=DEAR)
        cheap = await play.queue(poor)
        assert await currencies(play, [dear, cheap]) == ["USD", "DIEM"]

    async def test_no_two_pay_for_one_job(self, yard, play, poor, pay):
        await pay(poor, usd=PRICE - 1, bundled=PRICE - 1, diem=99_999)
        assert await refusal(play, poor) == INSUFFICIENT
        assert (await upkeep.audit(yard)).in_order

    @pytest.mark.parametrize(("diem", "currency"), [(99_999, "USD"), (100_000, "DIEM")])
    async def test_a_tenth_of_a_diem_is_spendable(self, play, poor, pay, diem, currency):
        await pay(poor, usd=PRICE, diem=diem)
        assert await currencies(play, [await play.queue(poor)]) == [currency]

    async def test_goes_back_to_where_it_came_from(self, yard, play, poor, pay, balances):
        await pay(poor, usd=PRICE, bundled=PRICE, diem=100_000)
        before = None
        for _ in range(2):
            taken = [await play.queue(poor) for _ in range(3)]
            assert await currencies(play, taken) == ["DIEM", "BUNDLED_CREDITS", "USD"]
            for queue_id in taken:
                await generation.cancel(yard, poor.account.id, queue_id)
            after = await balances(poor)
            assert before in (None, after)
            before = after
        assert sorted(before.values()) == [(PRICE, 0), (PRICE, 0), (100_000, 0)]
        assert (await upkeep.audit(yard)).in_order

    async def test_an_unmetered_account_moves_nothing(self, yard, play, open_tenant, worker, sql):
        tenant = await open_tenant()
        await play.finish(worker, await play.rendering(tenant, worker))
        await generation.cancel(yard, tenant.account.id, await play.queue(tenant))
        held = await play.queue(tenant)
        assert await currencies(play, [held]) == ["USD"]
        assert await play.balance(tenant) == (0, PRICE)
        books = await sql(
            "SELECT book, sum(amount)::bigint AS micros FROM ("
            "  SELECT to_book AS book, amount_micros AS amount FROM transfers"
            "  UNION ALL SELECT from_book, -amount_micros FROM transfers) entries GROUP BY book"
        )
        sums = {row["book"]: row["micros"] for row in books}
        assert sums == {"funding": -2 * PRICE, "held": PRICE, "revenue": PRICE}
        assert (await upkeep.audit(yard)).in_order


class TestEpoch:
    async def test_begins_once_for_fifty_at_once(self, yard, play, poor, pay, balances, sql):
        await pay(poor, diem=1_000_000)
        assert await sql("SELECT 1 FROM balances WHERE currency = 'DIEM'") == []
        answers = await asyncio.gather(
            *(play.queue(poor) for _ in range(50)), return_exceptions=True
        )
        # From 1 down to 0.1 in steps of 0.05.
        assert sum(isinstance(one, InsufficientBalance) for one in answers) == 50 - 19
        assert await sql("SELECT amount_micros FROM transfers WHERE id LIKE 'refill:%%'") == [
            {"amount_micros": 1_000_000}
        ]
        assert sorted((await balances(poor)).values()) == [(0, 0), (50_000, 19 * PRICE)]
        assert (await upkeep.audit(yard)).in_order

    async def test_ends_at_midnight_and_rolls_nothing_over(
        self, yard, play, poor, pay, balances, at
    ):
        await pay(poor, diem=100_000)
        await at("2030-02-28 23:50")
        await play.queue(poor)
        await at("2030-02-28 23:58")
        assert await refusal(play, poor) == INSUFFICIENT
        await at("2030-03-01 00:00")
        await play.queue(poor)
        assert await balances(poor) == {
            ("USD", LONG_AGO): (0, 0),
            ("DIEM", date(2030, 2, 28)): (50_000, PRICE),
            ("DIEM", date(2030, 3, 1)): (50_000, PRICE),
        }
        assert (await upkeep.audit(yard)).in_order

    async def test_a_day_without_a_call_has_none(self, play, poor, pay, balances, at):
        await pay(poor, diem=100_000)
        for day in ("2030-01-01", "2030-01-03"):
            await at(f"{day} 12:00")
            await play.queue(poor)
        epochs = {epoch for currency, epoch in await balances(poor) if currency == "DIEM"}
        assert epochs == {date(2030, 1, 1), date(2030, 1, 3)}

    async def test_another_allowance_is_the_next_days(self, play, poor, pay, balances, at):
        await pay(poor, diem=100_000)
        await at("2030-01-01 12:00")
        await play.queue(poor)
        await pay(poor, diem=300_000)
        assert await refusal(play, poor) == INSUFFICIENT
        await at("2030-01-02 00:00")
        await play.queue(poor)
        assert (await balances(poor))["DIEM", date(2030, 1, 2)] == (250_000, PRICE)

    async def test_captured_later_is_charged_where_it_was_held(
        self, yard, play, poor, pay, balances, at, worker
    ):
        await pay(poor, diem=200_000)
        await at("2030-01-01 23:50")
        claimed = await play.rendering(poor, worker)
        await at("2030-01-02 00:00")
        await play.queue(poor)
        await play.finish(worker, claimed)
        found = await balances(poor)
        assert found["DIEM", date(2030, 1, 1)] == (150_000, 0)
        assert found["DIEM", date(2030, 1, 2)] == (150_000, PRICE)
        assert (await upkeep.audit(yard)).in_order

    @pytest.mark.parametrize(
        ("moment", "book", "left"),
        [("2030-01-01 23:58", "available", 200_000), ("2030-01-02 00:00", "lapsed", 150_000)],
    )
    async def test_released_later_it_lapses(
        self, yard, play, poor, pay, balances, at, sql, moment, book, left
    ):
        await pay(poor, diem=200_000)
        await at("2030-01-01 23:50")
        queue_id = await play.queue(poor)
        await at(moment)
        await generation.cancel(yard, poor.account.id, queue_id)
        assert (await balances(poor))["DIEM", date(2030, 1, 1)] == (left, 0)
        rows = await sql("SELECT to_book FROM transfers WHERE id = %s", f"settle:{queue_id}")
        assert rows == [{"to_book": book}]
        assert (await upkeep.audit(yard)).in_order

    async def test_usd_never_lapses(self, yard, play, tenant, at):
        await at("2030-01-01 23:50")
        queue_id = await play.queue(tenant)
        await at("2031-01-01 00:00")
        await generation.cancel(yard, tenant.account.id, queue_id)
        assert await play.balance(tenant) == (1_000_000, 0)


class TestLimit:
    async def test_of_usd_counts_bundled_credits(self, yard, play, poor, pay, limit):
        await pay(poor, usd=1_000_000, bundled=PRICE)
        await limit(poor, usd=2 * PRICE)
        taken = [await play.queue(poor) for _ in range(2)]
        assert await currencies(play, taken) == ["BUNDLED_CREDITS", "USD"]
        assert await refusal(play, poor) == LIMITED.format("USD")
        assert (await upkeep.audit(yard)).in_order

    async def test_of_diem_is_its_own(self, play, poor, pay, limit):
        await pay(poor, usd=2 * PRICE, diem=1_000_000)
        await limit(poor, usd=PRICE, diem=PRICE)
        taken = [await play.queue(poor) for _ in range(2)]
        assert await currencies(play, taken) == ["DIEM", "USD"]
        assert await refusal(play, poor) == LIMITED.format("USD")

    async def test_of_diem_where_nothing_else_pays(self, play, poor, pay, limit):
        await pay(poor, usd=PRICE - 1, diem=1_000_000)
        await limit(poor, diem=PRICE)
        await play.queue(poor)
        assert await refusal(play, poor) == LIMITED.format("DIEM")

    async def test_is_not_named_where_the_account_could_not_pay(self, play, poor, pay, limit):
        await pay(poor, usd=PRICE - 1)
        await limit(poor, usd=0, diem=0)
        assert await refusal(play, poor) == INSUFFICIENT

    async def test_that_is_lowered_counts_for_calls_that_wait(self, tenant, behind, limit):
        async with behind(tenant) as waiting:
            await limit(tenant, usd=PRICE)
        with pytest.raises(SpendLimitExceeded):
            await waiting

    async def test_of_a_key_that_is_revoked_meanwhile(self, tenant, behind, sql):
        async with behind(tenant) as waiting:
            await sql("UPDATE keys SET revoked_at = now() WHERE id = %s", tenant.caller.key_id)
        with pytest.raises(AuthenticationFailed):
            await waiting

    @pytest.mark.parametrize("usd", [0, PRICE - 1])
    async def test_below_the_price(self, play, tenant, limit, usd):
        await limit(tenant, usd=usd)
        assert await refusal(play, tenant) == LIMITED.format("USD")

    async def test_is_the_keys_alone(self, yard, play, tenant, limit):
        await limit(tenant, usd=PRICE)
        await play.queue(tenant)
        assert await refusal(play, tenant) == LIMITED.format("USD")
        await play.queue(await another_key(yard, tenant))

    async def test_binds_an_unmetered_account_too(self, play, open_tenant, limit):
        tenant = await open_tenant()
        await limit(tenant, usd=PRICE)
        await play.queue(tenant)
        assert await refusal(play, tenant) == LIMITED.format("USD")

    async def test_counts_what_was_spent_before_it_was_set(self, play, tenant, limit):
        for _ in range(2):
            await play.queue(tenant)
        await limit(tenant, usd=PRICE)
        assert await refusal(play, tenant) == LIMITED.format("USD")
        await limit(tenant, usd=3 * PRICE)
        await play.queue(tenant)
        assert await refusal(play, tenant) == LIMITED.format("USD")

    @pytest.mark.parametrize("currency", ["USD", "DIEM"])
    @pytest.mark.parametrize(
        ("period", "moment", "over"),
        [
            ("EPOCH", "2030-01-30 23:58", False),
            ("EPOCH", "2030-01-31 00:00", True),
            ("MONTH", "2030-01-31 23:58", False),
            ("MONTH", "2030-02-01 00:00", True),
            ("MONTH", "2030-12-31 23:58", True),
            ("MONTH", "2031-01-30 12:00", True),
            ("LIFETIME", "2031-02-01 00:00", False),
        ],
    )
    async def test_periods(self, play, poor, pay, limit, at, currency, period, moment, over):
        if currency == "USD":
            await pay(poor, usd=1_000_000)
        else:
            await pay(poor, diem=1_000_000)
        await limit(poor, usd=PRICE, diem=PRICE, period=period)
        await at("2030-01-30 00:00")
        await play.queue(poor)
        await at(moment)
        if over:
            await play.queue(poor)
        assert await refusal(play, poor) == LIMITED.format(currency)

    async def test_a_february_that_leaps(self, play, tenant, limit, at):
        await limit(tenant, usd=PRICE, period="MONTH")
        await at("2032-02-01 00:00")
        await play.queue(tenant)
        await at("2032-02-29 23:50")
        assert await refusal(play, tenant) == LIMITED.format("USD")
        await at("2032-03-01 00:00")
        await play.queue(tenant)

    @pytest.mark.parametrize(
        ("period", "held", "released", "free"),
        [
            ("EPOCH", "2030-01-15 12:00", "2030-01-15 13:00", True),
            ("EPOCH", "2030-01-15 23:50", "2030-01-16 00:00", False),
            ("MONTH", "2030-01-15 12:00", "2030-01-31 23:50", True),
            ("MONTH", "2030-01-31 23:50", "2030-02-01 00:00", False),
            ("MONTH", "2029-02-15 12:00", "2030-02-15 12:00", False),
            ("LIFETIME", "2030-01-31 23:50", "2031-02-01 00:00", True),
        ],
    )
    async def test_a_release_gives_back_to_the_period_of_its_hold(
        self, yard, play, tenant, limit, at, period, held, released, free
    ):
        await at(held)
        early = await play.queue(tenant)
        await at(released)
        await play.queue(tenant)
        await limit(tenant, usd=2 * PRICE if period == "LIFETIME" or free else PRICE, period=period)
        assert await refusal(play, tenant) == LIMITED.format("USD")
        await generation.cancel(yard, tenant.account.id, early)
        if free:
            await play.queue(tenant)
        assert await refusal(play, tenant) == LIMITED.format("USD")
        assert (await upkeep.audit(yard)).in_order

    async def test_a_late_release_leaves_no_count_below_zero(self, yard, play, tenant, at, sql):
        await at("2030-01-31 23:50")
        early = [await play.queue(tenant) for _ in range(2)]
        await at("2030-02-01 00:00")
        late = await play.queue(tenant)
        for queue_id in (*early, late):
            await generation.cancel(yard, tenant.account.id, queue_id)
        counts = "day_micros, month_micros, lifetime_micros"
        assert await sql(f"SELECT DISTINCT {counts} FROM spending") == [
            dict.fromkeys(counts.split(", "), 0)
        ]
        assert (await upkeep.audit(yard)).in_order

    async def test_a_capture_gives_nothing_back(self, play, tenant, limit, worker):
        await limit(tenant, usd=PRICE)
        await play.finish(worker, await play.rendering(tenant, worker))
        assert await refusal(play, tenant) == LIMITED.format("USD")

    async def test_a_miscount_is_found(self, yard, play, tenant, sql):
        await play.queue(tenant)
        await sql("UPDATE spending SET lifetime_micros = 1 WHERE currency = 'USD'")
        found = await upkeep.audit(yard)
        assert not found.in_order
        (wrong,) = found.miscounted
        assert (wrong.account, wrong.last6) == (tenant.account.name, tenant.key[-6:])
        assert (wrong.currency, wrong.spent_micros, wrong.spent_sum) == ("USD", 1, PRICE)


@pytest.mark.books
class TestTwoHundredAtOnce:
    TIMES = 20

    async def shoot(self, play, tenants):
        """What becomes of 200 calls by these keys, by its name, and who pays for what is taken."""
        answers = await asyncio.gather(
            *(play.queue(tenants[number % len(tenants)]) for number in range(200)),
            return_exceptions=True,
        )
        refused = [type(one).__name__ for one in answers if isinstance(one, Exception)]
        taken = [one for one in answers if not isinstance(one, Exception)]
        return Counter(refused), sorted(await currencies(play, taken))

    async def test_credit_for_three(self, yard, play, open_tenant, pay, balances):
        purses = [
            ({"usd": 3 * PRICE}, ["USD"] * 3),
            ({"usd": PRICE + 49_999, "bundled": PRICE, "diem": 100_000}, None),
            ({"diem": 200_000}, ["DIEM"] * 3),
            ({"bundled": 2 * PRICE, "usd": PRICE}, ["BUNDLED_CREDITS"] * 2 + ["USD"]),
        ]
        for number in range(self.TIMES):
            tenant = await open_tenant(credit_micros=0)
            credit, paid = purses[number % len(purses)]
            await pay(tenant, **credit)
            tenants = [tenant, *[await another_key(yard, tenant) for _ in range(3)]]
            refused, taken = await self.shoot(play, tenants)
            assert refused == {"InsufficientBalance": 197}
            assert taken == (paid or ["BUNDLED_CREDITS", "DIEM", "USD"])
            assert sum(held for _, held in (await balances(tenant)).values()) == 3 * PRICE
        assert (await upkeep.audit(yard)).in_order

    async def test_a_limit_of_three(self, yard, play, open_tenant, pay, limit):
        for _ in range(self.TIMES):
            tenant = await open_tenant(credit_micros=20_000_000)
            await pay(tenant, bundled=2 * PRICE, diem=1_000_000)
            # Two of USD (or bundled credits) and one of DIEM by the one, none by the other.
            await limit(tenant, usd=2 * PRICE, diem=PRICE)
            other = await another_key(yard, tenant)
            await limit(other, usd=0, diem=0)
            refused, taken = await self.shoot(play, [tenant, other])
            assert refused == {"SpendLimitExceeded": 197}
            assert taken == ["BUNDLED_CREDITS"] * 2 + ["DIEM"]
        assert (await upkeep.audit(yard)).in_order


class Market:
    """Customers, workers and an operator, each doing at random what it may."""

    def __init__(self, yard, play, tenants, workers, pay, limit, pass_time) -> None:
        self.yard, self.play, self.tenants, self.workers = yard, play, tenants, workers
        self.pay, self.limit, self.pass_time = pay, limit, pass_time
        self.chance = random.Random(4)
        self.claimed, self.queued, self.done = [], [], Counter()
        often = [self.queue, self.queue, self.claim, self.claim, self.finish, self.fail]
        seldom = [self.cancel, self.credit, self.change_limit, self.change_line]
        self.verbs = [*often, *often, *seldom, self.change_share, self.sleep]
        self.names = {verb.__name__ for verb in self.verbs}

    async def queue(self) -> None:
        tenant = self.chance.choice(self.tenants)
        key = self.chance.choice([None, f"k{self.chance.randrange(1000)}"])
        self.queued.append((tenant, await self.play.queue(tenant, key)))

    async def claim(self) -> None:
        worker = self.chance.choice(self.workers)
        if claimed := await self.play.claim(worker):
            self.claimed.append((worker, claimed))

    async def finish(self) -> None:
        await self.play.finish(*self.take(self.claimed))

    async def fail(self) -> None:
        await self.play.fail(*self.take(self.claimed), "bad_input")

    async def cancel(self) -> None:
        tenant, queue_id = self.chance.choice(self.queued)
        await generation.cancel(self.yard, tenant.account.id, queue_id)

    async def credit(self) -> None:
        amounts = {name: self.chance.randrange(PRICE) for name in ("usd", "bundled", "diem")}
        await self.pay(self.chance.choice(self.tenants), **amounts)

    async def change_limit(self) -> None:
        period = self.chance.choice(["EPOCH", "MONTH", "LIFETIME"])
        usd, diem = (self.chance.choice([None, self.chance.randrange(10**7)]) for _ in range(2))
        await self.limit(self.chance.choice(self.tenants), usd, diem, period)

    async def change_line(self) -> None:
        async with self.yard.database.transaction() as tx:
            line = self.chance.randrange(10**6)
            await accounts.set_line(tx, self.tenants[0].account, line)

    async def change_share(self) -> None:
        tenant, weight = self.chance.choice(self.tenants), self.chance.randrange(1, 9)
        async with self.yard.database.transaction() as tx:
            await accounts.set_share(tx, tenant.account, weight, None)

    async def sleep(self) -> None:
        await self.pass_time(self.chance.choice([1, 3600]))

    def take(self, things):
        return things.pop(int(self.chance.random() * len(things)))

    async def act(self, until) -> None:
        while time.monotonic() < until:
            verb = self.chance.choice(self.verbs)
            refusals = (InsufficientBalance, SpendLimitExceeded, StaleAttempt, LineSpent)
            try:
                await verb()
                self.done[verb.__name__] += 1
            except (*refusals, IndexError) as refused:
                self.done[type(refused).__name__] += 1


@pytest.mark.books
class TestMarket:
    SECONDS = 5.0

    async def test_no_deadlock_and_the_books_in_order(
        self, yard, play, open_tenant, pay, limit, pass_time, sql
    ):
        tenants = [await open_tenant(credit_micros=500_000) for _ in range(3)]
        await sql("UPDATE accounts SET billing = 'postpaid' WHERE id = %s", tenants[0].account.id)
        account = replace(tenants[0].account, billing="postpaid")
        tenants[0] = replace(tenants[0], account=account)
        tenants += [await another_key(yard, tenant) for tenant in tenants]
        workers = [await play.hire() for _ in range(3)]
        market = Market(yard, play, tenants, workers, pay, limit, pass_time)
        until = time.monotonic() + self.SECONDS
        await asyncio.gather(*(market.act(until) for _ in range(12)))
        assert {name for name in market.done if name.islower()} == market.names
        found = await upkeep.audit(yard)
        assert found.in_order, found
        assert await sql("SELECT 1 FROM balances WHERE available_micros < 0") == []
