"""Usage: entries of charges and refunds, walks that miss nothing, and cursors of one account."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from squero.domain import accounts, generation, usage
from squero.domain.usage import Balance, Span, Walk
from squero.errors import InvalidCursor

from .test_plans import explained, nodes

pytestmark = pytest.mark.anyio

PRICE = 50_000
EVERYTHING = Walk(Span(), 1000)


@pytest.fixture
async def rich(yard, open_tenant):
    """A tenant with DIEM, bundled credits and USD for some jobs of each."""
    tenant = await open_tenant(credit_micros=1_000_000)
    async with yard.database.transaction() as tx:
        await accounts.set_diem(tx, tenant.account, 120_000)
        await accounts.top_up(tx, tenant.account, PRICE, "BUNDLED_CREDITS")
    return tenant


@pytest.fixture
def entries(yard):
    """Every entry of a tenant, oldest first, as (currency, micros, refunded to)."""

    async def read(tenant):
        found, _ = await usage.page(
            yard.database, tenant.account.id, Span(), 1, 500, newest_first=False
        )
        return [
            (one.currency, one.amount_micros, "" if one.charge else one.to_book) for one in found
        ]

    return read


@pytest.fixture
def walk(yard, monkeypatch):
    """Walks through a tenant's history without the second of grace: the ids of each page."""
    monkeypatch.setattr(usage, "_GRACE_SECONDS", 0.0)

    async def follow(tenant, start=EVERYTHING):
        pages, rest = [], start
        while rest is not None:
            found, rest = await usage.history(yard.database, tenant.account.id, rest)
            pages.append([one.id for one in found])
        return pages

    return follow


class TestEntries:
    async def test_of_a_job_that_completes_are_its_charge(self, tenant, play, worker, entries):
        claimed = await play.rendering(tenant, worker)
        assert await entries(tenant) == [("USD", PRICE, "")]
        play.seal_result(claimed)
        await play.finish(worker, claimed)
        assert await entries(tenant) == [("USD", PRICE, "")]

    async def test_of_a_job_that_is_cancelled_are_charge_and_refund(
        self, yard, tenant, play, entries
    ):
        queue_id = await play.queue(tenant)
        await generation.cancel(yard, tenant.account.id, queue_id)
        assert await entries(tenant) == [("USD", PRICE, ""), ("USD", PRICE, "available")]

    async def test_of_an_unmetered_account_too(self, yard, open_tenant, play, entries):
        tenant = await open_tenant()
        queue_id = await play.queue(tenant)
        await generation.cancel(yard, tenant.account.id, queue_id)
        assert await entries(tenant) == [("USD", PRICE, ""), ("USD", PRICE, "funding")]

    async def test_name_the_currency_that_was_taken(self, rich, play, entries):
        for _ in range(3):
            await play.queue(rich)
        assert [one[0] for one in await entries(rich)] == ["DIEM", "BUNDLED_CREDITS", "USD"]

    async def test_of_diem_that_lapsed_say_so(self, yard, rich, play, entries, pass_time):
        queue_id = await play.queue(rich)
        await pass_time(86_400)
        await generation.cancel(yard, rich.account.id, queue_id)
        assert await entries(rich) == [("DIEM", PRICE, ""), ("DIEM", PRICE, "lapsed")]

    async def test_are_the_account_s_own(self, tenant, open_tenant, play, entries):
        await play.queue(await open_tenant())
        assert await entries(tenant) == []

    async def test_have_the_price_of_a_second(self, yard, tenant, play):
        await play.queue(tenant)
        (found,), total = await usage.page(
            yard.database, tenant.account.id, Span(), 1, 1, newest_first=True
        )
        assert (found.seconds, found.rate_micros, total) == (5, 10_000, 1)
        assert replace(found, frames=36).seconds == 1.5


