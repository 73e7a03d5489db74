"""The sandbox: what a task can do, what it cannot, and how it ends."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from squero import sandbox as module
from squero.confine import seccomp_program
from squero.errand import SandboxRefusal
from squero.sandbox import Sandbox, SandboxDied

pytestmark = pytest.mark.anyio

TASKS = """
import ctypes, os, socket, stat, threading, time
from squero.errand import SandboxRefusal

def echo(arguments, files):
    return {"arguments": arguments, "files": len(files)}

def copy(arguments, files):
    os.pwrite(files[1], os.pread(files[0], 100, 0).upper(), 0)
    return {}

def refuse(arguments, files):
    raise SandboxRefusal(arguments["message"])

def fail(arguments, files):
    raise ValueError("a secret of the customer")

def leave(arguments, files):
    os._exit(3)

def crash(arguments, files):
    ctypes.string_at(0)

def sleep(arguments, files):
    time.sleep(60)

def spin(arguments, files):
    while True:
        pass

def hoard(arguments, files):
    kept = []
    while True:
        kept.append(bytearray(1 << 24))

def chatter(arguments, files):
    return {"long": "x" * 100_000}

def lie(arguments, files):
    talk = next(n for n in range(3, 64) if is_socket(n))
    os.write(talk, arguments["said"].encode())
    os._exit(0)

def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False

def held(arguments, files):
    found = []
    for number in range(64):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            pass
    return {"held": found}

def attempt(arguments, files):
    ways = {
        "read": lambda: open("/etc/hostname"),
        "list": lambda: os.listdir("/"),
        "write": lambda: open("/tmp/squero-sandbox-test", "w"),
        "socket": lambda: socket.socket(),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "fork": lambda: os.fork() or os._exit(0),
        "thread": lambda: threading.Thread(target=print).start(),
        "kill": lambda: os.kill(os.getppid(), 0),
        "limits": lambda: __import__("resource").setrlimit(7, (1000, 1000)),
        "write_much": lambda: os.pwrite(files[0], b"x", 1 << 31),
    }
    try:
        ways[arguments["way"]]()
    except (OSError, RuntimeError, ValueError) as error:
        return {"raised": type(error).__name__}
    return {"raised": None}

def environment(arguments, files):
    return dict(os.environ)
