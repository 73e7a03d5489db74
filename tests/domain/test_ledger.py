"""The ledger: double entry, each transfer once, and an audit that finds what is wrong."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from squero import chores
from squero.domain import accounts, generation, ledger, upkeep
from squero.domain.accounts import AccountUnmetered

pytestmark = pytest.mark.anyio

PRICE = 50_000


async def audit(yard):
    async with yard.database.snapshot() as tx:
        return await ledger.audit(tx)


class TestTransfers:
    async def test_books_sum_to_zero(self, yard, play, tenant, worker):
        captured = await play.rendering(tenant, worker)
        await play.finish(worker, captured)
        released = await play.queue(tenant)
        await generation.cancel(yard, tenant.account.id, released)
        await play.queue(tenant)
        books = await play.sql(
            "SELECT book, sum(amount)::bigint AS micros FROM ("
            "  SELECT to_book AS book, amount_micros AS amount FROM transfers"
            "  UNION ALL SELECT from_book, -amount_micros FROM transfers) entries GROUP BY book"
        )
        sums = {row["book"]: row["micros"] for row in books}
        assert sum(sums.values()) == 0
        assert sums == {
            "funding": -1_000_000,
            "available": 1_000_000 - 2 * PRICE,
            "held": PRICE,
            "revenue": PRICE,
        }
        assert await play.balance(tenant) == (sums["available"], sums["held"])

    async def test_ids_name_what_they_settle(self, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        await play.finish(worker, claimed)
        ids = {row["id"] for row in await play.sql("SELECT id FROM transfers")}
        assert {f"hold:{claimed.queue_id}", f"settle:{claimed.queue_id}"} < ids

    @pytest.mark.parametrize("verb", [ledger.capture, ledger.release])
    async def test_settled_at_most_once(self, yard, play, tenant, worker, verb):
        claimed = await play.rendering(tenant, worker)
        await play.finish(worker, claimed)
        before = await play.world()

        async def settle():
            async with yard.database.transaction() as tx:
                await verb(tx, claimed.queue_id)

        await asyncio.gather(*(settle() for _ in range(10)))
        assert await play.world() == before

    async def test_settled_once_of_many_at_a_time(self, yard, play, tenant):
        queue_id = await play.queue(tenant)

        async def settle(verb):
            async with yard.database.transaction() as tx:
                await verb(tx, queue_id)

        await asyncio.gather(*(settle(ledger.release) for _ in range(10)))
        assert await play.balance(tenant) == (1_000_000, 0)

    async def test_an_unmetered_account_takes_no_credit(self, yard, open_tenant):
        tenant = await open_tenant()
        async with yard.database.transaction() as tx:
            with pytest.raises(AccountUnmetered):
                await accounts.top_up(tx, tenant.account, 1)

    async def test_an_account_is_found_by_its_name(self, yard):
        async with yard.database.transaction() as tx:
            made, new = await accounts.find_or_open(tx, "a", "prepaid")
            found, again = await accounts.find_or_open(tx, "a", "unmetered")
        assert (found, new, again) == (made, True, False)


class TestAudit:
    async def test_in_order(self, yard, play, tenant, worker):
        await play.rendering(tenant, worker)
        found = await upkeep.audit(yard)
        assert found.in_order
        (total,) = found.totals
        assert (total.transfers, total.held_micros) == (2, PRICE)

    async def test_totals_by_currency(self, yard, play, tenant, worker):
        async with yard.database.transaction() as tx:
            await accounts.set_diem(tx, tenant.account, 3 * PRICE)
            await accounts.top_up(tx, tenant.account, 10 * PRICE, "BUNDLED_CREDITS")
        await play.finish(worker, await play.rendering(tenant, worker))
        await play.queue(tenant)
        await play.queue(tenant)
        found = await upkeep.audit(yard)
        assert [
            (one.currency, one.balances, one.transfers, one.revenue_micros, one.held_micros)
            for one in found.totals
        ] == [
            ("DIEM", 1, 4, PRICE, PRICE),
            ("BUNDLED_CREDITS", 1, 2, 0, PRICE),
            ("USD", 1, 1, 0, 0),
        ]

    async def test_by_the_clock_is_what_the_metrics_show(self, yard, play, tenant):
        def shown():
            return REGISTRY.get_sample_value("squero_ledger_in_order")

        await chores.audit(yard)
        assert shown() == 1
        await play.sql("UPDATE balances SET held_micros = held_micros + 1")
        await chores.audit(yard)
        assert shown() == 0

    async def test_a_tampered_balance(self, yard, play, tenant):
        await play.sql("UPDATE balances SET available_micros = available_micros + 1")
        found = await audit(yard)
        assert not found.in_order
        (wrong,) = found.differences
        assert (wrong.available_micros, wrong.available_sum) == (1_000_001, 1_000_000)
        assert not found.unsettled
        assert not found.miscounts

    @pytest.mark.parametrize(
        ("tamper", "settled_to"),
        [
            ("DELETE FROM transfers WHERE id LIKE 'settle:%'", None),
            ("UPDATE transfers SET to_book = 'available' WHERE id LIKE 'settle:%'", "available"),
            ("DELETE FROM transfers WHERE id LIKE 'hold:%'", "revenue"),
            ("UPDATE transfers SET amount_micros = 1 WHERE id LIKE 'hold:%'", "revenue"),
            ("UPDATE generations SET state = 'failed', media = NULL", "revenue"),
        ],
    )
    async def test_an_end_without_its_money(self, yard, play, tenant, worker, tamper, settled_to):
        claimed = await play.rendering(tenant, worker)
        await play.finish(worker, claimed)
        await play.sql(tamper)
        (wrong,) = (await audit(yard)).unsettled
        assert (wrong.queue_id, wrong.settled_to) == (claimed.queue_id, settled_to)

    async def test_a_settlement_before_the_end(self, yard, play, tenant):
        queue_id = await play.queue(tenant)
        async with yard.database.transaction() as tx:
            await ledger.capture(tx, queue_id)
        (wrong,) = (await audit(yard)).unsettled
        assert (wrong.queue_id, wrong.state, wrong.settled_to) == (queue_id, "queued", "revenue")

    @pytest.mark.parametrize("column", ["queued", "running", "waiting_us"])
    async def test_a_miscounted_share(self, yard, play, tenant, worker, column):
        await play.rendering(tenant, worker)
        await play.queue(tenant)
        await play.sql(f"UPDATE shares SET {column} = {column} + 1")
        (wrong,) = (await audit(yard)).miscounts
        assert (
            getattr(wrong, column)
            == getattr(wrong, "waiting_us_rows" if column == "waiting_us" else f"{column}_rows") + 1
        )

    async def test_a_share_that_is_missing(self, yard, play, tenant):
        await play.queue(tenant)
        await play.sql("DELETE FROM shares")
        (wrong,) = (await audit(yard)).miscounts
        assert (wrong.queued, wrong.queued_rows) == (0, 1)
