"""Servers under load, each a process of its own on one core: `squero serve` and what it meets."""

import asyncio
import os
import re
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stage import Stage, cores

UNLIMITED = {
    "SQUERO_TIERS__PAID__VIDEO_QUEUE": "100000000",
    "SQUERO_TIERS__PAID__VIDEO_RETRIEVE": "100000000",
    "SQUERO_FAILED_REQUESTS": "100000000",
    "SQUERO_QUEUED_PER_ACCOUNT": "100000000",
}
"""Every limit is asked, and none is reached."""

_START_SECONDS = 120
_END_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """The CPU time that its process has taken, and those that it started."""
        return cpu_seconds(self.pid)

    def memory_bytes(self) -> int:
        """The most memory that its process held at once since the last `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        assert found is not None
        return 1024 * int(found[1])

    def forget_peak(self) -> int:
        """Begin a new peak; gives what the process holds now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.memory_bytes()


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process and its children have taken so far; none when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = list(_children(pid))
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(cpu_seconds, children))


def _children(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (thread / "children").read_text().split())


def database_cpu_seconds(stage: Stage) -> float:
    """The CPU time that the processes of PostgreSQL have taken."""
    return cpu_seconds(stage.cluster_pid)


@asynccontextmanager
async def squero(
    stage: Stage,
    url: str,
    home: Path,
    settings: Mapping[str, str] = UNLIMITED,
    workers: int = 0,
) -> AsyncIterator[Server]:
    """`squero serve` on this database and home, without workers of its own unless told."""
    program = ["benchmarks.profiled", str(stage.profile)] if stage.profile else ["squero"]
    command = ["-m", *program, "serve", "--port=0", f"--workers={workers}", f"--home={home}"]
    told = {**settings, "SQUERO_DATABASE_URL": url}
    async with _announced(command, cores()[0], told) as server:
        yield server


@asynccontextmanager
async def empty(file: Path | None = None, core: int | None = None) -> AsyncIterator[Server]:
    """The server that does nothing, or hands out a file; on the server's core unless told."""
    command = ["-m", "benchmarks.empty", *([str(file)] if file else [])]
    async with _announced(command, cores()[0] if core is None else core, {}) as server:
        yield server


@asynccontextmanager
async def upstream(file: Path, paces: Iterable[float]) -> AsyncIterator[Server]:
    """The server whose jobs take so many seconds and come to this file, on the load's core."""
    command = ["-m", "benchmarks.upstream", str(file), *(f"{pace:g}" for pace in paces)]
    async with _announced(command, cores()[1], {}) as server:
        yield server


@asynccontextmanager
async def listening(command: Sequence[str], port: int, **options: Any) -> AsyncIterator[Server]:
    """A stranger's server on the server's core, once it answers on the port that it was given.

    The options are those of a subprocess. Raises RuntimeError when it does not come to answer.
    """
    async with _process(command, cores()[0], **options) as process:
        await _answers(process, port)
        yield Server(process.pid, port)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def _answers(process: Process, port: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    return
    raise RuntimeError("The server did not start")


@asynccontextmanager
async def _announced(
    command: Sequence[str], core: int, settings: Mapping[str, str]
) -> AsyncIterator[Server]:
    """One of ours, which prints its address."""
    python = [sys.executable, *command]
    async with _process(python, core, stdout=PIPE, env=os.environ | settings) as process:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = re.search(r"http://\S+:(\d+)", line)
        if found is None:
            raise RuntimeError(f"The server did not start: {line!r}")
        yield Server(process.pid, int(found[1]))


@asynccontextmanager
async def _process(command: Sequence[str], core: int, **options: Any) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        # It is still starting, so every thread and child that it makes will inherit the core.
        os.sched_setaffinity(process.pid, {core})
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    """Whatever happens, also another Ctrl-C while it takes its leave, it is gone then."""
    try:
        if process.returncode is None:
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
