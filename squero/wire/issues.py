"""What is wrong with a request, in the form that the API's clients parse."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from squero.errors import InvalidRequest, Issue

_TYPES = {
    "string_type": "string",
    "bool_type": "boolean",
    "model_type": "object",
    "dict_type": "object",
}
_NAMES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array"}


def refusal(wrong: ValidationError) -> InvalidRequest:
    """The InvalidRequest that says what pydantic found."""
    return InvalidRequest([_issue(error) for error in wrong.errors(include_url=False)])


def _issue(error: Any) -> Issue:
    path = tuple(error["loc"][:1])
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return Issue(path, "Field is required", "invalid_type", received="undefined")
        case "extra_forbidden":
            name = str(path[0])[:100]
            return Issue((), f"Unrecognized key(s) in object: '{name}'", "unrecognized_keys")
        case "string_too_short":
            least = context["min_length"]
            return Issue(path, f"String must contain at least {least} character(s)", "too_small")
        case "string_too_long":
            most = context["max_length"]
            return Issue(path, f"String must contain at most {most} character(s)", "too_big")
        case kind:
            expected = _TYPES.get(kind, "string")
            received = _NAMES.get(type(error["input"]), "object")
            received = "null" if error["input"] is None else received
            message = f"Expected {expected}, received {received}"
            return Issue(path, message, "invalid_type", expected, received)


def body(issues: Iterable[Issue]) -> dict[str, object]:
    """The `details` tree and the `issues` list of an error body."""
    details: dict[str, Any] = {"_errors": []}
    listed: list[dict[str, object]] = []
    for issue in issues:
        node = details
        for part in issue.path:
            node = node.setdefault(str(part), {"_errors": []})
        node["_errors"].append(issue.message)
        known = {"expected": issue.expected, "received": issue.received}
        entry: dict[str, object] = {"code": issue.code, "message": issue.message}
        entry["path"] = list(issue.path)
        entry |= {name: value for name, value in known.items() if value is not None}
        listed.append(entry)
    return {"details": details, "issues": listed}
