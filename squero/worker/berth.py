"""The berth: one render lies in it at a time, and the next waits when that is about to leave."""

import asyncio

from squero.worker.progress import Progress

ATTEMPTS = 3
"""Jobs in hand at most: one that waits, one that is rendered, one whose result goes out."""

PATIENCE_SECONDS = 30.0
"""How long a job waits for a render that was about to end; then another worker may have it."""


class Elsewhere(Exception):
    """Another worker is to have the job; the words say why."""


class Berth:
    """Who renders, who waits, and when another job may be fetched."""

    def __init__(self) -> None:
        self._attempts: set[Progress] = set()
        self._waiting: set[Progress] = set()
        self._lies: Progress | None = None
        self._changed = asyncio.Event()

    async def vacancy(self) -> None:
        """Wait until another job may be fetched: it could begin now, or in a moment."""
        while not self._is_vacant():
            await self._change()

    def look(self) -> None:
        """Something has changed, such as how far the render is."""
        self._changed.set()

    def come(self, progress: Progress) -> None:
        """A job is in hand, and will want the berth."""
        self._attempts.add(progress)
        self._waiting.add(progress)

    async def enter(self, progress: Progress) -> None:
        """Wait for the berth and take it.

        Raises Elsewhere when the render that lies there does not end.
        """
        before = self._lies
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._lies is not None:
                    await self._change()
        except TimeoutError:
            if before is not None:
                before.late = True
            raise Elsewhere("The render before it is late") from None
        self._waiting.discard(progress)
        self._lies = progress

    def holds(self, progress: Progress) -> bool:
        """Whether this is the one that lies there."""
        return self._lies is progress

    def leave(self, progress: Progress) -> None:
        """The render is drawn or over; what is left of it needs no berth."""
        if self._lies is progress:
            self._lies = None
            self.look()

    def go(self, progress: Progress) -> None:
        """The job is out of hand."""
        self._attempts.discard(progress)
        self._waiting.discard(progress)
        self.leave(progress)
        self.look()

    def _is_vacant(self) -> bool:
        if self._waiting or len(self._attempts) >= ATTEMPTS:
            return False
        return self._lies is None or self._lies.ends_soon

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
