"""The kill ring: SIGKILL at random moments, and what must be true after every restart.

`SQUERO_KILLS` is how many kills, `SQUERO_SEED` repeats a ring that failed.
"""

import base64
import os
import random
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from .conftest import ROOT, Customer, Server, Start, assert_books, family, is_gone, probe, until

pytestmark = [pytest.mark.kill, pytest.mark.timeout(0)]

KILLS = int(os.environ.get("SQUERO_KILLS", "10"))
SEED = os.environ.get("SQUERO_SEED") or str(random.SystemRandom().randrange(10**6))
PRICE_CENTS = 5

Job = Mapping[str, str]


class Orders(threading.Thread):
    """A customer who queues three jobs and remembers those that were acknowledged."""

    def __init__(self, customer: Customer) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[Job] = []
        self._customer = customer

    def run(self) -> None:
        picture = base64.b64encode((ROOT / "examples" / "lagoon.jpg").read_bytes()).decode()
        media = {"image_url": f"data:image/jpeg;base64,{picture}"}
        try:
            for changes in ({}, {"model": "motion-image-to-video"} | media, {"audio": False}):
                self.acknowledged.append(self._customer.queue(**changes))
        except httpx.TransportError:
            return  # killed in the middle of the call


def kill(server: Server, with_database: bool) -> list[Path]:
    """Kill the server's process group, and what does not depend on it; gives its scratch."""
    postmaster = int((server.home / "postgres" / "postmaster.pid").read_text().split()[0])
    processes = family(server.pid)
    folders = [folder for pid in processes for folder in scratch(pid)]
    if with_database:
        processes += family(postmaster)
    os.killpg(server.pid, signal.SIGKILL)
    if with_database:
        os.kill(postmaster, signal.SIGKILL)
    server.popen.wait()
    until("all its processes are gone", lambda: all(map(is_gone, processes)), 10)
    return folders


def scratch(pid: int) -> list[Path]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            link = entry.readlink()
        except OSError:
            continue
        found += [link.parent] if link.name == ".alive" else []
    return found


def everything_is_done(server: Server) -> int:
    """Wait until no job is unfinished; how many there are, each held and captured once."""
    with server.database() as database:

        def unfinished() -> int:
            row = database.execute(
                "SELECT count(*) FROM generations WHERE state <> 'completed'"
            ).fetchone()
            assert row is not None
            return int(row[0])

        until("every job is done", lambda: unfinished() == 0, 120)
        moves = database.execute(
            "SELECT queue_id, array_agg(split_part(id, ':', 1) ORDER BY id) FROM transfers"
            " WHERE id LIKE 'hold:%' OR to_book = 'revenue' GROUP BY queue_id"
        ).fetchall()
        jobs = database.execute("SELECT count(*) FROM generations").fetchone()
    assert jobs is not None
    assert len(moves) == jobs[0]
    assert {tuple(names) for _, names in moves} <= {("hold", "settle")}
    return int(jobs[0])


def test_ring(start: Start, tmp_path: Path) -> None:
    print(f"SQUERO_SEED={SEED}")
    chance = random.Random(SEED)
    home = tmp_path / "home"
    server = start(Server, home).await_ready()
    key = server.key("--credit", "1000")
    span = None
    for number in range(KILLS + 1):
        customer = Customer(server, key)
        orders = Orders(customer)
        began = time.monotonic()
        orders.start()
        if span is not None:
            moment, with_database = chance.uniform(0, span), chance.random() < 0.5
            print(f"kill {number}: after {moment:.3f} s, database {with_database}", flush=True)
            orders.join(max(0.0, moment))
            time.sleep(max(0.0, began + moment - time.monotonic()))
            folders = kill(server, with_database)
            orders.join()
            server = start(Server, home).await_ready()
            assert [folder for folder in folders if folder.exists()] == []
            customer = Customer(server, key)
        orders.join()
        for job in orders.acknowledged:
            found = probe(customer.video(job))
            assert (found["frames"], found["size"]) == (120, (848, 480))
        span = span or time.monotonic() - began
        cents = PRICE_CENTS * everything_is_done(server)
        assert_books(home, f"{cents / 100:.2f}".rstrip("0").rstrip("."))
        assert not [path for path in (home / "spool").rglob("*") if path.is_file()]
    processes = family(server.pid)
    assert server.end() == 0
    assert all(map(is_gone, processes))
