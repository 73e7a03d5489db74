"""The table of contents: every call, who may make it, and what answers it."""

from starlette.routing import BaseRoute, Mount, Route

from squero.api import health, models, video, workers
from squero.api.gate import Open, WithKey, WithToken
from squero.api.house import House


def routes(house: House) -> list[BaseRoute]:
    """Every route of the server."""
    attempt = "/jobs/{queue_id:uuid}/{attempt:int}"
    return [
        Mount(
            "/api/v1",
            routes=[
                _post("/video/quote", Open(house, video.quote)),
                _post("/video/queue", WithKey(house, video.queue, "video_queue")),
                _post("/video/retrieve", WithKey(house, video.retrieve, "video_retrieve")),
                _post("/video/complete", WithKey(house, video.complete)),
                _get("/models", Open(house, models.list_models)),
            ],
        ),
        Mount(
            "/worker/v1",
            routes=[
                _post("/claim", WithToken(house, workers.claim)),
                _get(f"{attempt}/inputs/{{role}}", WithToken(house, workers.read_input)),
                _post(f"{attempt}/progress", WithToken(house, workers.progress)),
                Route(f"{attempt}/result", WithToken(house, workers.upload), methods=["PUT"]),
                _post(f"{attempt}/failure", WithToken(house, workers.fail)),
                _post(f"{attempt}/hand-back", WithToken(house, workers.hand_back)),
            ],
        ),
        _get("/health", Open(house, health.health)),
        _get("/metrics", Open(house, health.metrics)),
    ]


def _get(path: str, gate: Open | WithKey | WithToken) -> Route:
    return Route(path, gate, methods=["GET"])


def _post(path: str, gate: Open | WithKey | WithToken) -> Route:
    return Route(path, gate, methods=["POST"])