class TestPage:
    async def test_goes_both_ways(self, yard, open_tenant, play):
        tenant = await open_tenant()
        ids = [f"hold:{await play.queue(tenant)}" for _ in range(5)]

        async def ask(number, newest_first):
            found, total = await usage.page(
                yard.database, tenant.account.id, Span(), number, 2, newest_first=newest_first
            )
            assert total == 5
            return [one.id for one in found]

        assert [await ask(n, False) for n in (1, 2, 3, 4)] == [ids[:2], ids[2:4], ids[4:], []]
        assert await ask(1, True) == ids[:2:-1]
        assert await ask(10**15, True) == []

    async def test_is_of_a_span_and_a_currency(self, yard, rich, play, pass_time):
        await play.queue(rich)
        await pass_time(100)
        await play.queue(rich)

        async def ask(**span):
            found, total = await usage.page(
                yard.database, rich.account.id, Span(**span), 1, 10, newest_first=False
            )
            assert len(found) == total
            return [one.currency for one in found]

        found, _ = await usage.page(
            yard.database, rich.account.id, Span(), 1, 10, newest_first=False
        )
        first, second = (one.created_at for one in found)
        assert await ask(currency="DIEM") == ["DIEM"]
        assert await ask(currency="VCU") == []
        assert await ask(start=second) == ["BUNDLED_CREDITS"]
        assert await ask(until=second) == ["DIEM"]
        assert await ask(start=first, until=first) == []


class TestHistory:
    async def test_is_walked_whole_and_once(self, open_tenant, play, walk):
        tenant = await open_tenant()
        ids = [f"hold:{await play.queue(tenant)}" for _ in range(7)]
        pages = await walk(tenant, Walk(Span(), 3))
        assert pages == [ids[:3], ids[3:6], ids[6:]]
        assert await walk(tenant, Walk(Span(), 7)) == [ids]

    async def test_goes_on_from_where_it_was_whatever_comes(
        self, yard, open_tenant, play, pass_time
    ):
        tenant = await open_tenant()
        ids = [f"hold:{await play.queue(tenant)}" for _ in range(4)]
        await pass_time(2)
        first, rest = await usage.history(yard.database, tenant.account.id, Walk(Span(), 3))
        await generation.cancel(yard, tenant.account.id, first[0].queue_id)
        await pass_time(2)
        second, end = await usage.history(yard.database, tenant.account.id, rest)
        assert [one.id for one in (*first, *second)] == [*ids, ids[0].replace("hold", "settle")]
        assert end is None

    async def test_tells_entries_of_one_moment_apart(self, sql, open_tenant, play, walk):
        tenant = await open_tenant()
        ids = sorted([f"hold:{await play.queue(tenant)}" for _ in range(5)])
        await sql("UPDATE transfers SET created_at = now() - interval '1 hour'")
        assert await walk(tenant, Walk(Span(), 2)) == [ids[:2], ids[2:4], ids[4:]]

    async def test_keeps_to_its_span_on_every_page(self, yard, sql, open_tenant, play, walk):
        tenant = await open_tenant()
        ids = [f"hold:{await play.queue(tenant)}" for _ in range(5)]
        rows = {row["id"]: row for row in await sql("SELECT id, created_at FROM transfers")}
        span = Span("USD", rows[ids[1]]["created_at"], rows[ids[4]]["created_at"])
        assert await walk(tenant, Walk(span, 2)) == [ids[1:3], ids[3:4]]
        assert await walk(tenant, Walk(replace(span, currency="DIEM"), 2)) == [[]]

    async def test_ends_a_second_ago(self, yard, tenant, play, pass_time):
        queue_id = await play.queue(tenant)
        found, rest = await usage.history(yard.database, tenant.account.id, EVERYTHING)
        assert (list(found), rest) == ([], None)
        await pass_time(1)
        found, rest = await usage.history(yard.database, tenant.account.id, EVERYTHING)
        assert ([one.queue_id for one in found], rest) == ([queue_id], None)

    async def test_ends_where_an_entry_may_still_come(self, sql, tenant, play, walk, database_url):
        early = await play.queue(tenant)
        async with await psycopg.AsyncConnection.connect(database_url) as late:
            # It began before the second job was queued, and commits after it.
            await late.execute("UPDATE transfers SET created_at = squero_now()")
            second = await play.queue(tenant)
            assert await walk(tenant) == [[f"hold:{early}"]]
        assert await walk(tenant) == [[f"hold:{early}", f"hold:{second}"]]

    async def test_waits_for_one_that_waits_for_a_lock(
        self, sql, tenant, play, walk, database_url, monkeypatch
    ):
        monkeypatch.setattr(usage, "_YOUNG_SECONDS", 0.0)
        early = await play.queue(tenant)
        lock = "LOCK TABLE watch IN SHARE UPDATE EXCLUSIVE MODE"
        holder = await psycopg.AsyncConnection.connect(database_url)
        waiter = await psycopg.AsyncConnection.connect(database_url)
        async with waiter, holder:
            await holder.execute(lock)
            waiting = play.beside(waiter.execute(lock))
            asked = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            while not await sql(asked, waiter.info.backend_pid):
                await asyncio.sleep(0.01)
            late = await play.queue(tenant)
            assert await walk(tenant) == [[f"hold:{early}"]]
            await holder.rollback()
            await waiting
        assert await walk(tenant) == [[f"hold:{early}", f"hold:{late}"]]

    async def test_is_not_stopped_by_who_only_reads_for_long(
        self, tenant, play, walk, database_url, monkeypatch
    ):
        async with await psycopg.AsyncConnection.connect(database_url) as backup:
            await backup.execute("SELECT FROM transfers")
            queue_id = await play.queue(tenant)
            assert await walk(tenant) == [[]]
            monkeypatch.setattr(usage, "_YOUNG_SECONDS", 0.0)
            assert await walk(tenant) == [[f"hold:{queue_id}"]]


