"""Heads: which requests are refused for theirs, and what those of all answers hold."""

import json
import random
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias

from starlette.types import Scope

from squero import __version__
from squero.api.origins import ANY_ORIGIN

Header: TypeAlias = tuple[bytes, bytes]
Refusal: TypeAlias = tuple[HTTPStatus, str]

NAMES: Final = "squero.names"
"""The scope's key for a request's headers by name."""

TOO_MANY_HEADERS: Final = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "The request headers are too large",
)
URL_TOO_LONG: Final = (HTTPStatus.REQUEST_URI_TOO_LONG, "The request URL is too long")
AMBIGUOUS: Final = (HTTPStatus.BAD_REQUEST, "Ambiguous request headers")
NO_HOST: Final = (HTTPStatus.BAD_REQUEST, "A Host header is missing")
UNKNOWN_CODING: Final = (HTTPStatus.NOT_IMPLEMENTED, "The transfer encoding is not supported")
UNKNOWN_VERSION: Final = (
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    "HTTP/1.0 or HTTP/1.1 is expected",
)
MALFORMED: Final = (HTTPStatus.BAD_REQUEST, "Invalid HTTP request")
STOPPING: Final = (HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping. Please try again.")
TIMED_OUT: Final = (HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive")

_ONCE: Final = (
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"content-type",
    b"content-encoding",
    b"authorization",
)
_VERSION: Final = (b"x-venice-version", __version__.encode())
_ids: Final = random.Random()  # noqa: S311 - an id keeps no secret


class RefusedHead(Exception):
    """A request whose head alone is reason to refuse it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal[1])
        self.refusal = refusal


def names(scope: Scope) -> Mapping[bytes, bytes]:
    """A request's headers by name; of one that came twice, the last."""
    found: Mapping[bytes, bytes] | None = scope.get(NAMES)
    if found is None:
        found = scope[NAMES] = dict(scope["headers"])
    return found


def check(headers: Sequence[Header], version: str) -> dict[bytes, bytes]:
    """The headers by name; raises RefusedHead when two readers could understand two things.

    Or when one of HTTP/1.1 does not say which host it is for, as RFC 9112, 3.2, asks of a server.
    """
    names = dict(headers)
    if len(names) < len(headers):
        every = [name for name, _ in headers]
        if any(every.count(name) > 1 for name in _ONCE):
            raise RefusedHead(AMBIGUOUS)
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise RefusedHead(AMBIGUOUS)
        if names[b"transfer-encoding"].lower() != b"chunked":
            raise RefusedHead(UNKNOWN_CODING)
    if version not in ("1.0", "1.1"):
        raise RefusedHead(UNKNOWN_VERSION)
    if version == "1.1" and b"host" not in names:
        raise RefusedHead(NO_HOST)
    return names


def size(header: Header) -> int:
    """The bytes that a header takes."""
    return len(header[0]) + len(header[1]) + len(b": \r\n")


def marks() -> list[Header]:
    """What every answer carries: an id of its own, and our version."""
    return [(b"cf-ray", b"%016x" % _ids.getrandbits(64)), _VERSION]


def whole(line: bytes, headers: Sequence[Header], body: bytes) -> bytes:
    """An answer as it is sent; raises ValueError when a header would be more than one line."""
    lines = b"\r\n".join([b": ".join(header) for header in headers])
    if not lines.count(b"\n") == lines.count(b"\r") == len(headers) - 1:
        raise ValueError("A header holds the end of a line")
    return b"".join((line, lines, b"\r\n\r\n", body))


def refused(refusal: Refusal) -> bytes:
    """The whole answer to a request that never reached the application, as it is sent.

    Its path may be unknown, so a page of any origin may read it wherever it was sent.
    """
    status, message = refusal
    body = json.dumps({"error": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *marks(),
        *ANY_ORIGIN,
    ]
    return whole(f"HTTP/1.1 {status} {status.phrase}\r\n".encode(), headers, body)
