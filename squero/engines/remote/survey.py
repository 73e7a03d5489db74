"""What is asked of all upstreams at once, beside any job: are they there, what do they charge?

It is asked in a moment's patience, so that whoever waits for the answer does not wait long.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from squero.client import Backoff, ClientError, Http
from squero.engines.remote.upstream import Away, Upstream

ANSWER_SECONDS = 5.0
ONCE = Backoff(tries=1)

Answer = TypeVar("Answer")
Question = Callable[[Http, Upstream], Awaitable[Answer]]


async def survey(upstreams: Sequence[Upstream], question: Question[Answer]) -> list[Answer]:
    """The answers of those that give one."""
    found = await asyncio.gather(*(_ask(at, question) for at in upstreams))
    return [answer for answers in found for answer in answers]


async def _ask(at: Upstream, question: Question[Answer]) -> list[Answer]:
    """The answer, if there is one; a key that cannot be read is as good as no server."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), at.http(ONCE) as http:
            return [await question(http, at)]
    except (Away, ClientError, TimeoutError, ValueError, OSError):
        return []
