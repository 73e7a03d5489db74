"""Workers as real processes: remote ones, revoked ones, and those that die in the middle."""

import os
import signal
import time
from pathlib import Path

import pytest

from .conftest import (
    ROOT,
    Customer,
    Process,
    Server,
    Start,
    assert_books,
    command_line,
    family,
    probe,
    squero,
    until,
    worker,
)

pytestmark = pytest.mark.acceptance

TAKEN_OVER_SECONDS = 10.0

DYING = """
id = "dying"
name = "Dying"
description = "Does what the first word of its prompt says."
created = 1
engine = "obedient"

[constraints]
model_type = "text-to-video"
durations = ["5s"]
resolutions = ["480p"]
aspect_ratios = []
audio = false
audio_configurable = false

[usd_per_second]
480p = "1"

[render_seconds_per_second]
480p = 1.0
"""


def rendering(process: Process, attempt: int = 1) -> bool:
    return bool(process.said("rendering", attempt=attempt))


@pytest.mark.kill
def test_remote_workers(start: Start, tmp_path: Path) -> None:
    """One renders; killed, it is followed by another; a revoked one stops."""
    server = start(Server, tmp_path / "home", "--workers", "0")
    customer = Customer(server)
    _, first_token = server.worker_token("first")
    second_id, second_token = server.worker_token("second")

    first = start(worker, server, first_token, tmp_path, "first")
    assert probe(customer.video(customer.queue()))["frames"] == 120
    assert first.said("rendered")

    job = customer.queue()
    until("the first renders", lambda: len(first.said("rendering")) == 2)
    first.popen.kill()
    killed_at = time.monotonic()
    second = start(worker, server, second_token, tmp_path, "second")
    until("the second takes over", lambda: rendering(second, 2))
    assert time.monotonic() - killed_at < TAKEN_OVER_SECONDS
    assert probe(customer.video(job))["size"] == (848, 480)

    job = customer.queue()
    until("the second renders", lambda: len(second.said("rendering")) == 2)
    squero("workers", "revoke", second_id, "--home", str(server.home))
    assert second.popen.wait(10) == 1
    assert "does not take this token" in second.log.read_text()
    assert len(second.said("rendered")) == 1

    _, third_token = server.worker_token("third")
    third = start(worker, server, third_token, tmp_path, "third")
    assert probe(customer.video(job))["size"] == (848, 480)
    assert third.end() == 0
    assert_books(server.home, "0.15")


@pytest.mark.kill
def test_own_worker_and_its_child_are_killed(start: Start, tmp_path: Path) -> None:
    server = start(Server, tmp_path / "home").await_ready()
    customer = Customer(server)

    job = customer.queue()
    until("the worker renders", lambda: rendering(server))
    os.kill(server.child("squero worker"), signal.SIGKILL)
    killed_at = time.monotonic()
    until("another takes over", lambda: rendering(server, 2))
    assert time.monotonic() - killed_at < TAKEN_OVER_SECONDS

    os.kill(server.child("squero.engines.child"), signal.SIGKILL)
    assert probe(customer.video(job))["frames"] == 120
    with server.database() as database:
        row = database.execute("SELECT attempt, strikes, lost_leases FROM generations").fetchone()
    assert row == (3, 1, 1)
    assert_books(server.home, "0.05")


def test_a_job_that_kills_its_child_three_times(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    home.chmod(0o700)
    (home / "models" / "dying.toml").write_text(DYING)
    fakes = ROOT / "tests" / "engines" / "plugin"
    server = start(Server, home, env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(fakes)])})
    customer = Customer(server, server.key("--credit", "5"))

    job = customer.queue("die of this", model="dying")
    again = customer.post("queue", model="dying", prompt="die of this", duration="5s")
    assert again.status_code == 402
    answer = customer.settled(job)
    assert answer.status_code == 500
    assert answer.json()["credits_refunded"] is True
    assert len(server.said("failed", kind="crash")) == 3
    for _ in range(3):
        again = customer.post("retrieve", **job)
        assert (again.status_code, again.json()) == (500, answer.json())
    assert "die of this" not in server.log.read_text()

    customer.queue("die of this", model="dying")  # the five dollars are back
    until("it failed", lambda: len(server.said("failed", kind="crash")) == 6)
    assert_books(home, "0")


def test_own_workers_share_the_gpus_out(start: Start, tmp_path: Path) -> None:
    """Of three GPUs, as the driver's program tells, one of two workers gets two."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '0, GPU-a, 8\\n1, GPU-b, 8\\n2, GPU-c, 8\\n'\n")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    server = start(Server, tmp_path / "home", "--workers", "2", env={"PATH": path})

    def seen() -> list[str]:
        workers = [pid for pid in family(server.pid) if "squero worker" in command_line(pid)]
        told = [Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in workers]
        return sorted(one for each in told for one in each if one.startswith("CUDA_"))

    shares = until("two workers", lambda: len(seen()) == 2 and seen())
    assert shares == ["CUDA_VISIBLE_DEVICES=GPU-a,GPU-c", "CUDA_VISIBLE_DEVICES=GPU-b"]
