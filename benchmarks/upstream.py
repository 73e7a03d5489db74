"""An upstream whose jobs take a set time and come to a set file, in both dialects.

`python -m benchmarks.upstream FILE SECONDS…` prints its port and serves. There is a model for each
number of seconds that a job may take: those of `wan-2` take two.
"""

import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from squero.api.http import config

LISTED = {"resolutions": ["480p"], "aspect_ratios": [], "audio_configurable": False}


@dataclass(frozen=True, slots=True)
class Job:
    """A job that is done at a moment."""

    began: float
    seconds: float

    @property
    def share(self) -> float:
        """How much of it is over."""
        return min(1.0, (time.monotonic() - self.began) / self.seconds)


class Upstream:
    """Its jobs, by number."""

    def __init__(self, file: str, paces: Sequence[str]) -> None:
        self._file = file
        self._paces = paces
        self._numbers = count(1)
        self._jobs: dict[str, Job] = {}

    def take(self, fields: Mapping[str, Any]) -> str:
        """A new job's id."""
        name = f"job_{next(self._numbers)}"
        self._jobs[name] = Job(time.monotonic(), float(fields["model"].partition("-")[2]))
        return name

    async def create(self, request: Request) -> Response:
        """POST /v1/videos, in JSON or as a form."""
        if request.headers["content-type"].startswith("application/json"):
            name = self.take(json.loads(await request.body()))
        else:
            async with request.form() as form:
                name = self.take({"model": str(form["model"])})
        return JSONResponse({"id": name, "object": "video", "status": "queued", "progress": 0})

    async def find(self, request: Request) -> Response:
        """GET /v1/videos/{id}."""
        share = self._jobs[name := request.path_params["id"]].share
        status = "completed" if share == 1 else "in_progress"
        body = {"id": name, "object": "video", "status": status, "progress": int(100 * share)}
        return JSONResponse(body)

    async def content(self, request: Request) -> Response:
        """GET its content."""
        return FileResponse(self._file, media_type="video/mp4")

    async def delete(self, request: Request) -> Response:
        """DELETE it."""
        name = request.path_params["id"]
        return JSONResponse({"id": name, "object": "video.deleted", "deleted": True})

    async def models(self, request: Request) -> Response:
        """GET /api/v1/models."""
        spec = {"constraints": LISTED}
        names = [f"wan-{seconds}" for seconds in self._paces]
        data = [{"id": name, "type": "video", "model_spec": spec} for name in names]
        return JSONResponse({"object": "list", "data": data})

    async def queue(self, request: Request) -> Response:
        """POST /api/v1/video/queue."""
        fields = json.loads(await request.body())
        return JSONResponse({"model": fields["model"], "queue_id": self.take(fields)})

    async def retrieve(self, request: Request) -> Response:
        """POST /api/v1/video/retrieve."""
        job = self._jobs[json.loads(await request.body())["queue_id"]]
        if job.share == 1:
            return await self.content(request)
        times = {
            "average_execution_time": int(1000 * job.seconds),
            "execution_duration": int(1000 * job.seconds * job.share),
        }
        return JSONResponse({"status": "PROCESSING", **times})

    async def complete(self, request: Request) -> Response:
        """POST /api/v1/video/complete."""
        await request.body()
        return JSONResponse({"success": True})


def main() -> None:
    """Serve until SIGTERM."""
    upstream = Upstream(sys.argv[1], sys.argv[2:])
    app = Starlette(
        routes=[
            Route("/v1/videos", upstream.create, methods=["POST"]),
            Route("/v1/videos/{id}", upstream.find, methods=["GET"]),
            Route("/v1/videos/{id}", upstream.delete, methods=["DELETE"]),
            Route("/v1/videos/{id}/content", upstream.content, methods=["GET"]),
            Route("/api/v1/models", upstream.models, methods=["GET"]),
            Route("/api/v1/video/queue", upstream.queue, methods=["POST"]),
            Route("/api/v1/video/retrieve", upstream.retrieve, methods=["POST"]),
            Route("/api/v1/video/complete", upstream.complete, methods=["POST"]),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server = uvicorn.Server(config(app, lifespan="off"))
    uvloop.run(server.serve([listener]))


if __name__ == "__main__":
    main()
