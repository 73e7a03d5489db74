"""Calls from a browser's page of any origin: keys travel in a header and never in a cookie."""

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

ANY_ORIGIN = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
]
"""The headers of every answer of the API that let a page read it."""


OURS = ("authorization", "content-type", "idempotency-key", "if-range", "range")
OPENAIS = (
    "openai-organization",
    "openai-project",
    *(
        f"x-stainless-{name}"
        for name in (
            *("arch", "custom-poll-interval", "helper-method", "lang", "os", "package-version"),
            *("poll-helper", "retry-count", "runtime", "runtime-version", "timeout"),
        )
    ),
)
"""What OpenAI's client sends besides."""


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks what a page may do before it does it."""
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)


def preflight() -> Response:
    """The answer to that."""
    allowed = {
        "access-control-allow-methods": "GET, HEAD, POST, PATCH, DELETE",
        "access-control-allow-headers": ", ".join((*OURS, *OPENAIS)),
        "access-control-max-age": "86400",
    }
    return Response(None, 204, allowed)
