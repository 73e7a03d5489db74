"""A child in which an engine lives, as its parent sees it: a process, its pipes, and its boxes.

What the child reports goes into the box of the render that it speaks of; when the child is gone or
breaks the protocol, every box says so.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from squero.engines import memory
from squero.engines.messages import REPORT_BYTES, Command, Garbled, Report, decode_report, encode
from squero.engines.privacy import Confidences
from squero.shot import Crashed, OutOfMemory

log = structlog.get_logger(__name__)

LOADING = 0
"""The number of the box for what is said of the loading."""

End = Crashed | OutOfMemory
"""Why a child reports nothing any more."""

LINE_BYTES = 64 * 1024
LOGGED_CHARACTERS = 500
BURIAL_SECONDS = 5.0
PROTOCOL = "The engine's process broke the protocol"


def environment(
    scratch: Path, *, upstreams: bool = False, gpus: Sequence[str] = ()
) -> dict[str, str]:
    """The child's environment: ours without our settings, where a worker's token lies.

    The keys of upstreams are for engines that have some. Of the GPUs it sees these, or, when none
    is named, what we do.
    """
    hidden = ("SQUERO_",) if upstreams else ("SQUERO_", "UPSTREAM_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    seen = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
    return own | seen | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "TMPDIR": str(scratch)}


class Box:
    """What the child reports of one number, in order."""

    def __init__(self) -> None:
        self._reports: asyncio.Queue[Report | End] = asyncio.Queue()
        self._came_at = time.monotonic()
        self.step_seconds = 0.0
        """The longest time between two reports so far."""

    @property
    def silence_seconds(self) -> float:
        """The time since the last report."""
        return time.monotonic() - self._came_at

    def put(self, report: Report | End) -> None:
        """Add a report, or why there will be none any more."""
        came_at, self._came_at = self._came_at, time.monotonic()
        self.step_seconds = max(self.step_seconds, self._came_at - came_at)
        self._reports.put_nowait(report)

    async def report(self) -> Report:
        """The next report; raises Crashed, OutOfMemory when there will be none."""
        report = await self._reports.get()
        if isinstance(report, End):
            raise report
        return report


class Process:
    """One running child: its process, its pipes, and what it writes to standard error."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        confidences: Confidences,
        group: memory.Group | None = None,
    ) -> None:
        self._process = process
        self._confidences = confidences
        self._group = group
        self._boxes: dict[int, Box] = {}
        self._left: set[int] = set()
        self._end: End | None = None
        self._together = False
        self.renders: set[int] = set()
        """The numbers of the renders that it is at: the one that is drawn, and what rests."""
        self.blamed: int | None = None
        """The render for whose sake it is killed."""
        self._tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._read())}

    @classmethod
    async def start(
        cls,
        scratch: Path,
        confidences: Confidences,
        environ: Mapping[str, str],
        most_bytes: int | None = None,
    ) -> "Process":
        """A child that works in this folder, with this environment.

        Where control groups are at hand it takes no more main memory than `most_bytes`.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "squero.engines.child", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            cwd=scratch,
            env=environ,
            start_new_session=True,
        )
        group = None
        try:
            group = memory.enclose(process.pid, most_bytes) if most_bytes else None
        except OSError as error:
            log.warning("an engine's memory is not limited", pid=process.pid, error=error.strerror)
        return cls(process, confidences, group)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether its end has not been seen yet."""
        return self._process.returncode is None and self._end is None

    def is_blameless(self, number: int) -> bool:
        """Whether it ended under this render for another's sake, or perhaps so."""
        if self.blamed is not None:
            return self.blamed != number
        return self._together

    def send(self, command: Command) -> None:
        """Send a command; a child that is gone is noticed by the next report."""
        assert self._process.stdin is not None
        self._process.stdin.write(encode(command))

    def open(self, number: int) -> Box:
        """The box for what is reported of this number, to be closed or left."""
        box = self._boxes[number] = Box()
        if self._end is not None:
            box.put(self._end)
        return box

    def close(self, number: int) -> None:
        """Nothing more may be reported of this number."""
        self._boxes.pop(number, None)

    def leave(self, number: int) -> None:
        """Nobody listens any more, but the child may go on about it."""
        self.close(number)
        self._left.add(number)

    def kill(self) -> None:
        """Kill the child and what it started; nothing happens when it is gone."""
        # A waited-for pid may be another's by now, so ask the transport first.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def bury(self) -> None:
        """Kill the child and wait until it and its pipes are gone."""
        self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        _, late = await asyncio.wait(self._tasks, timeout=BURIAL_SECONDS)
        for task in late:
            task.cancel()
        await self._ending()
        if self._group is not None:
            self._group.close()

    async def _death(self) -> End:
        ending = await self._ending()
        if self._group is not None and self._group.overflowed:
            return OutOfMemory("The engine took far more memory than its entry declares")
        return Crashed(f"The engine's process ended ({ending})")

    async def _ending(self) -> str:
        try:
            code = await asyncio.wait_for(self._process.wait(), BURIAL_SECONDS)
        except TimeoutError:
            return "not yet"
        return f"signal {-code}" if code < 0 else f"status {code}"

    async def _read(self) -> None:
        try:
            while True:
                self._sort(await self._report())
                await asyncio.sleep(0)  # whoever listens keeps up with a child that says much
        except (Crashed, OutOfMemory) as end:
            self._end = end
            self._together = len(self.renders) > 1
            for box in self._boxes.values():
                box.put(end)

    def _sort(self, report: Report) -> None:
        number = getattr(report, "number", LOADING)
        if number in self._boxes:
            self._boxes[number].put(report)
        elif number not in self._left:
            raise Crashed(PROTOCOL)

    async def _report(self) -> Report:
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            if not line:
                raise await self._death()
            if len(line) > REPORT_BYTES:
                raise Garbled("Too long")
            return decode_report(line)
        except ConnectionError:
            raise Crashed("The engine's process closed its pipe") from None
        except ValueError:
            raise Crashed(PROTOCOL) from None

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            log.info("engine", pid=self.pid, says=self._confidences.veil(text)[:LOGGED_CHARACTERS])
