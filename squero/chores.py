"""The chores: what runs by the clock or later. Each calls one verb of the domain.

They are Procrastinate's tasks, in the same database as the jobs; with several replicas each tick
is run by one of them.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from procrastinate import App, PsycopgConnector

from squero.domain import refusals, unfinished, upkeep
from squero.domain.yard import Yard
from squero.metrics import BOOKS, LOST

log = structlog.get_logger(__name__)

Chore = Callable[[Yard], Awaitable[None]]


async def reap(yard: Yard) -> None:
    """Take the jobs back whose worker has fallen silent."""
    if lost := await unfinished.reap(yard):
        LOST.inc(lost)
        log.warning("attempts lost", count=lost)


async def expire(yard: Yard) -> None:
    """Give up jobs that waited too long, and delete videos that were kept long enough."""
    await unfinished.give_up(yard)
    await upkeep.expire(yard)


async def audit(yard: Yard) -> None:
    """Recompute the books, and say so when they do not add up."""
    found = await upkeep.audit(yard)
    BOOKS.set(found.in_order)
    if not found.in_order:
        log.error("the books are not in order: run `squero ledger check`")


async def tidy(yard: Yard) -> None:
    """Sweep what crashes left."""
    await upkeep.sweep(yard)


async def trim(yard: Yard) -> None:
    """Forget all but the last calls of an account that came too often."""
    await refusals.trim(yard.database)


async def forget_days(yard: Yard) -> None:
    """Forget the day keys that nothing needs."""
    await upkeep.forget_days(yard)


SCHEDULE: Mapping[str, tuple[str, Chore]] = {
    "reap": ("* * * * * */2", reap),
    "expire": ("* * * * *", expire),
    "audit": ("*/10 * * * *", audit),
    "tidy": ("17 * * * *", tidy),
    "trim": ("*/5 * * * *", trim),
    "forget_days": ("27 * * * *", forget_days),
}
"""When each chore runs: minute, hour, day, month, weekday, and for the first one the second."""


async def run(yard: Yard) -> None:
    """Do the chores until cancelled; ends with an error when the database goes away."""
    app = App(connector=PsycopgConnector(conninfo=yard.database.url, min_size=1, max_size=3))
    for name, (cron, chore) in SCHEDULE.items():
        task = app.task(name=f"squero:{name}", queueing_lock=name)(_task(chore, yard))
        app.periodic(cron=cron)(task)
    async with app.open_async():
        await app.run_worker_async(
            concurrency=2, delete_jobs="successful", install_signal_handlers=False
        )


def _task(chore: Chore, yard: Yard) -> Callable[[int], Awaitable[None]]:
    async def task(timestamp: int) -> None:
        await chore(yard)

    return task
