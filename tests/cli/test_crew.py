"""By what a server knows its own workers again, which GPUs each gets, and what its end leaves."""

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from squero.cli import crew as module
from squero.cli.crew import crew, server_id, share_gpus
from squero.domain import unfinished
from squero.domain.yard import Yard


def test_is_drawn_once_for_each_home(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = server_id(tmp_path)
    assert server_id(tmp_path) == first
    assert server_id(tmp_path / "other") != first
    assert [stat.S_IMODE((tmp_path / "server").stat().st_mode), len(list(tmp_path.iterdir()))] == [
        0o600,
        2,
    ]


@pytest.mark.parametrize("left", ["", "nothing"])
def test_is_drawn_again_when_it_was_spoiled(tmp_path: Path, left: str) -> None:
    (tmp_path / "server").write_text(left)
    drawn = server_id(tmp_path)
    assert server_id(tmp_path) == drawn


class TestShareGpus:
    @pytest.fixture(autouse=True)
    def machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One of four GPUs, as its driver's program tells."""
        program = tmp_path / "nvidia-smi"
        rows = "".join(f"{number}, GPU-{name}, 24564\n" for number, name in enumerate("abcd"))
        program.write_text(f"#!/bin/sh\nprintf '{rows}'\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    @pytest.mark.parametrize(
        ("count", "shares"),
        [
            (0, []),
            (1, [None]),
            (2, ["GPU-a,GPU-c", "GPU-b,GPU-d"]),
            (3, ["GPU-a,GPU-d", "GPU-b", "GPU-c"]),
            (4, ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]),
            (6, ["GPU-a", "GPU-b", "GPU-c", "GPU-d", "GPU-a", "GPU-b"]),
        ],
    )
    def test_of_a_machine(self, count: int, shares: list[str | None]) -> None:
        assert share_gpus(count) == shares

    @pytest.mark.parametrize(
        ("named", "shares"),
        [
            ("3, GPU-b,1", ["3,1", "GPU-b"]),
            ("2", [None, None]),
            ("-1", [None, None]),
            ("", [None, None]),
        ],
    )
    def test_of_those_that_the_operator_named(
        self, monkeypatch: pytest.MonkeyPatch, named: str, shares: list[str | None]
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert share_gpus(2) == shares

    def test_of_a_machine_without(self, tmp_path: Path) -> None:
        (tmp_path / "nvidia-smi").unlink()
        assert share_gpus(2) == [None, None]


class TestEnd:
    @pytest.fixture
    def dies(self, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
        """Every worker dies at once; set when one has, and what is done for it takes for ever."""
        dead, release_own = asyncio.Event(), unfinished.release_own

        async def run(url: str, token: str, gpus: str | None) -> None:
            pass

        async def release(yard: Yard, server: UUID, worker_id: UUID | None = None) -> int:
            if worker_id is None:
                return await release_own(yard, server)
            dead.set()
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(module, "_run", run)
        monkeypatch.setattr(unfinished, "release_own", release)
        return dead

    @pytest.mark.anyio
    async def test_cuts_short_nothing_for_one_that_died(
        self, yard: Yard, dies: asyncio.Event
    ) -> None:
        async with crew(yard, uuid4(), "http://127.0.0.1:9", 1):
            await asyncio.wait_for(dies.wait(), 10)
            assert len(await _in_force(yard)) == 1
        assert await _in_force(yard) == []

    @pytest.mark.anyio
    async def test_comes_also_where_a_worker_ends_as_it_is_killed(
        self, yard: Yard, processes: "Processes"
    ) -> None:
        async with asyncio.timeout(10), crew(yard, uuid4(), "http://127.0.0.1:9", 1):
            await processes.started.wait()
        assert processes.killed == 1
        assert len(processes.tokens) == 1


class TestStart:
    @pytest.mark.anyio
    async def test_is_tried_again_where_the_machine_is_full(
        self, yard: Yard, processes: "Processes"
    ) -> None:
        """And the token of the one that did not start is worth nothing."""
        processes.refused = 1
        async with crew(yard, uuid4(), "http://127.0.0.1:9", 1):
            await asyncio.wait_for(processes.started.wait(), 10)
            assert len(await _in_force(yard)) == 1
        assert len(set(processes.tokens)) == 2

    @pytest.mark.anyio
    async def test_is_tried_again_whatever_the_end_of_the_last_one_met(
        self, yard: Yard, processes: "Processes", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release_own, failures = unfinished.release_own, [OSError("read-only"), ValueError()]

        async def release(yard: Yard, server: UUID, worker_id: UUID | None = None) -> int:
            if failures:
                raise failures.pop()
            return await release_own(yard, server, worker_id)

        monkeypatch.setattr(unfinished, "release_own", release)
        processes.refused = 2
        async with crew(yard, uuid4(), "http://127.0.0.1:9", 1):
            await asyncio.wait_for(processes.started.wait(), 10)
        assert len(set(processes.tokens)) == 3
        assert await _in_force(yard) == []


class Processes:
    """Workers' processes that are none: each runs on until it is killed, and is gone by then."""

    def __init__(self) -> None:
        self.refused = 0
        """So many do not start, as the machine has no process left."""
        self.tokens: list[str] = []
        self.started = asyncio.Event()
        self.killed = 0
        self.returncode = None

    async def start(self, *_: str, env: Mapping[str, str], **options: object) -> "Processes":
        self.tokens.append(env["SQUERO_WORKER_TOKEN"])
        if self.refused:
            self.refused -= 1
            raise BlockingIOError("no process is left")
        self.started.set()
        return self

    async def wait(self) -> None:
        await asyncio.Event().wait()

    def terminate(self) -> None:
        pass

    def kill(self) -> None:
        self.killed += 1
        raise ProcessLookupError


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """In the place of real ones; the next is tried at once."""
    made = Processes()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", made.start)
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 0.01)
    return made


async def _in_force(yard: Yard) -> list[UUID]:
    async with yard.database.reading() as tx:
        return list(await tx.values("workers.list"))
