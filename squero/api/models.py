"""The model list."""

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import answer
from squero.api.house import House
from squero.domain.catalog import Model
from squero.errors import InvalidRequest, Issue
from squero.wire.models import MODEL_TYPES, ModelAnswer, ModelsAnswer, ModelSpec, VideoConstraints


async def list_models(house: House, request: Request) -> Response:
    """GET /models: every model, or those of one type."""
    wanted = request.query_params.get("type", "all")
    if wanted not in MODEL_TYPES:
        raise InvalidRequest([_unknown_type(wanted[:100])])
    listed = house.yard.catalog.models.values() if wanted in ("video", "all") else ()
    return answer(ModelsAnswer(type=wanted, data=[_entry(model) for model in listed]))


def _unknown_type(received: str) -> Issue:
    expected = " | ".join(f"'{known}'" for known in MODEL_TYPES)
    message = f"Invalid enum value. Expected {expected}, received '{received}'"
    return Issue(("type",), message, "invalid_enum_value", expected, received)


def _entry(model: Model) -> ModelAnswer:
    constraints = VideoConstraints.model_validate(model.constraints.model_dump())
    spec = ModelSpec(name=model.name, description=model.description, constraints=constraints)
    return ModelAnswer(id=model.id, created=model.created, model_spec=spec)
