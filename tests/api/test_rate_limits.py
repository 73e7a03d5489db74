"""What a key may do and how often, the log of refusals, and the limit on failed requests."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from venice_ai.types.api.api_keys import RateLimitLogsResponse, RateLimitsResponse, RateLimitType

from squero.app import Application
from squero.domain import generation, keys, refusals
from squero.domain.failures import Failures
from squero.domain.keys import Terms
from squero.domain.limits import Limits
from squero.errors import InferenceFailed, InputRejected
from squero.settings import Tier, Tiers

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

SENTENCE = (
    "Too many failed attempts (> 20) resulting in a non-success status code. Please wait 30s and"
    " try again. See https://docs.venice.ai/api-reference/rate-limiting for more information."
)
ORDER = {"model": "motion-text-to-video", "prompt": "p", "duration": "5s", "resolution": "480p"}
QUOTE = {"model": "motion-text-to-video", "duration": "5s"}


class Clock:
    """A monotonic clock that is moved by hand."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def house(cleared, clock):
    """The shared house with limits, failures and a log of its own."""
    settings = cleared.yard.settings
    return replace(
        cleared,
        limits=Limits(settings),
        failures=Failures(settings.failed_requests, settings.failed_seconds, clock=clock),
        refusals=refusals.Refusals(cleared.yard.database),
    )


@pytest.fixture
def change(house):
    """The same house with other settings: `change(failed_counts_all=True)`."""

    def make(**settings):
        changed = house.yard.settings.model_copy(update=settings)
        yard = replace(house.yard, settings=changed)
        return replace(house, yard=yard, limits=Limits(changed))

    return make


@pytest.fixture
def as_admin(yard, http):
    """Calls with a new ADMIN key of the account: `await as_admin(account_id, path)`."""

    async def call(account_id, path, kind="ADMIN", terms=Terms()):  # noqa: B008
        async with yard.database.transaction() as tx:
            _, key = await keys.create(tx, yard.keyring, account_id, kind, "", terms)
        return await http.get(path, headers={"authorization": f"Bearer {key}"})

    return call


