"""The host of an engine: a child process that stays warm between renders and may be killed.

A crash is an error of the render, a stop is a request and then a kill, a hang is a deadline; the
render after any of these finds a fresh child.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import structlog

from squero.engines import reference
from squero.engines.messages import (
    REPORT_BYTES,
    Command,
    Done,
    Failed,
    Garbled,
    Load,
    Loaded,
    Price,
    Priced,
    Progress,
    Render,
    Report,
    Settle,
    Settled,
    Stop,
    decode_report,
    encode,
)
from squero.engines.privacy import Confidences
from squero.shot import (
    BadInput,
    Crashed,
    DeadlineExceeded,
    OutOfMemory,
    RenderError,
    Shot,
    Stopped,
    UpstreamFailed,
)

log = structlog.get_logger(__name__)

LINE_BYTES = 64 * 1024
LOGGED_CHARACTERS = 500
BURIAL_SECONDS = 5.0
SETTLE_SECONDS = 20.0
PRICE_SECONDS = 20.0
PROTOCOL = "The engine's process broke the protocol"
FAILURES: Mapping[str, type[RenderError]] = {
    kind.kind: kind for kind in (BadInput, OutOfMemory, UpstreamFailed, Crashed, Stopped)
}


def environment(scratch: Path, *, upstreams: bool = False) -> dict[str, str]:
    """The child's environment: ours without our settings, where a worker's token lies.

    The keys of upstreams are for engines that have some.
    """
    hidden = ("SQUERO_",) if upstreams else ("SQUERO_", "UPSTREAM_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return own | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "TMPDIR": str(scratch)}


class Child:
    """One running child: its process, its pipes, and what it writes to standard error."""

    def __init__(self, process: asyncio.subprocess.Process, confidences: Confidences) -> None:
        self._process = process
        self._confidences = confidences
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, scratch: Path, confidences: Confidences, *, upstreams: bool = False
    ) -> "Child":
        """A child that works in this folder and knows no setting of its parent's."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "squero.engines.child", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            cwd=scratch,
            env=environment(scratch, upstreams=upstreams),
            start_new_session=True,
        )
        return cls(process, confidences)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether its end has not been seen yet."""
        return self._process.returncode is None

    def send(self, command: Command) -> None:
        """Send a command; a child that is gone is noticed by the next report."""
        assert self._process.stdin is not None
        self._process.stdin.write(encode(command))

    async def report(self) -> Report:
        """The next report; raises Crashed when the child is gone or breaks the protocol."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            if not line:
                raise Crashed(f"The engine's process ended ({await self._ending()})")
            if len(line) > REPORT_BYTES:
                raise Garbled("Too long")
            return decode_report(line)
        except ConnectionError:
            raise Crashed("The engine's process closed its pipe") from None
        except ValueError:
            raise Crashed(PROTOCOL) from None

    def kill(self) -> None:
        """Kill the child and what it started; nothing happens when it is gone."""
        # A waited-for pid may be another's by now, so ask the transport first.
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def bury(self) -> None:
        """Kill the child and wait until it and its pipes are gone."""
        self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        _, late = await asyncio.wait({self._listening}, timeout=BURIAL_SECONDS)
        for task in late:
            task.cancel()
        await self._ending()

    async def _ending(self) -> str:
        try:
            code = await asyncio.wait_for(self._process.wait(), BURIAL_SECONDS)
        except TimeoutError:
            return "not yet"
        return f"signal {-code}" if code < 0 else f"status {code}"

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


