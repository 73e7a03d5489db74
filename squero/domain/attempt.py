"""A worker's verbs: claim, progress, finish, fail, hand back; and the clock's: reap, give up.

An attempt is fenced by its number: once another has begun, or the job is over, whatever is said
of it changes nothing and StaleAttempt is the answer.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from anyio import to_thread

from squero.domain import inputs, ledger, presence
from squero.domain.inputs import Sealing
from squero.domain.keys import Worker
from squero.domain.model import Model
from squero.domain.yard import Yard
from squero.errors import ModelNotFound, StaleAttempt
from squero.media.keyring import KeyForgotten
from squero.media.sealed import SealBroken, open_sealed, seal
from squero.store.db import Tx

STRIKES = 3
LOST_LEASES = 10
MEMORY_FAILURES = 2

LONGEST_LOOK_SECONDS = 3
"""Leases are looked at every 2 s. A pause longer than this, and than half a lease, is an outage: a
worker may have been unable to renew."""

Interruption = Literal["strike", "memory", "refusal", "lease", "death", "none"]
"""Why an attempt ended without a result: the engine failed, had no memory, or refused the input;
the worker fell silent, or is known to be dead; "none" for a hand-back."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that a worker is to render."""

    queue_id: UUID
    attempt: int
    model: str
    resolution: str
    width: int
    height: int
    frames: int
    fps: int
    audio: bool
    seed: int
    prompt: bytes
    note: bytes | None
    inputs: dict[str, str]
    key_day: date
    wrapped_key: bytes
    memory_failures: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """A claimed job with its words in the clear, on their way to the worker."""

    claimed: Claimed
    model: Model
    prompt: str
    negative_prompt: str
    note: str | None
    """What the engine noted last, in an earlier attempt."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt that a worker speaks of."""

    queue_id: UUID
    attempt: int
    state: str
    media: str | None
    inputs: dict[str, str]
    key_day: date
    wrapped_key: bytes | None
    width: int
    height: int
    frames: int
    fps: int
    audio: bool


@dataclass(frozen=True)
class Ended:
    """A generation, or one attempt of it, that a statement has just ended."""

    queue_id: UUID
    account_id: UUID
    lane: str
    model: str
    estimate_us: int
    render_us: int | None
    strikes: int
    lost_leases: int
    memory_failures: int


@dataclass(frozen=True)
class Chosen:
    """The job that a worker is to have that cannot render every one; without values, any job."""

    account_id: UUID | None = None
    seq: int | None = None


ANY = Chosen()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job is over: the word in its row, and the customer's sentence if there is one."""

    word: str
    message: str | None = None


GONE = Failure("model_gone")
"""The catalogue has no such model any more."""


async def claim(
    yard: Yard, worker: Worker, warm: Sequence[str], troubles: Collection[str] = ()
) -> Assignment | None:
    """The next job of the worker's lane, by fair share; None when there is none.

    `troubles` are the models that it cannot render.
    """
    able = presence.able(yard, troubles)
    if able == []:
        return None
    while (claimed := await _claim(yard, worker, warm, able)) is not None:
        try:
            return await to_thread.run_sync(_assignment, yard, claimed)
        except (KeyForgotten, SealBroken):
            failure = Failure("unreadable")
        except ModelNotFound:
            failure = GONE
        # No worker can render it: it ends here, and the next one gets its turn.
        await _interrupt(yard, claimed.queue_id, claimed.attempt, "none", failure)
    return None


async def progress(
    yard: Yard,
    worker: Worker,
    queue_id: UUID,
    attempt: int,
    fraction: float,
    note: str | None = None,
    *,
    begins: bool = False,
) -> None:
    """Renew the lease, and keep the note; raises StaleAttempt when the worker is to stop.

    `begins` says that the render has only begun, having waited for its inputs or its turn.
    """
    sealed = None
    if note is not None:
        found = await read(yard, worker, queue_id, attempt)
        sealed = await to_thread.run_sync(_sealed_note, yard, found, note)
    async with yard.database.reading() as tx:
        renewed = await tx.value(
            "generations.renew",
            queue_id=queue_id,
            attempt=attempt,
            worker_id=worker.worker_id,
            progress=fraction,
            note=sealed,
            begins=begins,
            lease_seconds=yard.settings.lease_seconds,
        )
    if renewed is None:
        raise StaleAttempt


