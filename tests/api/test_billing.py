"""The billing calls, as they travel and as a published client reads them."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from openapi_schema_validator import OAS31Validator
from venice_ai import VeniceClient
from venice_ai.types.api.billing import BillingUsageEntry
from venice_ai.types.enums import BillingFormatEnum

from squero.api import billing
from squero.app import Application
from squero.domain import accounts, generation, keys, usage
from squero.wire.openapi import document

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("unblocked"),
    pytest.mark.filterwarnings("default:::(aiohttp|venice_ai)"),
]

PRICE = 0.05
CALLS = ("balance", "usage", "usage-history", "usage-analytics")
ENTRY = {
    "amount",
    "currency",
    "inferenceDetails",
    "notes",
    "pricePerUnitUsd",
    "sku",
    "timestamp",
    "units",
}
TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def no_grace(monkeypatch):
    """A history that ends now: the second of grace has its own test."""
    monkeypatch.setattr(usage, "_GRACE_SECONDS", 0.0)


class Payer:
    """A customer with a key of either kind."""

    def __init__(self, customer, admin_key):
        self.customer = customer
        self.admin_key = admin_key

    async def get(self, call, *, accept="application/json", **query):
        headers = {"authorization": f"Bearer {self.admin_key}", "accept": accept}
        return await self.customer.http.get(
            f"/api/v1/billing/{call}", params=query, headers=headers
        )

    async def queue(self):
        return UUID((await self.customer.queue())["queue_id"])


@pytest.fixture
def open_payer(open_customer, yard):
    """Makes a Payer: `await open_payer(credit_micros=…)`; unmetered without credit."""

    async def make(credit_micros=None, description=""):
        customer = await open_customer(credit_micros)
        async with yard.database.transaction() as tx:
            _, key = await keys.create(tx, yard.keyring, customer.account_id, "ADMIN", description)
        return Payer(customer, key)

    return make


@pytest.fixture
async def payer(open_payer):
    return await open_payer(1_000_000)


@pytest.fixture
async def refunded(payer, yard):
    """Who had a job that was cancelled, and has one that waits."""
    over = await payer.queue()
    await generation.cancel(yard, payer.customer.account_id, over)
    await payer.queue()
    return payer


@pytest.fixture
def grant(yard):
    """Gives an account DIEM and bundled credits."""

    async def give(payer, diem_micros, bundled_micros):
        async with yard.database.transaction() as tx:
            (account,) = [
                await accounts.find(tx, one.name) for one in await accounts.all_of_them(tx)
            ]
            assert account.id == payer.customer.account_id
            await accounts.set_diem(tx, account, diem_micros)
            await accounts.top_up(tx, account, bundled_micros, "BUNDLED_CREDITS")

    return give


def issues(answer):
    """What a 400 is about."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["error"] == "Invalid request parameters"
    for one in body["issues"]:
        assert one["message"] in body["details"][one["path"][0]]["_errors"]
    return {one["path"][0] for one in body["issues"]}


