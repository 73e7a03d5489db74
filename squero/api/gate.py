"""The gate: who calls and how often, settled before a byte of the body is read.

Each route is one of these ASGI applications. What it learns for the answer's headers it tells the
Reply, which sends them also when the handler refuses.
"""

import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from squero.api.addresses import origin
from squero.api.head import Header, names
from squero.api.house import House
from squero.api.reply import REPLY
from squero.domain.keys import Caller, Worker, find_worker
from squero.domain.limits import Allowance, EndpointClass
from squero.domain.model import Model
from squero.errors import AuthenticationFailed, RateLimited, TooManyFailures
from squero.money import UNMETERED_USD, usd_text

API = "/api/v1/"
"""Where the calls of the API are; what is elsewhere is not limited."""

WHO = "squero.who"
"""The scope's key for whose failure it is when the call fails: an account or an address."""

OpenAnswer: TypeAlias = Callable[[House, Request], Awaitable[Response]]
KeyAnswer: TypeAlias = Callable[[House, Request, Caller], Awaitable[Response]]
WorkerAnswer: TypeAlias = Callable[[House, Request, Worker], Awaitable[Response]]


class Open:
    """A call that needs no key; a wrong one is ignored."""

    def __init__(self, house: House, answer: OpenAnswer) -> None:
        self._house = house
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(API):
            await meet(self._house, scope)
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
        caller = await self._find(scope)
        scope[REPLY].headers += _balance_headers(caller)
        _see(self._house, scope, caller)
        if self._endpoint is not None:
            allowance = await self._house.limits.hit(self._endpoint, caller.account_id, caller.tier)
            allow(self._house, scope, caller, place(scope), allowance)
        response = await self._answer(self._house, request, caller)
        await response(scope, receive, send)

    async def _find(self, scope: Scope) -> Caller:
        house = self._house
        try:
            return await house.callers.find(bearer(scope))
        except AuthenticationFailed:
            _see(house, scope, origin(scope, house.yard.settings.trusted_proxies))
            raise


class WithAdminKey(WithKey):
    """A call that administers the account: with an ADMIN key alone."""

    def __init__(self, house: House, answer: KeyAnswer) -> None:
        super().__init__(house, partial(_as_admin, answer))


class WithToken:
    """A worker's call."""

    def __init__(self, house: House, answer: WorkerAnswer) -> None:
        self._house = house
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        yard = self._house.yard
        worker = await find_worker(yard.database, yard.keyring, bearer(scope))
        response = await self._answer(self._house, request, worker)
        await response(scope, receive, send)


async def _as_admin(answer: KeyAnswer, house: House, request: Request, caller: Caller) -> Response:
    if caller.type != "ADMIN":
        raise AuthenticationFailed("Admin API key required")
    return await answer(house, request, caller)


async def meet(house: House, scope: Scope) -> None:
    """Notes who makes a call that needs no key: an account, if its key is sent, else an address.

    Raises TooManyFailures.
    """
    caller = None
    if key := _token(scope):
        with suppress(AuthenticationFailed):
            caller = await house.callers.find(key)
    _see(house, scope, caller or origin(scope, house.yard.settings.trusted_proxies))


async def count_model(house: House, scope: Scope, caller: Caller, model: Model) -> None:
    """Count a call for a model that has a limit of its own; raises RateLimited.

    The headers then tell of the model's limit, in place of the tier's.
    """
    allowance = await house.limits.hit_model(model, caller.account_id)
    if allowance is not None:
        headers = scope[REPLY].headers
        headers[:] = [one for one in headers if not one[0].startswith(b"x-ratelimit-")]
        allow(house, scope, caller, model.id, allowance)


def _see(house: House, scope: Scope, who: Caller | str) -> None:
    """Notes who calls, for the case that the call fails; raises TooManyFailures."""
    scope[WHO] = who if isinstance(who, str) else who.account_id
    left_seconds = house.failures.blocked(scope[WHO])
    if left_seconds:
        if isinstance(who, Caller):
            house.refusals.note(who, place(scope), "FAILED_REQUESTS")
        refused = TooManyFailures(house.failures.allowed, house.failures.seconds)
        refused.retry_seconds = math.ceil(left_seconds)
        raise refused


def allow(house: House, scope: Scope, caller: Caller, what: str, allowance: Allowance) -> None:
    """Puts what is left into the headers of the answer; raises RateLimited."""
    scope[REPLY].headers += _limit_headers(allowance)
    if not allowance.allowed:
        house.refusals.note(caller, what, "RPM")
        refused = RateLimited()
        refused.retry_seconds = max(1, allowance.reset - int(time.time()))
        raise refused


def place(scope: Scope) -> str:
    """The call, for a log: its route, in which there are no words of the customer's."""
    route = scope.get("route")
    return f"endpoint:{scope['root_path'][1:]}{route.path if route else 'none'}"


def bearer(scope: Scope) -> str:
    """The token of the Authorization header; raises AuthenticationFailed when there is none."""
    token = _token(scope)
    if not token:
        raise AuthenticationFailed
    return token


def _token(scope: Scope) -> str:
    sent = names(scope).get(b"authorization")
    if sent is None:
        return ""
    scheme, _, token = sent.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _balance_headers(caller: Caller) -> list[Header]:
    unmetered = caller.billing == "unmetered"
    usd = str(UNMETERED_USD) if unmetered else usd_text(caller.usd_micros)
    diem = usd_text(caller.diem_micros)
    return [(b"x-venice-balance-usd", usd.encode()), (b"x-venice-balance-diem", diem.encode())]


def _limit_headers(allowance: Allowance) -> list[Header]:
    return [
        (b"x-ratelimit-limit-requests", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset-requests", b"%d" % allowance.reset),
        (b"x-ratelimit-type", b"user"),
    ]
