"""Every benchmark runs, at a tiny size: its figures mean nothing then, but their shape does."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

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
        assert len(goals) == 7
        assert sum("same lane" in goal for goal in goals) == 4

    def test_an_unknown_name_is_refused(self) -> None:
        ended = run("--tiny", "no-such-benchmark")
        assert ended.returncode == 2
        assert "no benchmark is called no-such-benchmark" in ended.stderr
