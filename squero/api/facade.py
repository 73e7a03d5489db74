"""The calls in the shape of OpenAI's Videos: other words for the same jobs, keys and ledger."""

import asyncio
import difflib
import json
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import Bytes, Json, answer
from squero.api.body import Document, open_document
from squero.api.budget import Portion
from squero.api.form import is_form, open_form
from squero.api.gate import count_model
from squero.api.head import Header
from squero.api.house import House
from squero.api.presence import while_there
from squero.domain import generation, videos
from squero.domain.catalog import Catalog
from squero.domain.keys import Caller
from squero.domain.model import Model
from squero.domain.sizes import Named, sizes
from squero.domain.video_request import VideoRequest, not_listed
from squero.domain.videos import Page, Record
from squero.errors import (
    InferenceFailed,
    InputRejected,
    InvalidRequest,
    Issue,
    JobFailed,
    NotFound,
    QueuedTooLong,
    Refused,
)
from squero.wire.facade import (
    CreateVideoRequest,
    DeletedVideoAnswer,
    Status,
    VideoAnswer,
    VideoError,
    VideosAnswer,
    error_body,
)
from squero.wire.issues import parse
from squero.wire.query import Query, Wrong, one_of, whole
from squero.wire.video import NEGATIVE_PROMPT

FACADE: Final = "/v1/"
"""Where these calls are."""

FROM_WORDS: Final = "motion-text-to-video"
FROM_PICTURE: Final = "motion-image-to-video"
"""The models of a call that names none."""

_PREFIX: Final = "video_"
_LISTED: Final = 20
_LISTED_LIMIT: Final = 100
_STATUSES: Final[Mapping[str, Status]] = {
    "queued": "queued",
    "rendering": "in_progress",
    "completed": "completed",
    "failed": "failed",
}
_FAILURES: Final[Mapping[type[JobFailed], str]] = {
    InputRejected: "input_rejected",
    QueuedTooLong: "queued_too_long",
    InferenceFailed: "inference_failed",
}


def refusal(refused: Refused, headers: Sequence[Header] = ()) -> Response:
    """The error body of these calls."""
    return Json(json.dumps(error_body(refused)).encode(), refused.status, headers)


async def create(house: House, request: Request, caller: Caller) -> Response:
    """POST /v1/videos: take a job and hold its price; JSON or a form."""
    yard = house.yard
    await yard.admission.check_disk()
    async with await _document(house, request, caller) as document:
        asked = parse(CreateVideoRequest, document.fields)
        model = _model(yard.catalog, asked)
        await count_model(house, request.scope, caller, model)
        wanted = _wanted(model, asked)
        key = request.headers.get("idempotency-key")
        with closing(Portion(house.budget, caller.account_id)) as fetched:
            work = generation.queue(yard, caller, wanted, key, fetched.cover)
            queued = await (while_there(request.receive, work) if wanted.media else work)
    headers = [(b"idempotent-replayed", b"true")] if queued.replayed else []
    return answer(_video(await videos.taken(yard, caller, queued)), headers)


async def find(house: House, request: Request, caller: Caller) -> Response:
    """GET /v1/videos/{id}: the job as it stands."""
    (video,) = await _told(house, caller, [await _named(house, request, caller)])
    return answer(video)


async def list_videos(house: House, request: Request, caller: Caller) -> Response:
    """GET /v1/videos: the account's jobs that are there."""
    query = Query(request.query_params)
    page = Page(
        limit=query.read("limit", whole(1, _LISTED_LIMIT), _LISTED),
        after=query.read("after", _after, None),
        oldest_first=query.read("order", one_of(("asc", "desc")), "desc") == "asc",
    )
    query.check()
    records, more = await videos.listed(house.yard, caller, page)
    data = await _told(house, caller, records)
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return answer(VideosAnswer(data=data, first_id=first, last_id=last, has_more=more))


async def content(house: House, request: Request, caller: Caller) -> Response:
    """GET /v1/videos/{id}/content: the file, whole or in part; it stays."""
    query = Query(request.query_params)
    query.read("variant", one_of(("video",)), "video")
    query.check()
    record = await _named(house, request, caller)
    video = await videos.content(house.yard, caller, record)
    return Bytes(video.reader, "video/mp4", request.headers, video.etag)


