"""Servers under load, each a process of its own on one core: `squero serve`, and the empty one."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stage import Stage, cores

UNLIMITED = {"SQUERO_QUEUE_PER_MINUTE": "100000000", "SQUERO_RETRIEVE_PER_MINUTE": "100000000"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """The CPU time that its process has taken, all threads together."""
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
    """The CPU time that a process has taken so far; none when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def database_cpu_seconds(stage: Stage) -> float:
    """The CPU time that the present processes of PostgreSQL have taken."""
    pid = stage.cluster_pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(cpu_seconds(int(child)) for child in children)


@asynccontextmanager
async def squero(
    stage: Stage, url: str, home: Path, settings: Mapping[str, str] = UNLIMITED
) -> AsyncIterator[Server]:
    """`squero serve` without workers, on this database and home."""
    program = ["benchmarks.profiled", str(stage.profile)] if stage.profile else ["squero"]
    command = ["-m", *program, "serve", "--port=0", "--workers=0", f"--home={home}"]
    async with _running(command, {**settings, "SQUERO_DATABASE_URL": url}) as server:
        yield server


@asynccontextmanager
async def empty(file: Path | None = None) -> AsyncIterator[Server]:
    """The server that does nothing, or hands out a file."""
    async with _running(["-m", "benchmarks.empty", *([str(file)] if file else [])], {}) as server:
        yield server


@asynccontextmanager
async def _running(command: Sequence[str], settings: Mapping[str, str]) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | settings,
    )
    # It is still starting Python, so every thread and child that it makes will inherit the core.
    os.sched_setaffinity(process.pid, {cores()[0]})
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        found = re.search(r"http://\S+:(\d+)", line)
        if found is None:
            raise RuntimeError(f"The server did not start: {line!r}")
        yield Server(process.pid, int(found[1]))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
