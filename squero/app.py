"""The ASGI application: what lives as long as the process, and errors turned into bodies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import as_file, files

import structlog
from anyio import to_thread
from psycopg import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from squero import chores
from squero.api import facade
from squero.api.addresses import origin
from squero.api.answers import refusal
from squero.api.budget import Budget
from squero.api.gate import API, WHO, meet
from squero.api.house import House, Leases, Readiness
from squero.api.origins import ANY_ORIGIN, is_preflight, preflight
from squero.api.reply import REPLY, Reply
from squero.api.routes import Routes, template
from squero.domain import catalog, policy, unfinished
from squero.domain.admission import Admission
from squero.domain.bell import Bell
from squero.domain.catalog import Catalog
from squero.domain.failures import Failures
from squero.domain.intake import Intake
from squero.domain.keys import Callers
from squero.domain.limits import Limits
from squero.domain.news import News, heard
from squero.domain.outlook import Outlook
from squero.domain.polled import Polls
from squero.domain.pricing import Prices
from squero.domain.refusals import Refusals
from squero.domain.yard import Yard
from squero.errors import (
    AtCapacity,
    JobFailed,
    MethodNotAllowed,
    NotFound,
    Refused,
    TooManyFailures,
    Unexpected,
)
from squero.media import look
from squero.media.addresses import Rules
from squero.media.fetch import Fetcher
from squero.media.folder import Folder
from squero.media.keyring import Keyring, load_secret
from squero.media.spool import Spool
from squero.metrics import ANSWERS
from squero.sandbox import Sandbox
from squero.settings import Settings
from squero.store.db import Database
from squero.store.listen import listen

log = structlog.get_logger(__name__)
_AGAIN_SECONDS = 1.0
_CALLS = (API, facade.FACADE)
"""Where customers call."""


def load_catalog(settings: Settings) -> Catalog:
    """The models that ship with Squero, and those of the home's `models` folder."""
    with as_file(files("squero").joinpath("models")) as shipped:
        options = {"motion": settings.motion_options}
        return catalog.load(shipped, settings.home / "models", options=options)


@asynccontextmanager
async def open_yard(
    settings: Settings, database_url: str, *, dev: bool = False
) -> AsyncIterator[Yard]:
    """The yard of a process that serves, or of a command; closed at the end.

    With `dev` a customer's URL may name localhost. Raises CatalogError, PolicyError.
    """
    secret = await to_thread.run_sync(load_secret, settings.secret_path)
    folder, spool = Folder(settings.home / "media"), Spool(settings.home / "spool")
    database = Database(database_url)
    sandbox, pictures = Sandbox(look.RECORDINGS), Sandbox(look.PICTURES)
    await database.open()
    try:
        yield Yard(
            settings=settings,
            database=database,
            catalog=load_catalog(settings),
            folder=folder,
            keyring=Keyring(secret, folder),
            spool=spool,
            sandbox=sandbox,
            pictures=pictures,
            outlook=Outlook(database),
            polls=Polls(database),
            news=News(database),
            intake=Intake(database, settings.queued_per_account),
            admission=Admission(settings, database),
            prices=Prices(database),
            fetcher=Fetcher(spool, Rules(settings.allowed_hosts, dev)),
            policies=policy.load(settings.refused_terms_file),
        )
    finally:
        await pictures.aclose()
        await sandbox.aclose()
        await database.close()


@asynccontextmanager
async def open_house(yard: Yard, own_workers: int) -> AsyncIterator[House]:
    """The house on its yard, with its chores and its ear at the database."""
    house = House(
        yard=yard,
        callers=Callers(yard.database, yard.keyring),
        limits=Limits(yard.settings),
        failures=Failures(yard.settings.failed_requests, yard.settings.failed_seconds),
        refusals=Refusals(yard.database),
        bell=Bell(),
        budget=Budget(yard.settings),
        readiness=Readiness(own_workers),
        leases=Leases(yard.settings.lease_seconds),
    )
    await asyncio.gather(yard.sandbox.start(), yard.pictures.start())
    await unfinished.hush(yard)
    tasks = [
        asyncio.create_task(_keep_up("gone", partial(unfinished.drop_gone, yard), once=True)),
        asyncio.create_task(_keep_up("chores", partial(chores.run, yard))),
        asyncio.create_task(_keep_up("notices", partial(_hear, house))),
        asyncio.create_task(_keep_up("refusals", house.refusals.run)),
    ]
    try:
        yield house
    finally:
        house.readiness.stopping = True
        house.bell.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await house.limits.aclose()


