"""A real server in a home of its own, to be treated badly; and how long to go on with it.

`SQUERO_SOAK` multiplies every count; `SQUERO_SEED` repeats a run that failed.
"""

import os
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.conftest import ROOT, Server

SOAK = int(os.environ.get("SQUERO_SOAK", "1"))
SEED = int(os.environ.get("SQUERO_SEED") or random.SystemRandom().randrange(10**6))
QUOTE = {"model": "motion-text-to-video", "duration": "5s"}
ROOM = {
    "SQUERO_TIERS__PAID__VIDEO_QUEUE": "1000000",
    "SQUERO_TIERS__PAID__VIDEO_RETRIEVE": "1000000",
    "SQUERO_FAILED_REQUESTS": "1000000",
    "SQUERO_QUEUED_PER_ACCOUNT": "1000000",
}
BODY_LIMIT_BYTES = 80_000_000
SOFT_OPEN_FILES = 1024  # what a login gives: the server must raise it by itself
BODIES_BYTES = 40 * BODY_LIMIT_BYTES  # 20 at once of one account, which gets half of it
MIB = 1 << 20

Say = Callable[[str], None]


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """Prints a figure past pytest's capture, so that a run leaves its measurements behind."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def print_it(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {request.node.name} (seed {SEED}): {text}", flush=True)

    return print_it


@contextmanager
def open_files(number: int) -> Iterator[None]:
    """This process, and what it starts meanwhile, may have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """`squero serve`, which must still be healthy when the test is over and stop when told to."""
    bodies = {
        "SQUERO_BODY_LIMIT_BYTES": str(BODY_LIMIT_BYTES),
        "SQUERO_BODY_BYTES_IN_FLIGHT": str(BODIES_BYTES),
    }
    with open_files(SOFT_OPEN_FILES):
        started = Server(tmp_path / "home", env=ROOM | bodies)
    try:
        yield started.await_ready()
        assert httpx.get(f"{started.url}/health", timeout=30).status_code == 200
        assert started.end() == 0, started.log.read_text()
        assert not started.said("unexpected error")
    finally:
        started.close()


@pytest.fixture
def descriptors() -> Iterator[int]:
    """As many open files as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_files(hard):
        yield hard


def resident_bytes(server: Server) -> int:
    """What the server's own process holds of the machine's memory."""
    return int(psutil.Process(server.pid).memory_info().rss)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was made: when it began and when it was answered."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


class Caller(threading.Thread):
    """A well-behaved client: one call after the other, with a pause between."""

    def __init__(self, url: str, pause_seconds: float = 0.02) -> None:
        super().__init__(daemon=True)
        self.calls: list[Call] = []
        self.statuses: set[int] = set()
        self._url = url
        self._pause_seconds = pause_seconds
        self._over = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as http:
            while not self._over.wait(self._pause_seconds):
                began = time.perf_counter()
                self.statuses.add(http.post("/api/v1/video/quote", json=QUOTE).status_code)
                self.calls.append(Call(began, time.perf_counter()))
                self.look()

    def look(self) -> None:
        """What else is noted after each call."""

    def finish(self) -> None:
        """Stop it, and fail when it was turned away."""
        self._over.set()
        self.join()
        assert self.statuses == {200}

    @property
    def longest_seconds(self) -> float:
        """What its slowest call took."""
        return max(call.seconds for call in self.calls)


class Witness(Caller):
    """A client of the server meanwhile, which also sees how large that gets."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.url)
        self.peak_bytes = self.idle_bytes = resident_bytes(server)
        self._server = server

    def look(self) -> None:
        self.peak_bytes = max(self.peak_bytes, resident_bytes(self._server))

    @property
    def p99_seconds(self) -> float:
        """What all but one in a hundred calls were faster than."""
        return statistics.quantiles([call.seconds for call in self.calls], n=100)[98]

    @property
    def grown_mib(self) -> float:
        """By how much the server grew at most."""
        return (self.peak_bytes - self.idle_bytes) / MIB

    def __str__(self) -> str:
        typical = statistics.median(call.seconds for call in self.calls)
        return (
            f"{len(self.calls)} calls meanwhile, p50 {typical * 1e3:.1f} ms, "
            f"p99 {self.p99_seconds * 1e3:.1f} ms, longest {self.longest_seconds * 1e3:.0f} ms; "
            f"server {self.idle_bytes / MIB:.0f} MiB idle, {self.grown_mib:+.1f} MiB at most"
        )


@contextmanager
def witness(server: Server) -> Iterator[Witness]:
    """A Witness of what happens inside the `with`."""
    with httpx.Client(base_url=f"{server.url}/api/v1") as http:  # what is made once is made now
        for _ in range(200):
            http.post("/video/quote", json=QUOTE)
    seen = Witness(server)
    seen.start()
    try:
        yield seen
    finally:
        seen.finish()


@pytest.fixture
def bystander() -> Iterator[str]:
    """The URL of a process that nobody else asks for anything."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.bystander"], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def own_stall_seconds(calls: Sequence[Call], idle: Sequence[Call]) -> float:
    """The longest that a server itself made a call wait.

    What calls to an idle process lost in the same moments is the machine's doing, or the caller's.
    """
    typical = statistics.median(call.seconds for call in idle)

    def own(call: Call) -> float:
        shared = (min(call.ended, one.ended) - max(call.began, one.began) for one in idle)
        return call.seconds - sum(max(0.0, seconds - typical) for seconds in shared)

    return max(own(call) for call in calls)
