"""Who calls and how often, before the body is read."""

import time
from dataclasses import replace

import pytest

from squero.app import Application
from squero.domain import keys
from squero.domain.failures import Failures

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

CALLS = ["queue", "retrieve", "complete"]
DENIED = {"error": "Authentication failed"}


async def call_raw(house, path, headers):
    """Status of a POST whose body nobody may read."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "query_string": b"",
    }
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    await Application(house)(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


class TestKey:
    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Basic dXNlcjpwYXNz",
            "Bearer SQUERO_INFERENCE_KEY_" + "0" * 42,
            "Bearer " + "x" * 60_000,
            "Bearer k\xe9y",
        ],
    )
    async def test_that_is_wrong(self, house, call, header):
        headers = {} if header is None else {"authorization": header}
        status, answered = await call_raw(house, f"/api/v1/video/{call}", headers)
        assert status == 401
        assert b"x-venice-balance-usd" not in answered

    async def test_that_is_wrong_says_only_so(self, http):
        answer = await http.post("/api/v1/video/queue", json={})
        assert (answer.status_code, answer.json()) == (401, DENIED)

    async def test_in_any_case_of_the_scheme(self, customer, http):
        token = customer.headers["authorization"].removeprefix("Bearer ")
        for scheme in ("bearer", "BEARER"):
            answer = await http.post(
                "/api/v1/video/complete", json={}, headers={"authorization": f"{scheme} {token}"}
            )
            assert answer.status_code == 400

    @pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
    async def test_that_is_no_longer_in_force(self, yard, open_tenant, house, http, column):
        async with yard.database.transaction() as tx:
            tenant = await open_tenant()
            await tx._connection.execute(
                f"UPDATE keys SET {column} = squero_now() - interval '1 s' WHERE account_id = %s",
                [tenant.account.id],
            )
        answer = await http.post("/api/v1/video/queue", json={}, headers=tenant.headers)
        assert (answer.status_code, answer.json()) == (401, DENIED)

    async def test_that_nobody_has(self, yard):
        callers = keys.Callers(yard.database, yard.keyring)
        with pytest.raises(keys.AuthenticationFailed):
            await callers.find(keys.make_key("SQUERO_INFERENCE_KEY_"))


class TestBodyIsNotRead:
    async def test_of_one_that_is_too_large(self, house, customer):
        headers = customer.headers | {
            "content-type": "application/json",
            "content-length": "35000001",
        }
        status, _ = await call_raw(house, "/api/v1/video/queue", headers)
        assert status == 413

    async def test_of_one_that_is_no_json(self, house, customer):
        headers = customer.headers | {"content-type": "text/plain", "content-length": "9"}
        assert (await call_raw(house, "/api/v1/video/queue", headers))[0] == 415

    async def test_of_an_open_call(self, house):
        headers = {"content-type": "application/json", "content-length": "35000001"}
        assert (await call_raw(house, "/api/v1/video/quote", headers))[0] == 413


class TestLimits:
    @pytest.fixture
    def house(self, cleared):
        """As many calls as these may fail."""
        return replace(cleared, failures=Failures(1000, 30))

    @pytest.mark.parametrize(("call", "limit"), [("queue", 20), ("retrieve", 120)])
    async def test_counts_down_to_429(self, customer, call, limit):
        left = []
        for _ in range(limit):
            answer = await customer.post(call, {})
            assert answer.status_code == 400
            assert answer.headers["x-ratelimit-limit-requests"] == str(limit)
            left.append(int(answer.headers["x-ratelimit-remaining-requests"]))
        assert left == list(range(limit - 1, -1, -1))
        answer = await customer.post(call, {})
        assert (answer.status_code, answer.json()) == (429, {"error": "Rate limit exceeded"})
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        wait = int(answer.headers["retry-after"])
        assert 1 <= wait <= 61
        assert abs(int(answer.headers["x-ratelimit-reset-requests"]) - time.time() - wait) < 2

    async def test_are_each_accounts_own(self, customer, open_customer):
        for _ in range(21):
            answer = await customer.post("queue", {})
        assert answer.status_code == 429
        assert (await (await open_customer()).post("queue", {})).status_code == 400
        assert (await customer.post("retrieve", {})).status_code == 400

    async def test_do_not_bind_complete(self, customer):
        answer = await customer.post("complete", {})
        assert "x-ratelimit-limit-requests" not in answer.headers


class TestBalance:
    async def test_is_that_before_the_call(self, open_customer):
        customer = await open_customer(credit_micros=1_250_000)
        asked = {"model": "motion-text-to-video", "prompt": "p", "duration": "5s"}
        answer = await customer.post("queue", asked)
        assert answer.headers["x-venice-balance-usd"] == "1.25"
        assert answer.headers["x-venice-balance-diem"] == "0"

    async def test_of_an_unmetered_account(self, customer):
        answer = await customer.post("complete", {})
        assert answer.headers["x-venice-balance-usd"] == "9999999999"

    async def test_header_names_are_lower_case(self, house, customer):
        _, headers = await call_raw(
            house, "/api/v1/video/queue", customer.headers | {"content-type": "text/plain"}
        )
        assert all(name == name.lower() for name in headers)
        assert {b"cf-ray", b"x-venice-version", b"x-venice-balance-usd"} <= set(headers)
