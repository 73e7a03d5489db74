"""The sandbox on a kernel without seccomp and Landlock, or one that we take for such."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from squero import bubblewrap as module
from squero.media import look
from squero.sandbox import Sandbox, SandboxDied

pytestmark = pytest.mark.anyio

TASKS = """
import os, socket, time

def attempt(arguments, files):
    ways = {
        "read": lambda: open("/etc/passwd"),
        "list": lambda: os.listdir("/dev"),
        "write": lambda: os.mkdir(arguments["made"]),
        "connect": lambda: socket.socket().connect(("127.0.0.1", arguments["port"])),
        "fork": lambda: os.fork() or os._exit(0),
        "seize": lambda: open(f"/proc/{os.getppid()}/mem", "rb"),
        "signal": lambda: os.kill(arguments["pid"], 0),
    }
    try:
        ways[arguments["way"]]()
    except OSError as error:
        return {"raised": type(error).__name__}
    return {"raised": None}

def sees(arguments, files):
    return {"processes": [int(name) for name in os.listdir("/proc") if name.isdigit()]}

def copy(arguments, files):
    os.pwrite(files[1], os.pread(files[0], 100, 0).upper(), 0)
    return {}

def hoard(arguments, files):
    kept = []
    while True:
        kept.append(bytearray(1 << 24))

def sleep(arguments, files):
    time.sleep(60)
"""
NAMES = [f"tasks_inside:{name}" for name in ("attempt", "sees", "copy", "hoard", "sleep")]

bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="the optional program bubblewrap is not on PATH"
)


@pytest.fixture
def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to import from, where other things lie too."""
    lib = tmp_path / "lib"
    (lib / "package").mkdir(parents=True)
    (lib / "package" / "__init__.py").touch()
    (lib / "tasks_inside.py").write_text(TASKS)
    (lib / "secret").touch()
    (lib / "home").mkdir()
    monkeypatch.syspath_prepend(str(lib))
    return lib


@pytest.fixture
async def sandbox(lib: Path) -> AsyncIterator[Sandbox]:
    """A sandbox that uses none of the kernel's walls."""
    sandbox = Sandbox(NAMES, memory_bytes=200 << 20, walls=frozenset())
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def asked(listener: socket.socket) -> Iterator[dict[str, object]]:
    """What the ways out need to know."""
    made = Path("/tmp", f"squero-{os.getpid()}")
    yield {"made": str(made), "port": listener.getsockname()[1], "pid": os.getpid()}
    with contextlib.suppress(FileNotFoundError):
        made.rmdir()


@bubblewrap
@pytest.mark.parametrize("way", ["read", "list", "write", "connect", "fork", "seize", "signal"])
async def test_child_reaches_nothing(
    sandbox: Sandbox, asked: dict[str, object], listener: socket.socket, way: str
) -> None:
    answer = await sandbox.run("tasks_inside:attempt", asked | {"way": way})
    assert answer["raised"] is not None
    with pytest.raises(BlockingIOError):
        listener.accept()


@bubblewrap
async def test_bubblewrap_encloses_alone(sandbox: Sandbox) -> None:
    found = await sandbox.protection()
    assert found.encloses
    assert found.bubblewrap
    assert not (found.seccomp or found.landlock)
    assert found.unprivileged


@pytest.mark.parametrize("way", ["read", "list", "write", "connect"])
async def test_without_walls_the_ways_are_open(
    sandbox: Sandbox, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("PATH", "")
    assert not (await sandbox.protection()).encloses
    answer = await sandbox.run("tasks_inside:attempt", asked | {"way": way})
    assert answer["raised"] is None


@bubblewrap
async def test_child_sees_its_own_kind_alone(sandbox: Sandbox) -> None:
    answer = await sandbox.run("tasks_inside:sees", {})
    assert len(answer["processes"]) == 3  # bubblewrap's own, the zygote, and itself


@bubblewrap
async def test_works_on_descriptors_and_within_its_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"gondola")
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        await sandbox.run("tasks_inside:copy", {}, (source.fileno(), target.fileno()))
    assert (tmp_path / "out").read_bytes() == b"GONDOLA"
    with pytest.raises(SandboxDied, match="MemoryError"):
        await sandbox.run("tasks_inside:hoard", {})


@bubblewrap
async def test_decoders_start_inside() -> None:
    sandbox = Sandbox(look.RECORDINGS, walls=frozenset())
    try:
        assert (await sandbox.protection()).bubblewrap
    finally:
        await sandbox.aclose()


@bubblewrap
async def test_late_child_is_killed(sandbox: Sandbox) -> None:
    inside = await started(sandbox)
    with pytest.raises(SandboxDied, match="timeout"):
        await sandbox.run("tasks_inside:sleep", {}, timeout_seconds=0.2)
    assert offspring(inside[-1]) == []


@bubblewrap
async def test_next_zygote_is_enclosed_as_the_first(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = await started(sandbox)
    monkeypatch.setenv("PATH", "")
    os.kill(inside[-1], signal.SIGKILL)
    await until_gone(inside)
    answer = await sandbox.run("tasks_inside:sees", {})
    assert len(answer["processes"]) == 3
    assert (await sandbox.protection()).bubblewrap


@bubblewrap
async def test_closing_leaves_no_process(sandbox: Sandbox) -> None:
    inside = await started(sandbox)
    assert len(inside) == 3  # bubblewrap outside, bubblewrap inside, the zygote
    await sandbox.aclose()
    await until_gone(inside)


SERVER = """
import asyncio, subprocess
from squero.sandbox import Sandbox

async def main():
    sandbox = Sandbox(["tasks_inside:sleep"], walls=frozenset())
    await sandbox.start()
    control = sandbox._zygote.result()._control.fileno()
    holder = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=[control])
    print(holder.pid, flush=True)
    await sandbox.run("tasks_inside:sleep", {}, (), 60)

asyncio.run(main())
"""
"""A server whose end of the control socket outlives it, in a process that it started."""


@bubblewrap
async def test_everything_inside_dies_with_a_killed_server(sandbox: Sandbox) -> None:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER),
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
    )
    assert server.stdout is not None
    holder = int(await server.stdout.readline())
    try:
        async with asyncio.timeout(5):
            while len(inside := [pid for pid in offspring(server.pid) if pid != holder]) < 4:
                await asyncio.sleep(0.01)
        server.kill()
        await server.wait()
        await until_gone(inside)
    finally:
        os.kill(holder, signal.SIGKILL)


def test_what_can_be_imported_is_seen_and_nothing_beside_it(lib: Path) -> None:
    seen = {word for word in module._options() if Path(word).is_relative_to(lib)}
    assert seen == {str(lib / "package"), str(lib / "tasks_inside.py")}


def test_a_path_inside_another_is_not_named_twice(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    paths = [tmp_path / "a" / "b", tmp_path / "link", tmp_path / "none", Path("/"), Path("/usr/x")]
    assert module._outermost(paths) == [str(tmp_path / "a"), str(tmp_path / "link")]


async def test_bubblewrap_that_does_not_work_encloses_nothing(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = await sandbox.protection()
    assert not (found.bubblewrap or found.encloses)


async def started(sandbox: Sandbox) -> list[int]:
    """The processes that it starts, parents first."""
    before = set(offspring(os.getpid()))
    await sandbox.start()
    return [pid for pid in offspring(os.getpid()) if pid not in before]


def offspring(pid: int) -> list[int]:
    """The processes below this one, parents first."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *offspring(child)]
    return found


async def until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(5):
        while any(map(alive, pids)):
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
