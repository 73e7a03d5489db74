"""What is wrong with a request, in the form that the API's clients parse."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from squero.errors import LIMIT_QUOTED, InvalidRequest, Issue
from squero.media.spool import DataUrl

Asked = TypeVar("Asked", bound=BaseModel)

_TYPES = {
    "bool_type": "boolean",
    "model_type": "object",
    "dict_type": "object",
    "list_type": "array",
    "float_type": "number",
    "int_type": "number",
}
_NAMES = {
    str: "string",
    DataUrl: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    type(None): "null",
}
_LIMIT_ALL_QUOTED = 200


def parse(kind: type[Asked], fields: Mapping[str, object]) -> Asked:
    """The request in these fields; raises InvalidRequest."""
    try:
        asked: Asked = kind.__pydantic_validator__.validate_python(fields)
    except ValidationError as wrong:
        raise refusal(wrong) from None
    return asked


def refusal(wrong: ValidationError) -> InvalidRequest:
    """The InvalidRequest that says what pydantic found."""
    errors = wrong.errors(include_url=False)
    found = [_issue(error) for error in errors if error["type"] != "extra_forbidden"]
    unknown: dict[tuple[str | int, ...], list[str]] = {}
    for error in errors:
        if error["type"] == "extra_forbidden":
            unknown.setdefault(error["loc"][:-1], []).append(str(error["loc"][-1]))
    found += [
        _unrecognized(path, names, _left_to_quote(found) // len(unknown))
        for path, names in unknown.items()
    ]
    # One value that fits none of several types is one thing that is wrong.
    return InvalidRequest(list({(issue.path, issue.code): issue for issue in found}.values()))


def _left_to_quote(found: Iterable[Issue]) -> int:
    """How many characters of unknown names may still be told: an answer holds them twice."""
    choices = (issue.received or "" for issue in found if issue.code == "invalid_enum_value")
    return max(0, _LIMIT_ALL_QUOTED - 3 * sum(map(len, choices))) // 2


def _unrecognized(path: tuple[str | int, ...], names: Sequence[str], limit: int) -> Issue:
    quoted = ", ".join(f"'{name}'" for name in names)[:limit]
    return Issue(path, f"Unrecognized key(s) in object: {quoted}", "unrecognized_keys")


def _issue(error: Any) -> Issue:
    path = tuple(part for part in error["loc"] if not _is_type(part))
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return Issue(path, "Field is required", "invalid_type", received="undefined")
        case "string_too_short":
            least = context["min_length"]
            return Issue(path, f"String must contain at least {least} character(s)", "too_small")
        case "string_too_long":
            most = context["max_length"]
            return Issue(path, f"String must contain at most {most} character(s)", "too_big")
        case "literal_error":
            return _wrong_choice(path, context["expected"], error["input"])
        case "own":
            return Issue(path, error["msg"], context["code"])
        case kind:
            return _wrong_type(path, _TYPES.get(kind, "string"), error["input"])


def own(message: str, code: str = "custom") -> PydanticCustomError:
    """What a validator of ours raises, to be told in these words."""
    return PydanticCustomError("own", message, {"code": code})


def _is_type(part: str | int) -> bool:
    """Whether pydantic names one of several types there, and not a field."""
    return part == "str" or (isinstance(part, str) and "[" in part)


def _wrong_choice(path: tuple[str | int, ...], listed: str, value: object) -> Issue:
    expected = listed.replace(", ", " | ").replace(" or ", " | ")
    if not isinstance(value, str):
        return _wrong_type(path, expected, value)
    received = value[:LIMIT_QUOTED]
    message = f"Invalid enum value. Expected {expected}, received '{received}'"
    return Issue(path, message, "invalid_enum_value", expected, received)


def _wrong_type(path: tuple[str | int, ...], expected: str, value: object) -> Issue:
    received = _NAMES.get(type(value), "object")
    if received == expected:
        return Issue(path, "Invalid input")
    message = f"Expected {expected}, received {received}"
    return Issue(path, message, "invalid_type", expected, received)


def body(issues: Iterable[Issue]) -> dict[str, object]:
    """The `details` tree and the `issues` list of an error body."""
    details: dict[str, Any] = {"_errors": []}
    listed: list[dict[str, object]] = []
    for issue in issues:
        _node(details, issue.path)["_errors"].append(issue.message)
        listed.append(_entry(issue))
    return {"details": details, "issues": listed}


def _entry(issue: Issue) -> dict[str, object]:
    entry: dict[str, object] = {"code": issue.code, "message": issue.message}
    entry["path"] = list(issue.path)
    known: Mapping[str, str | None] = {"expected": issue.expected, "received": issue.received}
    return entry | {name: value for name, value in known.items() if value is not None}


def _node(details: dict[str, Any], path: Iterable[str | int]) -> dict[str, Any]:
    """The place of a path in the tree; a customer's key may have the name of our own."""
    node = details
    for part in path:
        if part == "_errors":
            break
        node = node.setdefault(str(part), {"_errors": []})
    return node