class Application:
    """What uvicorn serves: the routes, the headers of every answer, and every error's body."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._routes = Routes(house)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["app"] = self
        scope[REPLY] = reply = Reply(scope, send)
        if scope["path"].startswith(_CALLS):
            reply.headers += ANY_ORIGIN
        try:
            await self._answer(scope, receive, reply)
        finally:
            # It leads back to the scope, and the two would wait for the garbage collector.
            del scope[REPLY]

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        failure: Exception | None = None
        try:
            await self._route(scope, receive, reply.send)
        except ClientDisconnect:
            return
        except Exception as error:
            failure = await self._barred(scope, error)
            response = _refusal(scope, failure)
            # An answer that has begun cannot become another: uvicorn ends the connection.
            if reply.status is None:
                await response(scope, receive, reply.send)
        ANSWERS.count(template(scope), reply.status, reply.seconds)
        if reply.status is not None and reply.status >= 400:
            self._count_failure(scope, reply.status, failure)
        failure = None  # its traceback leads back here

    async def _barred(self, scope: Scope, failure: Exception) -> Exception:
        """Who calls what is not there is looked at only now, and may have failed too often."""
        missing = isinstance(failure, NotFound | HTTPException)
        if missing and WHO not in scope and scope["path"].startswith(_CALLS):
            try:
                await meet(self._house, scope)
            except (TooManyFailures, OperationalError) as worse:
                return worse
        return failure

    def _count_failure(self, scope: Scope, status: int, failure: Exception | None) -> None:
        """Counts a failed request against whose it is, if it is of a kind that counts."""
        settings = self._house.yard.settings
        if not scope["path"].startswith(_CALLS) or isinstance(failure, TooManyFailures):
            return
        theirs = status < 500 and status != 429 and not isinstance(failure, JobFailed)
        if theirs or settings.failed_counts_all:
            who = scope.get(WHO) or origin(scope, settings.trusted_proxies)
            self._house.failures.count(who)

    def _route(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if is_preflight(scope) and scope["path"].startswith(_CALLS):
            return preflight()(scope, receive, send)
        return self._routes(scope, receive, send)


def _refusal(scope: Scope, error: Exception) -> Response:
    tell = facade.refusal if scope["path"].startswith(facade.FACADE) else refusal
    match error:
        case Refused(retry_seconds=int(seconds)):
            return tell(error, [(b"retry-after", b"%d" % seconds)])
        case Refused():
            return tell(error)
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "")
            return tell(MethodNotAllowed(), [(b"allow", allowed.encode())])
        case OperationalError():
            log.error("the database is away", error=type(error).__name__)
            return tell(AtCapacity("The service is temporarily unavailable. Please try again."))
        case _:
            # The message of an unexpected error may quote what a customer sent.
            log.error("unexpected error", error=type(error).__name__, at=_where(error))
            return tell(Unexpected())


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


async def _keep_up(name: str, work: Callable[[], Awaitable[object]], *, once: bool = False) -> None:
    """Do what must go on for as long as the process lives, or be done; begin again on a failure."""
    while True:
        try:
            await work()
            if once:
                return
        except Exception as error:
            log.error("begins again", work=name, error=type(error).__name__, at=_where(error))
        await asyncio.sleep(_AGAIN_SECONDS)


async def _hear(house: House) -> None:
    async for notice in listen(house.yard.database.url, ["squero_queued"]):
        if notice.channel is None:
            await house.yard.database.refresh()
            house.bell.ring_all()
        else:
            lane, jobs = heard(notice.payload)
            for _ in range(jobs):
                house.bell.ring(lane)
