"""The host of an engine: a child process that stays warm between renders and may be killed.

A crash is an error of the render, a stop is a request and then a kill, a hang is a deadline; the
render after any of these finds a fresh child. What is left of a render once it is drawn goes on
beside the next one.
"""

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

from squero.engines import reference
from squero.engines.messages import Done, Drawn, Load, Price, Render, Settle, Stop
from squero.engines.privacy import Confidences
from squero.engines.process import LOADING, Box, Process, environment
from squero.engines.reports import DEAF, Listener, done, followed, loaded, priced, settled
from squero.shot import (
    BadInput,
    Crashed,
    DeadlineExceeded,
    RenderError,
    Shot,
    Stopped,
    UpstreamFailed,
)

SETTLE_SECONDS = 20.0
STEP_SHARE = 1.5
LONGEST_GRACE_SECONDS = 30.0
"""What takes longer to stop is killed: loading its model anew takes no longer."""
PRICE_SECONDS = 20.0


class Interrupted(Exception):
    """The child ended while it was at another render too, and that one may be to blame."""


class Host:
    """An engine, by its name in the entry points, that renders one shot at a time.

    `scratch` is where the child works and keeps its temporary files. `load_seconds` is how long
    an engine may take to load, which does not count against a render's deadline. `grace_seconds` is
    how long a render has to stop at least, before its child is killed. `gpus` are the
    ones that the child may see, by their UUIDs; none named, all that the worker may. Where control
    groups are at hand, the child takes no more main memory than `most_bytes`. One for
    `prices_alone` never renders, and an engine that has no prices is not loaded for it.
    """

    def __init__(
        self,
        engine: str,
        options: Mapping[str, object],
        scratch: Path,
        *,
        gpus: Sequence[str] = (),
        most_bytes: int | None = None,
        prices_alone: bool = False,
        grace_seconds: float = 2.0,
        load_seconds: float = 900.0,
    ) -> None:
        self._load = Load(reference(engine), dict(options), prices_alone)
        self._scratch = scratch
        self._gpus = gpus
        self._most_bytes = most_bytes
        self._grace_seconds = grace_seconds
        self._load_seconds = load_seconds
        self._confidences = Confidences()
        self._numbers = itertools.count(LOADING + 1)
        self._child: Process | None = None
        self._current = LOADING
        self._box: Box | None = None
        self._busy = False
        self._rendering = False
        self._stopping = False
        self._resting: set[int] = set()
        self._doomed = False
        self._starting = asyncio.Lock()
        self._step_seconds = 0.0

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
        deadline_seconds: float,
        listener: Listener = DEAF,
    ) -> Done:
        """Render to `out` and give the time and the memory it took.

        Raises BadInput, OutOfMemory, UpstreamFailed, Crashed, DeadlineExceeded, or Stopped after a
        `stop`; Interrupted when the child ended for another render's sake.
        """
        async with self._turn() as number:
            self._confidences.keep(shot.prompt, shot.negative_prompt)
            child = await self._warm()
            limit = Limit(deadline_seconds)
            box = self._box = child.open(number)
            async with limit.kept():
                self._rendering = True
                child.renders.add(number)
                shot = dataclasses.replace(shot, media=dict(shot.media), types=dict(shot.types))
                child.send(Render(number, shot, out))
                with _judged(child, number):
                    ended = await followed(box, listener)
                self._rendering = False
                self._step_seconds = box.step_seconds
            if not isinstance(ended, Drawn):
                child.renders.discard(number)
                child.close(number)
                return done(ended)
        async with self._rest(child, number), limit.kept():
            listener.drawn()
            with _judged(child, number):
                return done(await followed(box, listener))

    async def settle(self, note: str) -> None:
        """Have the engine let go of what the job of this note left elsewhere, as well as it can.

        It does so beside a render, if there is one. Raises Crashed and DeadlineExceeded.
        """
        child = await self._alive()
        number = next(self._numbers)
        box = child.open(number)
        child.send(Settle(number, note))
        try:
            async with Limit(SETTLE_SECONDS).kept():
                await settled(box, number)
        finally:
            child.leave(number)

    async def price(self, shot: Shot) -> int | None:
        """What rendering such a shot costs elsewhere, in micros; None where that is not told.

        Raises UpstreamFailed, Crashed, DeadlineExceeded.
        """
        async with self._turn() as number:
            child = await self._warm()
            box = child.open(number)
            child.send(Price(number, shot))
            async with Limit(PRICE_SECONDS).kept():
                micros = await priced(box)
            child.close(number)
            return micros

    def stop(self) -> None:
        """Ask the render in progress to stop; after a grace of one step its child is killed.

        Not before what is left of the render before it is done: that one is not to suffer.
        """
        if not self._busy or self._stopping:
            return
        self._stopping = True
        if self._child:
            self._child.send(Stop(self._current))
        loop = asyncio.get_running_loop()
        loop.call_later(self._grace(), self._end, self._current)

    async def aclose(self) -> None:
        """Kill the child, whatever it does, and wait for its end; a render raises Stopped."""
        self._stopping = self._busy
        await self._discard()

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[int]:
        """One use of the child: it survives success and whatever is no fault of its own."""
        if self._busy:
            raise RuntimeError("The engine is busy")
        self._busy, self._stopping, self._doomed, self._box = True, False, False, None
        number = self._current = next(self._numbers)
        try:
            yield number
            self._heed()
        except BaseException as error:
            if self._rendering or not isinstance(error, BadInput | UpstreamFailed | Stopped):
                await self._discard()
            elif self._child is not None:
                self._child.renders.discard(number)
                self._child.leave(number)
            if isinstance(error, RenderError):
                self._heed()
            raise
        finally:
            self._busy = self._rendering = False

    @contextlib.asynccontextmanager
    async def _rest(self, child: Process, number: int) -> AsyncIterator[None]:
        """What is left of a render: the child survives whatever becomes of it, but a hang."""
        self._resting.add(number)
        try:
            yield
        except DeadlineExceeded:
            child.blamed = number
            if self._child is child:
                await self._discard()
            raise
        finally:
            child.leave(number)
            child.renders.discard(number)
            self._resting.discard(number)
            if self._doomed:
                self._end(self._current)

    async def _warm(self) -> Process:
        child = await self._alive()
        self._heed()
        return child

    async def _alive(self) -> Process:
        """The child with its engine loaded; whoever comes while it loads waits for it too."""
        async with self._starting:
            if self._child and not self._child.is_alive:
                await self._discard()
            if self._child is None:
                await self._start()
            assert self._child is not None
            return self._child

    async def _start(self) -> None:
        remote = "upstreams" in self._load.options
        environ = environment(self._scratch, upstreams=remote, gpus=self._gpus)
        child = self._child = await Process.start(
            self._scratch, self._confidences, environ, self._most_bytes
        )
        box = child.open(LOADING)
        child.send(self._load)
        try:
            async with Limit(self._load_seconds).kept():
                await loaded(box)
        except BaseException:
            await self._discard()
            raise
        child.close(LOADING)

    def _grace(self) -> float:
        """One of its steps, as far as those are known and short enough to be waited for."""
        step = self._step_seconds
        if self._box is not None:
            step = max(step, self._box.step_seconds, self._box.silence_seconds)
        return max(self._grace_seconds, min(STEP_SHARE * step, LONGEST_GRACE_SECONDS))

    def _heed(self) -> None:
        if self._stopping:
            raise Stopped("The render was stopped") from None

    def _end(self, number: int) -> None:
        if self._busy and self._current == number and self._child:
            self._doomed = bool(self._resting)
            if not self._doomed:
                self._child.kill()

    async def _discard(self) -> None:
        child, self._child = self._child, None
        if child:
            await child.bury()


class Limit:
    """So many seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = asyncio.get_running_loop().time() + seconds

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Raises DeadlineExceeded when they pass before what is inside is done."""
        try:
            async with asyncio.timeout_at(self._until):
                yield
        except TimeoutError:
            raise DeadlineExceeded(f"Not done after {self._seconds:g} s") from None


@contextlib.contextmanager
def _judged(child: Process, number: int) -> Iterator[None]:
    """Raises Interrupted in place of Crashed where another render may be to blame."""
    try:
        yield
    except Crashed:
        if child.is_blameless(number):
            raise Interrupted from None
        raise
