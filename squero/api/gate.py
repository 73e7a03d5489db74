"""The gate: who calls and how often, settled before a byte of the body is read.

Each route is one of these ASGI applications. What it learns for the answer's headers it tells the
Reply, which sends them also when the handler refuses.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from squero.api.head import Header
from squero.api.house import House
from squero.api.reply import REPLY
from squero.domain.keys import Caller, Worker, find_worker
from squero.domain.limits import Allowance, EndpointClass
from squero.errors import AuthenticationFailed, RateLimited
from squero.money import UNMETERED_USD, usd_text

OpenAnswer: TypeAlias = Callable[[House, Request], Awaitable[Response]]
KeyAnswer: TypeAlias = Callable[[House, Request, Caller], Awaitable[Response]]
WorkerAnswer: TypeAlias = Callable[[House, Request, Worker], Awaitable[Response]]


class Open:
    """A call that needs no key; a wrong one is ignored."""

    def __init__(self, house: House, answer: OpenAnswer) -> None:
        self._house = house
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(self._house, Request(scope, receive))
        await response(scope, receive, send)


class WithKey:
    """A call with an API key, within the limits of its class of endpoint."""

    def __init__(
        self, house: House, answer: KeyAnswer, endpoint: EndpointClass | None = None
    ) -> None:
        self._house = house
        self._answer = answer
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        caller = await self._house.callers.find(bearer(scope["headers"]))
        headers = scope[REPLY].headers
        headers += _balance_headers(caller)
        if self._endpoint is not None:
            allowance = await self._house.limits.hit(self._endpoint, caller.account_id)
            headers += _limit_headers(allowance)
            if not allowance.allowed:
                raise RateLimited
        response = await self._answer(self._house, request, caller)
        await response(scope, receive, send)


class WithToken:
    """A worker's call."""

    def __init__(self, house: House, answer: WorkerAnswer) -> None:
        self._house = house
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        yard = self._house.yard
        worker = await find_worker(yard.database, yard.keyring, bearer(scope["headers"]))
        response = await self._answer(self._house, request, worker)
        await response(scope, receive, send)


def bearer(headers: Iterable[Header]) -> str:
    """The token of the Authorization header; raises AuthenticationFailed when there is none."""
    text = dict(headers).get(b"authorization", b"").decode("latin-1")
    scheme, _, token = text.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthenticationFailed
    return token.strip()


def _balance_headers(caller: Caller) -> list[Header]:
    unmetered = caller.billing == "unmetered"
    usd = str(UNMETERED_USD) if unmetered else usd_text(caller.available_micros)
    return [(b"x-venice-balance-usd", usd.encode()), (b"x-venice-balance-diem", b"0")]


def _limit_headers(allowance: Allowance) -> list[Header]:
    headers = [
        (b"x-ratelimit-limit-requests", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset-requests", b"%d" % allowance.reset),
        (b"x-ratelimit-type", b"user"),
    ]
    if not allowance.allowed:
        wait_seconds = max(1, allowance.reset - int(time.time()))
        headers.append((b"retry-after", b"%d" % wait_seconds))
    return headers
