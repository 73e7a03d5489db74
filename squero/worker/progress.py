"""How far an attempt is, and what the server is yet to hear of it."""

import asyncio
import contextlib
import time

from squero.shot import Stopped

AHEAD_SECONDS = 2.0
AHEAD_SHARE = 0.05
"""A render that should be over by then, or in a twentieth of what it took so far, is about to end:
of a long one the steps are over, and the decoding tells nothing."""


WAITED_SECONDS = 0.1
"""A render that begins so long after it was claimed has waited for its inputs or its turn."""


class Progress:
    """How much of a render is done, from 0 to 1."""

    def __init__(self) -> None:
        self.share = 0.0
        self.note: str | None = None
        """What the engine noted last, in this attempt or in an earlier one."""
        self.untold: str | None = None
        """The note that the server does not have yet."""
        self.begins = False
        """Whether the server is yet to hear that the render has only begun."""
        self.unwanted = False
        """Whether the server has said that it does not want the result any more."""
        self.cancelled = False
        """Whether nobody else renders it either."""
        self.late = False
        """Whether it did not end when it seemed about to."""
        self._news = asyncio.Event()
        self._claimed_at = time.monotonic()
        self._first: tuple[float, float] | None = None

    def begin(self) -> None:
        """The render begins; raises Stopped when nobody wants the result."""
        if self.unwanted:
            raise Stopped("The server does not want it any more")
        if time.monotonic() - self._claimed_at > WAITED_SECONDS:
            self.begins = True
            self._news.set()

    @property
    def ends_soon(self) -> bool:
        """Whether the render should be over in a moment, at the pace that it keeps.

        From its first report on: before that it may have loaded its model.
        """
        if self._first is None or self.late:
            return False
        began_at, share = self._first
        if self.share <= share:
            return False
        so_far = time.monotonic() - began_at
        left = so_far * (1 - self.share) / (self.share - share)
        return left <= max(AHEAD_SECONDS, AHEAD_SHARE * so_far)

    def tell(self, share: float) -> None:
        """What the engine's child reports."""
        self.share = min(1.0, max(0.0, share))
        self._first = self._first or (time.monotonic(), self.share)

    def hear(self, note: str) -> None:
        """What the engine's child notes."""
        self.note = self.untold = note
        self._news.set()

    def told(self, note: str | None, *, begins: bool) -> None:
        """The server has heard this; what came meanwhile is yet to be told."""
        if self.untold == note:
            self.untold = None
        if begins:
            self.begins = False

    async def news(self, seconds: float) -> None:
        """Wait for something that the server is to hear at once, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()