class TestCursor:
    WALK = Walk(
        Span("BUNDLED_CREDITS", datetime.now(UTC), datetime(9999, 12, 31, tzinfo=UTC)),
        1000,
        f"settle:{uuid4()}",
    )

    @pytest.mark.parametrize("walk", [WALK, EVERYTHING, Walk(Span(start=datetime.now(UTC)), 10)])
    def test_is_the_walk_again(self, yard, walk):
        account_id = uuid4()
        cursor = usage.write_cursor(yard.keyring, account_id, walk)
        assert len(cursor) <= 512 and cursor.replace("-", "a").replace("_", "a").isalnum()
        assert usage.read_cursor(yard.keyring, account_id, cursor) == walk

    def test_is_no_other_account_s(self, yard):
        cursor = usage.write_cursor(yard.keyring, uuid4(), self.WALK)
        with pytest.raises(InvalidCursor):
            usage.read_cursor(yard.keyring, uuid4(), cursor)

    def test_is_not_to_be_changed(self, yard):
        account_id = uuid4()
        cursor = usage.write_cursor(yard.keyring, account_id, self.WALK)
        for place in range(len(cursor)):
            for other in "A_b0":
                changed = cursor[:place] + other + cursor[place + 1 :]
                if changed != cursor:
                    with pytest.raises(InvalidCursor):
                        usage.read_cursor(yard.keyring, account_id, changed)

    @pytest.mark.parametrize("text", ["", "A", "AAAA", "====", "a b", "é", "A" * 512, "A" * 513])
    def test_is_nothing_else(self, yard, text):
        with pytest.raises(InvalidCursor):
            usage.read_cursor(yard.keyring, uuid4(), text)


class TestBalance:
    async def test_of_an_epoch_that_has_not_begun(self, yard, rich):
        found = await usage.balance(yard.database, rich.account.id)
        assert found == Balance("prepaid", 1_000_000, PRICE, 120_000, 120_000)
        assert (found.next_currency, found.enough, found.staked) == ("DIEM", True, True)

    async def test_of_one_that_has(self, yard, rich, play):
        await play.queue(rich)
        async with yard.database.transaction() as tx:
            await accounts.set_diem(tx, rich.account, 10)
        found = await usage.balance(yard.database, rich.account.id)
        assert found == Balance("prepaid", 1_000_000, PRICE, 70_000, 120_000)
        assert found.next_currency == "BUNDLED_CREDITS"

    @pytest.mark.parametrize(
        ("usd", "bundled", "diem", "currency", "enough"),
        [
            (0, 0, 0, None, False),
            (0, 0, 99_999, None, False),
            (0, 0, 100_000, "DIEM", True),
            (50_000, 0, 50_000, "USD", True),
            (99_999, 0, 0, "USD", False),
            (100_000, 1, 0, "BUNDLED_CREDITS", True),
        ],
    )
    def test_says_what_is_taken_next(self, usd, bundled, diem, currency, enough):
        found = Balance("prepaid", usd, bundled, diem, diem)
        assert (found.next_currency, found.enough) == (currency, enough)

    def test_of_an_unmetered_account_has_no_end(self):
        found = Balance("unmetered", 0, 0, 200_000, 0)
        assert (found.next_currency, found.enough) == ("USD", True)


