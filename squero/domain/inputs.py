"""A job's inputs: looked into in the sandbox and sealed before any money moves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from anyio import CancelScope, to_thread

from squero.domain.yard import Yard
from squero.errors import InvalidRequest, Issue, Refused
from squero.media.look import BadMedia, Picture, look_at_picture
from squero.media.sealed import SealedFile, object_key
from squero.media.spool import DataUrl


@dataclass(frozen=True, slots=True)
class Sealing:
    """Under which job and key the objects of a generation are written."""

    queue_id: UUID
    generation_key: bytes

    def name(self, role: str) -> str:
        """The object's name in the media store."""
        return f"generations/{self.queue_id}/{role}"

    def key(self, role: str) -> bytes:
        """The object's own key."""
        return object_key(self.generation_key, role)


@asynccontextmanager
async def sealed(
    yard: Yard, sealing: Sealing, media: Mapping[str, str | DataUrl]
) -> AsyncIterator[dict[str, Picture]]:
    """Every input in its place, by role; gone again when the job is refused after all.

    An error of ours leaves them to the sweep: the job may exist although we could not see it.
    """
    try:
        pictures = {}
        for field, value in media.items():
            role = field.removesuffix("_url")
            pictures[role] = await _seal(yard, sealing, field, f"input/{role}", value)
        yield pictures
    except Refused:
        with CancelScope(shield=True):
            await discard(yard, sealing.queue_id)
        raise


async def discard(yard: Yard, queue_id: UUID, role: str = "") -> None:
    """Delete a generation's objects: all of them, or those of one role such as `input`."""
    prefix = f"generations/{queue_id}/{role}".rstrip("/")
    await to_thread.run_sync(yard.folder.delete_all, prefix)


async def _seal(
    yard: Yard, sealing: Sealing, field: str, role: str, value: str | DataUrl
) -> Picture:
    if not isinstance(value, DataUrl):
        raise InvalidRequest([Issue((field,), "Send this as a data URL with base64 content")])
    draft = await to_thread.run_sync(yard.folder.create, sealing.name(role))
    try:
        target = SealedFile(draft.fileno(), sealing.key(role))
        picture = await look_at_picture(yard.sandbox, value.spooled.sealed, target)
        await to_thread.run_sync(draft.publish)
    except BadMedia as bad:
        raise InvalidRequest([Issue((field,), str(bad))]) from None
    finally:
        draft.close()
    return picture
