"""The four video calls."""

from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import Bytes, answer
from squero.api.body import begin, finish, open_document, read_request
from squero.api.budget import Portion
from squero.api.gate import count_model
from squero.api.head import Header, names
from squero.api.house import House
from squero.api.presence import while_there
from squero.api.quotes import Quote
from squero.api.reply import REPLY
from squero.domain import generation
from squero.domain.keys import Caller
from squero.domain.poll import Working
from squero.domain.video_request import VideoRequest
from squero.money import usd_number
from squero.wire.issues import parse
from squero.wire.video import (
    CompleteVideoAnswer,
    CompleteVideoRequest,
    ProcessingAnswer,
    QueueVideoAnswer,
    QueueVideoRequest,
    QuoteVideoAnswer,
    QuoteVideoRequest,
    RetrieveVideoRequest,
)


async def quote(house: House, request: Request) -> Response:
    """POST /video/quote: the price in USD, without a key."""
    limit = house.yard.settings.body_limit_bytes
    begun = await begin(request.receive, names(request.scope), limit)
    short = begun.short
    if short is not None and (known := house.quotes.find(short)):
        request.scope[REPLY].headers += known.headers
        return known.answer
    asked = await finish(begun, house, request, QuoteVideoRequest, None, limit)
    named = _name_model(house, request, asked.model)
    model = house.yard.catalog.models.get(asked.model)
    stays = model is None or model.upstream_price is None
    quoted = answer(QuoteVideoAnswer(quote=usd_number(await _price(house, asked))))
    if short is not None and stays:
        house.quotes.keep(short, Quote(quoted, named))
    return quoted


async def _price(house: House, asked: QuoteVideoRequest) -> int:
    resolution = asked.resolution if isinstance(asked.resolution, str) else None
    return await generation.quote(
        house.yard,
        VideoRequest(
            model=asked.model,
            prompt="",
            duration=asked.duration,
            resolution=resolution,
            aspect_ratio=asked.aspect_ratio,
            audio=asked.audio,
        ),
    )


async def queue(house: House, request: Request, caller: Caller) -> Response:
    """POST /video/queue: take a job and hold its price."""
    await house.yard.admission.check_disk()
    limit = house.yard.settings.body_limit_bytes
    async with await open_document(house, request, caller.account_id, limit) as document:
        asked = parse(QueueVideoRequest, document.fields)
        _name_model(house, request, asked.model)
        if model := house.yard.catalog.models.get(asked.model):
            await count_model(house, request.scope, caller, model)
        wanted = VideoRequest(
            model=asked.model,
            prompt=asked.prompt,
            negative_prompt=asked.negative_prompt,
            duration=asked.duration,
            resolution=asked.resolution,
            aspect_ratio=asked.aspect_ratio,
            audio=asked.audio,
            media=asked.media,
        )
        key = request.headers.get("idempotency-key")
        with closing(Portion(house.budget, caller.account_id)) as fetched:
            work = generation.queue(house.yard, caller, wanted, key, fetched.cover)
            # Only media takes long enough for anybody to leave.
            queued = await (while_there(request.receive, work) if wanted.media else work)
    headers = [(b"idempotent-replayed", b"true")] if queued.replayed else []
    return answer(QueueVideoAnswer(model=queued.model, queue_id=str(queued.queue_id)), headers)


async def retrieve(house: House, request: Request, caller: Caller) -> Response:
    """POST /video/retrieve: PROCESSING, or the video; deleted then, if the customer asks for it."""
    asked = await read_request(house, request, RetrieveVideoRequest, caller.account_id)
    _name_model(house, request, asked.model)
    state = await generation.retrieve(house.yard, caller, asked.model, asked.queue_id)
    if isinstance(state, Working):
        return _processing(state)

    async def delete() -> None:
        await generation.complete(house.yard, caller, asked.model, asked.queue_id)

    then = delete if asked.delete_media_on_completion else None
    return Bytes(state.reader, "video/mp4", request.headers, state.etag, then)


async def complete(house: House, request: Request, caller: Caller) -> Response:
    """POST /video/complete: delete the media."""
    asked = await read_request(house, request, CompleteVideoRequest, caller.account_id)
    _name_model(house, request, asked.model)
    gone = await generation.complete(house.yard, caller, asked.model, asked.queue_id)
    return answer(CompleteVideoAnswer(success=gone))


def _name_model(house: House, request: Request, model_id: str) -> Sequence[Header]:
    """Puts the model into the headers of the answer, if there is one of this id; gives them."""
    model = house.yard.catalog.models.get(model_id)
    named = () if model is None else _names(model.id, model.name)
    request.scope[REPLY].headers += named
    return named


@lru_cache
def _names(model_id: str, model_name: str) -> Sequence[Header]:
    return (
        (b"x-venice-model-id", model_id.encode()),
        (b"x-venice-model-name", model_name.encode("ascii", "replace")),
    )


def _processing(state: Working) -> Response:
    headers: list[Header] = [(b"x-squero-remaining-ms", b"%d" % state.remaining_ms)]
    if state.position is not None:
        headers.append((b"x-squero-position", b"%d" % state.position))
    body = ProcessingAnswer(
        average_execution_time=state.average_execution_ms, execution_duration=state.execution_ms
    )
    return answer(body, headers)
