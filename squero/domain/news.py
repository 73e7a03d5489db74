"""News of queued jobs, told to every process that answers claims.

A transaction that notifies commits alone in the whole database, so the news of jobs that are
queued at the same time goes out in one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from squero.domain.together import Together
from squero.store.db import Database


class News(Together[str, bool]):
    """Ask with the lane of a job that has been committed; True once all have been told."""

    def __init__(self, database: Database) -> None:
        super().__init__(self._tell)
        self._database = database

    async def _tell(self, lanes: Sequence[str]) -> Mapping[str, bool]:
        jobs = Counter(lanes)
        async with self._database.reading() as tx:
            await tx.run("generations.announce_all", lanes=list(jobs), jobs=list(jobs.values()))
        return dict.fromkeys(jobs, True)


def heard(notice: str) -> tuple[str, int]:
    """The lane that a notice speaks of, and how many jobs have come to it."""
    jobs, _, lane = notice.partition(" ")
    return lane, int(jobs)
