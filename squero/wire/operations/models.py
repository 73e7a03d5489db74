"""The model calls: what can be asked for."""

from collections.abc import Mapping
from typing import Final

from squero.wire.models import MODEL_TYPES, NAMED_TYPES
from squero.wire.operations.operation import TEXT_MODEL, Operation, parameter

_TYPE: Final = parameter(
    "query",
    "type",
    "Only the models of one type; without it every model.",
    {"type": "string", "enum": list(MODEL_TYPES)},
)
_NAMED_TYPE: Final = parameter(
    "query",
    "type",
    "The type of the models that the names stand for.",
    {"type": "string", "enum": list(NAMED_TYPES), "default": "text"},
)
_WORDS: Final = {"type": "object", "additionalProperties": {"type": "string"}}


def _of_models(name: str, summary: str, description: str, example: object) -> Operation:
    schema = {
        "type": "object",
        "required": ["object", "type", "data"],
        "properties": {
            "object": {"type": "string", "const": "list"},
            "type": {"type": "string"},
            "data": _WORDS,
        },
    }
    return Operation(
        id=name,
        tag="Models",
        summary=summary,
        description=description,
        answered="A map to the ids of models.",
        answer_schema=schema,
        answer_example={"object": "list", "type": "video", "data": example},
        with_key=False,
        parameters=(_NAMED_TYPE,),
        refusals=("400", "429", "500", "503"),
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GET /models": Operation(
        id="listModels",
        tag="Models",
        summary="The models",
        description="What can be asked for, with the values that each model takes; an empty list "
        "means that the field is not supported. A video's price is told by a quote.",
        with_key=False,
        parameters=(_TYPE,),
        answer="ModelsAnswer",
        answered="The models.",
        refusals=("400", "429", "500", "503"),
    ),
    "GET /models/traits": _of_models(
        "listModelTraits",
        "Models by trait",
        "Which model stands for a trait.",
        {"default": TEXT_MODEL},
    ),
    "GET /models/compatibility_mapping": _of_models(
        "listModelCompatibilityMapping",
        "Models by other names",
        "Which model answers to a name that other services use.",
        {},
    ),
}