async def is_cancelled(yard: Yard, worker: Worker, queue_id: UUID, attempt: int) -> bool:
    """Whether the worker's own attempt was the last, because its job was cancelled."""
    found = await _find(yard, worker, queue_id, attempt)
    return found is not None and found.state == "cancelled"


async def read(yard: Yard, worker: Worker, queue_id: UUID, attempt: int) -> Attempt:
    """The worker's own attempt while it is current; raises StaleAttempt."""
    found = await _find(yard, worker, queue_id, attempt)
    if found is None or found.state not in ("rendering", "completed"):
        raise StaleAttempt
    return found


async def finish(yard: Yard, worker: Worker, queue_id: UUID, attempt: int) -> None:
    """The result is in its place: completed and captured. Saying it twice changes nothing."""
    async with yard.database.transaction() as tx:
        ended = await tx.one(
            Ended,
            "generations.complete",
            queue_id=queue_id,
            attempt=attempt,
            worker_id=worker.worker_id,
            retention_hours=yard.settings.retention_hours,
        )
        if ended is None:
            raise StaleAttempt
        await tx.run("shares.settle", **vars(ended))
        await ledger.capture(tx, queue_id)
        await tx.run("generations.announce", lane=ended.lane)
    await inputs.discard(yard, queue_id, "input")


async def fail(
    yard: Yard, worker: Worker, queue_id: UUID, attempt: int, kind: str, message: str | None
) -> None:
    """The attempt failed in the worker: a strike, or the job's end. Raises StaleAttempt."""
    reasons: dict[str, Interruption] = {"out_of_memory": "memory", "bad_input": "refusal"}
    reason = reasons.get(kind, "strike")
    failure = Failure("bad_input", message) if kind == "bad_input" else None
    if not await _interrupt(yard, queue_id, attempt, reason, failure, worker.worker_id):
        raise StaleAttempt


async def hand_back(yard: Yard, worker: Worker, queue_id: UUID, attempt: int) -> None:
    """The worker is told to stop: its job waits again, and nothing is held against it."""
    if not await _interrupt(yard, queue_id, attempt, "none", None, worker.worker_id):
        raise StaleAttempt


async def hush(yard: Yard) -> None:
    """The server starts: no lease expires before its worker can have found the server again.

    Starts that follow each other within two lease lengths count once.
    """
    async with yard.database.reading() as tx:
        await tx.run("generations.hush", lease_seconds=yard.settings.lease_seconds)


