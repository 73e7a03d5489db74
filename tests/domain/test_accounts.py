"""Accounts: how they are opened, what they may spend, and on what terms."""

import asyncio
from types import SimpleNamespace

import pytest

from squero.domain import accounts, keys, upkeep
from squero.domain.accounts import (
    AccountExists,
    AccountUnmetered,
    LineSpent,
    NoSuchAccount,
    NotPostpaid,
)
from squero.errors import InsufficientBalance

pytestmark = pytest.mark.anyio

PRICE = 50_000


@pytest.fixture
def change(yard):
    """One verb of the accounts in a transaction of its own: `await change(verb, …)`."""

    async def run(verb, *words):
        async with yard.database.transaction() as tx:
            return await verb(tx, *words)

    return run


@pytest.fixture
def postpaid(yard, change):
    """A tenant with a credit line: `await postpaid(micros)`."""

    async def make(line_micros):
        account = await change(accounts.open_new, "marina", "postpaid", line_micros)
        _, key = await change(keys.create, yard.keyring, account.id, "INFERENCE", "")
        caller = await keys.Callers(yard.database, yard.keyring).find(key)
        return SimpleNamespace(account=account, caller=caller)

    return make


class TestOpen:
    @pytest.mark.parametrize("billing", ["prepaid", "postpaid", "unmetered"])
    async def test_new(self, change, billing):
        account = await change(accounts.open_new, "marina", billing)
        assert await change(accounts.find, "marina") == account
        assert (account.billing, account.tier, account.weight) == (billing, "paid", 1)
        assert (account.cap, account.diem_micros) == (None, 0)

    async def test_a_name_that_is_taken(self, change):
        first = await change(accounts.open_new, "marina", "postpaid", PRICE)
        with pytest.raises(AccountExists, match="marina"):
            await change(accounts.open_new, "marina", "postpaid", PRICE)
        assert await change(accounts.find, "marina") == first

    async def test_a_line_for_one_that_is_not_postpaid_opens_nothing(self, change):
        with pytest.raises(NotPostpaid, match="prepaid"):
            await change(accounts.open_new, "marina", "prepaid", PRICE)
        with pytest.raises(NoSuchAccount, match="marina"):
            await change(accounts.find, "marina")


