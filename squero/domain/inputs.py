"""A job's inputs: fetched, looked into in the sandbox and sealed before any money moves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from anyio import CancelScope, fail_after, get_cancelled_exc_class, to_thread
from anyio.lowlevel import checkpoint_if_cancelled

from squero.domain.yard import Yard
from squero.errors import AtCapacity, InvalidRequest, Issue, Refused
from squero.media.fetch import Cover
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
    "end_image_url": 25_000_000,
    "audio_url": 15_000_000,
    "video_url": 100_000_000,
}
"""The largest media of each field, however it comes."""
LIMIT_SECONDS = 60
"""For all media of a call together: to fetch it, to wait for turns at it and to look into it."""


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


@dataclass(frozen=True, slots=True)
class Sent:
    """The media of a queue call by field, and whose turn and room they take."""

    media: Mapping[str, str | DataUrl]
    account_id: UUID
    cover: Cover


@asynccontextmanager
async def sealed(yard: Yard, sealing: Sealing, sent: Sent) -> AsyncIterator[dict[str, Input]]:
    """Every input in its place, by role; gone again when the job is refused after all.

    What is done with them is done to its end, also when the customer leaves; when they leave before
    that, nothing stays. An error of ours leaves them to the sweep: the job may exist although we
    could not see it. Raises AtCapacity when the account's turn does not come, or there is no room.
    """
    try:
        found = await _seal_all(yard, sealing, sent) if sent.media else {}
        with CancelScope(shield=True):
            yield found
    except Refused:
        await discard(yard, sealing.queue_id)
        raise


async def discard(yard: Yard, queue_id: UUID, role: str = "") -> None:
    """Delete a generation's objects: all of them, or those of one role such as `input`."""
    prefix = f"generations/{queue_id}/{role}".rstrip("/")
    with CancelScope(shield=True):
        await to_thread.run_sync(yard.folder.delete_all, prefix)


async def _seal_all(yard: Yard, sealing: Sealing, sent: Sent) -> dict[str, Input]:
    found: dict[str, Input] = {}
    try:
        with fail_after(LIMIT_SECONDS):
            async with _arrived(yard, sent) as arrived:
                for field, spooled in arrived.items():
                    role = field.removesuffix("_url")
                    async with yard.turns[field].turn(sent.account_id):
                        found[role] = await _seal(yard, sealing, field, spooled)
        await checkpoint_if_cancelled()
    except TimeoutError:
        raise AtCapacity from None
    except get_cancelled_exc_class():
        await discard(yard, sealing.queue_id)
        raise
    return found


@asynccontextmanager
async def _arrived(yard: Yard, sent: Sent) -> AsyncIterator[dict[str, Spooled]]:
    """The media of every field, that of URLs fetched, and let go of at the end."""
    here = {name: value.spooled for name, value in sent.media.items() if isinstance(value, DataUrl)}
    urls = {name: value for name, value in sent.media.items() if not isinstance(value, DataUrl)}
    for name in [*here, *urls]:
        _check_before(name, here.get(name), urls.get(name, ""))
    fetched: dict[str, Spooled] = {}
    if urls:
        fetched = await yard.fetcher.fetch(urls, LIMIT_BYTES, sent.account_id, sent.cover)
    try:
        yield here | fetched
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
        case "image_url" | "end_image_url":
            return await look_at_picture(yard.pictures, source, target)
        case "audio_url":
            return await look_at_sound(yard.sandbox, source, target)
        case _:
            return await look_at_footage(yard.sandbox, source, target)
