"""What nobody will finish, as the clock and the start and the end of a server find it.

The worker is silent or dead, the job has waited too long, or its model is gone.
"""

from dataclasses import dataclass
from uuid import UUID

from squero.domain.ending import GONE, Failure, expel, interrupt
from squero.domain.yard import Yard

LONGEST_LOOK_SECONDS = 3
"""Leases are looked at every 2 s. A pause longer than this, and than half a lease, is an outage: a
worker may have been unable to renew."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt that nobody will finish."""

    queue_id: UUID
    attempt: int


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
    return sum([await interrupt(yard, one.queue_id, one.attempt, "lease") for one in lost])


async def release_own(yard: Yard, server: UUID, worker_id: UUID | None = None) -> int:
    """End the tokens of a server's own dead workers and take back what they rendered; how many.

    Without `worker_id` all of them are dead: the server has just started, or stops.
    """
    dead = {"server": server, "worker_id": worker_id}
    async with yard.database.transaction() as tx:
        # What a claim that has begun takes is seen below, and no other claim comes after it.
        await tx.run("workers.lock_own", server=server)
        await tx.run("workers.revoke_own", **dead)
        lost = await tx.all(Lost, "generations.rendered_by", **dead)
    released = [await interrupt(yard, one.queue_id, one.attempt, "death") for one in lost]
    async with yard.database.reading() as tx:
        await tx.run("workers.forget_own", server=server)
    return sum(released)


async def give_up(yard: Yard) -> int:
    """End the jobs that have waited too long, with their price given back; how many."""
    async with yard.database.reading() as tx:
        overdue = await tx.all(Lost, "generations.overdue", queue_hours=yard.settings.queue_hours)
    late = Failure("queued_too_long")
    return sum([await expel(yard, one.queue_id, late) for one in overdue])


async def drop_gone(yard: Yard) -> int:
    """The server has started: end the jobs that wait for a model that its catalogue no longer has.

    How many; their price is given back. Who claims them would end them too, but a worker that
    cannot render everything names what it can, and so never meets them.
    """
    async with yard.database.reading() as tx:
        gone = await tx.all(Lost, "generations.gone", models=list(yard.catalog.models))
    return sum([await expel(yard, one.queue_id, GONE) for one in gone])