def told(name, body):
    """Fails unless our own document says that an answer looks like this."""
    components = document("0")["components"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    OAS31Validator(schema).validate(body)


@pytest.mark.parametrize("call", CALLS)
class TestKey:
    async def test_that_is_missing_is_refused(self, http, call):
        answer = await http.get(f"/api/v1/billing/{call}")
        assert (answer.status_code, answer.json()) == (401, {"error": "Authentication failed"})

    async def test_that_is_for_inference_is_refused(self, payer, call):
        answer = await payer.customer.http.get(
            f"/api/v1/billing/{call}", headers=payer.customer.headers
        )
        assert (answer.status_code, answer.json()) == (401, {"error": "Admin API key required"})

    async def test_of_an_admin_is_taken_and_told_the_balance(self, payer, call):
        answer = await payer.get(call)
        assert answer.status_code == 200
        assert answer.headers["x-venice-balance-usd"] == "1"
        assert answer.headers["content-type"] == "application/json"


class TestBalance:
    async def test_of_a_prepaid_account(self, payer):
        await payer.queue()
        body = (await payer.get("balance")).json()
        assert body == {
            "canConsume": True,
            "consumptionCurrency": "USD",
            "balances": {"diem": None, "usd": 0.95, "bundledCredits": 0},
            "diemEpochAllocation": 0,
        }
        told("BalanceAnswer", body)

    async def test_of_every_currency(self, payer, grant):
        await grant(payer, 2_500_001, 100)
        answer = await payer.get("balance")
        assert answer.headers["x-venice-balance-diem"] == "2.500001"
        assert answer.json() == {
            "canConsume": True,
            "consumptionCurrency": "DIEM",
            "balances": {"diem": 2.500001, "usd": 1, "bundledCredits": 0.0001},
            "diemEpochAllocation": 2.500001,
        }

    async def test_of_an_unmetered_account(self, open_payer):
        body = (await (await open_payer()).get("balance")).json()
        assert body["balances"]["usd"] == 9999999999
        assert (body["canConsume"], body["consumptionCurrency"]) == (True, "USD")

    async def test_of_who_has_nothing(self, open_payer):
        body = (await (await open_payer(1)).get("balance")).json()
        assert (body["canConsume"], body["consumptionCurrency"]) == (False, "USD")


class TestUsage:
    async def test_shows_charge_and_refund(self, refunded):
        answer = await refunded.get("usage")
        body = answer.json()
        told("UsageAnswer", body)
        assert [(one["amount"], one["units"]) for one in body["data"]] == [
            (-PRICE, 5),
            (PRICE, -5),
            (-PRICE, 5),
        ]
        for one in body["data"]:
            assert one.keys() == ENTRY
            assert one["amount"] == -one["units"] * one["pricePerUnitUsd"]
            assert one["sku"] == "motion-text-to-video-480p-video-second"
            assert one["currency"] == "USD"
            assert one["inferenceDetails"].keys() == {
                "completionTokens",
                "inferenceExecutionTime",
                "promptTokens",
                "requestId",
            }
        assert [one["notes"] for one in body["data"][:2]] == [
            "API Inference",
            "API Inference refund",
        ]
        assert body["pagination"] == {"limit": 200, "page": 1, "total": 3, "totalPages": 1}

    async def test_is_told_by_its_moment_in_utc(self, payer):
        before = datetime.now(UTC)
        await payer.queue()
        (one,) = (await payer.get("usage")).json()["data"]
        assert one["timestamp"].endswith("Z") and len(one["timestamp"]) == 24
        moment = datetime.fromisoformat(one["timestamp"])
        assert abs(moment - before) < timedelta(seconds=30)
        for name in ("startDate", "endDate"):
            assert len((await payer.get("usage", **{name: one["timestamp"]})).json()["data"]) == 1
            assert len((await payer.get("usage", **{name: one["timestamp"][:10]})).json()["data"])

    async def test_tells_the_render_once_it_is_done(self, payer, hand, film):
        job = await payer.customer.queue()
        asked = payer.get
        (one,) = (await asked("usage")).json()["data"]
        assert one["inferenceDetails"]["inferenceExecutionTime"] is None
        assert (await hand.upload(await hand.take(), film)).status_code == 204
        (one,) = (await asked("usage")).json()["data"]
        assert one["inferenceDetails"]["inferenceExecutionTime"] >= 0
        assert one["inferenceDetails"]["requestId"] == job["queue_id"]

    async def test_comes_in_pages_either_way(self, refunded):
        first = await refunded.get("usage", limit=2, page=1, sortOrder="asc")
        second = await refunded.get("usage", limit=2, page=2, sortOrder="asc")
        third = await refunded.get("usage", limit=2, page=3, sortOrder="asc")
        ascending = [one for page in (first, second, third) for one in page.json()["data"]]
        assert (await refunded.get("usage")).json()["data"] == ascending[::-1]
        assert third.json()["data"] == []
        assert second.json()["pagination"] == {"limit": 2, "page": 2, "total": 3, "totalPages": 2}
        for name, value in second.json()["pagination"].items():
            header = "x-pagination-" + {"totalPages": "total-pages"}.get(name, name)
            assert second.headers[header] == str(value)

    async def test_is_filtered_by_currency(self, payer, grant):
        await grant(payer, 100_000, 0)
        await payer.queue()
        for currency, count in (("DIEM", 1), ("USD", 0), ("VCU", 0), ("BUNDLED_CREDITS", 0)):
            body = (await payer.get("usage", currency=currency)).json()
            assert [one["currency"] for one in body["data"]] == ["DIEM"] * count

    async def test_is_csv_for_who_asks(self, refunded):
        entries = (await refunded.get("usage")).json()["data"]
        answer = await refunded.get("usage", accept="text/csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == "attachment; filename=billing_usage.csv"
        assert answer.headers["x-pagination-total"] == "3"
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [float(row["amount"]) for row in rows] == [one["amount"] for one in entries]
        assert rows[0]["amount"] == "-0.05" and rows[0]["units"] == "5"
        assert [row["requestId"] for row in rows] == [
            one["inferenceDetails"]["requestId"] for one in entries
        ]

    @pytest.mark.parametrize(
        ("accept", "is_csv"),
        [
            ("", False),
            ("*/*", False),
            ("application/json, text/csv", False),
            ("application/json;q=0.5, text/csv", True),
            ("text/csv;q=x", True),
            ("TEXT/CSV", True),
            ("text/csv;q=0.2, application/json;q=0.1", True),
            ("text/html", False),
        ],
    )
    async def test_is_csv_for_nobody_else(self, payer, accept, is_csv):
        answer = await payer.get("usage", accept=accept)
        assert answer.headers["content-type"].startswith("text/csv") is is_csv

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("currency", ["usd", "", "EUR", "\0", "x" * 999]),
            ("limit", ["0", "501", "-1", "", "x", "1.5", "9" * 999, "9" * 2000, "١"]),
            ("page", ["0", "-1", "", "1e3", "9" * 99]),
            ("sortOrder", ["", "ASC", "up"]),
            ("startDate", ["", "x", "2026-02-30", "2026-01-01T00:00", "2026-01-01T25:00:00Z"]),
            ("endDate", ["2026-1-1", "20260101", "2026-01-01 00:00:00Z", "2026-W01-1", "\0"]),
        ],
    )
    async def test_refuses(self, payer, name, values):
        for value in values:
            assert issues(await payer.get("usage", **{name: value})) == {name}, value

    async def test_names_all_that_is_wrong(self, payer):
        answer = await payer.get("usage", limit="0", page="x", currency="EUR")
        assert issues(answer) == {"limit", "page", "currency"}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("startDate", "0001-01-01T00:00:00+23:59"),
            ("endDate", "9999-12-31T23:59:59.999999999-23:59"),
            ("endDate", "9999-12-31"),
            ("startDate", "2024-01-01T00:00:00+02:00"),
            ("limit", "500"),
            ("limit", "1"),
            ("page", "999999999999999"),
        ],
    )
    async def test_takes(self, payer, name, value):
        assert (await payer.get("usage", **{name: value})).status_code == 200


