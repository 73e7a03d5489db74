"""What upstreams ask, between workers and the server: which prices are wanted, and the report."""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import answer
from squero.api.body import read_request
from squero.api.house import House
from squero.domain.clip import FPS, Clip, clips, frame_size
from squero.domain.keys import Worker
from squero.domain.model import Model
from squero.domain.pricing import Reported, terms
from squero.wire.workers import (
    ClipAnswer,
    PricedModelAnswer,
    PricesRequest,
    WantedPricesAnswer,
)

_REPORT_BYTES = 1 << 19
_SHAPES = ((16, 9), (9, 16), (1, 1))
"""What a clip comes to that follows its picture."""


async def wanted(house: House, request: Request, worker: Worker) -> Response:
    """GET prices: the models of the lane whose upstreams are to be asked now."""
    due = await house.yard.prices.due(house.yard.catalog, worker.lane)
    return answer(WantedPricesAnswer(models=[_wanted(model) for model in due]))


async def report(house: House, request: Request, worker: Worker) -> Response:
    """POST prices: what the upstreams of a model ask; 404 when the model is not priced so."""
    asked = await read_request(house, request, PricesRequest, worker.worker_id, _REPORT_BYTES)
    prices = [Reported(**dict(one)) for one in asked.prices]
    yard = house.yard
    await yard.prices.report(yard.catalog, worker, asked.model, asked.terms, prices)
    return Response(status_code=204)


def _wanted(model: Model) -> PricedModelAnswer:
    return PricedModelAnswer(
        id=model.id,
        engine=model.engine,
        options=dict(model.options),
        terms=terms(model),
        clips=[one for clip in clips(model) for one in _sized(model, clip)],
    )


def _sized(model: Model, clip: Clip) -> Iterator[ClipAnswer]:
    follows = clip.aspect_ratio is None and model.takes & {"image_url", "video_url"}
    for source in _SHAPES if follows else (None,):
        width, height = frame_size(clip, source)
        yield ClipAnswer(**clip._asdict(), width=width, height=height, frames=clip.frames, fps=FPS)
