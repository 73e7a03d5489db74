"""The engine's process dies at each of the messages: no job is stuck, and no hold stays open."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from squero.domain import generation

from .conftest import ROOT, Customer, Server, assert_books, probe, until

pytestmark = [pytest.mark.acceptance, pytest.mark.kill]

ENTRY = """
id = "{moment}"
name = "{moment}"
description = "Its process dies at this message."
created = 1
engine = "mortal"
{price}
render_seconds_per_second = {{ 480p = 0.2 }}
[options]
moment = "{moment}"
mark = "{mark}"
[constraints]
model_type = "text-to-video"
durations = ["4s", "5s"]
resolutions = ["480p"]
aspect_ratios = []
audio = false
audio_configurable = false
"""
OWN, ASKED = 'usd_per_second = { 480p = "0.01" }', "upstream_price = { margin_percent = 0 }"
RENDERED = (
    *("load", "loaded", "render", "progress", "note", "failed", "drawn", "rest", "done"),
    *("settle", "settled"),
)
STOPPED = ("stop", "cancelled")
PRICED = ("price", "priced")
FAKES = ROOT / "tests" / "engines" / "plugin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("messages") / "home"
    (home / "models").mkdir(parents=True)
    home.chmod(0o700)
    for moment in (*RENDERED, *STOPPED, *PRICED):
        price = ASKED if moment in PRICED else OWN
        mark(home, moment).touch()
        entry = ENTRY.format(moment=moment, mark=mark(home, moment), price=price)
        (home / "models" / f"{moment}.toml").write_text(entry)
    path = os.pathsep.join([str(ROOT), str(FAKES)])
    started = Server(home, env={"PYTHONPATH": path})
    try:
        yield started.await_ready()
    finally:
        started.close()


def mark(home: Path, moment: str) -> Path:
    """What is there until the process has died at this moment."""
    return home.with_name(f"{moment}.mark")


def assert_paid_once(server: Server, customer: Customer, job: dict[str, str]) -> None:
    assert probe(customer.video(job))["frames"] == 120
    assert not mark(server.home, job["model"]).exists()
    with server.database() as database:
        moves = database.execute(
            "SELECT to_book FROM transfers WHERE queue_id = %s ORDER BY id", [job["queue_id"]]
        ).fetchall()
    assert moves == [("held",), ("revenue",)]


@pytest.mark.parametrize("moment", RENDERED)
def test_a_render(server: Server, moment: str) -> None:
    customer = Customer(server, server.key("--credit", "0.05"))
    job = customer.queue(model=moment)
    customer.video(job)
    until("the death", lambda: not mark(server.home, moment).exists())
    assert_paid_once(server, customer, job)


@pytest.mark.parametrize("moment", PRICED)
def test_a_price(server: Server, moment: str) -> None:
    customer = Customer(server, server.key("--credit", "0.05"))
    asked = {"model": moment, "duration": "5s", "resolution": "480p"}
    until("there is a price", lambda: customer.post("quote", **asked).status_code == 200)
    assert customer.post("quote", **asked).json() == {"quote": 0.05}
    assert_paid_once(server, customer, customer.queue(**asked))


@pytest.mark.anyio
@pytest.mark.parametrize("moment", STOPPED)
async def test_a_stop(server: Server, moment: str) -> None:
    customer = Customer(server, server.key("--credit", "0.05"))
    job = customer.queue(model=moment)
    with server.database() as database:
        of_the_job = "SELECT account_id, progress FROM generations WHERE queue_id = %s"

        def told() -> UUID | None:
            row = database.execute(of_the_job, [job["queue_id"]]).fetchone()
            assert row is not None
            return row[0] if row[1] > 0 else None

        account_id = until("it tells its progress", told)
    async with server.yard() as yard:
        assert await generation.cancel(yard, account_id, UUID(job["queue_id"]))
    until("the death", lambda: not mark(server.home, moment).exists())
    assert customer.settled(job).status_code == 422
    again = Customer(server, customer.key)  # its price is back, and the worker works
    assert probe(again.video(again.queue(model="render")))["frames"] == 120


def test_the_books(server: Server) -> None:
    with server.database() as database:
        states = "SELECT state, count(*) FROM generations GROUP BY state ORDER BY state"
        found = dict(database.execute(states).fetchall())
    done = len(RENDERED) + len(PRICED) + len(STOPPED)
    assert found == {"completed": done, "cancelled": len(STOPPED)}
    assert_books(server.home, f"{done * 0.05:.2f}")
