"""Every benchmark runs, at a tiny size: its figures mean nothing then, but their shape does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import http, litellm, remote, server
from benchmarks.http import CREATE, READ, Call, Cost
from benchmarks.load import Met
from benchmarks.report import Report

# Seconds on a quiet machine; its processes wait for each other on a busy one.
pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[1]
FIRST = {
    "claim": "nothing",
    "queue": 1,
    "http": "an empty answer",
    "sealing": "write a plain file",
    "render": "image to video, 480p",
    "uploads": "drops the body",
    "remote": "openai-videos",
}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks`, as `make bench` calls it."""
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """What a tiny run of all of them writes as JSON."""
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    ended = run("--tiny", "--json", path)
    assert ended.returncode == 0, ended.stderr
    record: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text())["benchmarks"]
    return record


class TestBenchmarks:
    def test_all_run_without_a_name(self, figures: Mapping[str, Mapping[str, Any]]) -> None:
        assert {name: one["rows"][0][0] for name, one in figures.items()} == FIRST

    @pytest.mark.parametrize("name", FIRST)
    def test_rows_fill_their_columns(
        self, figures: Mapping[str, Mapping[str, Any]], name: str
    ) -> None:
        rows: Sequence[Sequence[object]] = figures[name]["rows"]
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(figures[name]["columns"])}
        numbers = [cell for row in rows for cell in row if isinstance(cell, float)]
        assert numbers and min(numbers) >= 0

    def test_the_claim_is_judged_by_crowd_and_over_time(
        self, figures: Mapping[str, Mapping[str, Any]]
    ) -> None:
        goals = [verdict["goal"] for verdict in figures["claim"]["verdicts"]]
        assert len(goals) == 8
        assert sum("same lane" in goal for goal in goals) == 4
        assert sum("cannot render" in goal for goal in goals) == 1

    @pytest.mark.parametrize(
        ("name", "goals"),
        [
            ("http", ["quote", "quote", "poll, a waiting job", "queue, 16", "queue with 200 kB"]),
            ("sealing", ["1 reader:", "1 reader:", "50 readers", "50 readers", "first byte"]),
            ("uploads", ["at most 150 MB above idle", "others stalled at most 200 ms"]),
            ("remote", [f"{name}, {s} s" for name in remote.DIALECTS for s in remote.TINY_ROUNDS]),
        ],
    )
    def test_the_others_are_judged(
        self, figures: Mapping[str, Mapping[str, Any]], name: str, goals: Sequence[str]
    ) -> None:
        said = [verdict["goal"] for verdict in figures[name]["verdicts"]]
        assert len(said) == len(goals)
        assert all(one.startswith(goal) for one, goal in zip(said, goals, strict=True)), said

    @pytest.mark.skipif(
        not litellm.PROGRAM.exists(), reason="LiteLLM is not installed (make bench installs it)"
    )
    def test_calls_stand_beside_those_of_litellm(
        self, figures: Mapping[str, Mapping[str, Any]]
    ) -> None:
        rows = {row[0]: row for row in figures["http"]["rows"]}
        assert {CREATE, READ} <= rows.keys()
        column = figures["http"]["columns"].index("of LiteLLM")
        assert rows["poll, a waiting job"][column] > 0
        assert rows["queue, 16 accounts"][column] > 0

    @pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not on PATH")
    def test_downloads_stand_beside_those_of_nginx(
        self, figures: Mapping[str, Mapping[str, Any]]
    ) -> None:
        names = {row[0] for row in figures["sealing"]["rows"]}
        assert {"nginx, 1 reader", "nginx, 50 readers", "nginx, Range at 90 %"} <= names
        assert all(one["passed"] is not None for one in figures["sealing"]["verdicts"])

    def test_an_unknown_name_is_refused(self) -> None:
        ended = run("--tiny", "no-such-benchmark")
        assert ended.returncode == 2
        assert "no benchmark is called no-such-benchmark" in ended.stderr


def cost(*, rate: int, busy: float, server_us: float = 50.0) -> Cost:
    """Calls for a second at this rate."""
    met = Met(rate, 1.0, {"200": rate}, 0, 0.001, 0.001, 0.001, 0.001, 0.001, busy)
    return Cost(met, server_us, 0.0)


class TestVerdicts:
    def judged(self, measured: Cost) -> list[bool | None]:
        report = Report("", ())
        call = Call("quote", [], 12_000, of_empty=0.4)
        http._judge(report, call, measured, cost(rate=1, busy=0.1, server_us=25.0))
        return [verdict.passed for verdict in report.verdicts]

    @pytest.mark.parametrize(
        ("measured", "passed"),
        [
            (cost(rate=12_000, busy=0.5), [True, True]),
            (cost(rate=11_999, busy=0.5), [False, True]),
            (cost(rate=11_999, busy=0.99), [None, True]),
            (cost(rate=12_000, busy=0.99), [True, True]),
            (cost(rate=12_000, busy=0.5, server_us=70.0), [True, False]),
        ],
    )
    def test_a_call(self, measured: Cost, passed: list[bool]) -> None:
        assert self.judged(measured) == passed

    @pytest.mark.parametrize(
        ("measured", "bound"),
        [
            (cost(rate=19_000, busy=0.5), "bound by the server's core"),
            (cost(rate=10_000, busy=0.99), "bound by the load"),
            (cost(rate=10_000, busy=0.5), "neither core was full"),
        ],
    )
    def test_what_bounds_it(self, measured: Cost, bound: str) -> None:
        assert measured.bound.startswith(bound)

    def test_what_is_not_shown_is_no_miss(self) -> None:
        report = Report("", ())
        report.judge("met", passed=True)
        report.judge("not shown", passed=None)
        assert report.passed
        report.judge("missed", passed=False)
        assert not report.passed


DEAF = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""


@pytest.mark.anyio
class TestServers:
    async def test_one_that_ignores_sigterm_is_gone_as_well(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "_END_SECONDS", 0.1)
        port = server.free_port()
        with pytest.raises(ZeroDivisionError):
            async with server.listening([sys.executable, "-c", DEAF, str(port)], port) as deaf:
                raise ZeroDivisionError
        assert not Path(f"/proc/{deaf.pid}").exists()

    async def test_one_that_ends_at_once_is_no_server(self) -> None:
        with pytest.raises(RuntimeError, match="did not start"):
            async with server.listening([sys.executable, "-c", ""], server.free_port()):
                pass

    async def test_cpu_time_counts_the_children(self) -> None:
        before = server.cpu_seconds(os.getpid())
        subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
        assert server.cpu_seconds(os.getpid()) - before > 0.1

    async def test_without_litellm(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(litellm, "PROGRAM", tmp_path / "nowhere")
        async with litellm.litellm(tmp_path) as proxy:
            assert proxy is None
