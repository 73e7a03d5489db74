"""Calls that are answered without waiting for anything need no task of their own.

One is run where it stands until it first waits; only then is what is left of it made a task. Until
that moment there is no current task, so that timeouts and cancel scopes would have nothing to hold
on to: what uses them waits for `taken_over` before.
"""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any


def begin(call: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None] | None:
    """Run the call until it first waits; gives the rest of it, for a task, or None at its end."""
    try:
        waits_for = call.send(None)
    except StopIteration:
        return None
    return _rest(call, waits_for)


async def taken_over() -> None:
    """Within a call: from now on it is a task."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)


async def _rest(call: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await _go_on(call, waits_for)


@coroutine
def _go_on(call: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    try:
        while True:
            try:
                given = yield waits_for
            except BaseException as error:
                waits_for = call.throw(error)
            else:
                waits_for = call.send(given)
    except StopIteration:
        return