class TestLine:
    async def test_is_spent_and_not_a_micro_more(self, yard, play, postpaid):
        tenant = await postpaid(3 * PRICE + PRICE - 1)
        answers = await asyncio.gather(
            *(play.queue(tenant) for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(one, InsufficientBalance) for one in answers) == 17
        assert await play.balance(tenant) == (PRICE - 1, 3 * PRICE)
        assert (await upkeep.audit(yard)).in_order

    async def test_raised_by_what_is_missing(self, play, change, postpaid):
        tenant = await postpaid(PRICE - 1)
        with pytest.raises(InsufficientBalance):
            await play.queue(tenant)
        await change(accounts.set_line, tenant.account, PRICE)
        await play.queue(tenant)
        assert await play.balance(tenant) == (0, PRICE)

    async def test_lowered_to_what_is_spent_and_no_further(self, yard, play, change, postpaid):
        tenant = await postpaid(3 * PRICE)
        worker = await play.hire()
        await play.finish(worker, await play.rendering(tenant, worker))
        await play.queue(tenant)
        before = await play.world()
        with pytest.raises(LineSpent, match="marina"):
            await change(accounts.set_line, tenant.account, 2 * PRICE - 1)
        assert await play.world() == before
        await change(accounts.set_line, tenant.account, 2 * PRICE)
        assert await play.balance(tenant) == (0, PRICE)
        assert (await upkeep.audit(yard)).in_order

    async def test_set_to_what_it_is(self, play, change, postpaid):
        tenant = await postpaid(PRICE)
        before = await play.world()
        await change(accounts.set_line, tenant.account, PRICE)
        assert await play.world() == before

    async def test_is_what_was_said_last(self, yard, play, change, postpaid):
        tenant = await postpaid(PRICE)
        lines = [number * PRICE for number in range(1, 11)]
        await asyncio.gather(*(change(accounts.set_line, tenant.account, line) for line in lines))
        assert (await play.balance(tenant))[0] in lines
        await change(accounts.set_line, tenant.account, 0)
        assert await play.balance(tenant) == (0, 0)
        assert (await upkeep.audit(yard)).in_order

    async def test_credit_is_beside_it(self, play, change, postpaid):
        tenant = await postpaid(PRICE)
        await change(accounts.top_up, tenant.account, PRICE)
        await change(accounts.set_line, tenant.account, 2 * PRICE)
        assert await play.balance(tenant) == (3 * PRICE, 0)

    async def test_while_jobs_are_taken(self, yard, play, change, postpaid):
        tenant = await postpaid(20 * PRICE)

        async def move():
            for line in (30, 20, 25, 15):
                await change(accounts.set_line, tenant.account, line * PRICE)

        await asyncio.gather(move(), *(play.queue(tenant) for _ in range(10)))
        assert await play.balance(tenant) == (5 * PRICE, 10 * PRICE)
        assert (await upkeep.audit(yard)).in_order


class TestTerms:
    async def test_the_share_of_work_that_waits(self, play, change, tenant):
        await play.queue(tenant)
        await change(accounts.set_share, tenant.account, 7, 3)
        found = await change(accounts.find, tenant.account.name)
        assert (found.weight, found.cap) == (7, 3)
        assert await play.sql("SELECT weight, cap FROM shares") == [{"weight": 7, "cap": 3}]

    async def test_the_share_of_later_work_whatever_its_caller_knew(self, play, change, tenant):
        await play.queue(tenant)
        await change(accounts.set_share, tenant.account, 7, 3)
        await play.queue(tenant)  # by the same caller as before, as within its second
        assert await play.sql("SELECT weight, cap FROM shares") == [{"weight": 7, "cap": 3}]

    @pytest.mark.parametrize("first", ["job", "terms"])
    async def test_the_share_that_a_first_job_opens_meanwhile(self, yard, play, tenant, first):
        async def open_share(tx):
            names = {"lane": "default", "account_id": tenant.account.id}
            await tx.run("shares.open", **names)

        async def set_share(tx):
            await accounts.set_share(tx, tenant.account, 7, 3)

        async def follow(verb):
            async with yard.database.transaction() as tx:
                await verb(tx)

        leader, follower = (open_share, set_share)[:: 1 if first == "job" else -1]
        async with yard.database.transaction() as tx:
            await leader(tx)
            following = play.beside(follow(follower))
            asked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(10):
                while not await play.sql(asked + " AND datname = current_database()"):
                    await asyncio.sleep(0.01)
        await following
        assert await play.sql("SELECT weight, cap FROM shares") == [{"weight": 7, "cap": 3}]

    async def test_a_cap_holds_at_once_and_until_it_is_lifted(self, play, change, tenant, worker):
        await play.rendering(tenant, worker)
        await play.queue(tenant)
        await change(accounts.set_share, tenant.account, 1, 1)
        assert await play.claim(worker) is None
        await change(accounts.set_share, tenant.account, 1, None)
        assert await play.claim(worker) is not None

    async def test_a_tier(self, change, tenant):
        await change(accounts.set_tier, tenant.account, "partner")
        assert (await change(accounts.find, tenant.account.name)).tier == "partner"

    @pytest.mark.parametrize("currency", ["USD", "BUNDLED_CREDITS"])
    async def test_no_credit_for_an_unmetered_one(self, play, change, open_tenant, currency):
        tenant = await open_tenant()
        with pytest.raises(AccountUnmetered):
            await change(accounts.top_up, tenant.account, 1, currency)
        assert await play.sql("SELECT 1 FROM transfers") == []


class TestStatement:
    async def test_what_may_be_spent_and_what_is_held(self, play, change, tenant):
        await change(accounts.top_up, tenant.account, 30_000, "BUNDLED_CREDITS")
        await change(accounts.set_diem, tenant.account, 120_000)
        (found,) = await change(accounts.all_of_them)
        assert (found.usd_micros, found.bundled_micros) == (1_000_000, 30_000)
        assert (found.diem_left_micros, found.held_micros, found.keys) == (120_000, 0, 1)
        await play.queue(tenant)
        await play.queue(tenant)
        (found,) = await change(accounts.all_of_them)
        assert (found.usd_micros, found.bundled_micros) == (1_000_000 - PRICE, 30_000)
        assert (found.diem_left_micros, found.held_micros) == (120_000 - PRICE, 2 * PRICE)

    async def test_by_name(self, change):
        for name in ("b", "a", "c"):
            await change(accounts.open_new, name, "unmetered")
        assert [one.name for one in await change(accounts.all_of_them)] == ["a", "b", "c"]