@asynccontextmanager
async def calling(house, peer="192.0.2.7"):
    transport = httpx.ASGITransport(Application(house), client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://squero.test") as client:
        yield client


async def fail(customer, times, call="complete"):
    for _ in range(times):
        assert (await customer.post(call, {})).status_code == 400


class TestFailures:
    async def test_block_a_valid_call_for_thirty_seconds(
        self, customer, open_customer, clock, monkeypatch
    ):
        other = await open_customer()
        await fail(customer, 21)
        now = time.time()
        for stepped in (now + 3600, now - 3600):
            monkeypatch.setattr(time, "time", partial(float, stepped))
            answer = await customer.post("queue", ORDER)
            assert (answer.status_code, answer.json()) == (429, {"error": SENTENCE})
            assert answer.headers["retry-after"] == "30"
            assert (await other.post("queue", ORDER)).status_code == 200
        clock.now += 29.5
        answer = await customer.post("queue", ORDER)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        clock.now += 0.5
        assert (await customer.post("queue", ORDER)).status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "/video/quote", 400),
            ("GET", "/nothing", 404),
            ("DELETE", "/video/queue", 405),
        ],
    )
    async def test_are_the_accounts_where_no_key_is_needed(
        self, house, customer, open_customer, method, path, status
    ):
        other = await open_customer()
        async with calling(house) as client:
            for _ in range(21):
                answer = await client.request(
                    method, f"/api/v1{path}", json={}, headers=customer.headers
                )
                assert answer.status_code == status
            answer = await client.request(method, f"/api/v1{path}", headers=customer.headers)
            assert (answer.status_code, answer.json()) == (429, {"error": SENTENCE})
            for headers in (other.headers, {}):
                answer = await client.post("/api/v1/video/quote", json=QUOTE, headers=headers)
                assert answer.status_code == 200
            answer = await client.post("/api/v1/video/queue", json=ORDER, headers=customer.headers)
            assert answer.status_code == 429

    async def test_up_to_twenty_block_nothing(self, customer):
        await fail(customer, 20)
        assert (await customer.post("queue", ORDER)).status_code == 200

    async def test_are_refused_before_the_body_is_read(self, house, customer):
        await fail(customer, 21)
        sent = []

        async def receive():
            raise AssertionError("the body was read")

        async def send(message):
            sent.append(message)

        headers = {"content-type": "application/json", "content-length": "99"} | customer.headers
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/v1/video/queue",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "query_string": b"",
        }
        await Application(house)(scope, receive, send)
        assert sent[0]["status"] == 429

    async def test_that_are_blocked_prolong_nothing(self, customer, clock):
        await fail(customer, 21)
        clock.now += 29
        for _ in range(50):
            assert (await customer.post("complete", {})).status_code == 429
        clock.now += 1
        assert (await customer.post("queue", ORDER)).status_code == 200

    async def test_at_once_block_too(self, customer):
        answers = await asyncio.gather(*(customer.post("complete", {}) for _ in range(40)))
        assert {answer.status_code for answer in answers} <= {400, 429}
        assert (await customer.post("queue", ORDER)).json() == {"error": SENTENCE}

    async def test_of_402_count(self, open_customer):
        poor = await open_customer(credit_micros=1)
        tiers = [(await poor.post("queue", ORDER)).status_code for _ in range(20)]
        await fail(poor, 1)
        assert tiers == [402] * 20
        assert (await poor.post("queue", ORDER)).json() == {"error": SENTENCE}

    async def test_are_not_too_many_calls(self, change, open_customer, yard):
        house = change(tiers=Tiers(paid=Tier(video_retrieve=1)))
        customer = await open_customer()
        async with calling(house) as client:
            for _ in range(40):
                answer = await client.post(
                    "/api/v1/video/retrieve", json={}, headers=customer.headers
                )
            assert answer.json() == {"error": "Rate limit exceeded"}
            assert house.failures.blocked(customer.account_id) == 0

    @pytest.mark.parametrize("failed", [InputRejected, InferenceFailed])
    async def test_are_not_the_polls_of_a_failed_job(self, customer, monkeypatch, failed):
        async def raise_it(*_):
            raise failed

        monkeypatch.setattr(generation, "retrieve", raise_it)
        for _ in range(30):
            answer = await customer.post("retrieve", {"model": "m", "queue_id": "q"})
            assert answer.status_code == failed.status
        assert (await customer.post("queue", ORDER)).status_code == 200

    async def test_are_not_errors_of_ours(self, customer, monkeypatch):
        def raise_it(*_):
            raise RuntimeError

        with monkeypatch.context() as broken:
            broken.setattr(generation, "retrieve", raise_it)
            for _ in range(30):
                answer = await customer.post("retrieve", {"model": "m", "queue_id": "q"})
                assert answer.status_code == 500
        assert (await customer.post("queue", ORDER)).status_code == 200

    async def test_are_everything_when_a_setting_says_so(self, change, customer, monkeypatch):
        async def raise_it(*_):
            raise InferenceFailed

        monkeypatch.setattr(generation, "retrieve", raise_it)
        async with calling(change(failed_counts_all=True)) as client:
            body = {"model": "m", "queue_id": "q"}
            answers = [
                await client.post("/api/v1/video/retrieve", json=body, headers=customer.headers)
                for _ in range(22)
            ]
        assert [answer.status_code for answer in answers] == [500] * 21 + [429]
        assert answers[-1].json() == {"error": SENTENCE}


