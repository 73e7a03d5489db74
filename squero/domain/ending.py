"""The end of an attempt without a result: its job waits for another, or is over for good."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from squero.domain import inputs, ledger
from squero.domain.yard import Yard
from squero.store.db import Tx

STRIKES = 3
LOST_LEASES = 10
MEMORY_FAILURES = 2

Interruption = Literal["strike", "memory", "refusal", "lease", "death", "none"]
"""Why an attempt ended without a result: the engine failed, had no memory, or refused the input;
the worker fell silent, or is known to be dead; "none" for a hand-back."""


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


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job is over: the word in its row, and the customer's sentence if there is one."""

    word: str
    message: str | None = None


GONE = Failure("model_gone")
"""The catalogue has no such model any more."""


@dataclass(frozen=True)
class Waiting:
    """A job that waited, and does so no more."""

    queue_id: UUID
    account_id: UUID
    lane: str
    estimate_us: int


async def interrupt(
    yard: Yard,
    queue_id: UUID,
    attempt: int,
    reason: Interruption,
    failure: Failure | None = None,
    worker_id: UUID | None = None,
) -> bool:
    """End an attempt without a result: its job waits again, or is over; False when it was too late.

    The job is over for the failure that is named, or when it has had its last chance.
    """
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


async def expel(yard: Yard, queue_id: UUID, failure: Failure) -> bool:
    """End a job that waits, with its price given back; False when it waits no more."""
    # One transaction each: two jobs in one would lock a share after a balance.
    async with yard.database.transaction() as tx:
        if not await _give_up(tx, queue_id, failure):
            return False
    await inputs.discard(yard, queue_id)
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


def _verdict(yard: Yard, ended: Ended) -> Failure | None:
    if ended.model not in yard.catalog.models:
        return GONE
    if ended.strikes >= STRIKES:
        return Failure("strikes")
    if ended.memory_failures >= MEMORY_FAILURES:
        return Failure("out_of_memory")
    return Failure("lost_leases") if ended.lost_leases >= LOST_LEASES else None
