"""The sandbox: customers' bytes are decoded in a child process that can do nothing else.

A warmed, single-threaded zygote forks one child for each task. The child holds the file
descriptors that were passed along and gives up all else (`squero.confine`), does its one task and
ends. Where the kernel cannot filter system calls, all of them live in `squero.bubblewrap`. Keys
travel over a socket, never in a command line or the environment.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from squero import bubblewrap
from squero.confine import Protection, kernel_walls
from squero.errand import (
    ENDED,
    LIMIT_DESCRIPTORS,
    LIMIT_MESSAGE,
    LIMIT_REFUSAL,
    ORDER,
    READY,
    SandboxRefusal,
)

_START_SECONDS = 60


class SandboxDied(Exception):
    """The task ended without an answer; `reason` is for the log: `timeout`, `SIGSEGV`, …"""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Lost(Exception):
    """The zygote ended, and the tasks in it."""


@dataclass(frozen=True, slots=True)
class _End:
    status: int
    late: bool

    @property
    def reason(self) -> str:
        code = os.waitstatus_to_exitcode(self.status)
        if self.late:
            return "timeout"
        if code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit {code}"


class Sandbox:
    """Runs functions of an allow-list (`module:function`) on bytes that nobody trusts.

    Its children put up the kernel's walls that are named, unless told otherwise all there are.
    """

    def __init__(
        self,
        functions: Sequence[str],
        *,
        at_once: int = 8,
        memory_bytes: int = 1 << 30,
        walls: frozenset[str] | None = None,
    ) -> None:
        self._functions = tuple(functions)
        self._memory_bytes = memory_bytes
        self._walls = kernel_walls() if walls is None else walls
        self._command: list[str] | None = None
        self._slots = asyncio.Semaphore(at_once)
        self._zygote: asyncio.Task[_Zygote] | None = None
        self._closed = False

    async def start(self) -> None:
        """Starts the zygote and waits until it is warm."""
        await self._living()

    async def run(
        self,
        function: str,
        arguments: Mapping[str, Any],
        descriptors: Sequence[int] = (),
        timeout_seconds: float = 10.0,
        cpu_seconds: int | None = None,
    ) -> dict[str, Any]:
        """What the function answers, computed in a child of its own; waits while all are busy.

        The descriptors stay the caller's and must stay open meanwhile. Raises SandboxRefusal for
        what the function refused, SandboxDied when it crashed, broke a limit or took too long:
        by the clock, or in processor time, which is otherwise no more than that.
        """
        if function not in self._functions:
            raise ValueError(f"{function} is not a function of this sandbox")
        request = json.dumps({"function": function, "arguments": dict(arguments)}).encode()
        if len(request) > LIMIT_MESSAGE or len(descriptors) > LIMIT_DESCRIPTORS:
            raise ValueError("The task is too large for the sandbox")
        async with self._slots:
            for _ in range(2):
                zygote = await self._living()
                with contextlib.suppress(_Lost):
                    return await zygote.run(request, descriptors, timeout_seconds, cpu_seconds)
        raise SandboxDied("zygote")

    async def protection(self) -> Protection:
        """Which protections are in force in the children, as one of them finds them."""
        zygote = await self._living()
        request = json.dumps({"function": "protection", "arguments": {}}).encode()
        return Protection(**await zygote.run(request, (), 10.0, None))

    async def aclose(self) -> None:
        """Ends the zygote and everything that still runs in it."""
        self._closed = True
        task, self._zygote = self._zygote, None
        if task is not None:
            with contextlib.suppress(SandboxDied):
                await (await task).aclose()

    async def _living(self) -> "_Zygote":
        if self._closed:
            raise RuntimeError("The sandbox is closed")
        if self._zygote is None or _is_over(self._zygote):
            self._zygote = asyncio.create_task(self._start_after(self._zygote))
        # Whoever waits may be cancelled; the start goes on for the others.
        return await asyncio.shield(self._zygote)

    async def _start_after(self, last: "asyncio.Task[_Zygote] | None") -> "_Zygote":
        if last is not None and last.exception() is None:
            await last.result().aclose()
        if self._command is None:
            # Settled once: no later zygote has fewer walls than the first was seen to have.
            self._command = await asyncio.to_thread(self._choose_command)
        return await _Zygote.start(self._command)

    def _choose_command(self) -> list[str]:
        outside = [] if "seccomp" in self._walls else bubblewrap.command(_environment())
        walls = self._walls | {"bubblewrap"} if outside else self._walls
        zygote = [sys.executable, "-P", "-m", "squero.zygote", ",".join(sorted(walls))]
        return [*outside, *zygote, str(self._memory_bytes), *self._functions]


def _is_over(task: "asyncio.Task[_Zygote]") -> bool:
    return task.done() and (task.exception() is not None or task.result().lost)


class _Zygote:
    """The parent's end of one zygote process."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.lost = False
        self._process = process
        self._control = control
        self._tasks: dict[int, asyncio.Future[_End]] = {}
        self._number = 0
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def start(cls, command: Sequence[str]) -> "_Zygote":
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        process: subprocess.Popen[bytes] | None = None
        try:
            with theirs:
                # Bubblewrap dies with the thread that starts it; the loop's live as long as it.
                process = await asyncio.to_thread(_spawn, theirs, command)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(_START_SECONDS):
                if await loop.sock_recv(ours, len(READY)) != READY:
                    raise SandboxDied("zygote did not start")
        except BaseException:
            ours.close()
            if process is not None:
                process.kill()
                process.wait()
            raise
        zygote = cls(process, ours)
        loop.add_reader(ours, zygote._hear)
        return zygote

    async def run(
        self,
        request: bytes,
        descriptors: Sequence[int],
        timeout_seconds: float,
        cpu_seconds: int | None,
    ) -> dict[str, Any]:
        ours, theirs = socket.socketpair()
        self._number += 1
        number = self._number
        ended: asyncio.Future[_End] = self._loop.create_future()
        with ours:
            ours.setblocking(False)
            with theirs:
                # Requests and answers fit the socket's buffer, so none of these calls waits.
                ours.sendall(request)
                ours.shutdown(socket.SHUT_WR)
                # A child that does nothing but compute is ended by the clock, which says so.
                cpu = cpu_seconds or int(timeout_seconds) + 2
                order = ORDER.pack(number, max(1, int(timeout_seconds * 1000)), cpu)
                try:
                    socket.send_fds(self._control, [order], [theirs.fileno(), *descriptors])
                except OSError:
                    self._lose()
                    raise _Lost from None
            self._tasks[number] = ended
            try:
                end = await ended
            finally:
                self._tasks.pop(number, None)
                if not ended.done() or ended.cancelled():
                    self._kill(number)
            return _answer(ours, end)

    async def aclose(self) -> None:
        self._lose()
        await asyncio.to_thread(_end, self._process)

    def _kill(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self._control.send(ORDER.pack(number, 0, 0))

    def _hear(self) -> None:
        try:
            message = self._control.recv(ENDED.size)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if len(message) != ENDED.size:
            self._lose()
            return
        number, status, late = ENDED.unpack(message)
        ended = self._tasks.get(number)
        if ended is not None and not ended.done():
            ended.set_result(_End(status, late))

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            self._loop.remove_reader(self._control)
            self._control.close()
        for ended in self._tasks.values():
            if not ended.done():
                ended.set_exception(_Lost())


def _spawn(control: socket.socket, command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command, str(control.fileno())],
        env=_environment(),
        pass_fds=[control.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )


def _environment() -> dict[str, str]:
    """Nothing of the server's environment: a database's password has no place in there."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # A child lives for one picture: most of what it costs is its memory's first touch.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answer(ours: socket.socket, end: _End) -> dict[str, Any]:
    """What the dead child left in the socket: not to be believed in any form it may have."""
    said = b""
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while len(said) <= LIMIT_MESSAGE and (piece := ours.recv(LIMIT_MESSAGE)):
            said += piece
    if end.late or end.status != 0 or not said:
        raise SandboxDied(end.reason)
    try:
        answer = json.loads(said, parse_constant=int) if len(said) <= LIMIT_MESSAGE else None
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"result": dict(result)}:
            return result
        case {"refused": str(message)} if message.isprintable():
            raise SandboxRefusal(message[:LIMIT_REFUSAL])
        case {"failed": str(kind)} if kind.isidentifier():
            raise SandboxDied(kind[:LIMIT_REFUSAL])
    raise SandboxDied("broken answer")
