"""The four video calls."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from squero.api.answers import Bytes, answer
from squero.api.body import read_document
from squero.api.house import House
from squero.domain import generation
from squero.domain.catalog import VideoRequest
from squero.domain.keys import Caller
from squero.domain.poll import Video, Working
from squero.money import usd_number
from squero.wire.video import (
    CompleteVideoAnswer,
    CompleteVideoRequest,
    ProcessingAnswer,
    QueueVideoAnswer,
    QueueVideoRequest,
    QuoteVideoAnswer,
    QuoteVideoRequest,
    RetrieveVideoRequest,
    parse,
)

_LIMIT_SMALL_BODY = 16_384


async def quote(house: House, request: Request) -> Response:
    """POST /video/quote: the price in USD, without a key."""
    limit = house.yard.settings.body_limit_bytes
    async with await read_document(
        request.receive, request.headers, limit_bytes=limit, spool=house.spool
    ) as document:
        asked = parse(QuoteVideoRequest, document.fields)
    resolution = asked.resolution if isinstance(asked.resolution, str) else None
    price = generation.quote(
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
    return answer(QuoteVideoAnswer(quote=usd_number(price)))


async def queue(house: House, request: Request, caller: Caller) -> Response:
    """POST /video/queue: take a job and hold its price."""
    limit = house.yard.settings.body_limit_bytes
    async with await read_document(
        request.receive, request.headers, limit_bytes=limit, spool=house.spool
    ) as document:
        asked = parse(QueueVideoRequest, document.fields)
        queued = await generation.queue(
            house.yard,
            caller,
            VideoRequest(
                model=asked.model,
                prompt=asked.prompt,
                negative_prompt=asked.negative_prompt,
                duration=asked.duration,
                resolution=asked.resolution,
                aspect_ratio=asked.aspect_ratio,
                audio=asked.audio,
                media=asked.media,
            ),
            request.headers.get("idempotency-key"),
        )
    headers = {"idempotent-replayed": "true"} if queued.replayed else None
    return answer(QueueVideoAnswer(model=queued.model, queue_id=str(queued.queue_id)), headers)


async def retrieve(house: House, request: Request, caller: Caller) -> Response:
    """POST /video/retrieve: PROCESSING, or the video."""
    document = await read_document(
        request.receive, request.headers, limit_bytes=_LIMIT_SMALL_BODY, spool=house.spool
    )
    asked = parse(RetrieveVideoRequest, document.fields)
    state = await generation.retrieve(house.yard, caller, asked.model, asked.queue_id)
    if isinstance(state, Working):
        return _processing(state)
    return _Delivery(house, request, caller, asked, state)


async def complete(house: House, request: Request, caller: Caller) -> Response:
    """POST /video/complete: delete the media."""
    document = await read_document(
        request.receive, request.headers, limit_bytes=_LIMIT_SMALL_BODY, spool=house.spool
    )
    asked = parse(CompleteVideoRequest, document.fields)
    gone = await generation.complete(house.yard, caller, asked.model, asked.queue_id)
    return answer(CompleteVideoAnswer(success=gone))


def _processing(state: Working) -> Response:
    headers = {"x-squero-remaining-ms": str(state.remaining_ms)}
    if state.position is not None:
        headers["x-squero-position"] = str(state.position)
    body = ProcessingAnswer(
        average_execution_time=state.average_execution_ms, execution_duration=state.execution_ms
    )
    return answer(body, headers)


class _Delivery(Bytes):
    """The video on its way; deleted after the last byte when the customer asked for that."""

    def __init__(
        self,
        house: House,
        request: Request,
        caller: Caller,
        asked: RetrieveVideoRequest,
        video: Video,
    ) -> None:
        super().__init__(video.reader, "video/mp4", request.headers, video.etag)
        self._house = house
        self._request = request
        self._caller = caller
        self._asked = asked
        self._video = video

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._video.file.close()
        if self._asked.delete_media_on_completion and self.is_whole:
            await generation.complete(
                self._house.yard, self._caller, self._asked.model, self._asked.queue_id
            )
