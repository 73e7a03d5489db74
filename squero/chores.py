"""The chores: what runs by the clock or later. Each calls one verb of the domain.

They are Procrastinate's tasks, in the same database as the jobs; with several replicas each tick
is run by one of them.
"""

import structlog
from procrastinate import App, Blueprint, JobContext, PsycopgConnector

from squero.domain import attempt, upkeep
from squero.domain.yard import Yard
from squero.metrics import BOOKS, LOST

log = structlog.get_logger(__name__)
chores = Blueprint()


@chores.periodic(cron="* * * * * */2")
@chores.task(name="reap", queueing_lock="reap", pass_context=True)
async def reap(context: JobContext, timestamp: int) -> None:
    """Take the jobs back whose worker has fallen silent."""
    if lost := await attempt.reap(_yard(context)):
        LOST.inc(lost)
        log.warning("attempts lost", count=lost)


@chores.periodic(cron="* * * * *")
@chores.task(name="expire", queueing_lock="expire", pass_context=True)
async def expire(context: JobContext, timestamp: int) -> None:
    """Give up jobs that waited too long, and delete videos that were kept long enough."""
    await attempt.give_up(_yard(context))
    await upkeep.expire(_yard(context))


@chores.periodic(cron="*/10 * * * *")
@chores.task(name="audit", queueing_lock="audit", pass_context=True)
async def audit(context: JobContext, timestamp: int) -> None:
    """Recompute the books, and say so when they do not add up."""
    found = await upkeep.audit(_yard(context))
    BOOKS.set(found.in_order)
    if not found.in_order:
        log.error("the books are not in order: run `squero ledger check`")


@chores.periodic(cron="17 * * * *")
@chores.task(name="tidy", queueing_lock="tidy", pass_context=True)
async def tidy(context: JobContext, timestamp: int) -> None:
    """Sweep what crashes left."""
    await upkeep.sweep(_yard(context))


@chores.periodic(cron="27 * * * *")
@chores.task(name="forget_days", queueing_lock="forget_days", pass_context=True)
async def forget_days(context: JobContext, timestamp: int) -> None:
    """Forget the day keys that nothing needs."""
    await upkeep.forget_days(_yard(context))


async def run(yard: Yard) -> None:
    """Do the chores until cancelled; ends with an error when the database goes away."""
    app = App(connector=PsycopgConnector(conninfo=yard.database.url, min_size=1, max_size=3))
    app.add_tasks_from(chores, namespace="squero")
    async with app.open_async():
        await app.run_worker_async(
            concurrency=2,
            delete_jobs="successful",
            install_signal_handlers=False,
            additional_context={"yard": yard},
        )


def _yard(context: JobContext) -> Yard:
    yard = context.additional_context["yard"]
    assert isinstance(yard, Yard)
    return yard