class TestHistory:
    async def test_is_ascending_and_follows_its_cursor(self, payer):
        for _ in range(12):
            await payer.queue()
        first = (await payer.get("usage-history", pageSize=10)).json()
        told("HistoryAnswer", first)
        rest = (await payer.get("usage-history", cursor=first["nextCursor"])).json()
        told("HistoryAnswer", rest)
        assert (len(first["data"]), len(rest["data"])) == (10, 2)
        assert rest["nextCursor"] is None
        walked = first["data"] + rest["data"]
        assert walked == (await payer.get("usage", sortOrder="asc")).json()["data"]

    async def test_has_a_start_and_an_end(self, payer):
        await payer.queue()
        (one,) = (await payer.get("usage-history")).json()["data"]
        at, later = one["timestamp"], "2999-01-01T00:00:00Z"
        for query, count in (
            ({"startTimestamp": at, "endTimestamp": later}, 1),
            ({"endTimestamp": at}, 0),
            ({"startTimestamp": later}, 0),
            ({"currency": "DIEM"}, 0),
            ({"currency": "USD"}, 1),
        ):
            assert len((await payer.get("usage-history", **query)).json()["data"]) == count

    async def test_is_csv_with_its_cursor_in_a_header(self, payer):
        for _ in range(11):
            await payer.queue()
        answer = await payer.get("usage-history", accept="text/csv", pageSize=10)
        disposition = answer.headers["content-disposition"]
        form = r"attachment; filename=billing-usage-history-\d{8}T\d{9}Z\.csv"
        assert re.fullmatch(form, disposition)
        rest = await payer.get(
            "usage-history", accept="text/csv", cursor=answer.headers["x-next-cursor"]
        )
        assert "x-next-cursor" not in rest.headers
        assert [len(page.text.splitlines()) for page in (answer, rest)] == [11, 2]

    async def test_refuses_what_is_no_cursor_of_this_account(self, payer, open_payer):
        for _ in range(11):
            await payer.queue()
        cursor = (await payer.get("usage-history", pageSize=10)).json()["nextCursor"]
        other = await open_payer()
        for who, text in ((other, cursor), (payer, cursor[:-1]), (payer, "x"), (payer, "")):
            answer = await who.get("usage-history", cursor=text)
            assert (answer.status_code, answer.json()) == (
                400,
                {"error": "Invalid or expired cursor; restart from the first page"},
            )

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("currency", ["VCU", "", "usd"]),
            ("pageSize", ["9", "1001", "", "ten"]),
            (
                "startTimestamp",
                ["", "2026-01-01", "2026-01-01T00:00:00+00:00", f"2026-01-01T00:00:00.{'0' * 21}Z"],
            ),
            ("endTimestamp", ["now", "2026-13-01T00:00:00Z"]),
        ],
    )
    async def test_refuses(self, payer, name, values):
        for value in values:
            assert issues(await payer.get("usage-history", **{name: value})) == {name}, value

    @pytest.mark.parametrize("name", ["currency", "pageSize", "startTimestamp", "endTimestamp"])
    async def test_takes_a_cursor_alone(self, payer, name):
        answer = await payer.get("usage-history", cursor="A", **{name: "10"})
        assert issues(answer) == {"cursor"}