class TestTotals:
    async def test_are_charges_by_utc_day_model_and_key(self, yard, sql, rich, play, pass_time):
        first = await play.queue(rich)
        for _ in range(2):
            await play.queue(rich)
        await generation.cancel(yard, rich.account.id, first)
        await sql(
            "UPDATE transfers SET created_at = '2026-03-01T23:59:59.999Z' WHERE currency = 'USD'"
        )
        await sql("UPDATE transfers SET created_at = '2026-03-02T00:00Z' WHERE currency <> 'USD'")

        async def ask(first, last):
            found = await usage.totals(yard.database, rich.account.id, first, last)
            assert {one.key_id for one in found} <= {rich.caller.key_id}
            return [(str(one.day), one.usd_micros, one.diem_micros, one.video_ms) for one in found]

        march = date(2026, 3, 1)
        one, two = ("2026-03-01", PRICE, 0, 5_000), ("2026-03-02", PRICE, PRICE, 10_000)
        assert await ask(march, march + timedelta(days=1)) == [one, two]
        assert await ask(march, march) == [one]
        assert await ask(march - timedelta(days=1), march - timedelta(days=1)) == []


CROWD = """
INSERT INTO accounts (name, billing) SELECT 'a' || n, 'unmetered' FROM generate_series(1, 100) n;
CREATE TABLE others AS SELECT a.id AS account_id, n, gen_random_uuid() AS queue_id
    FROM accounts a, generate_series(1, 500) n WHERE a.name ~ '^a[0-9]';
INSERT INTO generations (queue_id, account_id, {columns})
    SELECT o.queue_id, o.account_id, {columns} FROM generations g, others o
    WHERE g.queue_id = %(queue_id)s;
INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros, queue_id,
                       key_id, created_at)
    SELECT kind || ':' || o.queue_id, o.account_id, 'USD',
           CASE kind WHEN 'hold' THEN 'funding' ELSE 'held' END,
           CASE kind WHEN 'hold' THEN 'held' ELSE 'revenue' END, 1, o.queue_id, t.key_id,
           now() - o.n * interval '1 hour'
    FROM others o, transfers t, unnest('{{hold,settle}}'::text[]) AS kind
    WHERE t.id = 'hold:' || %(queue_id)s::text;
DROP TABLE others
"""


@pytest.fixture
async def crowded(play, sql, open_tenant):
    """A tenant with one entry among the hundred thousand transfers of a hundred others."""
    tenant = await open_tenant()
    queue_id = await play.queue(tenant)
    row = await play.row(queue_id)
    columns = ", ".join(name for name in row if name not in ("queue_id", "seq", "account_id"))
    for part in CROWD.format(columns=columns).split(";"):
        await sql(part, queue_id=queue_id) if "%(" in part else await sql(part)
    await sql("VACUUM ANALYZE")
    return tenant


async def test_nobody_reads_what_is_others(crowded, sql, database_url):
    other = (await sql("SELECT id FROM accounts WHERE name = 'a1'"))[0]["id"]
    today = str(datetime.now(UTC).date())
    span = {"currency": None, "start": None, "until": None, "limit": 201, "offset": 0}
    for account_id, most in ((crowded.account.id, 100), (other, 4_000)):
        asked = {"account_id": str(account_id), **span}
        counted = {name: asked[name] for name in ("account_id", "currency", "start", "until")}
        days = {"account_id": str(account_id), "first": "2000-01-01", "last": today}
        cases = {
            "usage.balance": {"account_id": str(account_id)},
            "usage.count": counted,
            "usage.newest": asked,
            "usage.oldest": asked | {"after": ""},
            "usage.totals": days,
        }
        for generic in (True, False):
            for name, values in cases.items():
                plan = await explained(database_url, name, generic, values)
                pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
                assert pages < most, (name, generic, pages)
                tables = ("transfers", "generations")
                scanned = [one for one in nodes(plan) if one.get("Relation Name") in tables]
                assert {one["Node Type"] for one in scanned} <= {
                    "Index Scan",
                    "Index Only Scan",
                    "Bitmap Heap Scan",
                }, (name, generic)
