"""Videos: an account's jobs as records, found by themselves or listed; and one way to be rid of
them, whatever state they are in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from psycopg import OperationalError

from squero.domain import generation, poll
from squero.domain.generation import Queued
from squero.domain.keys import Caller
from squero.domain.poll import Video
from squero.domain.yard import Yard
from squero.errors import InvalidCursor, JobFailed, NotFound

_RENDER_HOURS: Final = 24  # more than any render takes


@dataclass(frozen=True, slots=True)
class Record:
    """A job as it stands."""

    queue_id: UUID
    model: str
    state: str
    progress: float
    width: int
    height: int
    frames: int
    fps: int
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Which of an account's jobs are meant: so many, after this one, the newest first or last."""

    limit: int
    after: UUID | None = None
    oldest_first: bool = False


async def find(yard: Yard, caller: Caller, queue_id: UUID) -> Record:
    """The caller's own job; raises NotFound for any other, whatever the reason."""
    async with yard.database.reading() as tx:
        found = await tx.one(
            Record,
            "videos.find",
            queue_id=queue_id,
            account_id=caller.account_id,
            retention_hours=yard.settings.retention_hours,
        )
    if found is None:
        raise NotFound("No such video")
    return found


async def taken(yard: Yard, caller: Caller, queued: Queued) -> Record:
    """The job of a queue call as it stands, be the database away by now: it is paid for."""
    try:
        return await find(yard, caller, queued.queue_id)
    except OperationalError:
        if queued.job is None:
            raise
        job, now = queued.job, datetime.now(UTC)
        size = (job.width, job.height, job.frames, job.fps)
        return Record(job.queue_id, job.model, "queued", 0.0, *size, now, None, None)


async def listed(yard: Yard, caller: Caller, page: Page) -> tuple[Sequence[Record], bool]:
    """The jobs of a page, and whether there are more; raises InvalidCursor."""
    retention_hours = yard.settings.retention_hours
    async with yard.database.reading() as tx:
        after = None
        if page.after is not None:
            place = {"queue_id": page.after, "account_id": caller.account_id}
            after = await tx.value("videos.place", **place)
            if after is None:
                raise InvalidCursor
        found = await tx.all(
            Record,
            "videos.oldest" if page.oldest_first else "videos.newest",
            account_id=caller.account_id,
            retention_hours=retention_hours,
            listed_hours=yard.settings.queue_hours + _RENDER_HOURS + retention_hours,
            after=after,
            after_id=f"hold:{page.after}",
            limit=page.limit + 1,
        )
    return found[: page.limit], len(found) > page.limit


async def failure(yard: Yard, caller: Caller, record: Record) -> JobFailed:
    """Why this job that failed did so."""
    return poll.failure(await poll.read(yard, caller, record.model, str(record.queue_id)))


async def content(yard: Yard, caller: Caller, record: Record) -> Video:
    """The video, open for reading; raises NotFound where there is none, MediaNotFound no more."""
    if record.state == "failed":
        raise NotFound("This video failed and has no content")
    if record.state != "completed":
        raise NotFound("This video is not ready yet: ask again when its status is completed")
    found = await poll.read(yard, caller, record.model, str(record.queue_id))
    return await poll.video(yard, found)


async def delete(yard: Yard, caller: Caller, record: Record) -> None:
    """End the job if it is not done, and give its price back; else delete its media."""
    if await generation.cancel(yard, caller.account_id, record.queue_id):
        return
    await generation.complete(yard, caller, record.model, str(record.queue_id))
    async with yard.database.reading() as tx:
        await tx.run("videos.forget", queue_id=record.queue_id, account_id=caller.account_id)