class TestAnalytics:
    async def test_of_nothing_has_its_days(self, payer):
        body = (await payer.get("usage-analytics")).json()
        told("AnalyticsAnswer", body)
        days = [str(TODAY - timedelta(days=n)) for n in range(7)]
        assert body["lookback"] == "7d"
        assert body["byDate"] == [{"date": day, "USD": 0, "DIEM": 0} for day in days]
        assert body["byModel"] == body["byKey"] == body["topModels"] == body["topKeyNames"] == []
        assert [one["date"] for one in body["byModelDaily"]] == [
            int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)
            for day in reversed(days)
        ]

    async def test_adds_up_charges(self, payer, grant, yard):
        await grant(payer, 100_000, 60_000)
        ids = [await payer.queue() for _ in range(3)]
        await generation.cancel(yard, payer.customer.account_id, ids[2])
        body = (await payer.get("usage-analytics", lookback="1d")).json()
        told("AnalyticsAnswer", body)
        assert body["byDate"] == [{"date": str(TODAY), "USD": 0.1, "DIEM": PRICE}]
        name = yard.catalog.models["motion-text-to-video"].name
        totals = {"totalUsd": 0.1, "totalDiem": PRICE, "totalUnits": 15}
        assert body["byModel"] == [
            {"modelName": name, "unitType": "seconds", "modelType": "VIDEO"} | totals
        ]
        (key,) = body["byKey"]
        assert {name: key[name] for name in totals} == totals
        assert body["topModels"] == [name] and body["topKeyNames"] == [key["description"]]
        assert body["byModelDaily"][0][name] == 0.15
        assert body["byKeyDaily"][0][key["description"]] == 0.15

    async def test_is_of_the_days_that_were_asked(self, payer):
        await payer.queue()
        yesterday = str(TODAY - timedelta(days=1))
        asked = {"startDate": yesterday, "endDate": yesterday}
        body = (await payer.get("usage-analytics", **asked)).json()
        assert body["lookback"] == f"{yesterday}:{yesterday}"
        assert body["byDate"] == [{"date": yesterday, "USD": 0, "DIEM": 0}]
        assert body["byModel"] == []

    async def test_is_known_for_ten_minutes_by_account_and_days(self, payer, open_payer):
        before = (await payer.get("usage-analytics")).json()
        await payer.queue()
        assert (await payer.get("usage-analytics")).json() == before
        assert (await payer.get("usage-analytics", lookback="8d")).json()["byModel"]
        assert billing._CACHE_SECONDS == 600
        other = await open_payer()
        await other.queue()
        assert (await other.get("usage-analytics")).json()["byModel"]

    @pytest.mark.parametrize(
        ("query", "name"),
        [
            *(({"lookback": text}, "lookback") for text in ("", "0d", "7", "91d", "07d", "-1d")),
            *(({"lookback": text}, "lookback") for text in ("7D", "1w", "٧d", "9" * 900 + "d")),
            ({"startDate": "2026-01-01"}, "endDate"),
            ({"endDate": "2026-01-01"}, "startDate"),
            ({"startDate": "2026-1-1", "endDate": "2026-01-01"}, "startDate"),
            ({"startDate": "2026-01-02", "endDate": "2026-01-01"}, "endDate"),
            ({"startDate": "2026-01-01", "endDate": "2026-04-01"}, "endDate"),
            ({"startDate": "2026-01-01", "endDate": "2026-02-30"}, "endDate"),
            ({"lookback": "7d", "startDate": "2026-01-01", "endDate": "2026-01-02"}, "lookback"),
        ],
    )
    async def test_refuses(self, payer, query, name):
        assert issues(await payer.get("usage-analytics", **query)) == {name}

    @pytest.mark.parametrize(
        ("query", "days"),
        [
            ({"lookback": "1d"}, 1),
            ({"lookback": "90d"}, 90),
            ({"startDate": "2026-01-01", "endDate": "2026-03-31"}, 90),
            ({"startDate": "9999-12-31", "endDate": "9999-12-31"}, 1),
            ({"startDate": "0001-01-01", "endDate": "0001-01-01"}, 1),
        ],
    )
    async def test_takes(self, payer, query, days):
        body = (await payer.get("usage-analytics", **query)).json()
        assert len(body["byDate"]) == len(body["byKeyDaily"]) == days

    def test_has_charts_of_the_eight_largest_under_names_that_differ(self):
        names = ["", "", "date", "same", "same", "=1+1", *(f"k{n}" for n in range(6))]
        totals = [
            usage.Total(TODAY, "gone", UUID(int=n), 100 - n, 0, 1_500, name, f"last{n}")
            for n, name in enumerate(names)
        ]
        asked = billing.AnalyticsQuery("1d", TODAY, TODAY)
        found = billing._analysis(asked, totals, billing.Catalog([]))
        assert len(found.by_key) == 12 and len(found.top_key_names) == 8
        assert found.top_key_names[:6] == [
            "(last0)",
            "(last1)",
            "date (last2)",
            "same (last3)",
            "same (last4)",
            "=1+1",
        ]
        (chart,) = found.by_key_daily
        assert chart.keys() == {*found.top_key_names, "date"}
        assert found.by_model[0].model_name == "gone"
        assert found.by_model[0].total_units == 18


