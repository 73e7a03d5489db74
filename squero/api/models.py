"""The model list, and the names that stand for models."""

from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import answer
from squero.api.gate import bearer
from squero.api.house import House
from squero.domain.model import Model
from squero.domain.video_request import not_listed
from squero.errors import AuthenticationFailed, InvalidRequest
from squero.wire.models import (
    MODEL_TYPES,
    NAMED_TYPES,
    ModelAnswer,
    ModelsAnswer,
    ModelSpec,
    NamesAnswer,
    VideoConstraints,
)


async def list_models(house: House, request: Request) -> Response:
    """GET /models: every model, or those of one type; of a key that is sent those it may use."""
    wanted = _type(request, MODEL_TYPES, "all")
    models = await _listed(house, request) if wanted in ("video", "all") else ()
    return answer(ModelsAnswer(type=wanted, data=[await _entry(house, one) for one in models]))


async def traits(house: House, request: Request) -> Response:
    """GET /models/traits: no model of ours has one."""
    return answer(NamesAnswer(type=_type(request, NAMED_TYPES, "text"), data={}))


async def compatibility_mapping(house: House, request: Request) -> Response:
    """GET /models/compatibility_mapping: no foreign id stands for a model of ours."""
    return answer(NamesAnswer(type=_type(request, NAMED_TYPES, "text"), data={}))


async def _listed(house: House, request: Request) -> Iterable[Model]:
    models = house.yard.catalog.models
    try:
        allowed = (await house.callers.find(bearer(request.scope))).models
    except AuthenticationFailed:
        allowed = None
    return [one for one in models.values() if allowed is None or one.id in allowed]


def _type(request: Request, known: Sequence[str], default: str) -> str:
    """The type that is asked for; raises InvalidRequest for one there is not."""
    wanted = request.query_params.get("type", default)
    if wanted in known:
        return wanted
    raise InvalidRequest([not_listed("type", wanted, known)])


async def _entry(house: House, model: Model) -> ModelAnswer:
    yard = house.yard
    spec = ModelSpec(
        name=model.name,
        description=model.description,
        offline=await yard.admission.offline(model) or await yard.prices.unknown(model),
        constraints=VideoConstraints.model_validate(model.constraints.model_dump()),
    )
    return ModelAnswer(id=model.id, created=model.created, model_spec=spec)