"""

NAMES = re.findall(r"^def (\w+)\(arguments", TASKS, re.MULTILINE)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    (tmp_path / "customer_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SQUERO_DATABASE_URL", "postgresql://hidden")
    sandbox = Sandbox([f"customer_tasks:{name}" for name in NAMES], memory_bytes=200 << 20)
    yield sandbox
    await sandbox.aclose()


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def descriptors_of(pid: int | str) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def pid_of(sandbox: Sandbox) -> int:
    task = sandbox._zygote
    assert task is not None
    pid = task.result()._process.pid
    while Path(f"/proc/{pid}/comm").read_text() == "bwrap\n":
        (pid,) = children_of(pid)
    return pid


async def until(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_answers_with_what_the_function_gives(sandbox: Sandbox) -> None:
    answer = await sandbox.run("customer_tasks:echo", {"n": 1})
    assert answer == {"arguments": {"n": 1}, "files": 0}


async def test_works_on_descriptors_that_are_passed(sandbox: Sandbox) -> None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(b"gondola")
        source.flush()
        files = (source.fileno(), target.fileno())
        await sandbox.run("customer_tasks:copy", {}, files)
        assert os.pread(target.fileno(), 100, 0) == b"GONDOLA"


async def test_refusal_keeps_its_message(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxRefusal, match=r"^too green$"):
        await sandbox.run("customer_tasks:refuse", {"message": "too green"})
    with pytest.raises(SandboxRefusal) as caught:
        await sandbox.run("customer_tasks:refuse", {"message": "x" * 5000})
    assert len(str(caught.value)) == 200


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fail", "ValueError"),
        ("leave", "exit 3"),
        ("crash", "SIGSEGV"),
        ("hoard", "MemoryError"),
        ("chatter", "TooLong"),
    ],
)
async def test_death_tells_the_reason_and_no_content(
    sandbox: Sandbox, name: str, reason: str
) -> None:
    with pytest.raises(SandboxDied) as caught:
        await sandbox.run(f"customer_tasks:{name}", {})
    assert caught.value.reason == reason
    assert await sandbox.run("customer_tasks:echo", {})


async def test_processor_time_has_a_limit_of_its_own(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxDied) as caught:
        await sandbox.run("customer_tasks:spin", {}, (), 60, 1)
    assert caught.value.reason == "SIGKILL"


@pytest.mark.parametrize("name", ["sleep", "spin"])
async def test_timeout_kills(sandbox: Sandbox, name: str) -> None:
    await sandbox.start()
    with pytest.raises(SandboxDied) as caught:
        await sandbox.run(f"customer_tasks:{name}", {}, timeout_seconds=0.2)
    assert caught.value.reason == "timeout"
    assert children_of(pid_of(sandbox)) == []


@pytest.mark.parametrize(
    "said",
    ["", "[]", "{", '{"result": 1}', '{"result": {"n": NaN}}', "[" * 60_000, "x" * 70_000,
     '{"refused": "a\\nb"}', '{"failed": "no word"}'],
)  # fmt: skip
async def test_answer_that_lies_is_a_death(sandbox: Sandbox, said: str) -> None:
    with pytest.raises((SandboxDied, ValueError)):
        await sandbox.run("customer_tasks:lie", {"said": said})
    assert await sandbox.run("customer_tasks:echo", {})


@pytest.mark.parametrize("way", ["read", "list", "write"])
async def test_child_cannot_reach_the_filesystem(sandbox: Sandbox, way: str) -> None:
    protection = await sandbox.protection()
    if not (protection.landlock or protection.seccomp):
        pytest.skip("this kernel has neither Landlock nor seccomp")
    answer = await sandbox.run("customer_tasks:attempt", {"way": way})
    assert answer == {"raised": "PermissionError"}


@pytest.mark.parametrize("way", ["socket", "exec", "fork", "thread", "kill", "limits"])
async def test_child_cannot_reach_out(sandbox: Sandbox, way: str) -> None:
    if not (await sandbox.protection()).seccomp:
        pytest.skip("this kernel has no seccomp")
    answer = await sandbox.run("customer_tasks:attempt", {"way": way})
    assert answer["raised"] in ("PermissionError", "RuntimeError", "ValueError")


async def test_child_cannot_fill_the_disk(sandbox: Sandbox) -> None:
    with tempfile.TemporaryFile() as file:
        files = [file.fileno()]
        answer = await sandbox.run("customer_tasks:attempt", {"way": "write_much"}, files)
        assert answer == {"raised": "OSError"}


async def test_child_holds_its_own_descriptors_alone(sandbox: Sandbox) -> None:
    with tempfile.TemporaryFile() as file:
        held = [await sandbox.run("customer_tasks:held", {}, [file.fileno()]) for _ in range(3)]
    assert held[0] == held[1] == held[2]
    assert len(held[0]["held"]) == 5  # null thrice, its socket, its file


async def test_child_knows_nothing_of_the_environment(sandbox: Sandbox) -> None:
    answer = await sandbox.run("customer_tasks:environment", {})
    assert "SQUERO_DATABASE_URL" not in answer
    command = Path(f"/proc/{pid_of(sandbox)}/environ").read_bytes()
    assert b"hidden" not in command


async def test_no_descriptor_is_left_in_the_parent(sandbox: Sandbox) -> None:
    await sandbox.run("customer_tasks:echo", {})
    before = descriptors_of("self")
    zygote = descriptors_of(pid_of(sandbox))
    for name in ("echo", "leave", "crash"):
        with contextlib.suppress(SandboxDied):
            await sandbox.run(f"customer_tasks:{name}", {})
    assert descriptors_of("self") == before
    assert descriptors_of(pid_of(sandbox)) == zygote


async def test_many_at_once_each_get_their_own_answer(sandbox: Sandbox) -> None:
    tasks = [sandbox.run("customer_tasks:echo", {"n": n}) for n in range(20)]
    answers = await asyncio.gather(*tasks)
    assert [answer["arguments"]["n"] for answer in answers] == list(range(20))


async def test_no_more_children_at_once_than_allowed(sandbox: Sandbox) -> None:
    await sandbox.start()
    runs = [
        asyncio.create_task(sandbox.run("customer_tasks:sleep", {}, timeout_seconds=20))
        for _ in range(10)
    ]
    await until(lambda: len(children_of(pid_of(sandbox))) == 8)
    await asyncio.sleep(0.1)
    assert len(children_of(pid_of(sandbox))) == 8
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    await until(lambda: children_of(pid_of(sandbox)) == [])


async def test_cancelling_kills_the_child(sandbox: Sandbox) -> None:
    await sandbox.start()
    run = asyncio.create_task(sandbox.run("customer_tasks:sleep", {}, timeout_seconds=50))
    await until(lambda: children_of(pid_of(sandbox)))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: children_of(pid_of(sandbox)) == [])


async def test_next_run_starts_a_fresh_zygote(sandbox: Sandbox) -> None:
    await sandbox.start()
    first = pid_of(sandbox)
    os.kill(first, signal.SIGKILL)
    assert await sandbox.run("customer_tasks:echo", {})
    assert pid_of(sandbox) != first


async def test_cancelled_start_serves_the_next(sandbox: Sandbox) -> None:
    start = asyncio.create_task(sandbox.start())
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert await sandbox.run("customer_tasks:echo", {})


async def test_closing_waits_for_a_start(sandbox: Sandbox) -> None:
    start = asyncio.create_task(sandbox.start())
    await asyncio.sleep(0)
    await sandbox.aclose()
    await start


async def test_zygote_that_dies_takes_its_children_along(sandbox: Sandbox) -> None:
    await sandbox.start()
    run = asyncio.create_task(sandbox.run("customer_tasks:sleep", {}, timeout_seconds=50))
    zygote = pid_of(sandbox)
    await until(lambda: children_of(zygote))
    child = children_of(zygote)[0]
    os.kill(zygote, signal.SIGKILL)
    await until(lambda: not alive(child))
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_foreign_function_and_large_task_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="not a function"):
        await sandbox.run("os:system", {})
    with pytest.raises(ValueError, match="too large"):
        await sandbox.run("customer_tasks:echo", {"x": "x" * module.LIMIT_MESSAGE})


async def test_closed_sandbox_leaves_no_process(sandbox: Sandbox) -> None:
    await sandbox.start()
    zygote = pid_of(sandbox)
    await sandbox.aclose()
    assert not alive(zygote)
    with pytest.raises(RuntimeError, match="closed"):
        await sandbox.run("customer_tasks:echo", {})


async def test_module_that_does_not_import_is_told(tmp_path: Path) -> None:
    sandbox = Sandbox(["no_such_module:task"])
    with pytest.raises(SandboxDied):
        await sandbox.start()
    await sandbox.aclose()


async def test_zygote_dies_with_a_killed_server(tmp_path: Path) -> None:
    (tmp_path / "customer_tasks.py").write_text(TASKS)
    program = (
        "import asyncio, sys\n"
        "from squero.sandbox import Sandbox\n"
        "async def main():\n"
        "    sandbox = Sandbox(['customer_tasks:sleep'])\n"
        "    await sandbox.start()\n"
        "    task = asyncio.create_task(sandbox.run('customer_tasks:sleep', {}, (), 60))\n"
        "    print(sandbox._zygote.result()._process.pid, flush=True)\n"
        "    await task\n"
        "asyncio.run(main())\n"
    )
    path = os.pathsep.join([str(tmp_path), *(entry for entry in sys.path if entry)])
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, env={"PYTHONPATH": path}
    )
    assert server.stdout is not None
    zygote = int(await server.stdout.readline())
    await until(lambda: children_of(zygote))
    child = children_of(zygote)[0]
    server.kill()
    await server.wait()
    await until(lambda: not alive(zygote) and not alive(child))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_small_task_is_quick(sandbox: Sandbox) -> None:
    await sandbox.run("customer_tasks:echo", {})
    best = 1.0
    for _ in range(10):
        start = time.perf_counter()
        await sandbox.run("customer_tasks:echo", {})
        best = min(best, time.perf_counter() - start)
    assert best < 0.1


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filter_is_whole_lines_and_short(machine: str) -> None:
    program = seccomp_program(machine)
    assert program is not None
    assert len(program) % 8 == 0
    assert len(program) // 8 < 255


def test_no_filter_for_an_unknown_machine() -> None:
    assert seccomp_program("riscv64") is None
