"""What a customer hears of a job that has ended, or has not: the contract's table, row by row."""

import asyncio
import json

import pytest
from starlette.routing import Mount, Route

from squero.api.gate import Open
from squero.api.routes import routes
from squero.app import Application
from squero.domain import unfinished, upkeep
from squero.domain.ending import LOST_LEASES, STRIKES

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

CREDIT, PRICE = 1_000_000, 50_000
FAILED = "Inference processing failed"
FULL = "The model is at capacity. Please try again later."
TURNED = "The picture is upside down"
MODEL = "motion-text-to-video"
OPEN = {
    "POST /api/v1/video/quote": {"model": MODEL, "duration": "5s"},
    "GET /api/v1/models": None,
    "GET /api/v1/models/traits": None,
    "GET /api/v1/models/compatibility_mapping": None,
    "GET /doc/api/swagger.yaml": None,
    "GET /docs": None,
    "GET /health": None,
    "GET /metrics": None,
}


async def execute(yard, *statements):
    """Runs statements past the domain."""
    async with yard.database.transaction() as tx:
        for statement in statements:
            await tx._connection.execute(statement)


async def balance(yard, account_id):
    """What is available and what is held, in micros."""
    async with yard.database.reading() as tx:
        found = await tx._connection.execute(
            "SELECT available_micros, held_micros FROM balances WHERE account_id = %s",
            [account_id],
        )
        return await found.fetchone()


def told(kind, times, message=None):
    """The worker says so of that many attempts."""

    async def happen(yard, hand):
        for _ in range(times):
            assert (await hand.fail(await hand.take(), kind, message)).status_code == 204

    return happen


async def useless_results(yard, hand):
    for _ in range(STRIKES):
        assert (await hand.upload(await hand.take(), b"ftyp" * 1000)).status_code == 400


async def silence(yard, hand):
    for _ in range(LOST_LEASES):
        await hand.take()
        # A lease that is over, and a server that has looked on all the time.
        await execute(
            yard,
            "UPDATE generations SET lease_until = squero_now() WHERE state = 'rendering'",
            "UPDATE watch SET looked_at = squero_now(), quiet_until = squero_now()",
        )
        await unfinished.reap(yard)


async def waiting(yard, hand):
    hours = yard.settings.queue_hours
    await execute(
        yard, f"UPDATE generations SET created_at = squero_now() - interval '{hours} hours'"
    )
    await unfinished.give_up(yard)


FATES = {
    "its input": (told("bad_input", 1, TURNED), 422, TURNED),
    "strikes": (told("crash", STRIKES), 500, FAILED),
    "the deadline": (told("deadline", STRIKES), 500, FAILED),
    "its memory": (told("out_of_memory", 2), 500, FAILED),
    "useless results": (useless_results, 500, FAILED),
    "lost leases": (silence, 500, FAILED),
    "queued too long": (waiting, 503, FULL),
}


@pytest.mark.parametrize("fate", FATES)
async def test_a_failure_is_told_for_ever(open_customer, hand, yard, stored, film, fate):
    happen, status, error = FATES[fate]
    customer = await open_customer(credit_micros=CREDIT)
    job = await customer.queue()
    assert await balance(yard, customer.account_id) == (CREDIT - PRICE, PRICE)
    await happen(yard, hand)
    first = await customer.retrieve(job)
    assert first.status_code == status
    assert first.json() == {"error": error, "credits_refunded": True}

    answers = [await customer.retrieve(job)]
    for _ in range(2):
        assert (await customer.post("complete", job)).json() == {"success": True}
    answers.append(await customer.retrieve(job | {"delete_media_on_completion": True}))
    # What comes too late, and what runs by the clock.
    late = f"/jobs/{job['queue_id']}/1"
    assert (await hand.upload(late, film)).status_code == 409
    assert (await hand.fail(late, "bad_input", "other words")).status_code == 409
    assert await unfinished.give_up(yard) == await unfinished.reap(yard) == 0
    assert await upkeep.expire(yard) == 0
    answers.append(await customer.retrieve(job))
    assert {(again.status_code, again.content) for again in answers} == {(status, first.content)}

    assert (await hand.claim()).status_code == 204
    assert await balance(yard, customer.account_id) == (CREDIT, 0)
    assert (await upkeep.audit(yard)).in_order
    assert not stored()


