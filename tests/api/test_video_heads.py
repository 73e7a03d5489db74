"""What a request's head alone gives reason to refuse is refused before a byte of the body."""

import asyncio
import json
from dataclasses import replace
from uuid import uuid4

import pytest

from squero.api.budget import Budget
from squero.app import Application

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json", "content-length": "20"}
QUOTE = "/api/v1/video/quote"
QUEUE = "/api/v1/video/queue"
BODY = b'{"model": "motion-text-to-video", "duration": "5s"}'
CALLS = [QUEUE, "/api/v1/video/retrieve", "/api/v1/video/complete"]
LARGEST = 35_000_000


@pytest.fixture
def house(cleared):
    """The shared house with a budget of its own."""
    return replace(cleared, budget=Budget(cleared.yard.settings))


def head(method, path, headers):
    """A request's head as it travels."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: squero", *lines, "", ""]).encode()


@pytest.fixture
async def ask(house, serve):
    """Sends a head that expects to be told to go on: the statuses that come, and the answer."""

    async def ask(path, headers, *, method="POST", body=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head(method, path, headers | {"expect": "100-continue"}))
            answered = await reader.readuntil(b"\r\n\r\n")
            statuses = [int(answered.split()[1])]
            if statuses == [100]:
                if body is None:
                    return statuses, None
                writer.write(body)
                answered = await reader.readuntil(b"\r\n\r\n")
                statuses.append(int(answered.split()[1]))
            length = int(answered.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return statuses, json.loads(await reader.readexactly(length))
        finally:
            writer.transport.abort()

    async with serve(Application(house)) as port:
        yield ask


async def test_a_good_head_is_told_to_go_on(ask):
    statuses, answer = await ask(QUOTE, JSON | {"content-length": str(len(BODY))}, body=BODY)
    assert (statuses, answer) == ([100, 200], {"quote": 0.1})


@pytest.mark.parametrize(("path", "method", "status"), [("/x", "POST", 404), (QUEUE, "PUT", 405)])
async def test_route(ask, path, method, status):
    assert (await ask(path, JSON, method=method))[0] == [status]


@pytest.mark.parametrize("path", [QUOTE, *CALLS])
@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"content-length": str(LARGEST + 1)}, 413),
        ({"content-length": "9" * 19}, 413),
    ],
)
async def test_content(ask, customer, path, wrong, status):
    assert (await ask(path, customer.headers | JSON | wrong))[0] == [status]


@pytest.mark.parametrize("path", [*CALLS, "/worker/v1/claim"])
async def test_key(ask, path):
    for headers in (JSON, JSON | {"authorization": "Bearer wrong"}):
        assert await ask(path, headers) == ([401], {"error": "Authentication failed"})


@pytest.mark.parametrize(("call", "limit"), [("queue", 20), ("retrieve", 120)])
async def test_limits_of_calls(ask, customer, house, call, limit):
    for _ in range(limit):
        await house.limits.hit(f"video_{call}", customer.account_id)
    statuses, answer = await ask(f"/api/v1/video/{call}", customer.headers | JSON)
    assert (statuses, answer) == ([429], {"error": "Rate limit exceeded"})


async def test_disk(ask, customer, house, monkeypatch):
    settings = house.yard.settings.model_copy(update={"min_free_bytes": 2**62})
    monkeypatch.setattr(house.yard.admission, "_settings", settings)
    assert (await ask(QUEUE, customer.headers | JSON))[0] == [503]


@pytest.mark.parametrize("path", [QUOTE, QUEUE])
async def test_bytes_in_flight(ask, customer, house, path):
    settings = house.yard.settings
    for _ in range(settings.body_bytes_in_flight // LARGEST):
        house.budget.take(uuid4(), LARGEST)
    statuses, answer = await ask(path, customer.headers | JSON | {"content-length": "10000"})
    assert statuses == [503]
    assert answer == {"error": "The server is at capacity. Please try again later."}
    statuses, _ = await ask(QUOTE, JSON | {"content-length": str(len(BODY))}, body=BODY)
    assert statuses == [100, 200]


@pytest.mark.parametrize("length", ["500000001", "9" * 19])
async def test_result_that_is_too_large(ask, customer, hand, length):
    await customer.queue()
    job = await hand.take()
    headers = {"authorization": f"Bearer {hand.token}", "content-length": length}
    assert (await ask(f"/worker/v1{job}/result", headers, method="PUT"))[0] == [413]


async def test_result_of_an_attempt_that_is_over(ask, hand):
    headers = {"authorization": f"Bearer {hand.token}", "content-length": "1000"}
    path = f"/worker/v1/jobs/{uuid4()}/1/result"
    assert (await ask(path, headers, method="PUT"))[0] == [409]


async def test_a_client_that_leaves_in_the_middle_holds_nothing(house, customer, serve):
    headers = customer.headers | JSON | {"content-length": "100000"}
    async with serve(Application(house)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("POST", QUEUE, headers) + b'{"image_url":')
        while house.budget.taken_bytes < 100_000:
            await asyncio.sleep(0.005)
        writer.transport.abort()
        while house.budget.taken_bytes:
            await asyncio.sleep(0.005)
