"""The ledger: double entry, each transfer once, and an audit that finds what is wrong."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from squero import chores
from squero.domain import accounts, generation, ledger, upkeep
from squero.domain.accounts import AccountUnmetered

pytestmark = pytest.mark.anyio

PRICE = 50_000

HOLD, SETTLE = "'hold:' || %(id)s", "'settle:' || %(id)s"
NOT_THE_JOBS, NOT_THE_HOLDS = "its hold is not of its price", "not of what was held"
OTHER_ACCOUNT = (
    "WITH other AS (INSERT INTO accounts (name, billing) VALUES ('other', 'prepaid') RETURNING id)"
    " UPDATE transfers SET account_id = other.id FROM other WHERE transfers.id = "
)
ENDS = [
    (f"DELETE FROM transfers WHERE id = {SETTLE}", "completed", "not settled"),
    (
        f"UPDATE transfers SET to_book = 'available' WHERE id = {SETTLE}",
        "completed",
        "its money went to available",
    ),
    (f"DELETE FROM transfers WHERE id = {HOLD}", "completed", "nothing was held"),
    (
        f"UPDATE transfers SET to_book = 'revenue' WHERE id = {HOLD}",
        "completed",
        NOT_THE_JOBS,
    ),
    (
        "UPDATE generations SET state = 'failed', media = NULL WHERE queue_id = %(id)s",
        "failed",
        "its money went to revenue",
    ),
    ("DELETE FROM generations WHERE queue_id = %(id)s", None, "no such job"),
    (
        "WITH gone AS (DELETE FROM generations WHERE queue_id = %(id)s)"
        f" DELETE FROM transfers WHERE id = {HOLD}",
        None,
        "no such job",
    ),
    *(
        (f"UPDATE transfers SET {change} WHERE id = {HOLD}", "completed", NOT_THE_JOBS)
        for change in (
            "amount_micros = 1",
            "currency = 'BUNDLED_CREDITS'",
            "queue_id = NULL",
            "key_id = NULL",
        )
    ),
    (OTHER_ACCOUNT + HOLD, "completed", NOT_THE_JOBS),
    (
        "UPDATE generations SET currency = 'DIEM' WHERE queue_id = %(id)s",
        "completed",
        NOT_THE_JOBS,
    ),
    *(
        (f"UPDATE transfers SET {change} WHERE id = {SETTLE}", "completed", NOT_THE_HOLDS)
        for change in (
            "amount_micros = 10000",
            "currency = 'BUNDLED_CREDITS'",
            "epoch = '2030-01-31'",
            "queue_id = NULL",
            "key_id = NULL",
            "from_book = 'available'",
        )
    ),
    (OTHER_ACCOUNT + SETTLE, "completed", NOT_THE_HOLDS),
]
"""What is done to a completed job of two, its state then, and what is said of it."""


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

    @pytest.mark.parametrize("book", ["available", "held"])
    async def test_a_balance_that_is_missing(self, yard, play, tenant, book):
        if book == "held":
            await play.queue(tenant)
        await play.sql("DELETE FROM balances")
        found = await audit(yard)
        (wrong,) = found.differences
        assert (wrong.account, wrong.currency) == (tenant.account.name, "USD")
        assert (wrong.available_micros, wrong.held_micros) == (None, None)
        held = PRICE if book == "held" else 0
        assert (wrong.available_sum, wrong.held_sum) == (1_000_000 - held, held)

    async def test_a_missing_balance_of_nothing(self, yard, play, open_tenant):
        await play.queue(await open_tenant(credit_micros=PRICE))
        await generation.cancel(
            yard, *(await play.sql("SELECT account_id, queue_id FROM generations"))[0].values()
        )
        await play.sql(
            "INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros)"
            " SELECT 'line:x', id, 'USD', 'available', 'line', %s FROM accounts",
            PRICE,
        )
        await play.sql("DELETE FROM balances")
        (wrong,) = (await audit(yard)).differences
        assert (wrong.available_micros, wrong.available_sum, wrong.held_sum) == (None, 0, 0)

    async def test_a_refill_without_its_balance(self, yard, play, tenant):
        await play.sql(
            "INSERT INTO transfers"
            " (id, account_id, currency, epoch, from_book, to_book, amount_micros)"
            " SELECT 'refill:' || id || ':2030-01-31', id, 'DIEM', '2030-01-31', 'funding',"
            " 'available', 7 FROM accounts"
        )
        (wrong,) = (await audit(yard)).differences
        assert (wrong.currency, str(wrong.epoch)) == ("DIEM", "2030-01-31")
        assert (wrong.available_micros, wrong.available_sum) == (None, 7)

    @pytest.mark.parametrize(("tamper", "state", "fault"), ENDS)
    async def test_an_end_without_its_money(self, yard, play, tenant, worker, tamper, state, fault):
        claimed = await play.rendering(tenant, worker)
        await play.finish(worker, claimed)
        await play.queue(tenant)
        assert (await audit(yard)).in_order
        await play.sql(tamper, id=claimed.queue_id)
        found = await audit(yard)
        (wrong,) = found.unsettled
        assert (wrong.queue_id, wrong.state) == (str(claimed.queue_id), state)
        assert fault in wrong.fault
        assert not found.in_order

    @pytest.mark.parametrize(
        ("tamper", "fault"),
        [
            ("UPDATE transfers SET to_book = 'lapsed' WHERE {of}", "went to lapsed"),
            ("UPDATE transfers SET to_book = 'funding' WHERE {of}", "went to funding"),
            ("UPDATE transfers SET counted_on = counted_on - 1 WHERE {of}", "not of what was held"),
            ("UPDATE generations SET state = 'completed', media = 'kept'", "went to available"),
        ],
    )
    async def test_a_release_that_is_none(self, yard, play, tenant, tamper, fault):
        queue_id = await play.queue(tenant)
        await generation.cancel(yard, tenant.account.id, queue_id)
        await play.sql(tamper.format(of="id LIKE 'settle:%'"))
        (wrong,) = (await audit(yard)).unsettled
        assert wrong.queue_id == str(queue_id)
        assert fault in wrong.fault

    async def test_a_hold_of_no_job(self, yard, play, tenant):
        queue_id = await play.queue(tenant)
        await play.sql("DELETE FROM generations")
        await play.sql("UPDATE shares SET queued = 0, waiting_us = 0")
        found = await audit(yard)
        (wrong,) = found.unsettled
        assert (wrong.queue_id, wrong.state) == (str(queue_id), None)
        assert "no such job" in wrong.fault

    @pytest.mark.parametrize(("source", "to"), [("available", "held"), ("held", "revenue")])
    async def test_money_of_no_job_under_another_id(self, yard, play, tenant, source, to):
        await play.sql(
            "INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros)"
            " SELECT 'odd', id, 'USD', %s, %s, 0 FROM accounts",
            *(source, to),
        )
        (wrong,) = (await audit(yard)).unsettled
        assert (wrong.queue_id, wrong.state) == ("odd", None)

    async def test_a_settlement_before_the_end(self, yard, play, tenant):
        queue_id = await play.queue(tenant)
        async with yard.database.transaction() as tx:
            await ledger.capture(tx, queue_id)
        (wrong,) = (await audit(yard)).unsettled
        assert (wrong.queue_id, wrong.state) == (str(queue_id), "queued")
        assert wrong.fault == "its money went to revenue before its end"

    @pytest.mark.parametrize(
        ("tamper", "named"),
        [
            ("SET day_micros = 0", [("latest day", 0)]),
            ("SET month_micros = 0", [("latest month", 0)]),
            ("SET lifetime_micros = 0", [("lifetime", 0)]),
            ("SET day_micros = 0, month_micros = 0", [("latest day", 0), ("latest month", 0)]),
            (
                "SET day = day + 40, day_micros = 0, month_micros = 0",
                [("latest day", 0), ("latest month", 0)],
            ),
        ],
    )
    async def test_a_tampered_count(self, yard, play, tenant, tamper, named):
        released = await play.queue(tenant)
        await play.queue(tenant)
        await generation.cancel(yard, tenant.account.id, released)
        assert (await audit(yard)).in_order
        await play.sql(f"UPDATE spending {tamper} WHERE currency = 'USD'")
        found = await audit(yard)
        assert [(one.period, one.spent_micros) for one in found.miscounted] == named
        assert {one.currency for one in found.miscounted} == {"USD"}
        assert {one.spent_sum for one in found.miscounted} == {PRICE}
        assert not found.in_order

    async def test_a_count_of_a_day_that_is_over(self, yard, play, tenant, pass_time):
        await play.queue(tenant)
        await pass_time(40 * 86_400)
        assert (await audit(yard)).in_order
        await play.sql("UPDATE spending SET month_micros = 0")
        (wrong,) = (await audit(yard)).miscounted
        assert (wrong.period, wrong.spent_sum) == ("latest month", PRICE)

    async def test_a_day_that_was_set_back(self, yard, play, tenant, pass_time):
        await play.queue(tenant)
        await pass_time(40 * 86_400)
        await play.queue(tenant)
        assert (await audit(yard)).in_order
        await play.sql("UPDATE spending SET day = day - 40 WHERE currency = 'USD'")
        found = await audit(yard)
        assert [(one.period, one.spent_sum) for one in found.miscounted] == [
            ("latest day", 2 * PRICE),
            ("latest month", 2 * PRICE),
        ]

    async def test_a_clock_that_went_back_is_no_miscount(self, yard, play, tenant, pass_time):
        await play.queue(tenant)
        await pass_time(40 * 86_400)
        await play.queue(tenant)
        await pass_time(-35 * 86_400)
        await play.queue(tenant)
        assert (await audit(yard)).in_order

    @pytest.mark.parametrize(("currency", "spent"), [("DIEM", 0), ("USD", PRICE)])
    async def test_a_count_that_is_missing(self, yard, play, tenant, currency, spent):
        await play.queue(tenant)
        await play.sql("DELETE FROM spending WHERE currency = %s", currency)
        (wrong,) = (await audit(yard)).miscounted
        assert (wrong.account, wrong.last6) == (tenant.account.name, tenant.key[-6:])
        assert (wrong.currency, wrong.spent_micros, wrong.spent_sum) == (currency, None, spent)

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
