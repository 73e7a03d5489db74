"""The zygote of the sandbox: imports once what its children need, then forks one for each task.

`python -m squero.zygote <walls> <memory bytes> <module:function>… <descriptor>`, started by
`squero.sandbox` alone. It never reads a customer's byte itself.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from squero.confine import Confinement, Protection, hide
from squero.errand import (
    ENDED,
    LIMIT_DESCRIPTORS,
    LIMIT_MESSAGE,
    LIMIT_REFUSAL,
    ORDER,
    READY,
    SandboxRefusal,
    Task,
)

_FILE_BYTES = 1 << 30
_PARENT_CHECK_SECONDS = 2.0


class _Child:
    def __init__(self, number: int, deadline: float) -> None:
        self.number = number
        self.deadline = deadline
        self.late = False


class Zygote:
    """Forks, watches the clock and reports who ended, until its parent is gone."""

    def __init__(
        self,
        control: socket.socket,
        tasks: Mapping[str, Task],
        confinement: Confinement,
    ) -> None:
        self._control = control
        self._tasks = tasks
        self._confinement = confinement
        self._parent = os.getppid()
        self._children: dict[int, _Child] = {}
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)

    def serve(self) -> None:
        """Takes orders until the control socket closes; then every child is killed."""
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._control.sendall(READY)
        try:
            # The socket's end alone would do, were no copy of it ever to outlive the parent.
            while os.getppid() == self._parent and self._turn():
                pass
        except BrokenPipeError:
            pass
        finally:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)
            self._woken.close()
            self._wake.close()

    def _turn(self) -> bool:
        ready, _, _ = select.select([self._control, self._woken], [], [], self._patience())
        if self._woken in ready:
            self._woken.recv(4096)
        self._reap()
        self._kill_late()
        return self._obey() if self._control in ready else True

    def _patience(self) -> float:
        now = time.monotonic()
        waits = [child.deadline - now for child in self._children.values() if not child.late]
        return max(0.0, min([_PARENT_CHECK_SECONDS, *waits]))

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid)
            self._control.sendall(ENDED.pack(child.number, status, child.late))

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, child in self._children.items():
            if now >= child.deadline and not child.late:
                child.late = True
                os.kill(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        order, descriptors, _, _ = socket.recv_fds(self._control, ORDER.size, LIMIT_DESCRIPTORS + 1)
        if len(order) != ORDER.size:
            return False
        number, milliseconds, cpu_seconds = ORDER.unpack(order)
        if milliseconds == 0:
            for child in self._children.values():
                if child.number == number:
                    child.deadline = 0.0
            self._kill_late()
        else:
            self._fork(number, milliseconds / 1000, cpu_seconds, descriptors)
        return True

    def _fork(
        self, number: int, seconds: float, cpu_seconds: int, descriptors: Sequence[int]
    ) -> None:
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._be_child(zygote, cpu_seconds, descriptors)
            finally:
                os._exit(1)
        self._children[pid] = _Child(number, time.monotonic() + seconds)
        for descriptor in descriptors:
            os.close(descriptor)

    def _be_child(self, zygote: int, cpu_seconds: int, descriptors: Sequence[int]) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._control, self._woken, self._wake):
            end.close()
        talk = socket.socket(fileno=descriptors[0])
        os.dup2(0, 2)
        os.nice(5)
        protection = self._confinement.enter(parent=zygote, cpu_seconds=cpu_seconds)
        self._work(protection, talk, list(descriptors[1:]))
        os._exit(0)

    def _work(self, protection: Protection, talk: socket.socket, files: list[int]) -> None:
        request = b""
        while piece := talk.recv(LIMIT_MESSAGE):
            request += piece
        order = json.loads(request)
        if order["function"] == "protection":
            answer: dict[str, Any] = {"result": protection._asdict()}
        else:
            answer = _outcome(self._tasks[order["function"]], order["arguments"], files)
        said = json.dumps(answer).encode()
        if len(said) > LIMIT_MESSAGE:
            said = b'{"failed": "TooLong"}'
        talk.sendall(said)


def _outcome(task: Task, arguments: dict[str, Any], files: list[int]) -> dict[str, Any]:
    try:
        return {"result": task(arguments, files)}
    except SandboxRefusal as refusal:
        return {"refused": str(refusal)[:LIMIT_REFUSAL]}
    except Exception as error:
        # The type alone: a message may hold what the customer sent.
        return {"failed": type(error).__name__}


def main(arguments: Sequence[str]) -> None:
    """Warms up and serves; a module may have a `warm` function that loads what is loaded late."""
    named, memory_bytes, *names, descriptor = arguments
    walls = named.split(",")
    if "bubblewrap" in walls:
        # Without seccomp a child could otherwise take over this process, and see others' bytes.
        hide()
    tasks: dict[str, Task] = {}
    for name in names:
        module_name, _, function = name.partition(":")
        module = importlib.import_module(module_name)
        tasks[name] = getattr(module, function)
        getattr(module, "warm", lambda: None)()
    confinement = Confinement(memory_bytes=int(memory_bytes), file_bytes=_FILE_BYTES, walls=walls)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(descriptor)) as control:
        Zygote(control, tasks, confinement).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