class TestContract:
    @pytest.mark.parametrize("call", CALLS)
    async def test_bodies_are_closed_as_the_contract_has_them(self, refunded, call):
        body = (await refunded.get(call)).json()
        assert (
            set(body)
            == {
                "balance": {"canConsume", "consumptionCurrency", "balances", "diemEpochAllocation"},
                "usage": {"data", "pagination"},
                "usage-history": {"data", "nextCursor"},
                "usage-analytics": {
                    "lookback",
                    "byDate",
                    "byModel",
                    "byModelDaily",
                    "topModels",
                    "byKey",
                    "byKeyDaily",
                    "topKeyNames",
                },
            }[call]
        )

    async def test_venice_py_reads_them(self, refunded, house, serve):
        for _ in range(10):
            await refunded.queue()
        async with (
            serve(Application(house)) as port,
            VeniceClient(
                api_key=refunded.admin_key, base_url=f"http://127.0.0.1:{port}/api/v1"
            ) as client,
        ):
            balance = await client.billing.get_balance()
            assert (balance.can_consume, balance.balances.usd) == (True, 0.45)
            walked = [one async for one in client.billing.iter_usage_history(page_size=10)]
            assert sum(one.amount for one in walked) == pytest.approx(-0.55)
            assert all(type(one) is BillingUsageEntry for one in walked)
            assert len(walked) == 13
            pages = [page async for page in client.billing.iter_usage_history_csv(page_size=10)]
            assert [len(page.text.splitlines()) for page in pages] == [11, 4]
            assert pages[0].filename.startswith("billing-usage-history-")
            one = await client.billing.get_usage_history(format=BillingFormatEnum.JSON)
            assert one.nextCursor is None
            with pytest.warns(FutureWarning):
                analytics = await client.billing.get_usage_analytics(lookback="90d")
            assert pytest.approx(0.6) == analytics.byDate[0].USD
            assert analytics.byKey[0].totalUnits == 60
            start = str(date(2026, 1, 1))
            with pytest.warns(FutureWarning):
                none = await client.billing.get_usage_analytics(startDate=start, endDate=start)
            assert none.byModel == []
