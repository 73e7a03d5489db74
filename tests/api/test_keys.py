"""The key calls: who may make them, what they take, what they tell, and what they change."""

import asyncio
import re
import time
from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from venice_ai import VeniceClient
from venice_ai.exceptions import APIError, AuthenticationError
from venice_ai.types.api import (
    ApiKeyDetailsResponse,
    ApiKeysListResponse,
    CreateApiKeyRequest,
    CreateApiKeyResponse,
    DeleteApiKeyResponse,
)

from squero.app import Application
from squero.domain import fresh, keys
from squero.settings import Settings
from tests.api.conftest import TEXT

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("unblocked"),
    pytest.mark.filterwarnings("default:::(aiohttp|venice_ai)"),
]

MODEL = TEXT["model"]
OTHER = "motion-image-to-video"
NEW = {"apiKeyType": "INFERENCE", "description": "render farm"}
ENTRY = {
    "id",
    "apiKeyType",
    "description",
    "createdAt",
    "expiresAt",
    "lastUsedAt",
    "last6Chars",
    "consumptionLimits",
    "limitPeriod",
    "modelPrivacy",
}
MADE = {
    "id",
    "apiKey",
    "apiKeyType",
    "description",
    "expiresAt",
    "consumptionLimit",
    "limitPeriod",
    "modelPrivacy",
}
NOBODY = "e28e82dc-9df2-4b47-b726-d0a222ef2ab5"
MANY = """
INSERT INTO keys (account_id, type, hash, last6, description, created_at, expires_at, revoked_at)
SELECT %s, 'INFERENCE', decode(md5(random()::text), 'hex'), 'abcdef', '',
       squero_now() - interval '1 hour', squero_now() + %s::interval, squero_now() + %s::interval
FROM generate_series(1, %s)
"""


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@dataclass(frozen=True)
class Admin:
    """An account's ADMIN key, at the key calls."""

    http: httpx.AsyncClient
    account_id: object
    key: str

    async def call(self, method, path="", **options):
        headers = bearer(self.key) | options.pop("headers", {})
        return await self.http.request(
            method, f"/api/v1/api_keys{path}", headers=headers, **options
        )

    async def make(self, **fields):
        """A key that must be made: what the answer tells of it."""
        answer = await self.call("POST", json=NEW | fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def listed(self, query=""):
        answer = await self.call("GET", query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def told(self, key_id):
        answer = await self.call("GET", f"/{key_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def try_out(self, key):
        """What a call with a key is answered."""
        return (
            await self.http.post("/api/v1/video/complete", json={}, headers=bearer(key))
        ).status_code


@pytest.fixture
def open_admin(yard, open_tenant, http):
    async def make(credit_micros=None):
        tenant = await open_tenant(credit_micros)
        async with yard.database.transaction() as tx:
            await tx._connection.execute(
                "DELETE FROM spending USING keys WHERE id = key_id AND account_id = %s",
                [tenant.account.id],
            )
            await tx._connection.execute(
                "DELETE FROM keys WHERE account_id = %s", [tenant.account.id]
            )
            _, key = await keys.create(tx, yard.keyring, tenant.account.id, "ADMIN", "first")
        return Admin(http, tenant.account.id, key)

    return make


@pytest.fixture
async def admin(open_admin):
    return await open_admin()


@pytest.fixture
def sql(yard):
    """Runs a statement past the domain; every row of it."""

    async def run(text, *values):
        async with yard.database.transaction() as tx:
            cursor = await tx._connection.execute(text, values)
            return await cursor.fetchall() if cursor.description else []

    return run


def issues(answer):
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["error"] == "Invalid request parameters"
    return {tuple(issue["path"]): issue["message"] for issue in body["issues"]}


CALLS = [
    ("GET", ""),
    ("GET", f"/{NOBODY}"),
    ("POST", ""),
    ("PATCH", ""),
    ("DELETE", f"?id={NOBODY}"),
]


class TestGate:
    @pytest.mark.parametrize(("method", "path"), CALLS)
    @pytest.mark.parametrize("header", [{}, bearer("wrong"), bearer(keys.make_key("X"))])
    async def test_a_key_is_needed(self, http, method, path, header):
        answer = await http.request(method, f"/api/v1/api_keys{path}", json={}, headers=header)
        assert (answer.status_code, answer.json()) == (401, {"error": "Authentication failed"})

    @pytest.mark.parametrize(("method", "path"), CALLS)
    async def test_an_admin_key_is_needed(self, customer, http, method, path):
        answer = await http.request(
            method, f"/api/v1/api_keys{path}", content=b"no json", headers=customer.headers
        )
        assert (answer.status_code, answer.json()) == (401, {"error": "Admin API key required"})

    async def test_an_admin_key_may_do_what_others_may(self, admin, http):
        answer = await http.post("/api/v1/video/queue", json=TEXT, headers=bearer(admin.key))
        assert answer.status_code == 200

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("header", [{}, bearer("wrong")])
    async def test_there_are_no_wallets(self, http, method, header):
        path = "/api/v1/api_keys/generate_web3_key"
        answer = await http.request(method, path, headers=header)
        assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})

    async def test_a_page_may_make_every_call(self, http):
        asked = {"origin": "https://a.test", "access-control-request-method": "PATCH"}
        answer = await http.options("/api/v1/api_keys", headers=asked)
        assert {"PATCH", "DELETE"} <= set(
            answer.headers["access-control-allow-methods"].split(", ")
        )


class TestCreate:
    async def test_tells_what_was_made(self, admin):
        answer = await admin.call("POST", json=NEW)
        assert answer.json().keys() == {"success", "data"}
        made = answer.json()["data"]
        assert made.keys() == MADE
        assert answer.json()["success"] is True
        assert re.fullmatch("SQUERO_INFERENCE_KEY_[0-9A-Za-z]{42}", made["apiKey"])
        assert made["expiresAt"] is None
        assert made["consumptionLimit"] == {"usd": None, "diem": None}
        assert (made["limitPeriod"], made["modelPrivacy"]) == ("EPOCH", "ALL")
        assert (await admin.told(made["id"]))["last6Chars"] == made["apiKey"][-6:]

    async def test_the_key_works_at_once(self, admin):
        inference, other = await admin.make(), await admin.make(apiKeyType="ADMIN")
        assert await admin.try_out(inference["apiKey"]) == 400
        assert other["apiKey"].startswith("SQUERO_ADMIN_KEY_")
        second = Admin(admin.http, admin.account_id, other["apiKey"])
        assert {one["id"] for one in await second.listed()} > {inference["id"], other["id"]}

    @pytest.mark.parametrize(
        ("sent", "told", "micros"),
        [
            ({"usd": 0.1}, {"usd": 0.1, "diem": None}, (100_000, None)),
            ({"usd": 50, "diem": 10, "vcu": 30}, {"usd": 50, "diem": 10}, (50_000_000, 10_000_000)),
            ({"vcu": 3.5}, {"usd": None, "diem": 3.5}, (None, 3_500_000)),
            ({"diem": None, "vcu": 3}, {"usd": None, "diem": None}, (None, None)),
            ({"usd": 0, "diem": 0.0}, {"usd": 0, "diem": 0}, (0, 0)),
            ({"usd": 0.000001}, {"usd": 0.000001, "diem": None}, (1, None)),
            (
                {"usd": 8589934591.123457, "diem": 9999999999},
                {"usd": 8589934591.123457, "diem": 9999999999},
                (8_589_934_591_123_457, 9_999_999_999_000_000),
            ),
            ({"usd": 1e2}, {"usd": 100, "diem": None}, (100_000_000, None)),
        ],
    )
    async def test_limits_are_kept_exactly(self, admin, sql, sent, told, micros):
        made = await admin.make(consumptionLimit=sent, limitPeriod="MONTH")
        assert made["consumptionLimit"] == told
        assert (await admin.told(made["id"]))["consumptionLimits"] == told
        assert (await admin.told(made["id"]))["limitPeriod"] == "MONTH"
        stored = await sql(
            "SELECT usd_limit_micros, diem_limit_micros FROM keys WHERE id = %s", made["id"]
        )
        assert stored == [micros]

    @pytest.mark.parametrize(
        ("sent", "told"),
        [
            ("", None),
            ("2099-12-31", "2099-12-31T00:00:00.000Z"),
            ("2099-12-31T23:59:59Z", "2099-12-31T23:59:59.000Z"),
            ("2099-12-31T23:59:59.125Z", "2099-12-31T23:59:59.125Z"),
        ],
    )
    async def test_the_forms_of_expiry(self, admin, sent, told):
        made = await admin.make(expiresAt=sent)
        assert made["expiresAt"] == told
        assert (await admin.told(made["id"]))["expiresAt"] == told
        assert await admin.try_out(made["apiKey"]) == 400

    async def test_that_has_passed(self, admin):
        made = await admin.make(expiresAt="2023-10-01T12:00:00Z")
        assert await admin.try_out(made["apiKey"]) == 401
        assert made["id"] not in {one["id"] for one in await admin.listed()}

    @pytest.mark.parametrize(
        ("field", "value", "path"),
        [
            ("apiKeyType", None, ["apiKeyType"]),
            ("apiKeyType", "inference", ["apiKeyType"]),
            ("apiKeyType", 5, ["apiKeyType"]),
            ("description", None, ["description"]),
            ("description", "d" * 65, ["description"]),
            ("expiresAt", None, ["expiresAt"]),
            ("expiresAt", 1700000000, ["expiresAt"]),
            ("expiresAt", "2099-12-31T23:59:59+00:00", ["expiresAt"]),
            ("expiresAt", "2099-12-31T23:59:59.12Z", ["expiresAt"]),
            ("expiresAt", "2099-12-31T23:59:59.123456Z", ["expiresAt"]),
            ("expiresAt", "2099-12-31T23:59Z", ["expiresAt"]),
            ("expiresAt", "2099-12-31 23:59:59Z", ["expiresAt"]),
            ("expiresAt", "2099-12-31T23:59:59", ["expiresAt"]),
            ("expiresAt", "2099-12-31\n", ["expiresAt"]),
            ("expiresAt", "２０９９-12-31", ["expiresAt"]),
            ("expiresAt", "20991231", ["expiresAt"]),
            ("expiresAt", "2099-02-29", ["expiresAt"]),
            ("expiresAt", "2099-12-31T24:00:01Z", ["expiresAt"]),
            ("expiresAt", "0000-01-01", ["expiresAt"]),
            ("expiresAt", "never", ["expiresAt"]),
            ("consumptionLimit", None, ["consumptionLimit"]),
            ("consumptionLimit", 5, ["consumptionLimit"]),
            ("consumptionLimit", {"eur": 5}, ["consumptionLimit"]),
            ("consumptionLimit", {"usd": "5"}, ["consumptionLimit", "usd"]),
            ("consumptionLimit", {"usd": True}, ["consumptionLimit", "usd"]),
            ("consumptionLimit", {"diem": -0.1}, ["consumptionLimit", "diem"]),
            ("consumptionLimit", {"vcu": -1}, ["consumptionLimit", "vcu"]),
            ("consumptionLimit", {"usd": 9999999999.5}, ["consumptionLimit", "usd"]),
            ("consumptionLimit", {"usd": 10**99}, ["consumptionLimit", "usd"]),
            ("limitPeriod", "WEEK", ["limitPeriod"]),
            ("limitPeriod", None, ["limitPeriod"]),
            ("modelPrivacy", "SOME", ["modelPrivacy"]),
            ("models", [], ["models"]),
            ("models", MODEL, ["models"]),
            ("models", [MODEL, "nobody"], ["models", 1]),
            ("models", [5], ["models", 0]),
            ("ipAllowlist", ["1.2.3.4"], []),
            ("consumptionLimits", {"usd": 5}, []),
        ],
    )
    async def test_refuses(self, admin, sql, field, value, path):
        answer = await admin.call("POST", json=NEW | {field: value})
        assert list(issues(answer)) == [tuple(path)]
        assert await sql("SELECT count(*) FROM keys WHERE account_id = %s", admin.account_id) == [
            (1,)
        ]

    async def test_needs_type_and_description(self, admin):
        assert issues(await admin.call("POST", json={})) == {
            ("apiKeyType",): "Field is required",
            ("description",): "Field is required",
        }

    async def test_twenty_a_minute(self, open_admin, sql):
        admin, other = await open_admin(), await open_admin()
        for _ in range(19):  # with the first there are twenty
            await admin.make()
        answer = await admin.call("POST", json=NEW)
        assert (answer.status_code, answer.json()) == (429, {"error": "Rate limit exceeded"})
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert answer.headers["x-ratelimit-limit-requests"] == "20"
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        reset = int(answer.headers["x-ratelimit-reset-requests"])
        assert 0 <= reset - time.time() <= 61
        await other.make()
        for key in await admin.listed():  # deleting gives none back
            if key["description"] != "first":
                await admin.call("DELETE", f"?id={key['id']}")
        assert (await admin.call("POST", json=NEW)).status_code == 429
        await sql("UPDATE keys SET created_at = created_at - interval '1 minute'")
        await admin.make()

    async def test_tells_how_many_are_left(self, admin):
        lefts = [
            (await admin.call("POST", json=NEW)).headers["x-ratelimit-remaining-requests"]
            for _ in range(3)
        ]
        assert lefts == ["18", "17", "16"]

    async def test_one_too_many_is_in_the_log(self, admin):
        for _ in range(19):
            await admin.make()
        assert (await admin.call("POST", json=NEW)).status_code == 429
        async with asyncio.timeout(5):  # written in the background
            while not (entries := await admin.listed("/rate_limits/log")):
                await asyncio.sleep(0.01)
        (entry,) = entries
        assert (entry["modelId"], entry["rateLimitType"]) == ("endpoint:api/v1/api_keys", "RPM")

    async def test_twenty_a_minute_at_once(self, admin):
        answers = await asyncio.gather(*(admin.call("POST", json=NEW) for _ in range(40)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(200), statuses.count(429)) == (19, 21)

    async def test_five_hundred_in_force(self, admin, sql):
        await sql(MANY, admin.account_id, None, None, 494)
        await sql(MANY, admin.account_id, "-1 s", None, 50)
        await sql(MANY, admin.account_id, None, "-1 s", 50)
        answers = await asyncio.gather(*(admin.call("POST", json=NEW) for _ in range(12)))
        made = [answer.json()["data"] for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 400]
        assert (len(made), len(refused)) == (5, 7)
        assert "500" in refused[0].json()["error"]
        assert (await admin.call("DELETE", f"?id={made[0]['id']}")).status_code == 200
        await admin.make()


class TestList:
    async def test_an_entry(self, admin):
        (entry,) = await admin.listed()
        assert entry.keys() == ENTRY | {"usage"}
        assert entry["usage"] == {
            "trailingSevenDays": {"usd": "0.0000", "vcu": "0.0000", "diem": "0.0000"}
        }
        assert (entry["apiKeyType"], entry["description"]) == ("ADMIN", "first")
        for name in ("createdAt", "lastUsedAt"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry[name])
        created = datetime.fromisoformat(entry["createdAt"])
        assert abs((datetime.now(created.tzinfo) - created).total_seconds()) < 60
        assert (await admin.call("GET")).json()["object"] == "list"

    async def test_newest_first_and_in_force(self, open_admin, sql):
        admin, other = await open_admin(), await open_admin()
        await other.make()
        made = [(await admin.make(description=str(one)))["id"] for one in range(5)]
        await sql("UPDATE keys SET expires_at = squero_now() WHERE id = %s", made[1])
        await admin.call("DELETE", f"?id={made[3]}")
        listed = await admin.listed()
        assert [one["description"] for one in listed] == ["4", "2", "0", "first"]
        assert listed[0]["lastUsedAt"] is None

    async def test_pages(self, admin):
        for number in range(4):
            await admin.make(description=str(number))
        words = [one["description"] for one in await admin.listed()]
        assert words == ["3", "2", "1", "0", "first"]
        assert [one["description"] for one in await admin.listed("?limit=2&page=2")] == words[2:4]
        assert await admin.listed("?limit=5&page=2") == []
        for query in ("?limit=0", "?limit=x&page=-1", "?page=%00", "?limit=1e9", "?other=1"):
            assert len(await admin.listed(query)) == 5

    async def test_head(self, admin):
        assert (await admin.call("HEAD")).status_code == 200


class TestFind:
    async def test_what_a_list_tells(self, admin):
        made = await admin.make(consumptionLimit={"usd": 5}, models=[MODEL])
        answer = await admin.call("GET", f"/{made['id']}")
        assert answer.json().keys() == {"data"}
        assert answer.json()["data"] == (await admin.listed())[0]
        assert answer.json()["data"]["models"] == [MODEL]

    async def test_one_that_has_expired(self, admin):
        made = await admin.make(expiresAt="2023-10-01")
        assert (await admin.told(made["id"]))["expiresAt"] == "2023-10-01T00:00:00.000Z"


class TestOfAnother:
    """A foreign, revoked, unknown or malformed id: one answer."""

    @pytest.fixture
    async def strange(self, open_admin, admin):
        revoked = (await admin.make())["id"]
        await admin.call("DELETE", f"?id={revoked}")
        foreign = (await (await open_admin()).make())["id"]
        return [foreign, revoked, str(uuid4()), "nobody", "rate", "%00", "é" * 300, " "]

    @pytest.mark.parametrize("call", ["find", "update", "delete", "delete by body"])
    async def test_answers_like_an_unknown_one(self, admin, strange, sql, call):
        words = {
            "find": "API key not found",
            "update": "API key not found or expired",
            "delete": "API key could not be found",
        }[call.split(" ")[0]]
        before = await sql("SELECT * FROM keys ORDER BY id")
        for key_id in strange:
            match call:
                case "find":
                    answer = await admin.call("GET", f"/{key_id}")
                case "update":
                    answer = await admin.call("PATCH", json={"id": key_id, "description": "x"})
                case "delete":
                    answer = await admin.call("DELETE", params={"id": key_id})
                case _:
                    answer = await admin.call("DELETE", json={"id": key_id})
            assert (answer.status_code, answer.json()) == (400, {"error": words}), key_id
        assert await sql("SELECT * FROM keys ORDER BY id") == before


class TestUpdate:
    async def test_what_is_sent(self, admin):
        made = await admin.make(
            consumptionLimit={"usd": 5}, expiresAt="2099-01-01", models=[MODEL], limitPeriod="MONTH"
        )
        before = await admin.told(made["id"])
        changed = await admin.call("PATCH", json={"id": made["id"], "description": "other"})
        assert changed.status_code == 200
        assert changed.json().keys() == {"success", "data"}
        assert changed.json()["success"] is True
        assert changed.json()["data"].keys() == ENTRY | {"models"}
        assert await admin.told(made["id"]) == before | {"description": "other"}

    @pytest.mark.parametrize(
        ("sent", "told"),
        [
            ({}, {}),
            ({"description": ""}, {"description": ""}),
            ({"expiresAt": "2098-01-01"}, {"expiresAt": "2098-01-01T00:00:00.000Z"}),
            ({"expiresAt": ""}, {"expiresAt": None}),
            ({"expiresAt": None}, {"expiresAt": None}),
            ({"consumptionLimit": {"diem": 3}}, {"consumptionLimits": {"usd": None, "diem": 3}}),
            ({"consumptionLimit": {}}, {"consumptionLimits": {"usd": None, "diem": None}}),
            ({"limitPeriod": "LIFETIME"}, {"limitPeriod": "LIFETIME"}),
            ({"modelPrivacy": "PRIVATE_ONLY"}, {"modelPrivacy": "PRIVATE_ONLY"}),
            ({"models": [OTHER, MODEL, OTHER]}, {"models": [OTHER, MODEL]}),
        ],
    )
    async def test_each_field(self, admin, sent, told):
        made = await admin.make(
            consumptionLimit={"usd": 5, "diem": 1}, expiresAt="2099-01-01", models=[MODEL]
        )
        expected = await admin.told(made["id"]) | told
        answer = await admin.call("PATCH", json={"id": made["id"]} | sent)
        unused = {"usage", "currentPeriodUsage"}
        assert answer.json()["data"] == {k: v for k, v in expected.items() if k not in unused}

    @pytest.mark.parametrize(
        ("sent", "path"),
        [
            ({"apiKeyType": "ADMIN"}, []),
            ({"description": None}, ["description"]),
            ({"description": "d" * 65}, ["description"]),
            ({"expiresAt": "soon"}, ["expiresAt"]),
            ({"consumptionLimit": None}, ["consumptionLimit"]),
            ({"limitPeriod": None}, ["limitPeriod"]),
            ({"models": []}, ["models"]),
            ({"id": 5}, ["id"]),
        ],
    )
    async def test_refuses(self, admin, sent, path):
        made = await admin.make()
        before = await admin.told(made["id"])
        answer = await admin.call("PATCH", json={"id": made["id"]} | sent)
        assert list(issues(answer)) == [tuple(path)]
        assert await admin.told(made["id"]) == before

    async def test_one_that_has_expired(self, admin):
        made = await admin.make(expiresAt="2023-10-01")
        answer = await admin.call("PATCH", json={"id": made["id"], "expiresAt": ""})
        assert (answer.status_code, answer.json()) == (
            400,
            {"error": "API key not found or expired"},
        )

    async def test_holds_from_the_next_call_on(self, admin):
        made = await admin.make()
        assert await admin.try_out(made["apiKey"]) == 400
        await admin.call("PATCH", json={"id": made["id"], "expiresAt": "2023-10-01"})
        assert await admin.try_out(made["apiKey"]) == 401


class TestDelete:
    @pytest.mark.parametrize("way", ["query", "body", "both"])
    async def test_is_refused_from_the_next_call_on(self, admin, way):
        made = await admin.make()
        assert await admin.try_out(made["apiKey"]) == 400
        options = {}
        if way != "body":
            options["params"] = {"id": made["id"]}
        if way != "query":
            options["json"] = {"id": made["id"]}
        answer = await admin.call("DELETE", **options)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert await admin.try_out(made["apiKey"]) == 401
        assert made["id"] not in {one["id"] for one in await admin.listed()}

    async def test_names_a_key(self, admin):
        assert issues(await admin.call("DELETE")) == {("id",): "Field is required"}
        assert issues(await admin.call("DELETE", json={"key": "x"})) == {
            ("id",): "Field is required",
            (): "Unrecognized key(s) in object: 'key'",
        }

    async def test_of_the_key_that_calls(self, admin):
        (own,) = await admin.listed()
        assert (await admin.call("DELETE", f"?id={own['id']}")).status_code == 200
        assert (await admin.call("GET")).status_code == 401

    async def test_a_job_goes_on(self, admin, hand):
        made = await admin.make()
        queued = await admin.http.post(
            "/api/v1/video/queue", json=TEXT, headers=bearer(made["apiKey"])
        )
        await admin.call("DELETE", f"?id={made['id']}")
        assert (await hand.claim()).json()["queue_id"] == queued.json()["queue_id"]

    async def test_another_server_knows_within_a_second(self, admin, yard, monkeypatch):
        made, other = await admin.make(), keys.Callers(yard.database, yard.keyring)
        await other.find(made["apiKey"])
        await admin.call("DELETE", f"?id={made['id']}")
        now = fresh.time.monotonic
        monkeypatch.setattr(fresh, "time", SimpleNamespace(monotonic=lambda: now() + 1.0))
        with pytest.raises(keys.AuthenticationFailed):
            await other.find(made["apiKey"])


class TestModels:
    async def test_queues_no_other(self, admin, sql):
        made = await admin.make(models=[OTHER])
        headers = bearer(made["apiKey"])
        answer = await admin.http.post("/api/v1/video/queue", json=TEXT, headers=headers)
        assert answer.status_code == 403
        assert answer.json() == {
            "error": "Unauthorized access: this API key may not use this model"
        }
        assert await sql("SELECT count(*) FROM generations") == [(0,)]
        unknown = await admin.http.post(
            "/api/v1/video/queue", json=TEXT | {"model": "x"}, headers=headers
        )
        assert unknown.status_code == 404
        await admin.call("PATCH", json={"id": made["id"], "models": [MODEL]})
        answer = await admin.http.post("/api/v1/video/queue", json=TEXT, headers=headers)
        assert answer.status_code == 200

    async def test_lists_no_other(self, admin, yard):
        made = await admin.make(models=[OTHER, MODEL])

        async def listed(headers):
            answer = await admin.http.get("/api/v1/models", headers=headers)
            return {one["id"] for one in answer.json()["data"]}

        assert await listed(bearer(made["apiKey"])) == {OTHER, MODEL}
        everything = set(yard.catalog.models)
        for headers in ({}, bearer("wrong"), bearer(admin.key)):
            assert await listed(headers) == everything
        answer = await admin.call("PATCH", json={"id": made["id"], "models": None})
        assert "models" not in answer.json()["data"]
        assert await listed(bearer(made["apiKey"])) == everything
        await admin.call("DELETE", f"?id={made['id']}")
        assert await listed(bearer(made["apiKey"])) == everything


class TestUsage:
    async def test_is_told_by_key(self, open_admin, yard, sql):
        admin = await open_admin(1_000_000)
        limited = await admin.make(consumptionLimit={"usd": 0.1}, limitPeriod="LIFETIME")
        free = await admin.make()

        async def queue(key):
            return await admin.http.post(
                "/api/v1/video/queue", json=TEXT, headers=bearer(key["apiKey"])
            )

        assert [(await queue(limited)).status_code for _ in range(3)] == [200, 200, 402]
        assert (await queue(free)).status_code == 200
        told = await admin.told(limited["id"])
        assert told["usage"]["trailingSevenDays"] == {
            "usd": "0.1000",
            "vcu": "0.0000",
            "diem": "0.0000",
        }
        assert told["currentPeriodUsage"] == {"usd": "0.1000", "diem": "0.0000"}
        told = await admin.told(free["id"])
        assert told["usage"]["trailingSevenDays"]["usd"] == "0.0500"
        assert "currentPeriodUsage" not in told
        assert told["lastUsedAt"] is not None

    async def test_of_nothing_allowed(self, open_admin):
        admin = await open_admin(1_000_000)
        made = await admin.make(consumptionLimit={"usd": 0})
        answer = await admin.http.post(
            "/api/v1/video/queue", json=TEXT, headers=bearer(made["apiKey"])
        )
        assert answer.status_code == 402
        assert answer.json()["error"].startswith("API key USD spend limit exceeded.")


class TestSecrecy:
    async def test_no_key_is_stored_or_told_again(self, admin, sql, capsys, caplog):
        made = await admin.make()
        key, tail = made["apiKey"], made["apiKey"].removeprefix("SQUERO_INFERENCE_KEY_")
        said = []
        for method, path in CALLS:
            said.append(await admin.call(method, path, json={"id": key}))
            said.append(
                await admin.http.request(method, f"/api/v1/api_keys{path}", headers=bearer(key))
            )
        said.append(await admin.call("GET", f"/{key}"))
        said.append(await admin.call("POST", json=NEW | {"apiKeyType": "X", "expiresAt": key}))
        said.append(await admin.http.get("/metrics"))
        broken = key[:-1] + ("0" if key[-1] != "0" else "1")
        said.append(await admin.call("GET", headers=bearer(broken)))
        for answer in said:
            assert tail not in answer.text + str(answer.headers), answer.request.url
        tables = await sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        assert ("keys",) in tables
        for (table,) in tables:
            for (row,) in await sql(f"SELECT t::text FROM {table} t"):
                assert tail not in row, table
                assert key.encode().hex() not in row, table
        printed = capsys.readouterr()
        assert tail not in printed.out + printed.err + caplog.text

    async def test_the_hash_is_keyed(self, admin, yard, sql):
        made = await admin.make()
        ((stored,),) = await sql("SELECT hash FROM keys WHERE id = %s", made["id"])
        assert stored == yard.keyring.hmac("key", made["apiKey"].encode())
        assert stored != yard.keyring.hmac("worker", made["apiKey"].encode())


class TestPrefix:
    async def test_is_a_setting(self, admin, house):
        settings = house.yard.settings.model_copy(update={"key_prefix": "VENICE_"})
        other = replace(house, yard=replace(house.yard, settings=settings))
        transport = httpx.ASGITransport(Application(other))
        async with httpx.AsyncClient(transport=transport, base_url="http://a.test") as http:
            made = await replace(admin, http=http).make()
            assert made["apiKey"].startswith("VENICE_INFERENCE_KEY_")
            assert await admin.try_out(made["apiKey"]) == 400

    @pytest.mark.parametrize("prefix", ["a b", "é", "x" * 41, "a\n"])
    def test_is_plain(self, tmp_path, prefix):
        with pytest.raises(ValueError, match="key_prefix"):
            Settings(home=tmp_path, key_prefix=prefix)


class TestVenicePy:
    """The published client, and its models at their strictest."""

    async def test_administers_keys(self, admin, house, serve):
        async with serve(Application(house)) as port:
            url = f"http://127.0.0.1:{port}/api/v1"
            async with VeniceClient(api_key=admin.key, base_url=url) as client:
                made = await client.api_keys.create(
                    api_key_request=CreateApiKeyRequest(
                        apiKeyType="INFERENCE",
                        description="app",
                        consumptionLimit={"usd": 12.5, "diem": 1},
                        limitPeriod="MONTH",
                        modelPrivacy="PRIVATE_ONLY",
                        expiresAt="2099-12-31",
                    )
                )
                assert (made.consumptionLimit.usd, made.limitPeriod) == (12.5, "MONTH")
                found = await client.api_keys.retrieve(api_key_id=made.id)
                assert found.last6Chars == made.apiKey[-6:]
                assert found.modelPrivacy == "PRIVATE_ONLY"
                assert found.usage.trailingSevenDays.diem == "0.0000"
                assert found.currentPeriodUsage.usd == "0.0000"
                changed = await client.api_keys.update(
                    id=made.id, description="api", expires_at="", consumption_limit={"usd": 1}
                )
                assert (changed.description, changed.expiresAt) == ("api", None)
                assert (changed.consumptionLimits.usd, changed.consumptionLimits.diem) == (1, None)
                assert (await client.api_keys.list())[0].id == made.id
                pages = [one.id async for one in client.api_keys.iter_all(page_size=2)]
                assert len(pages) == len(set(pages)) == 2
                assert (await client.api_keys.delete(api_key_id=made.id)).success
                with pytest.raises(APIError) as gone:
                    await client.api_keys.retrieve(api_key_id=made.id)
                assert gone.value.status_code == 400
                with pytest.raises(APIError) as absent:
                    await client.api_keys.get_web3_token()
                assert absent.value.status_code == 404
            async with VeniceClient(api_key=made.apiKey, base_url=url) as client:
                with pytest.raises(AuthenticationError):
                    await client.api_keys.list()

    async def test_parses_every_field(self, admin):
        made = await admin.call("POST", json=NEW | {"consumptionLimit": {"usd": 1}})
        key_id = made.json()["data"]["id"]
        answers = [
            (CreateApiKeyResponse, made),
            (ApiKeysListResponse, await admin.call("GET")),
            (ApiKeyDetailsResponse, await admin.call("GET", f"/{key_id}")),
            (ApiKeyDetailsResponse, await admin.call("PATCH", json={"id": key_id})),
            (DeleteApiKeyResponse, await admin.call("DELETE", json={"id": key_id})),
        ]
        for kind, answer in answers:
            sent = answer.json()
            if kind is CreateApiKeyResponse:
                del sent["data"]["modelPrivacy"]  # the newer contract requires what it leaves out
            parsed = kind.model_validate(sent, strict=True, extra="forbid")
            assert contains(parsed.model_dump(), sent), kind


def contains(parsed, sent):
    """Whether everything that was sent is in what was parsed."""
    if isinstance(sent, dict):
        return all(name in parsed and contains(parsed[name], sent[name]) for name in sent)
    if isinstance(sent, list):
        return len(parsed) == len(sent) and all(map(contains, parsed, sent))
    return parsed == sent
