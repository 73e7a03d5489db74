"""An id that nobody has and one that somebody else has are told apart by nothing, nor by time."""

import json
import statistics
import time
from contextvars import ContextVar
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from squero.app import Application
from squero.domain.failures import Failures
from squero.domain.keys import Callers
from squero.domain.limits import Limits
from squero.settings import Tier, Tiers

pytestmark = pytest.mark.anyio

INVALID = b'{"error": "Request ID is invalid."}'
DRAWN = {b"cf-ray"}
COUNTED = {b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"}
CALLS = ["retrieve", "complete"]
ROUNDS = 400
TRIES = 3
SLACK = 0.15

_statements: ContextVar[list[tuple[str, int]] | None] = ContextVar("statements", default=None)


@pytest.fixture
def house(cleared):
    """The shared house, for as many calls a minute as are measured; keys are looked up once."""
    tiers = Tiers(paid=Tier(video_retrieve=1_000_000))
    generous = cleared.yard.settings.model_copy(update={"tiers": tiers})
    callers = Callers(cleared.yard.database, cleared.yard.keyring)
    callers._known._seconds = 3600
    failures = Failures(1_000_000, 30)
    return replace(cleared, limits=Limits(generous), callers=callers, failures=failures)


@pytest.fixture
async def call(house, customer):
    """A call as it comes from uvicorn: `await call("retrieve", job)` gives all that is sent."""
    application = Application(house)

    async def make(name, job):
        body = json.dumps(job).encode()
        headers = customer.headers | {"content-type": "application/json"}
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/api/v1/video/{name}",
            "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
            "query_string": b"",
        }
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        await application(scope, receive, send)
        return sent

    return make


@pytest.fixture
async def foreign(open_customer, hand):
    """A stranger's jobs: one has failed, one renders, one waits."""
    stranger = await open_customer()
    jobs = [await stranger.queue() for _ in range(3)]
    await hand.fail(await hand.take(), "bad_input")
    await hand.take()
    return jobs


def unknown(job):
    return job | {"queue_id": str(uuid4())}


def comparable(sent):
    """The answer without what is drawn at random or counts."""
    start, *rest = sent
    headers = [
        (name, b"" if name in DRAWN | COUNTED else value) for name, value in start["headers"]
    ]
    return start["status"], headers, rest


@pytest.mark.parametrize("name", CALLS)
async def test_byte_for_byte(call, foreign, name):
    answers = [await call(name, job) for job in (*foreign, unknown(foreign[0]))]
    first = comparable(answers[0])
    assert first[0] == 400
    assert b"".join(message.get("body", b"") for message in answers[0]) == INVALID
    assert [comparable(answer) for answer in answers] == [first] * len(answers)


class TestWork:
    @pytest.fixture
    def statements_of(self, call, monkeypatch):
        """What a call asks of the database: each statement, and how many rows come back."""
        execute = psycopg.AsyncCursor.execute

        async def noted(cursor, query, *arguments, **options):
            done = await execute(cursor, query, *arguments, **options)
            if (statements := _statements.get()) is not None:
                statements.append((str(query), cursor.rowcount))
            return done

        monkeypatch.setattr(psycopg.AsyncCursor, "execute", noted)

        async def of(name, job):
            # What the call awaits is done in its context; the house's chores have one of their own.
            token = _statements.set([])
            try:
                await call(name, job)
                return _statements.get()
            finally:
                _statements.reset(token)

        return of

    @pytest.mark.parametrize("name", CALLS)
    async def test_is_the_same(self, statements_of, foreign, name):
        await statements_of(name, foreign[0])  # the key is looked up
        asked = [await statements_of(name, job) for job in (*foreign, unknown(foreign[0]))]
        assert len(asked[0]) == 1
        assert asked == [asked[0]] * len(asked)


async def medians(call, name, foreign):
    """The median seconds of a call for another's job and for nobody's, asked in turns."""
    kinds = ([], [])
    for number in range(ROUNDS):
        jobs = (foreign[number % len(foreign)], unknown(foreign[0]))
        for kind in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            await call(name, jobs[kind])
            kinds[kind].append(time.perf_counter() - began)
    return [statistics.median(kind) for kind in kinds]


@pytest.mark.parametrize("name", CALLS)
async def test_takes_as_long(call, foreign, name):
    await medians(call, name, foreign)
    found = []
    for _ in range(TRIES):
        theirs, nobodys = await medians(call, name, foreign)
        found.append(theirs / nobodys)
        if abs(found[-1] - 1) < SLACK:
            break
    assert abs(found[-1] - 1) < SLACK, found
