"""A real server before a stub of an upstream: deaths at every call, and what was paid for."""

import os
import signal
import time
from pathlib import Path
from uuid import UUID

import pytest

from squero.domain import generation

from ..engines.remote.stub import Step, Upstream, breaks_off, film, openai_videos, says, serving
from .conftest import Customer, Server, Start, assert_books, probe, until

pytestmark = [pytest.mark.acceptance, pytest.mark.kill]

ENTRY = """
id = "far"
name = "Far"
description = "Rendered elsewhere."
created = 1
engine = "openai-videos"
usd_per_second = { 480p = "0.01" }
render_seconds_per_second = { 480p = 0.2 }

[[options.upstreams]]
name = "stub"
url = "URL/v1"
model = "wan"

[constraints]
model_type = "text-to-video"
durations = ["5s"]
resolutions = ["480p"]
aspect_ratios = []
audio = false
audio_configurable = false
"""
CALLS = ("create", "created", "status", "content", "delete")
VICTIMS = ("squero.engines.child", "squero worker")


def far(start: Start, home: Path, upstream: Upstream) -> Server:
    (home / "models").mkdir(parents=True)
    home.chmod(0o700)
    (home / "models" / "far.toml").write_text(ENTRY.replace("URL", upstream.url))
    server: Server = start(Server, home)
    return server.await_ready()


def kills(server: Server, victim: str) -> Step:
    """Kill the process of these words."""

    def step() -> None:
        os.kill(server.child(victim), signal.SIGKILL)

    return step


@pytest.mark.kill
def test_deaths_at_every_call_pay_once(start: Start, tmp_path: Path) -> None:
    with serving(openai_videos(stub := Upstream(video=film(848, 480, 120, 24))), stub):
        server = far(start, tmp_path / "home", stub)
        customer = Customer(server, server.key("--credit", "5"))
        cases = [(victim, call) for victim in VICTIMS for call in CALLS]
        for number, (victim, call) in enumerate(cases, start=1):
            stub.plan(call, kills(server, victim))
            found = probe(customer.video(customer.queue(model="far")))
            assert (found["frames"], found["size"]) == (120, (848, 480)), (victim, call)
            until("the death", lambda: not any(stub.steps.values()))
            assert stub.paid == number, (victim, call)
        cents = 5 * len(cases)
        until("all is let go of", lambda: len(stub.deleted) >= len(cases) - 1)
        assert_books(server.home, f"{cents / 100:.2f}".rstrip("0").rstrip("."))
        with server.database() as database:
            row = database.execute("SELECT max(attempt), count(note) FROM generations").fetchone()
        assert row == (2, 0)


def test_a_server_that_restarts_goes_on_with_the_upstreams_job(
    start: Start, tmp_path: Path
) -> None:
    with serving(openai_videos(stub := Upstream(video=film(848, 480, 120, 24))), stub):
        stub.polls = 10**6
        server = far(start, tmp_path / "home", stub)
        customer = Customer(server, server.key("--credit", "5"))
        job = customer.queue(model="far")
        until("it is polled", lambda: stub.calls["status"] > 2)
        assert server.end() == 0
        assert stub.deleted == []
        server = start(Server, server.home).await_ready()
        seen = stub.calls["status"]
        until("it is polled again", lambda: stub.calls["status"] > seen)
        stub.polls = 1
        again = Customer(server, customer.key)
        assert probe(again.video(job))["frames"] == 120
        until("it is let go of", lambda: stub.deleted == ["video_1"])
        assert (stub.paid, stub.calls["create"]) == (1, 1)
        assert_books(server.home, "0.05")


def test_failures_cost_nothing(start: Start, tmp_path: Path) -> None:
    with serving(openai_videos(stub := Upstream(video=film(848, 480, 120, 24))), stub):
        server = far(start, tmp_path / "home", stub)
        customer = Customer(server, server.key("--credit", "5"))
        refused = {"code": "moderation_blocked", "message": "a gondola at dawn"}
        stub.plan("status", says(200, status="failed", error=refused))
        answer = customer.settled(customer.queue(model="far"))
        assert (answer.status_code, answer.json()["credits_refunded"]) == (422, True)
        assert "gondola" not in answer.text

        stub.plan("status", *[says(200, status="failed", error={"code": "x"})] * 9)
        answer = customer.settled(customer.queue(model="far"))
        assert (answer.status_code, answer.json()["credits_refunded"]) == (500, True)
        assert len(server.said("failed", kind="upstream")) == 3

        stub.plan("create", says(503), says(429))
        stub.plan("status", says(500), says(502))
        stub.plan("content", breaks_off(stub.video))
        assert probe(customer.video(customer.queue(model="far")))["frames"] == 120
        assert "gondola" not in server.log.read_text()
        assert_books(server.home, "0.05")


@pytest.mark.anyio
async def test_a_cancelled_job_is_deleted_there(start: Start, tmp_path: Path) -> None:
    with serving(openai_videos(stub := Upstream(polls=10**6)), stub):
        server = far(start, tmp_path / "home", stub)
        customer = Customer(server, server.key("--credit", "5"))
        job = customer.queue(model="far")
        until("it is polled", lambda: stub.calls["status"] > 2)
        queue_id = UUID(job["queue_id"])
        with server.database() as database:
            row = database.execute("SELECT account_id FROM generations").fetchone()
        assert row is not None
        async with server.yard() as yard:
            assert await generation.cancel(yard, row[0], queue_id)
        began = time.monotonic()
        until("it is deleted there too", lambda: stub.deleted == ["video_1"])
        assert time.monotonic() - began < 15
        assert customer.settled(job).status_code == 422
        assert_books(server.home, "0")