class Host:
    """An engine, by its name in the entry points, that renders one shot at a time.

    `scratch` is where the child works and keeps its temporary files. `load_seconds` is how long
    an engine may take to load, which does not count against a render's deadline.
    """

    def __init__(
        self,
        engine: str,
        options: Mapping[str, object],
        scratch: Path,
        *,
        grace_seconds: float = 2.0,
        load_seconds: float = 900.0,
    ) -> None:
        self._load = Load(reference(engine), dict(options))
        self._scratch = scratch
        self._grace_seconds = grace_seconds
        self._load_seconds = load_seconds
        self._confidences = Confidences()
        self._child: Child | None = None
        self._number = 0
        self._busy = False
        self._rendering = False
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return self._child.pid if self._child else None

    async def load(self) -> None:
        """Start the child and load its engine, unless that is done; raises what `render` may."""
        async with self._turn():
            await self._warm()

    async def render(
        self,
        shot: Shot,
        out: Path,
        on_progress: Callable[[float], None],
        deadline_seconds: float,
        on_note: Callable[[str], None] = lambda note: None,
    ) -> Done:
        """Render to `out` and give the time and the memory it took.

        Raises BadInput, OutOfMemory, UpstreamFailed, Crashed, DeadlineExceeded, or Stopped after a
        `stop`.
        """
        async with self._turn():
            self._confidences.keep(shot.prompt, shot.negative_prompt)
            child = await self._warm()
            async with deadline(deadline_seconds):
                self._rendering = True
                shot = dataclasses.replace(shot, media=dict(shot.media), types=dict(shot.types))
                child.send(Render(self._number, shot, out))
                return await self._follow(child, on_progress, on_note)

    async def settle(self, note: str) -> None:
        """Have the engine let go of what the job of this note left elsewhere, as well as it can.

        Raises Crashed and DeadlineExceeded.
        """
        async with self._turn():
            child = await self._warm()
            async with deadline(SETTLE_SECONDS):
                child.send(Settle(self._number, note))
                if await child.report() != Settled(self._number):
                    raise Crashed(PROTOCOL)

    async def price(self, shot: Shot) -> int | None:
        """What rendering such a shot costs elsewhere, in micros; None where that is not told.

        Raises UpstreamFailed, Crashed, DeadlineExceeded.
        """
        async with self._turn():
            child = await self._warm()
            async with deadline(PRICE_SECONDS):
                child.send(Price(self._number, shot))
                match await child.report():
                    case Priced(self._number, micros):
                        return micros
                    case Failed(self._number, kind, words):
                        raise FAILURES[kind](words)
            raise Crashed(PROTOCOL)

    def stop(self) -> None:
        """Ask the render in progress to stop; after the grace its child is killed."""
        if not self._busy or self._stopping:
            return
        self._stopping = True
        if self._child:
            self._child.send(Stop(self._number))
        asyncio.get_running_loop().call_later(self._grace_seconds, self._end, self._number)

    async def aclose(self) -> None:
        """Kill the child, whatever it does, and wait for its end; a render raises Stopped."""
        self._stopping = self._busy
        await self._discard()

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One use of the child: it survives success and whatever is no fault of its own."""
        if self._busy:
            raise RuntimeError("The engine is busy")
        self._busy, self._stopping = True, False
        self._number += 1
        try:
            yield
            self._heed()
        except BaseException as error:
            if self._rendering or not isinstance(error, BadInput | UpstreamFailed | Stopped):
                await self._discard()
            if isinstance(error, RenderError):
                self._heed()
            raise
        finally:
            self._busy = self._rendering = False

    async def _warm(self) -> Child:
        if self._child and not self._child.is_alive:
            await self._discard()
        if self._child is None:
            remote = "upstreams" in self._load.options
            self._child = await Child.start(self._scratch, self._confidences, upstreams=remote)
            self._child.send(self._load)
            async with deadline(self._load_seconds):
                await self._loaded(self._child)
        self._heed()
        return self._child

    async def _loaded(self, child: Child) -> None:
        match await child.report():
            case Loaded():
                return
            case Failed() as failed:
                # Whatever keeps an engine from loading, it is not the customer's input.
                raise Crashed(f"The engine did not load: {failed.words}")
        raise Crashed(PROTOCOL)

    async def _follow(
        self,
        child: Child,
        on_progress: Callable[[float], None],
        on_note: Callable[[str], None],
    ) -> Done:
        while True:
            match await child.report():
                case Progress(self._number, share, note):
                    on_progress(share)
                    if note is not None:
                        on_note(note)
                case Done(self._number) as done:
                    self._rendering = False
                    return done
                case Failed(self._number, kind, words):
                    self._rendering = False
                    raise FAILURES[kind](words)
                case _:
                    raise Crashed(PROTOCOL)

    def _heed(self) -> None:
        if self._stopping:
            raise Stopped("The render was stopped") from None

    def _end(self, number: int) -> None:
        if self._busy and self._number == number and self._child:
            self._child.kill()

    async def _discard(self) -> None:
        child, self._child = self._child, None
        if child:
            await child.bury()


@contextlib.asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Raises DeadlineExceeded when what is inside takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineExceeded(f"Not done after {seconds:g} s") from None