async def reap(yard: Yard) -> int:
    """Take the jobs back whose worker has fallen silent; how many."""
    lease_seconds = yard.settings.lease_seconds
    gap_seconds = max(LONGEST_LOOK_SECONDS, lease_seconds // 2)
    async with yard.database.transaction() as tx:
        if not await tx.value(
            "generations.watch", lease_seconds=lease_seconds, gap_seconds=gap_seconds
        ):
            return 0
        lost = await tx.all(Lost, "generations.lost")
    return sum([await _interrupt(yard, one.queue_id, one.attempt, "lease") for one in lost])


async def release_own(yard: Yard, server: UUID, worker_id: UUID | None = None) -> int:
    """End the tokens of a server's own dead workers and take back what they rendered; how many.

    Without `worker_id` all of them are dead: the server has just started.
    """
    dead = {"server": server, "worker_id": worker_id}
    async with yard.database.transaction() as tx:
        # What a claim that has begun takes is seen below, and no other claim comes after it.
        await tx.run("workers.lock_own", server=server)
        await tx.run("workers.revoke_own", **dead)
        lost = await tx.all(Lost, "generations.rendered_by", **dead)
    released = [await _interrupt(yard, one.queue_id, one.attempt, "death") for one in lost]
    async with yard.database.reading() as tx:
        await tx.run("workers.forget_own", server=server)
    return sum(released)


async def give_up(yard: Yard) -> int:
    """End the jobs that have waited too long, with their price given back; how many."""
    async with yard.database.reading() as tx:
        overdue = await tx.all(Lost, "generations.overdue", queue_hours=yard.settings.queue_hours)
    late = Failure("queued_too_long")
    return sum([await _expel(yard, one, late) for one in overdue])


async def drop_gone(yard: Yard) -> int:
    """The server starts: end the jobs that wait for a model that its catalogue no longer has.

    How many; their price is given back. Who claims them would end them too, but a worker that
    cannot render everything names what it can, and so never meets them.
    """
    async with yard.database.reading() as tx:
        gone = await tx.all(Lost, "generations.gone", models=list(yard.catalog.models))
    return sum([await _expel(yard, one, GONE) for one in gone])


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt that nobody will finish."""

    queue_id: UUID
    attempt: int


async def _find(yard: Yard, worker: Worker, queue_id: UUID, attempt: int) -> Attempt | None:
    """The worker's own attempt, whatever has become of it."""
    async with yard.database.reading() as tx:
        return await tx.one(
            Attempt,
            "generations.attempt",
            queue_id=queue_id,
            attempt=attempt,
            worker_id=worker.worker_id,
        )


async def _claim(
    yard: Yard, worker: Worker, warm: Sequence[str], able: Sequence[str] | None
) -> Claimed | None:
    who = {"lane": worker.lane, "worker_id": worker.worker_id, "warm": list(warm)}
    async with yard.database.transaction() as tx:
        await tx.run("generations.lock_lane", lane=worker.lane)
        chosen: Chosen | None = ANY
        if able is not None:
            chosen = await tx.one(Chosen, "generations.choose", models=able, **who)
        if chosen is None:
            return None
        terms = who | vars(chosen) | {"lease_seconds": yard.settings.lease_seconds}
        return await tx.one(Claimed, "generations.claim", **terms)


async def _interrupt(
    yard: Yard,
    queue_id: UUID,
    attempt: int,
    reason: Interruption,
    failure: Failure | None = None,
    worker_id: UUID | None = None,
) -> bool:
    async with yard.database.transaction() as tx:
        ended = await tx.one(
            Ended,
            "generations.interrupt",
            queue_id=queue_id,
            attempt=attempt,
            reason=reason,
            worker_id=worker_id,
        )
        if ended is None:
            return False
        # A worker that vanished has not used the customer's share; one that failed has.
        used_us = ended.render_us if reason in ("strike", "memory", "refusal") else 0
        await tx.run("shares.requeue", **{**vars(ended), "render_us": used_us})
        failure = failure or _verdict(yard, ended)
        if failure is not None:
            await _give_up(tx, queue_id, failure)
        await tx.run("generations.announce", lane=ended.lane)
    if failure is not None:
        await inputs.discard(yard, queue_id)
    return True


async def _expel(yard: Yard, one: Lost, failure: Failure) -> bool:
    # One transaction each: two jobs in one would lock a share after a balance.
    async with yard.database.transaction() as tx:
        if not await _give_up(tx, one.queue_id, failure):
            return False
    await inputs.discard(yard, one.queue_id)
    return True


async def _give_up(tx: Tx, queue_id: UUID, failure: Failure) -> bool:
    ended = await tx.one(
        Waiting,
        "generations.fail",
        queue_id=queue_id,
        failure=failure.word,
        message=failure.message,
    )
    if ended is None:
        return False
    await tx.run("shares.leave", **vars(ended))
    await ledger.release(tx, queue_id)
    return True


@dataclass(frozen=True)
class Waiting:
    """A job that waited, and does so no more."""

    queue_id: UUID
    account_id: UUID
    lane: str
    estimate_us: int


def _verdict(yard: Yard, ended: Ended) -> Failure | None:
    if ended.model not in yard.catalog.models:
        return GONE
    if ended.strikes >= STRIKES:
        return Failure("strikes")
    if ended.memory_failures >= MEMORY_FAILURES:
        return Failure("out_of_memory")
    return Failure("lost_leases") if ended.lost_leases >= LOST_LEASES else None


def _assignment(yard: Yard, claimed: Claimed) -> Assignment:
    model = yard.catalog.find(claimed.model)
    generation_key = yard.keyring.unwrap(claimed.wrapped_key, claimed.key_day)
    sealing = Sealing(claimed.queue_id, generation_key)
    words = json.loads(open_sealed(sealing.key("prompt"), claimed.prompt))
    note = claimed.note and open_sealed(sealing.key("note"), claimed.note).decode()
    return Assignment(claimed, model, words["prompt"], words["negative_prompt"], note or None)


def _sealed_note(yard: Yard, of: Attempt, note: str) -> bytes:
    if of.wrapped_key is None:
        raise StaleAttempt
    generation_key = yard.keyring.unwrap(of.wrapped_key, of.key_day)
    return seal(Sealing(of.queue_id, generation_key).key("note"), note.encode())
