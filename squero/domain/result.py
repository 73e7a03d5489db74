"""A worker's result on its way in: sealed as it arrives, looked into, then the job is done."""

from collections.abc import AsyncIterator
from contextlib import suppress

from anyio import to_thread

from squero.domain import attempt
from squero.domain.attempt import Attempt
from squero.domain.inputs import Sealing
from squero.domain.keys import Worker
from squero.domain.yard import Yard
from squero.errors import InvalidRequest, Issue, StaleAttempt
from squero.media.folder import Draft, ObjectExists
from squero.media.look import BadMedia, look_at_clip
from squero.media.sealed import SealedFile, SealedWriter
from squero.shot import Shot


async def take(yard: Yard, worker: Worker, of: Attempt, video: AsyncIterator[bytes]) -> None:
    """The attempt's video: completed and captured. One that is not as ordered is a strike.

    Raises InvalidRequest for that one, and StaleAttempt when another attempt has begun.
    """
    if of.wrapped_key is None:
        raise StaleAttempt
    generation_key = await to_thread.run_sync(yard.keyring.unwrap, of.wrapped_key, of.key_day)
    sealing, role = Sealing(of.queue_id, generation_key), f"result/{of.attempt}"
    draft = await to_thread.run_sync(yard.folder.create, sealing.name(role))
    try:
        await _seal(draft, sealing.key(role), video)
        await look_at_clip(yard.sandbox, SealedFile(draft.fileno(), sealing.key(role)), _shot(of))
        await to_thread.run_sync(_publish, draft)
    except BadMedia as bad:
        await attempt.fail(yard, worker, of.queue_id, of.attempt, "crash", None)
        raise InvalidRequest([Issue((), bad.message)]) from None
    finally:
        draft.close()
    try:
        await attempt.finish(yard, worker, of.queue_id, of.attempt)
    except StaleAttempt:
        await _settle(yard, worker, of, sealing.name(role))


async def _settle(yard: Yard, worker: Worker, of: Attempt, name: str) -> None:
    """Nothing when another upload of this attempt has finished it; raises StaleAttempt if not.

    A video that nobody will be served goes: no other attempt writes under its name.
    """
    try:
        now = await attempt.read(yard, worker, of.queue_id, of.attempt)
    except StaleAttempt:
        await to_thread.run_sync(yard.folder.delete, name)
        raise
    if now.state != "completed":
        raise StaleAttempt
    if now.media != "kept":
        await to_thread.run_sync(yard.folder.delete, name)


async def _seal(draft: Draft, key: bytes, video: AsyncIterator[bytes]) -> None:
    writer = SealedWriter(draft.fileno(), key)
    async for part in video:
        await to_thread.run_sync(writer.write, part)
    await to_thread.run_sync(writer.finish)


def _publish(draft: Draft) -> None:
    # This attempt's result may have come through before, and only the answer was lost.
    with suppress(ObjectExists):
        draft.publish()


def _shot(of: Attempt) -> Shot:
    return Shot("", of.width, of.height, of.frames, of.fps, seed=0, audio=of.audio)