async def delete(house: House, request: Request, caller: Caller) -> Response:
    """DELETE /v1/videos/{id}: end the job if it is not done, and delete what there is of it."""
    record = await _named(house, request, caller)
    await videos.delete(house.yard, caller, record)
    return answer(DeletedVideoAnswer(id=_id(record)))


def _document(house: House, request: Request, caller: Caller) -> Awaitable[Document]:
    limit = house.yard.settings.body_limit_bytes
    if is_form(request):
        return open_form(house, request, caller.account_id, limit, ("input_reference",))
    return open_document(house, request, caller.account_id, limit)


async def _named(house: House, request: Request, caller: Caller) -> Record:
    queue_id = _queue_id(request.path_params["id"])
    if queue_id is None:
        raise NotFound("No such video")
    return await videos.find(house.yard, caller, queue_id)


def _model(catalog: Catalog, asked: CreateVideoRequest) -> Model:
    """The model that is named, or one for what was sent; raises what speaks against it."""
    model = catalog.find(asked.model or (FROM_PICTURE if asked.picture else FROM_WORDS))
    if model.starts_from == "video_url":
        raise _invalid("model", f"{model.id} starts from a video, which these calls cannot send")
    if asked.picture and "image_url" not in model.takes:
        able = [one.id for one in catalog.models.values() if one.needed == ("image_url",)]
        near = difflib.get_close_matches(model.id, able, n=1, cutoff=0)
        hint = f": {near[0]} does" if near else ""
        raise _invalid("input_reference", f"{model.id} does not start from a picture{hint}")
    return model


def _wanted(model: Model, asked: CreateVideoRequest) -> VideoRequest:
    resolution, aspect_ratio = _size(model, asked.size)
    return VideoRequest(
        model=model.id,
        prompt=asked.prompt,
        negative_prompt=NEGATIVE_PROMPT,
        duration=_duration(model, asked.seconds),
        resolution=resolution,
        aspect_ratio=aspect_ratio,
        media={"image_url": asked.picture} if asked.picture else {},
    )


def _duration(model: Model, seconds: str | None) -> str:
    listed = model.constraints.durations
    if seconds is None:
        return listed[0]
    if f"{seconds}s" not in listed:
        able = [one.removesuffix("s") for one in listed]
        raise InvalidRequest([not_listed("seconds", seconds, able)])
    return f"{seconds}s"


def _size(model: Model, size: str | None) -> Named:
    if size is None:
        return Named(None, None)
    able = sizes(model)
    if not able:
        raise _invalid("size", f"{model.id} follows the shape of its picture: leave size out")
    if size not in able:
        raise InvalidRequest([not_listed("size", size, able)])
    return able[size]


async def _told(house: House, caller: Caller, records: Sequence[Record]) -> Sequence[VideoAnswer]:
    """The jobs, each that failed with its reason; all reasons are asked for at once."""
    failed = [one for one in records if one.state == "failed"]
    asked = (videos.failure(house.yard, caller, one) for one in failed)
    reasons = dict(zip([one.queue_id for one in failed], await asyncio.gather(*asked), strict=True))
    return [_video(one, reasons.get(one.queue_id)) for one in records]


def _video(record: Record, failed: JobFailed | None = None) -> VideoAnswer:
    error = None
    if failed is not None:
        error = VideoError(code=_FAILURES[type(failed)], message=failed.message)
    return VideoAnswer(
        id=_id(record),
        model=record.model,
        status=_STATUSES[record.state],
        progress=int(100 * record.progress),
        created_at=int(record.created_at.timestamp()),
        completed_at=_seconds(record.finished_at),
        expires_at=_seconds(record.expires_at),
        seconds=str(record.frames // record.fps),
        size=f"{record.width}x{record.height}",
        error=error,
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _id(record: Record) -> str:
    return f"{_PREFIX}{record.queue_id}"


def _queue_id(text: str) -> UUID | None:
    """None is nobody's id."""
    try:
        known = UUID(text.removeprefix(_PREFIX))
    except ValueError:
        return None
    return known if text == f"{_PREFIX}{known}" else None


def _after(text: str) -> UUID:
    queue_id = _queue_id(text)
    if queue_id is None:
        raise Wrong("No such video", "custom")
    return queue_id


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest([Issue((field,), message)])
