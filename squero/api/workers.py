"""The workers' protocol, `/worker/v1`: claim, inputs, progress, result, failure, hand-back."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import Bytes, answer
from squero.api.body import check_length, read_request
from squero.api.house import House
from squero.domain import attempt, keys, presence, result
from squero.domain.attempt import Assignment, Attempt
from squero.domain.inputs import Sealing
from squero.domain.keys import Worker
from squero.domain.model import Model
from squero.errors import NotFound, PayloadTooLarge, StaleAttempt
from squero.media.folder import ObjectMissing
from squero.media.sealed import SealedReader
from squero.wire.workers import (
    ClaimAnswer,
    ClaimRequest,
    EntryAnswer,
    FailureRequest,
    GoOnAnswer,
    ModelsAnswer,
    NeedsAnswer,
    ProgressRequest,
    ShotAnswer,
)

_LOOK_AGAIN_SECONDS = 5.0  # should a NOTIFY ever be missed, or the token be revoked
_BATCH_BYTES = 1 << 20


async def claim(house: House, request: Request, worker: Worker) -> Response:
    """POST claim: the next job of the worker's lane; 204 when the wait is over without one.

    One that is revoked while it waits gets nothing any more, and is told within seconds.
    """
    asked = await read_request(house, request, ClaimRequest, worker.worker_id)
    await _note(house, worker, asked)
    until, rung = time.monotonic() + asked.wait_seconds, 0
    while not await request.is_disconnected():
        seconds = min(until - time.monotonic(), _LOOK_AGAIN_SECONDS)
        found = await _next(house, worker, asked, seconds, rung)
        if isinstance(found, Assignment):
            return answer(_claimed(house, found))
        rung = found
        if time.monotonic() >= until or house.readiness.stopping:
            break
        if not rung:
            await keys.check_worker(house.yard.database, worker)
    else:
        house.bell.ring(worker.lane)  # whoever woke this claim woke nobody else
    return Response(status_code=204)


async def models(house: House, request: Request, worker: Worker) -> Response:
    """GET models: what it takes to load each model of the worker's lane."""
    entries = [
        EntryAnswer(
            id=model.id,
            engine=model.engine,
            options=dict(model.options),
            constraints=model.constraints.model_dump(mode="json"),
            needs=_needs(model),
        )
        for model in presence.lane(house.yard, worker)
    ]
    return answer(ModelsAnswer(models=entries))


async def read_input(house: House, request: Request, worker: Worker) -> Response:
    """GET an input of the attempt by its role."""
    found = await _attempt(house, request, worker)
    role = str(request.path_params["role"])
    if role not in found.inputs or found.wrapped_key is None:
        raise NotFound
    return await to_thread.run_sync(_open_input, house, request, found, role)


async def progress(house: House, request: Request, worker: Worker) -> Response:
    """POST progress: go on or, when the job was cancelled, not; 409 when another has begun."""
    asked = await read_request(house, request, ProgressRequest, worker.worker_id)
    queue_id, number = _named(request)
    is_news = asked.progress == 1 or asked.note is not None or asked.begins
    if is_news or not house.leases.fresh(worker.worker_id, queue_id, number):
        written_at = time.monotonic()
        try:
            await attempt.progress(
                house.yard,
                worker,
                queue_id,
                number,
                asked.progress,
                asked.note,
                begins=asked.begins,
            )
        except StaleAttempt:
            house.leases.forget(queue_id)
            if await attempt.is_cancelled(house.yard, worker, queue_id, number):
                return answer(GoOnAnswer(go_on=False))
            raise
        house.leases.write(worker.worker_id, queue_id, number, written_at)
    return answer(GoOnAnswer(go_on=True))


async def upload(house: House, request: Request, worker: Worker) -> Response:
    """PUT result: the MP4, looked into and sealed; the same answer when it is sent again."""
    await _attempt(house, request, worker)  # before a place among the results is taken
    limit = house.yard.settings.result_limit_bytes
    check_length(request.headers, limit_bytes=limit)
    async with house.results:
        # The same result, sent before and thought lost, may have come through meanwhile.
        found = await _attempt(house, request, worker)
        if found.state == "rendering":
            try:
                await result.take(house.yard, worker, found, _limited(request, limit))
            finally:
                house.leases.forget(found.queue_id)
    return Response(status_code=204)