class TestAddresses:
    async def test_count_where_there_is_no_key(self, house, customer):
        async with calling(house) as client:
            for _ in range(21):
                assert (await client.post("/api/v1/video/quote", json={})).status_code == 400
            answer = await client.post("/api/v1/video/quote", json=QUOTE)
            assert (answer.status_code, answer.json()) == (429, {"error": SENTENCE})
            assert answer.headers["retry-after"] == "30"
            assert (await client.get("/api/v1/models")).status_code == 429
            # Whoever has a key is known by it.
            answer = await client.post("/api/v1/video/queue", json=ORDER, headers=customer.headers)
            assert answer.status_code == 200
            for path in ("/health", "/metrics", "/docs"):
                assert (await client.get(path)).status_code == 200
        async with calling(house, "192.0.2.8") as another:
            assert (await another.post("/api/v1/video/quote", json=QUOTE)).status_code == 200

    async def test_count_wrong_keys(self, house):
        wrong = {"authorization": f"Bearer {keys.make_key('SQUERO_INFERENCE_KEY_')}"}
        async with calling(house) as client:
            for _ in range(21):
                answer = await client.post("/api/v1/video/queue", json=ORDER, headers=wrong)
                assert answer.status_code == 401
            answer = await client.post("/api/v1/video/queue", json=ORDER, headers=wrong)
        assert (answer.status_code, answer.json()) == (429, {"error": SENTENCE})

    async def test_count_calls_that_there_are_not(self, house):
        async with calling(house) as client:
            for _ in range(21):
                assert (await client.get("/api/v1/nothing")).status_code == 404
            assert (await client.get("/api/v1/models")).status_code == 429
            answer = await client.get("/api/v1/nothing")
            assert (answer.status_code, answer.json()) == (429, {"error": SENTENCE})

    async def test_count_nothing_outside_the_api(self, house):
        async with calling(house) as client:
            for _ in range(30):
                assert (await client.get("/nothing")).status_code == 404
                assert (await client.post("/worker/v1/claim", json={})).status_code == 401
            assert (await client.get("/api/v1/models")).status_code == 200

    async def test_of_ipv6_are_one_by_their_64(self, house):
        for number in range(21):
            async with calling(house, f"2001:db8:0:1::{number:x}") as client:
                await client.post("/api/v1/video/quote", json={})
        async with calling(house, "2001:db8:0:1:ffff::1") as client:
            assert (await client.get("/api/v1/models")).status_code == 429
        async with calling(house, "2001:db8:0:2::1") as client:
            assert (await client.get("/api/v1/models")).status_code == 200

    async def test_that_are_claimed_change_nothing(self, house):
        async with calling(house) as client:
            for number in range(22):
                answer = await client.post(
                    "/api/v1/video/quote", json={}, headers={"x-forwarded-for": f"10.0.0.{number}"}
                )
        assert answer.status_code == 429

    async def test_behind_a_trusted_proxy_are_the_clients(self, change):
        house = change(trusted_proxies=(ip_network("10.0.0.0/8"),))
        async with calling(house, "10.0.0.1") as client:

            async def quote(address, body):
                headers = {"x-forwarded-for": f"203.0.113.{uuid4().int % 250}, {address}"}
                answer = await client.post("/api/v1/video/quote", json=body, headers=headers)
                return answer.status_code

            assert {await quote("198.51.100.1", {}) for _ in range(21)} == {400}
            assert await quote("198.51.100.1", QUOTE) == 429
            assert await quote("198.51.100.2", QUOTE) == 200


