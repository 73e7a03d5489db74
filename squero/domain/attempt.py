"""A worker's verbs: claim, progress, finish, fail, hand back.

An attempt is fenced by its number: once another has begun, or the job is over, whatever is said
of it changes nothing and StaleAttempt is the answer.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from anyio import to_thread

from squero.domain import inputs, ledger, presence
from squero.domain.ending import GONE, Ended, Failure, Interruption, interrupt
from squero.domain.inputs import Sealing
from squero.domain.keys import Worker
from squero.domain.model import Model
from squero.domain.yard import Yard
from squero.errors import ModelNotFound, StaleAttempt
from squero.media.keyring import KeyForgotten
from squero.media.sealed import SealBroken, open_sealed, seal


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
class Chosen:
    """The job that a worker is to have that cannot render every one; without values, any job."""

    account_id: UUID | None = None
    seq: int | None = None


ANY = Chosen()


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
        await interrupt(yard, claimed.queue_id, claimed.attempt, "none", failure)
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
    if not await interrupt(yard, queue_id, attempt, reason, failure, worker.worker_id):
        raise StaleAttempt


async def hand_back(yard: Yard, worker: Worker, queue_id: UUID, attempt: int) -> None:
    """The worker is told to stop: its job waits again, and nothing is held against it."""
    if not await interrupt(yard, queue_id, attempt, "none", None, worker.worker_id):
        raise StaleAttempt


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
