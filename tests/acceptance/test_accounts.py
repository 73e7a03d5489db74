"""Accounts on the real process, two replicas of it: keys, limits, balances and bills."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from venice_ai import VeniceClient
from venice_ai.exceptions import APIError, AuthenticationError
from venice_ai.types.api.api_keys import (
    ApiKeyDetailsResponse,
    ApiKeysListResponse,
    RateLimitLogsResponse,
    RateLimitsResponse,
    RateLimitType,
)
from venice_ai.types.api.billing import (
    BillingBalanceResponse,
    BillingUsageEntry,
    BillingUsageHistoryResponse,
    UsageAnalyticsResponse,
)
from venice_ai.types.api.requests.api_keys import CreateApiKeyRequest

from squero.money import MICROS_PER_USD
from squero.store import embedded

from .conftest import Customer, Server, open_account, squero, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.acceptance,
    pytest.mark.filterwarnings("default:::(aiohttp|venice_ai)"),
]

MODEL, OTHER = "motion-text-to-video", "motion-image-to-video"
JOB = {"model": MODEL, "prompt": "a gondola", "duration": "5s", "resolution": "480p"}
PRICE_USD = 0.05
REVOKED_SECONDS = 1.0
SPENT = (
    "API key USD spend limit exceeded. Your account may still have USD balance, but this API key"
    " has reached its configured USD spending limit."
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("accounts") / "home"
    few = {"SQUERO_TIERS__PARTNER__VIDEO_RETRIEVE": "2"}
    started = Server(home, "--workers", "0", env=few)
    try:
        yield started
        assert started.end() == 0
    finally:
        started.close()


@pytest.fixture(scope="module")
def replica(server: Server) -> Iterator[Server]:
    """Another server on the same database, with the same secret."""
    database = embedded.start(server.home)
    shared = {
        "SQUERO_DATABASE_URL": database.url,
        "SQUERO_SECRET_FILE": str(server.home / "secret"),
    }
    started = Server(server.home.with_name("replica"), "--workers", "0", env=shared)
    try:
        yield started
        assert started.end() == 0
    finally:
        started.close()
        database.stop()


class Owner(Customer):
    """Somebody with an account, one dollar, and an ADMIN key."""

    def __init__(self, server: Server, key: str, account: str) -> None:
        super().__init__(server, key)
        self.account = account
        self.url = f"{server.url}/api/v1"

    def make(self, **terms: object) -> dict[str, Any]:
        """A new INFERENCE key."""
        body = {"apiKeyType": "INFERENCE", "description": "app"} | terms
        return self._done(self.http.post("/api_keys", json=body))

    def change(self, key_id: str, **terms: object) -> dict[str, Any]:
        return self._done(self.http.patch("/api_keys", json={"id": key_id} | terms))

    def queue_with(self, key: str, **changes: object) -> tuple[int, str | None]:
        """The status of a queue call with that key, and its error."""
        headers = {"authorization": f"Bearer {key}"}
        answer = self.http.post("/video/queue", json=JOB | changes, headers=headers)
        return answer.status_code, answer.json().get("error")

    def read(self, kind: type[BaseModel], path: str) -> Any:
        """What the client's own model makes of an answer when it coerces nothing."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return kind.model_validate_json(answer.content, strict=True)

    @staticmethod
    def _done(answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


@pytest.fixture
async def owner(anyio_backend: str, server: Server) -> Owner:
    account, key = await open_account(server, {"USD": MICROS_PER_USD}, "ADMIN")
    return Owner(server, key, account.name)


class TestVenicePy:
    """The published client, and its models at their strictest."""

    async def test_administers_keys(self, owner: Owner) -> None:
        async with VeniceClient(api_key=owner.key, base_url=owner.url) as client:
            made = await client.api_keys.create(
                api_key_request=CreateApiKeyRequest(
                    apiKeyType="INFERENCE",
                    description="app",
                    consumptionLimit={"usd": 0.05, "diem": 1},
                    limitPeriod="MONTH",
                    modelPrivacy="PRIVATE_ONLY",
                    expiresAt="2099-12-31",
                )
            )
            assert owner.queue_with(made.apiKey) == (200, None)
            assert owner.queue_with(made.apiKey) == (402, SPENT)
            found = await client.api_keys.retrieve(api_key_id=made.id)
            assert (found.last6Chars, found.limitPeriod) == (made.apiKey[-6:], "MONTH")
            assert found.expiresAt == "2099-12-31T00:00:00.000Z"
            assert found.lastUsedAt is not None
            assert found.usage.trailingSevenDays.usd == "0.0500"
            assert found.currentPeriodUsage.usd == "0.0500"

            changed = await client.api_keys.update(
                id=made.id, description="api", expires_at="", consumption_limit={"usd": 0.1}
            )
            assert (changed.description, changed.expiresAt) == ("api", None)
            assert (changed.consumptionLimits.usd, changed.consumptionLimits.diem) == (0.1, None)
            assert owner.queue_with(made.apiKey) == (200, None)
            assert (await client.api_keys.list())[0].id == made.id
            assert len([one async for one in client.api_keys.iter_all(page_size=1)]) == 2
            listed = owner.read(ApiKeysListResponse, "/api_keys").data
            told = owner.read(ApiKeyDetailsResponse, f"/api_keys/{made.id}").data
            assert listed[0] == told

            assert (await client.api_keys.delete(api_key_id=made.id)).success
            assert owner.queue_with(made.apiKey) == (401, "Authentication failed")
            with pytest.raises(APIError) as gone:
                await client.api_keys.retrieve(api_key_id=made.id)
            assert gone.value.status_code == 400

    async def test_with_an_inference_key_administers_nothing(self, owner: Owner) -> None:
        key = owner.make()["apiKey"]
        async with VeniceClient(api_key=key, base_url=owner.url) as client:
            with pytest.raises(AuthenticationError):
                await client.api_keys.list()
            with pytest.raises(AuthenticationError):
                await client.billing.get_balance()
            limits = await client.api_keys.get_rate_limits()
            assert limits.data.balances.USD == 1

    async def test_reads_rate_limits_and_their_log(self, server: Server, owner: Owner) -> None:
        squero("accounts", "tier", owner.account, "partner", "--home", str(server.home))
        polls = [owner.post("retrieve", model=MODEL, queue_id="x") for _ in range(3)]
        assert [poll.status_code for poll in polls] == [400, 400, 429]
        async with VeniceClient(api_key=owner.key, base_url=owner.url) as client:
            told = (await client.api_keys.get_rate_limits()).data
            assert (told.apiTier.id, told.apiTier.isCharged) == ("partner", True)
            assert (told.accessPermitted, told.balances.USD, told.balances.DIEM) == (True, 1, 0)
            assert told == owner.read(RateLimitsResponse, "/api_keys/rate_limits").data

            path = "/api_keys/rate_limits/log"
            until("the refusal is in the log", lambda: owner.http.get(path).json()["data"])
            (entry,) = (await client.api_keys.get_rate_limit_logs()).data
            assert (entry.rateLimitTier, entry.rateLimitType) == ("partner", RateLimitType.RPM)
            assert entry.modelId == "endpoint:api/v1/video/retrieve"
            assert [entry] == owner.read(RateLimitLogsResponse, path).data

    async def test_reads_the_bill(self, owner: Owner) -> None:
        app = owner.make(description="billed")
        for _ in range(11):
            assert owner.queue_with(app["apiKey"])[0] == 200
        async with VeniceClient(api_key=owner.key, base_url=owner.url) as client:
            balance = await client.billing.get_balance()
            assert (balance.can_consume, balance.consumption_currency) == (True, "USD")
            assert balance.balances.usd == 0.45
            path = "/billing/usage-history"  # which ends a second ago
            until("all is told", lambda: len(owner.http.get(path).json()["data"]) == 11)
            walked = [one async for one in client.billing.iter_usage_history(page_size=10)]
            assert [one.amount for one in walked] == [-PRICE_USD] * 11
            pages = [one async for one in client.billing.iter_usage_history_csv(page_size=10)]
            assert [len(page.text.splitlines()) for page in pages] == [11, 2]
            with pytest.warns(FutureWarning):
                analytics = await client.billing.get_usage_analytics(lookback="7d")
            assert [one.description for one in analytics.byKey] == ["billed"]
            # The jobs are of two days, if one of these was over meanwhile.
            spent = sum(day.USD for day in analytics.byDate)
            assert pytest.approx(11 * PRICE_USD) == spent

        assert balance == owner.read(BillingBalanceResponse, "/billing/balance")
        assert owner.read(BillingUsageHistoryResponse, path).data == walked
        assert analytics == owner.read(
            UsageAnalyticsResponse, "/billing/usage-analytics?lookback=7d"
        )
        older = owner.http.get("/billing/usage?limit=10").json()
        assert older["pagination"] == {"limit": 10, "page": 1, "total": 11, "totalPages": 2}
        entries = [BillingUsageEntry.model_validate(one, strict=True) for one in older["data"]]
        assert entries == walked[:0:-1]


class TestTerms:
    def test_a_limit_holds_as_changed_from_the_next_call_on(
        self, owner: Owner, replica: Server
    ) -> None:
        made = owner.make(consumptionLimit={"usd": PRICE_USD}, limitPeriod="LIFETIME")
        key, elsewhere = made["apiKey"], Customer(replica, made["apiKey"])

        def queued() -> int:
            """How many jobs the key is good for, on whichever server."""
            for number in range(4):
                status, error = owner.queue_with(key)
                if status == 402:
                    answer = elsewhere.post("queue", **JOB)
                    assert (answer.status_code, answer.json()) == (402, {"error": SPENT})
                    assert error == SPENT
                    return number
                assert status == 200
            return number

        assert queued() == 1
        owner.change(made["id"], consumptionLimit={"usd": 0.15})
        assert queued() == 2
        owner.change(made["id"], consumptionLimit={"usd": 0})
        assert queued() == 0
        owner.change(made["id"], consumptionLimit={"usd": None})
        assert elsewhere.post("queue", **JOB).status_code == 200

    def test_models(self, owner: Owner) -> None:
        made = owner.make(models=[OTHER])
        refusal = "Unauthorized access: this API key may not use this model"
        assert owner.queue_with(made["apiKey"]) == (403, refusal)
        owner.change(made["id"], models=[OTHER, MODEL])
        assert owner.queue_with(made["apiKey"]) == (200, None)

    def test_expiry(self, server: Server, replica: Server, owner: Owner) -> None:
        ends = datetime.now(UTC) + timedelta(seconds=2)
        made = owner.make(expiresAt=f"{ends:%Y-%m-%dT%H:%M:%S}.{ends.microsecond // 1000:03d}Z")
        on_both = [Customer(one, made["apiKey"]) for one in (server, replica)]
        while True:
            began = datetime.now(UTC)
            statuses = [one.http.get("/api_keys/rate_limits").status_code for one in on_both]
            if datetime.now(UTC) < ends - timedelta(milliseconds=1):
                assert statuses == [200, 200]
            elif statuses == [401, 401]:
                break
            assert began < ends + timedelta(seconds=REVOKED_SECONDS)
        assert made["id"] not in {one["id"] for one in owner.http.get("/api_keys").json()["data"]}


class TestRevocation:
    def test_by_the_owner(self, server: Server, replica: Server, owner: Owner) -> None:
        """Refused from the next call on; by another replica within a second."""
        made = owner.make()
        here, there = (Customer(one, made["apiKey"]) for one in (server, replica))
        for one in (here, there):
            assert one.http.get("/api_keys/rate_limits").status_code == 200
        assert owner.http.delete(f"/api_keys?id={made['id']}").json() == {"success": True}
        revoked_at = time.monotonic()
        assert here.http.get("/api_keys/rate_limits").status_code == 401
        assert_ends(there, revoked_at)

    def test_by_the_operator(self, server: Server, replica: Server, owner: Owner) -> None:
        made = owner.make()
        on_both = [Customer(one, made["apiKey"]) for one in (server, replica)]
        with ThreadPoolExecutor(1) as operator:
            words = ("keys", "revoke", made["id"], "--home", str(server.home))
            revoking = operator.submit(squero, *words)
            while not revoking.done():  # so that both know the key when it is revoked
                for one in on_both:
                    one.http.get("/api_keys/rate_limits")
        revoked_at = time.monotonic()
        for one in on_both:
            assert_ends(one, revoked_at)


def assert_ends(customer: Customer, revoked_at: float) -> None:
    """Their key is refused within a second, and from then on."""
    while True:
        began = time.monotonic()
        if customer.http.get("/api_keys/rate_limits").status_code == 401:
            break
        assert began < revoked_at + REVOKED_SECONDS
    assert customer.http.get("/api_keys/rate_limits").status_code == 401
