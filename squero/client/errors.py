"""What a call can end with: one class per thing, made from the server's answer.

No key, prompt or media is in any of them: of an answer only its words and places are kept.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from squero.errors import Issue

LONGEST_MESSAGE = 500


class ClientError(Exception):
    """A call that did not give what it should; its text is fit to be shown."""


class ApiError(ClientError):
    """The server said no: `status`, its `message`, and the `issues` it found in the request."""

    def __init__(self, status: int, message: str, issues: Sequence[Issue] = ()) -> None:
        self.status = status
        self.message = message
        self.issues = tuple(issues)
        super().__init__(f"{status}: {message}")


class JobFailed(ClientError):
    """A job that will never give a video; `refunded` is None where the server did not say."""

    def __init__(self, message: str, refunded: bool | None = None) -> None:
        self.message = message
        self.refunded = refunded
        super().__init__(message)


class Unreachable(ClientError):
    """The server did not answer, or the connection was lost, as often as we tried."""


class BrokenDownload(ClientError):
    """A file did not arrive whole, as often as we tried; nothing was left behind."""


class UnexpectedAnswer(ClientError):
    """A success whose body is not what the API promises."""


def api_error(response: httpx.Response) -> ApiError:
    """The error that a read answer stands for."""
    body = json_object(response)
    issues = _listed(body.get("issues")) or _from_tree(body.get("details"), ())
    return ApiError(response.status_code, _message(response, body), issues)


def job_error(response: httpx.Response) -> ClientError:
    """The same for a retrieve, where some answers are the end of the job."""
    body = json_object(response)
    refunded = _refunded(body)
    if response.status_code in (400, 404, 422) or refunded is not None:
        return JobFailed(_message(response, body), refunded)
    return api_error(response)


def is_settled(response: httpx.Response) -> bool:
    """Whether the answer says what became of the money: then it is the last word on the job."""
    return _refunded(json_object(response)) is not None


def json_object(response: httpx.Response) -> Mapping[str, Any]:
    """The body as a JSON object; empty where it is anything else."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _refunded(body: Mapping[str, Any]) -> bool | None:
    error = body.get("error")
    for place in (body, error if isinstance(error, dict) else {}):
        if "credits_refunded" in place:
            return bool(place["credits_refunded"])
    return None


def _message(response: httpx.Response, body: Mapping[str, Any]) -> str:
    error = body.get("error")
    if isinstance(error, dict):
        error = error.get("message")
    if isinstance(error, str) and error.strip():
        return _shown(error)
    if response.is_redirect:
        return "The server redirects; use the address that it redirects to"
    return response.reason_phrase or "No reason given"


def _listed(found: object) -> list[Issue]:
    """The `issues` list; `received` is left out because it can be the customer's own text."""
    return [
        Issue(
            path=tuple(part for part in issue.get("path") or () if isinstance(part, str | int)),
            message=_shown(str(issue.get("message", ""))),
            code=_shown(str(issue.get("code", "custom"))),
            expected=_shown(str(issue["expected"])) if issue.get("expected") else None,
        )
        for issue in (found if isinstance(found, list) else ())
        if isinstance(issue, dict)
    ]


def _from_tree(tree: object, path: tuple[str | int, ...]) -> list[Issue]:
    """The older `details` tree, `{"field": {"_errors": ["Field is required"]}}`, as issues."""
    if not isinstance(tree, dict) or len(path) > 8:
        return []
    own = tree.get("_errors")
    issues = [Issue(path, _shown(str(text))) for text in (own if isinstance(own, list) else ())]
    for name, branch in tree.items():
        if name != "_errors":
            issues += _from_tree(branch, (*path, name))
    return issues


def _shown(text: str) -> str:
    """Fit for a terminal: no control characters, not endless."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return clean.strip()[:LONGEST_MESSAGE]
