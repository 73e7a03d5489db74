"""A customer's verbs: quote, queue, retrieve, complete, cancel.

What one changes it changes at once, in a transaction or, as `queue` does, in a statement. Rows are
locked in one order everywhere: the generation, the share, the balance, the key's spending.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

from psycopg import OperationalError
from psycopg.errors import DeadlockDetected

from squero.domain import (
    idempotency,
    inputs,
    job,
    ledger,
    picture_limits,
    policy,
    poll,
    video_request,
)
from squero.domain.ending import Ended
from squero.domain.idempotency import Once
from squero.domain.inputs import Sealing, Sent
from squero.domain.intake import Job
from squero.domain.keys import Caller
from squero.domain.poll import Video, Working
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard
from squero.errors import (
    AtCapacity,
    AuthenticationFailed,
    InsufficientBalance,
    Refused,
    RequestNotFound,
    SpendLimitExceeded,
    TooManyQueued,
)
from squero.media.fetch import Cover, uncounted


@dataclass(frozen=True, slots=True)
class Queued:
    """The answer to a queue call."""

    model: str
    queue_id: UUID
    replayed: bool = False
    job: Job | None = None
    """Which job it is; None for a replay."""


_TRIES = 4  # a share, an epoch, and a balance that changes meanwhile


class _Repeated(Refused):
    """Another call under the same Idempotency-Key was first."""


class _NotTaken(Exception):
    """No job was made, and nothing is locked any more; says why."""


async def quote(yard: Yard, request: VideoRequest) -> int:
    """The price in micros: what queueing the same request now charges.

    Raises ModelOffline while a price that upstreams make is not known.
    """
    model = yard.catalog.find(request.model)
    return await yard.prices.micros(model, video_request.clip(model, request))


async def queue(
    yard: Yard,
    caller: Caller,
    request: VideoRequest,
    key: str | None,
    cover: Cover = uncounted,
) -> Queued:
    """Take a job: inputs looked into and sealed, then row, share and hold in one statement.

    Whatever can be refused without its inputs is refused before one of them is fetched; `cover`
    makes room for the bytes that are.
    """
    call = None if key is None else idempotency.once(yard.keyring, key, request)
    if call is not None and (first := await _first(yard, caller, call)):
        return first
    model = yard.catalog.find(request.model)
    caller.check_model(model.id)
    clip = video_request.check(model, request)
    await policy.check(yard.policies, request.prompt, request.negative_prompt)
    await yard.admission.check_lane(model)
    price_micros = await yard.prices.micros(model, clip)
    if request.media:
        await yard.admission.check_account(caller.account_id, model, price_micros)
    sealing = Sealing(uuid4(), os.urandom(32))
    try:
        sent = Sent(request.media, caller.account_id, cover)
        async with inputs.sealed(yard, sealing, sent) as found:
            picture_limits.check(model, found)
            new = await job.make(yard, caller, model, clip, request, sealing, found)
            await _insert(yard, caller, call, new)
    except _Repeated:
        return await queue(yard, caller, request, key, cover)
    return Queued(new.model, new.queue_id, job=new)


async def retrieve(yard: Yard, caller: Caller, model: str, queue_id: str) -> Working | Video:
    """The job as it stands; a failed one raises the same JobFailed on every poll."""
    generation = await poll.read(yard, caller, model, queue_id)
    if generation.state in ("queued", "rendering"):
        return await poll.working(yard, generation)
    if generation.state == "completed":
        return await poll.video(yard, generation)
    raise poll.failure(generation)


async def complete(yard: Yard, caller: Caller, model: str, queue_id: str) -> bool:
    """Delete a finished job's media; False while there is nothing to delete yet."""
    generation = await poll.read(yard, caller, model, queue_id)
    if generation.state in ("queued", "rendering"):
        return False
    async with yard.database.transaction() as tx:
        await tx.run("generations.delete_media", queue_id=generation.queue_id)
    await inputs.discard(yard, generation.queue_id)
    return True


async def cancel(yard: Yard, account_id: UUID, queue_id: UUID) -> bool:
    """End a job that is not done and give its price back; False when it is too late.

    Raises RequestNotFound for a job that is not the account's.
    """
    names = {"queue_id": queue_id, "account_id": account_id}
    async with yard.database.transaction() as tx:
        ended = await tx.one(Ended, "generations.cancel", **names)
        if ended is None and await tx.value("generations.exists", **names) is None:
            raise RequestNotFound
        if ended is None:
            return False
        await tx.run("shares.leave" if ended.render_us is None else "shares.settle", **vars(ended))
        await ledger.release(tx, queue_id)
        await tx.run("generations.announce", lane=ended.lane)
    await inputs.discard(yard, queue_id)
    return True


async def _first(yard: Yard, caller: Caller, call: Once) -> Queued | None:
    async with yard.database.reading() as tx:
        first = await idempotency.find(tx, caller.account_id, call)
    return None if first is None else Queued(first.model, first.queue_id, replayed=True)


async def _insert(yard: Yard, caller: Caller, call: Once | None, new: Job) -> None:
    for tries in range(_TRIES):
        try:
            await _take(yard, caller, call, new, tries > 0)
            break
        except _NotTaken as refusal:
            await _make_room(yard, refusal.args[0], new)
        except DeadlockDetected:
            continue  # nothing of ours is left, and whoever it was with goes on
    else:
        raise AtCapacity
    # The job is there, whatever becomes of the news: claims look again by themselves.
    with suppress(OperationalError):
        await yard.news.ask(new.lane)


async def _take(yard: Yard, caller: Caller, call: Once | None, new: Job, alone: bool) -> None:
    by_itself = partial(_take_alone, yard, caller, call, new)
    if call or alone:
        await by_itself()
    else:
        await yard.intake.take(new, by_itself)


async def _take_alone(yard: Yard, caller: Caller, call: Once | None, new: Job) -> None:
    terms = {**vars(new), "queued_limit": yard.settings.queued_per_account}
    # The statement is whole by itself; with a key there are two.
    async with yard.database.transaction() if call else yard.database.reading() as tx:
        if call and not await idempotency.remember(tx, caller.account_id, call, new.queue_id):
            raise _Repeated
        if await tx.value("generations.queue", **terms) is None:
            raise _NotTaken(await tx.value("generations.queue_refusal", **terms))


async def _make_room(yard: Yard, refusal: str, new: Job) -> None:
    """Do what was missing for a job to be taken, or raise why it is not."""
    match refusal:
        case "no_share" | "no_epoch":
            # By itself: who waits here for another must not hold the share that it waits for.
            async with yard.database.reading() as tx:
                await tx.run(
                    "shares.open" if refusal == "no_share" else "ledger.refill", **vars(new)
                )
        case "no_key":
            raise AuthenticationFailed
        case "crowded":
            raise TooManyQueued
        case "usd_limit":
            raise SpendLimitExceeded("USD")
        case "diem_limit":
            raise SpendLimitExceeded("DIEM")
        case "insufficient":
            raise InsufficientBalance
