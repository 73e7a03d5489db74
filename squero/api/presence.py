"""Work for a client that may leave before it is done."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from anyio import CancelScope
from starlette.requests import ClientDisconnect
from starlette.types import Receive

Given = TypeVar("Given")


async def while_there(receive: Receive, work: Awaitable[Given]) -> Given:
    """What the work gives; once the client hangs up, it is cancelled and ClientDisconnect raised.

    The request's body must have been read. Work that finishes all the same is not undone.
    """
    with CancelScope() as scope:
        watch = asyncio.create_task(_hang_up(receive, scope))
        try:
            return await work
        finally:
            watch.cancel()
    raise ClientDisconnect


async def _hang_up(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