async def test_complete_before_the_end_changes_nothing(open_customer, hand, yard, film):
    customer = await open_customer(credit_micros=CREDIT)
    job = await customer.queue()
    no = await customer.post("complete", job)
    path = await hand.take()
    for answer in (no, await customer.post("complete", job)):
        assert (answer.status_code, answer.json()) == (200, {"success": False})
    assert (await hand.progress(path)).json() == {"go_on": True}
    assert await balance(yard, customer.account_id) == (CREDIT - PRICE, PRICE)
    assert (await hand.upload(path, film)).status_code == 204
    assert (await customer.retrieve(job)).content == film


class TestDeletesNothing:
    """Although the customer wants the media deleted on completion."""

    @pytest.fixture
    async def asked(self, finished):
        return await finished() | {"delete_media_on_completion": True}

    async def test_head(self, customer, asked, film):
        answer = await customer.http.request(
            "HEAD", "/api/v1/video/retrieve", json=asked, headers=customer.headers
        )
        assert (answer.status_code, answer.content) == (405, b"")
        assert (await customer.retrieve(asked)).content == film

    @pytest.mark.parametrize("part", ["0-0", "100-199"])
    async def test_a_part_before_the_end(self, customer, asked, film, part):
        answer = await customer.retrieve(asked, range=f"bytes={part}")
        assert answer.status_code == 206
        assert (await customer.retrieve(asked)).content == film

    async def test_a_part_that_is_not_there(self, customer, asked, film):
        answer = await customer.retrieve(asked, range=f"bytes={len(film)}-")
        assert answer.status_code == 416
        assert (await customer.retrieve(asked)).content == film

    @pytest.mark.parametrize("read", [0, 500_000])
    async def test_a_part_that_breaks_off(self, customer, asked, house, serve, film, read):
        body = json.dumps(asked)
        head = (
            "POST /api/v1/video/retrieve HTTP/1.1\r\nhost: a\r\nrange: bytes=0-\r\n"
            f"authorization: {customer.headers['authorization']}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        async with serve(Application(house)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writer.write((head + body).encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 206")
            await reader.readexactly(read)
            writer.close()
        assert (await customer.retrieve(asked)).content == film


@pytest.mark.parametrize("part", ["-1", "0-", "100-"])
async def test_a_part_that_reaches_the_end_completes(finished, customer, film, part):
    asked = await finished() | {"delete_media_on_completion": True}
    answer = await customer.retrieve(asked, range=f"bytes={part}")
    assert answer.status_code == 206
    assert film.endswith(answer.content)
    assert (await customer.retrieve(asked)).status_code == 404


def opened(listed, above=""):
    """Every call that needs no key, as "GET /health"."""
    for route in listed:
        if isinstance(route, Mount):
            yield from opened(route.routes, above + route.path)
        elif isinstance(route, Route) and isinstance(route.app, Open):
            yield from (f"{one} {above}{route.path}" for one in route.methods - {"HEAD"})


class TestWrongKey:
    def test_calls_that_need_none_are_all_here(self, house):
        assert set(opened(routes(house))) == OPEN.keys()

    @pytest.mark.parametrize("call", OPEN)
    @pytest.mark.parametrize("key", ["Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer", "k\xe9y"])
    async def test_is_ignored_where_none_is_needed(self, http, call, key):
        method, path = call.split(" ")
        headers = {"authorization": key.encode("latin-1")}
        without = await http.request(method, path, json=OPEN[call])
        answer = await http.request(method, path, json=OPEN[call], headers=headers)
        assert (answer.status_code, without.status_code) == (200, 200)
        assert path == "/metrics" or answer.content == without.content