class TestTiers:
    async def test_partner_has_its_own(self, change, open_tenant, yard):
        house = change(tiers=Tiers.model_validate({"partner": {"video_queue": 3}}))
        tenant = await open_tenant()
        async with yard.database.transaction() as tx:
            await tx.run("accounts.set_tier", account_id=tenant.account.id, tier="partner")
        async with calling(house) as client:
            answers = [
                await client.post("/api/v1/video/queue", json=ORDER, headers=tenant.headers)
                for _ in range(4)
            ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "3"

    async def test_a_model_may_have_its_own(self, house, open_tenant):
        models = dict(house.yard.catalog.models)
        model = models[ORDER["model"]].model_copy(update={"requests_per_minute": 2})
        catalog = type(house.yard.catalog)([*models.values(), model])
        changed = replace(house, yard=replace(house.yard, catalog=catalog))
        tenant, other = await open_tenant(), await open_tenant()
        async with calling(changed) as client:

            async def queue(headers, **changes):
                return await client.post(
                    "/api/v1/video/queue", json=ORDER | changes, headers=headers
                )

            answers = [await queue(tenant.headers) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            lefts = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
            assert lefts == ["1", "0", "0"]
            assert answers[2].headers["x-ratelimit-limit-requests"] == "2"
            assert len(answers[2].headers.get_list("x-ratelimit-limit-requests")) == 1
            assert 1 <= int(answers[2].headers["retry-after"]) <= 61
            assert (await queue(other.headers)).status_code == 200
            another = await queue(tenant.headers, model="wan-2.5-preview-text-to-video")
            assert another.status_code == 200
            assert another.headers["x-ratelimit-remaining-requests"] == "16"
            told = await client.get("/api/v1/api_keys/rate_limits", headers=tenant.headers)
        amounts = {
            one["apiModelId"]: one["rateLimits"] for one in told.json()["data"]["rateLimits"]
        }
        assert amounts[model.id] == [{"amount": 2, "type": "RPM"}]
        assert amounts["motion-image-to-video"] == [{"amount": 20, "type": "RPM"}]
        await changed.refusals.write()
        (entry,) = await changed.refusals.last(tenant.account.id)
        assert (entry.model, entry.type) == (model.id, "RPM")


class TestRateLimits:
    PATH = "/api/v1/api_keys/rate_limits"

    async def test_of_a_prepaid_account(self, open_customer, http, yard):
        customer = await open_customer(credit_micros=1_250_000)
        answer = await http.get(self.PATH, headers=customer.headers)
        assert answer.status_code == 200
        data = answer.json()["data"]
        assert list(answer.json()) == ["data"]
        limits = data.pop("rateLimits")
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        assert data == {
            "accessPermitted": True,
            "apiTier": {"id": "paid", "isCharged": True},
            "balances": {"USD": 1.25, "DIEM": 0, "BUNDLED_CREDITS": 0},
            "keyExpiration": None,
            "nextEpochBegins": f"{midnight + timedelta(days=1):%Y-%m-%dT%H:%M:%S}.000Z",
        }
        assert {one["apiModelId"] for one in limits} == yard.catalog.models.keys()
        assert all(one["rateLimits"] == [{"amount": 20, "type": "RPM"}] for one in limits)

    async def test_of_an_unmetered_account(self, customer, http):
        data = (await http.get(self.PATH, headers=customer.headers)).json()["data"]
        assert data["apiTier"] == {"id": "paid", "isCharged": False}
        assert data["balances"]["USD"] == 9_999_999_999
        assert data["accessPermitted"] is True

    async def test_of_an_account_without_money(self, open_customer, http):
        customer = await open_customer(credit_micros=0)
        data = (await http.get(self.PATH, headers=customer.headers)).json()["data"]
        assert data["accessPermitted"] is False
        assert data["balances"] == {"USD": 0, "DIEM": 0, "BUNDLED_CREDITS": 0}

    async def test_are_what_the_key_may_still_spend(self, open_tenant, as_admin, yard):
        tenant = await open_tenant(credit_micros=1_000_000)
        async with yard.database.transaction() as tx:
            await tx.run("accounts.set_diem", account_id=tenant.account.id, diem_micros=5_000_000)
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
        terms = Terms(
            expires_at=expires,
            usd_limit_micros=300_000,
            diem_limit_micros=70_000,
            models=["motion-text-to-video"],
        )
        answer = await as_admin(tenant.account.id, self.PATH, "INFERENCE", terms)
        data = answer.json()["data"]
        assert data["balances"] == {"USD": 0.3, "DIEM": 0.07, "BUNDLED_CREDITS": 0}
        assert data["keyExpiration"] == f"{expires:%Y-%m-%dT%H:%M:%S}.000Z"
        assert [one["apiModelId"] for one in data["rateLimits"]] == ["motion-text-to-video"]

    async def test_shrink_as_the_key_spends(self, open_tenant, as_admin, yard, http):
        tenant = await open_tenant(credit_micros=1_000_000)
        async with yard.database.transaction() as tx:
            terms = Terms(usd_limit_micros=100_000)
            _, key = await keys.create(tx, yard.keyring, tenant.account.id, "INFERENCE", "", terms)
        headers = {"authorization": f"Bearer {key}"}
        price = (await http.post("/api/v1/video/quote", json=ORDER)).json()["quote"]
        assert (await http.post("/api/v1/video/queue", json=ORDER, headers=headers)).is_success
        data = (await http.get(self.PATH, headers=headers)).json()["data"]
        assert data["balances"]["USD"] == pytest.approx(0.1 - price)

    async def test_need_a_key(self, http):
        assert (await http.get(self.PATH)).status_code == 401

    async def test_are_what_venice_py_takes(self, customer, http):
        answer = await http.get(self.PATH, headers=customer.headers)
        told = RateLimitsResponse.model_validate(answer.json(), strict=True).data
        assert told.apiTier.id == "paid"
        assert told.rateLimits[0].rateLimits[0].type == RateLimitType.RPM


class TestLog:
    PATH = "/api/v1/api_keys/rate_limits/log"

    async def test_names_what_came_too_often(self, house, customer, as_admin):
        for _ in range(20):
            assert (await customer.post("queue", ORDER)).status_code == 200
        assert (await customer.post("queue", ORDER)).status_code == 429
        await fail(customer, 21)
        assert (await customer.post("retrieve", {})).status_code == 429
        await house.refusals.write()
        answer = await as_admin(customer.account_id, self.PATH)
        # The ADMIN key belongs to the account that is blocked.
        assert answer.json() == {"error": SENTENCE}
        house.failures.reset()
        answer = await as_admin(customer.account_id, self.PATH)
        assert answer.status_code == 200
        body = answer.json()
        told = [
            (entry["modelId"], entry["rateLimitType"], entry["rateLimitTier"])
            for entry in body["data"]
        ]
        assert told == [
            ("endpoint:api/v1/video/retrieve", "FAILED_REQUESTS", "paid"),
            ("endpoint:api/v1/video/queue", "RPM", "paid"),
        ]
        for entry in body["data"]:
            moment = datetime.fromisoformat(entry.pop("timestamp"))
            assert abs(datetime.now(UTC) - moment) < timedelta(seconds=10)
            assert entry.pop("apiKeyId")
            assert entry.keys() == {"modelId", "rateLimitType", "rateLimitTier"}
        assert body["object"] == "list"

    async def test_is_what_venice_py_takes(self, house, customer, as_admin):
        house.refusals.note(await _caller(house, customer), "endpoint:api/v1/video/queue", "RPM")
        await house.refusals.write()
        answer = await as_admin(customer.account_id, self.PATH)
        (entry,) = RateLimitLogsResponse.model_validate(answer.json(), strict=True).data
        assert entry.rateLimitType == RateLimitType.RPM

    async def test_needs_an_admin_key(self, customer, http):
        answer = await http.get(self.PATH, headers=customer.headers)
        assert (answer.status_code, answer.json()) == (401, {"error": "Admin API key required"})

    async def test_is_the_accounts_own(self, house, customer, open_customer, as_admin):
        house.refusals.note(await _caller(house, customer), "m", "RPM")
        await house.refusals.write()
        other = await open_customer()
        assert (await as_admin(other.account_id, self.PATH)).json()["data"] == []


class TestRefusals:
    async def test_of_a_flood_are_few(self, house, customer, open_customer):
        one, two = [await _caller(house, it) for it in (customer, await open_customer())]
        for number in range(1000):
            house.refusals.note(one, f"m{number}", "RPM")
        house.refusals.note(two, "m", "RPM")
        await house.refusals.write()
        assert [it.model for it in await house.refusals.last(one.account_id)] == [
            f"m{number}" for number in (4, 3, 2, 1, 0)
        ]
        assert len(await house.refusals.last(two.account_id)) == 1

    async def test_of_a_flood_of_accounts_are_bounded(self, house, customer):
        caller = await _caller(house, customer)
        for _ in range(2000):
            house.refusals.note(replace(caller, account_id=uuid4()), "m", "RPM")
        assert len(house.refusals._notes) == 1000

    async def test_are_trimmed_to_the_last_fifty(self, house, customer, open_customer, yard):
        caller, other = [await _caller(house, it) for it in (customer, await open_customer())]
        for number in range(60):
            house.refusals.note(caller, f"m{number}", "RPM")
            house.refusals.note(other, "m", "RPM") if number < 50 else None
            await house.refusals.write()
        assert len(await house.refusals.last(caller.account_id)) == 50
        assert await refusals.trim(yard.database) == 10
        assert await refusals.trim(yard.database) == 0
        last = await house.refusals.last(caller.account_id)
        assert [one.model for one in last] == [f"m{number}" for number in range(59, 9, -1)]
        assert len(await house.refusals.last(other.account_id)) == 50

    async def test_are_written_in_the_background(self, house, customer):
        task = asyncio.create_task(house.refusals.run())
        try:
            house.refusals.note(await _caller(house, customer), "m", "RPM")
            async with asyncio.timeout(5):
                while not await house.refusals.last(customer.account_id):
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()

    async def test_of_an_account_that_is_gone_are_left_out(self, house, customer):
        caller = await _caller(house, customer)
        house.refusals.note(replace(caller, key_id=uuid4()), "m", "RPM")
        house.refusals.note(caller, "m", "RPM")
        await house.refusals.write()
        assert len(await house.refusals.last(caller.account_id)) == 1


async def test_limits_and_money_do_without_the_shared_store(change, open_tenant):
    pytest.importorskip("redis")
    house = change(limits_url=SecretStr("redis://127.0.0.1:1/0"))
    tenant = await open_tenant(credit_micros=1)
    async with calling(house) as client:
        answers = [
            await client.post("/api/v1/video/queue", json=ORDER, headers=tenant.headers)
            for _ in range(21)
        ]
    await house.limits.aclose()
    assert [answer.status_code for answer in answers] == [402] * 20 + [429]
    assert answers[-1].json() == {"error": "Rate limit exceeded"}


async def _caller(house, customer):
    token = customer.headers["authorization"].removeprefix("Bearer ")
    return await keys.Callers(house.yard.database, house.yard.keyring).find(token)
