"""Which workers are there, and what each of them cannot render."""

from collections.abc import Collection, Mapping

from psycopg.types.json import Jsonb

from squero.domain.keys import Worker
from squero.domain.model import Model
from squero.domain.yard import Yard


async def seen(yard: Yard, worker: Worker, troubles: Mapping[str, str]) -> None:
    """A worker asks for work; by model, why it cannot render it."""
    async with yard.database.reading() as tx:
        await tx.run("workers.seen", worker_id=worker.worker_id, troubles=Jsonb(dict(troubles)))


def able(yard: Yard, troubles: Collection[str]) -> list[str] | None:
    """The models that a worker with these troubles can render; None: every one.

    Those of other lanes are among them: a job stays in the lane in which it was queued.
    """
    if not troubles:
        return None
    return [model for model in yard.catalog.models if model not in troubles]


def lane(yard: Yard, worker: Worker) -> list[Model]:
    """The models of the worker's lane."""
    return [model for model in yard.catalog.models.values() if model.lane == worker.lane]
