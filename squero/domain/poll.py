"""What a poll answers: work that goes on, the video, or why there is none."""

from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from anyio import to_thread

from squero.domain.inputs import Sealing
from squero.domain.keys import Caller
from squero.domain.polled import Generation
from squero.domain.yard import Yard
from squero.errors import (
    InferenceFailed,
    InputRejected,
    JobFailed,
    MediaNotFound,
    QueuedTooLong,
    RequestNotFound,
)
from squero.media.folder import ObjectMissing
from squero.media.keyring import KeyForgotten
from squero.media.sealed import SealedReader

_TELLING = 0.25


@dataclass(frozen=True, slots=True)
class Working:
    """A job that is not done: times in milliseconds, the position only while it waits."""

    average_execution_ms: int
    execution_ms: int
    remaining_ms: int
    position: int | None


@dataclass(frozen=True, slots=True)
class Video:
    """A finished video, open for reading whole or in part; whoever got it closes it."""

    etag: str
    file: BinaryIO
    reader: SealedReader


async def read(yard: Yard, caller: Caller, model: str, queue_id: str) -> Generation:
    """The caller's own generation; raises RequestNotFound for any other, whatever the reason."""
    try:
        known = UUID(queue_id)
    except ValueError:
        raise RequestNotFound from None
    generation = await yard.polls.ask((known, caller.account_id))
    if generation is None or generation.model != model:
        raise RequestNotFound
    return generation


async def working(yard: Yard, generation: Generation) -> Working:
    """How far the job is, and what is left of it."""
    position, remaining_us = None, _render_left_us(generation)
    if generation.state == "queued":
        position, wait_us = await yard.outlook.place(
            generation.lane, generation.account_id, generation.ahead, generation.estimate_us
        )
        remaining_us += wait_us
    return Working(
        average_execution_ms=(generation.expected_wait_us + generation.estimate_us) // 1000,
        execution_ms=generation.execution_ms,
        remaining_ms=remaining_us // 1000,
        position=position,
    )


async def video(yard: Yard, generation: Generation) -> Video:
    """The finished video; raises MediaNotFound when it was deleted or has expired."""
    if generation.wrapped_key is None:
        raise MediaNotFound
    return await to_thread.run_sync(_open, yard, generation, generation.wrapped_key)


def failure(generation: Generation) -> JobFailed:
    """Why there is no video, in the words that every poll repeats."""
    match generation.failure:
        case "bad_input":
            return InputRejected(generation.failure_message)
        case "queued_too_long":
            return QueuedTooLong()
        case "cancelled":
            return InputRejected("This request was cancelled")
        case _:
            return InferenceFailed()


def _open(yard: Yard, generation: Generation, wrapped_key: bytes) -> Video:
    role = f"result/{generation.attempt}"
    try:
        generation_key = yard.keyring.unwrap(wrapped_key, generation.key_day)
        sealing = Sealing(generation.queue_id, generation_key)
        file = yard.folder.open(sealing.name(role))
    except (ObjectMissing, KeyForgotten):
        raise MediaNotFound from None
    etag = f'"{generation.queue_id}-{generation.attempt}"'
    return Video(etag, file, SealedReader(file, sealing.key(role)))


def _render_left_us(generation: Generation) -> int:
    if generation.state == "queued":
        return generation.estimate_us
    progress, left_us = generation.progress, generation.estimate_us * (1 - generation.progress)
    if progress > 0:
        # The first steps of a render tell little of its pace; a quarter of it tells enough.
        trust = min(1.0, progress / _TELLING)
        measured_us = (generation.progressed_us or 0) / progress * (1 - progress)
        left_us = trust * measured_us + (1 - trust) * left_us
    return max(0, round(left_us) - (generation.since_us or 0))