async def fail(house: House, request: Request, worker: Worker) -> Response:
    """POST failure: the attempt ended without a video."""
    asked = await read_request(house, request, FailureRequest, worker.worker_id)
    queue_id, number = _named(request)
    house.leases.forget(queue_id)
    await attempt.fail(house.yard, worker, queue_id, number, asked.kind, asked.message)
    return Response(status_code=204)


async def hand_back(house: House, request: Request, worker: Worker) -> Response:
    """POST hand-back: the worker stops, and its job waits again."""
    queue_id, number = _named(request)
    house.leases.forget(queue_id)
    await attempt.hand_back(house.yard, worker, queue_id, number)
    return Response(status_code=204)


async def _next(
    house: House, worker: Worker, asked: ClaimRequest, seconds: float, rung: int
) -> Assignment | int:
    """A job, or, after the bell or the time, for how many claims that rang: the caller looks again.

    `rung` is for how many claims this look is the first.
    """
    # It listens before it looks, lest a job come in between.
    bell = asyncio.create_task(house.bell.wait(worker.lane, max(0.0, seconds)))
    began, again = time.monotonic(), 0
    try:
        assignment = await attempt.claim(house.yard, worker, asked.warm, asked.troubles)
        if assignment is None:
            if asked.troubles:
                house.bell.hand_on(worker.lane, rung - 1)  # what it cannot render, others may
            return await bell
        again = bell.done() and bell.result()
    finally:
        bell.cancel()
    claimed = assignment.claimed
    house.leases.write(worker.worker_id, claimed.queue_id, claimed.attempt, began)
    if again:
        house.bell.ring(worker.lane)  # for the next job there may be
    return assignment


async def _note(house: House, worker: Worker, asked: ClaimRequest) -> None:
    if worker.own:
        house.readiness.asked.add(worker.name)
    await presence.seen(house.yard, worker, asked.troubles)


async def _attempt(house: House, request: Request, worker: Worker) -> Attempt:
    return await attempt.read(house.yard, worker, *_named(request))


def _named(request: Request) -> tuple[UUID, int]:
    return request.path_params["queue_id"], request.path_params["attempt"]


def _open_input(house: House, request: Request, found: Attempt, role: str) -> Response:
    assert found.wrapped_key is not None
    generation_key = house.yard.keyring.unwrap(found.wrapped_key, found.key_day)
    sealing, name = Sealing(found.queue_id, generation_key), f"input/{role}"
    try:
        file = house.yard.folder.open(sealing.name(name))
    except ObjectMissing:
        raise NotFound from None
    reader = SealedReader(file, sealing.key(name))
    return Bytes(reader, found.inputs[role], request.headers)


async def _limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body in large parts; raises PayloadTooLarge, ClientDisconnect."""
    total, batch = 0, bytearray()
    async for part in request.stream():
        total += len(part)
        if total > limit:
            raise PayloadTooLarge
        batch += part
        if len(batch) >= _BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
    yield bytes(batch)


def _claimed(house: House, assignment: Assignment) -> ClaimAnswer:
    claimed, model = assignment.claimed, assignment.model
    instead = model.on_oom if claimed.memory_failures else {}
    return ClaimAnswer(
        queue_id=claimed.queue_id,
        attempt=claimed.attempt,
        model=claimed.model,
        engine=model.engine,
        options={**model.options, **instead},
        deadline_seconds=house.yard.settings.deadline_seconds,
        needs=_needs(model),
        keep_warm=model.keep_warm,
        shot=ShotAnswer(
            prompt=assignment.prompt,
            negative_prompt=assignment.negative_prompt,
            width=claimed.width,
            height=claimed.height,
            frames=claimed.frames,
            fps=claimed.fps,
            seed=claimed.seed,
            audio=claimed.audio,
            resolution=claimed.resolution,
            note=assignment.note,
            inputs=claimed.inputs,
        ),
    )


def _needs(model: Model) -> NeedsAnswer:
    needs = model.needs
    return NeedsAnswer(gpus=needs.gpus, vram_gb=needs.vram_gb, ram_gb=needs.ram_gb)
