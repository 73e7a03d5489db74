"""The table of contents: every call, who may make it, and what answers it."""

from collections.abc import Awaitable, Iterable, Iterator
from typing import Final, NoReturn, TypeAlias

from starlette.routing import BaseRoute, Match, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from squero.api import (
    billing,
    docs,
    facade,
    health,
    keys,
    models,
    prices,
    rate_limits,
    video,
    workers,
)
from squero.api.gate import Open, WithAdminKey, WithKey, WithToken
from squero.api.house import House
from squero.errors import NotFound

_Call: TypeAlias = tuple[str, str]  # a method, and a path
_Found: TypeAlias = tuple[str, Route, str]  # with what its path begins with, and its template
_TEMPLATE: Final = "squero.template"


class Routes:
    """What finds the route of a call, or raises NotFound."""

    def __init__(self, house: House) -> None:
        listed = routes(house)
        self._router = _router(listed)
        self._plain = dict(_plain(listed))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Nearly every call names one of the few paths without a parameter: no pattern is tried.
        found = self._plain.get((scope["method"], scope["path"]))
        if found is None:
            return self._router(scope, receive, send)
        scope["root_path"], scope["route"], scope[_TEMPLATE] = found
        return found[1].app(scope, receive, send)


class _Absent(BaseRoute):
    """A call that there is not, although its path could be that of another with a parameter."""

    def __init__(self, path: str) -> None:
        self._path = path

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        here = scope["path"] == scope.get("root_path", "") + self._path
        return (Match.FULL if here else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotFound


def routes(house: House) -> list[BaseRoute]:
    """Every route of the server."""
    attempt = "/jobs/{queue_id:uuid}/{attempt:int}"
    analytics = billing.Analytics(house)
    return [
        _mount(
            "/api/v1",
            [
                _post("/video/quote", Open(house, video.quote)),
                _post("/video/queue", WithKey(house, video.queue, "video_queue")),
                _post("/video/retrieve", WithKey(house, video.retrieve, "video_retrieve")),
                _post("/video/complete", WithKey(house, video.complete)),
                _get("/models", Open(house, models.list_models)),
                _get("/models/traits", Open(house, models.traits)),
                _get("/models/compatibility_mapping", Open(house, models.compatibility_mapping)),
                _get("/api_keys", WithAdminKey(house, keys.list_keys)),
                _post("/api_keys", WithAdminKey(house, keys.create)),
                Route("/api_keys", WithAdminKey(house, keys.update), methods=["PATCH"]),
                Route("/api_keys", WithAdminKey(house, keys.delete), methods=["DELETE"]),
                _get("/api_keys/rate_limits", WithKey(house, rate_limits.read)),
                _get("/api_keys/rate_limits/log", WithAdminKey(house, rate_limits.read_log)),
                _Absent("/api_keys/generate_web3_key"),
                _get("/api_keys/{id}", WithAdminKey(house, keys.find)),
                _get("/billing/balance", WithAdminKey(house, billing.balance)),
                _get("/billing/usage", WithAdminKey(house, billing.list_usage)),
                _get("/billing/usage-history", WithAdminKey(house, billing.usage_history)),
                _get("/billing/usage-analytics", WithAdminKey(house, analytics.answer)),
            ],
        ),
        _mount(
            "/v1",
            [
                _post("/videos", WithKey(house, facade.create, "video_queue")),
                _get("/videos", WithKey(house, facade.list_videos, "video_retrieve")),
                _get("/videos/{id}", WithKey(house, facade.find, "video_retrieve")),
                _get("/videos/{id}/content", WithKey(house, facade.content, "video_retrieve")),
                Route("/videos/{id}", WithKey(house, facade.delete), methods=["DELETE"]),
            ],
        ),
        _mount(
            "/worker/v1",
            [
                _post("/claim", WithToken(house, workers.claim)),
                _get("/models", WithToken(house, workers.models)),
                _get("/prices", WithToken(house, prices.wanted)),
                _post("/prices", WithToken(house, prices.report)),
                _get(f"{attempt}/inputs/{{role}}", WithToken(house, workers.read_input)),
                _post(f"{attempt}/progress", WithToken(house, workers.progress)),
                Route(f"{attempt}/result", WithToken(house, workers.upload), methods=["PUT"]),
                _post(f"{attempt}/failure", WithToken(house, workers.fail)),
                _post(f"{attempt}/hand-back", WithToken(house, workers.hand_back)),
            ],
        ),
        _get("/doc/api/swagger.yaml", Open(house, docs.openapi)),
        _get("/docs", Open(house, docs.page)),
        _get("/health", Open(house, health.health)),
        _get("/metrics", Open(house, health.metrics)),
    ]


def template(scope: Scope) -> str:
    """The path of the route that was found, with its parameters' names; "none" without one."""
    known: str | None = scope.get(_TEMPLATE)
    if known is not None:
        return known
    route = scope.get("route")
    return f"{scope.get('root_path', '')}{route.path}" if isinstance(route, Route) else "none"


def _plain(routes: Iterable[BaseRoute], above: str = "") -> Iterator[tuple[_Call, _Found]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _plain(route.routes, above + route.path)
        elif isinstance(route, Route) and not route.param_convertors:
            for method in route.methods or ():
                yield (method, above + route.path), (above, route, above + route.path)


def _mount(path: str, routes: list[BaseRoute]) -> Mount:
    return Mount(path, _router(routes), name=path)


def _router(routes: list[BaseRoute]) -> Router:
    return Router(routes, redirect_slashes=False, default=_not_found)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise NotFound


def _get(path: str, gate: Open | WithKey | WithToken) -> Route:
    return Route(path, gate, methods=["GET"])


def _post(path: str, gate: Open | WithKey | WithToken) -> Route:
    return Route(path, gate, methods=["POST"])
