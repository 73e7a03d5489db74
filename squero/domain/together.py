"""Statements that are run for many callers at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_AT_ONCE = 2  # while one statement is in the database, there is work for the next


class Together(Generic[K, V]):
    """Answers to keys, asked of the database for all the callers that wait at the time.

    A statement begins after everybody whom it answers has asked, so nobody gets an answer that is
    older than the question. `run` gets the keys, one for each caller, and gives the answers.
    """

    def __init__(self, run: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._run = run
        self._asked: list[tuple[K, asyncio.Future[V | None]]] = []
        self._running: set[asyncio.Task[Any] | None] = set()

    async def ask(self, key: K) -> V | None:
        """The answer, or None when there is none; raises what the statement raises."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, answer))
        # The first of a batch sees to it that there is somebody to run it; the rest join.
        if len(self._asked) == 1 and len(self._running) < _AT_ONCE:
            self._running.add(asyncio.create_task(self._go_on()))
        return await answer

    async def _go_on(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                await self._settle(asked)
        finally:
            # Here, not in a callback: whoever asks next must find that this one has ended.
            self._running -= {asyncio.current_task()}

    async def _settle(self, asked: Sequence[tuple[K, asyncio.Future[V | None]]]) -> None:
        try:
            answers = await self._run([key for key, _ in asked])
        except Exception as error:
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for key, answer in asked:
                if not answer.done():
                    answer.set_result(answers.get(key))
