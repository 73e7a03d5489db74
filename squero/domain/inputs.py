"""A job's inputs: fetched, looked into in the sandbox and sealed before any money moves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from anyio import CancelScope, to_thread

from squero.domain.yard import Yard
from squero.errors import InvalidRequest, Issue, Refused
from squero.media.look import (
    BadMedia,
    Footage,
    Picture,
    Sound,
    look_at_footage,
    look_at_picture,
    look_at_sound,
)
from squero.media.sealed import SealedFile, object_key
from squero.media.spool import DataUrl, Spooled

Input: TypeAlias = Picture | Sound | Footage

LIMIT_BYTES: Mapping[str, int] = {
    "image_url": 25_000_000,
    "audio_url": 15_000_000,
    "video_url": 100_000_000,
}
"""The largest media of each field, however it comes."""


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
) -> AsyncIterator[dict[str, Input]]:
    """Every input in its place, by role; gone again when the job is refused after all.

    An error of ours leaves them to the sweep: the job may exist although we could not see it.
    """
    try:
        found: dict[str, Input] = {}
        async with _arrived(yard, media) as arrived:
            for field, spooled in arrived.items():
                found[field.removesuffix("_url")] = await _seal(yard, sealing, field, spooled)
        yield found
    except Refused:
        with CancelScope(shield=True):
            await discard(yard, sealing.queue_id)
        raise


async def discard(yard: Yard, queue_id: UUID, role: str = "") -> None:
    """Delete a generation's objects: all of them, or those of one role such as `input`."""
    prefix = f"generations/{queue_id}/{role}".rstrip("/")
    await to_thread.run_sync(yard.folder.delete_all, prefix)


@asynccontextmanager
async def _arrived(
    yard: Yard, media: Mapping[str, str | DataUrl]
) -> AsyncIterator[dict[str, Spooled]]:
    """The media of every field, that of URLs fetched, and let go of at the end."""
    sent = {name: value.spooled for name, value in media.items() if isinstance(value, DataUrl)}
    urls = {name: value for name, value in media.items() if not isinstance(value, DataUrl)}
    for name in [*sent, *urls]:
        _check_before(name, sent.get(name), urls.get(name, ""))
    fetched = await yard.fetcher.fetch(urls, LIMIT_BYTES) if urls else {}
    try:
        yield sent | fetched
    finally:
        if fetched:
            with CancelScope(shield=True):
                await to_thread.run_sync(_close, fetched)


def _close(fetched: Mapping[str, Spooled]) -> None:
    for spooled in fetched.values():
        spooled.close()


def _check_before(field: str, sent: Spooled | None, url: str) -> None:
    if url[:5].lower() == "data:":
        raise InvalidRequest([Issue((field,), "A data URL must have base64 content")])
    if sent is not None and sent.size > LIMIT_BYTES[field]:
        most = LIMIT_BYTES[field] // 1_000_000
        raise InvalidRequest([Issue((field,), f"The file is larger than {most} MB", "too_big")])


async def _seal(yard: Yard, sealing: Sealing, field: str, spooled: Spooled) -> Input:
    role = f"input/{field.removesuffix('_url')}"
    draft = await to_thread.run_sync(yard.folder.create, sealing.name(role))
    try:
        target = SealedFile(draft.fileno(), sealing.key(role))
        found = await _look(yard, field, spooled.sealed, target)
        await to_thread.run_sync(draft.publish)
    except BadMedia as bad:
        raise InvalidRequest([Issue((field,), str(bad))]) from None
    finally:
        draft.close()
    return found


async def _look(yard: Yard, field: str, source: SealedFile, target: SealedFile) -> Input:
    match field:
        case "image_url":
            return await look_at_picture(yard.pictures, source, target)
        case "audio_url":
            return await look_at_sound(yard.sandbox, source, target)
        case _:
            async with yard.footage:
                return await look_at_footage(yard.sandbox, source, target)
