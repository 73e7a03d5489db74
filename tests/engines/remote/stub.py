"""Upstreams of the tests: a server of either shape that does what the test wants of each call.

The shapes are the public ones: the Videos object with its `status`, `progress` and `error`, and the
four calls of the Venice API.
"""

import base64
import json
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PICTURES = (b"\x89PNG", b"\xff\xd8")
Step = Callable[[], Response | None]
"""What happens in place of a call, once; None: what happens otherwise, afterwards."""


def film(
    width: int = 96, height: int = 64, frames: int = 12, fps: int = 12, flags: str = "+faststart"
) -> bytes:
    """A small MP4 without sound."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w", format="mp4", options={"movflags": flags}) as container:
            video = container.add_stream("libx264", rate=fps)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            for number in range(frames):
                picture = np.full((height, width, 3), 5 * number % 256, np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode(None))
        return Path(file.name).read_bytes()


@dataclass
class Upstream:
    """The server's state: its jobs, what it was asked, and what is to go wrong next."""

    polls: int = 2
    """How often a job is found under way before it is done."""
    video: bytes = field(default_factory=film)
    heeds_keys: bool = True
    steps: dict[str, list[Step]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    by_key: dict[str, str] = field(default_factory=dict)
    authorization: str | None = None
    url: str = ""
    quote: str = '{"quote": 0.1}'
    """What it answers to a question for the price."""
    quoted: list[dict[str, Any]] = field(default_factory=list)
    offline: bool = False
    tells: str = ""
    """Which call tells the address of a video that lies at one: "create", "status", or "nobody"."""
    address: str | None = None
    """What is told in place of the true one."""

    @property
    def paid(self) -> int:
        """How many jobs were taken."""
        return len(self.jobs)

    def plan(self, call: str, *steps: Step) -> None:
        """What the next calls of this name meet."""
        self.steps.setdefault(call, []).extend(steps)

    def meet(self, call: str, request: Request) -> Response | None:
        self.calls[call] += 1
        self.authorization = request.headers.get("authorization")
        steps = self.steps.get(call)
        return steps.pop(0)() if steps else None

    def take(self, request: Request, fields: dict[str, Any]) -> str:
        key = request.headers.get("idempotency-key", "")
        if self.heeds_keys and key in self.by_key:
            return self.by_key[key]
        name = f"video_{len(self.jobs) + 1}"
        self.jobs[name] = fields | {"polls": 0}
        self.by_key[key] = name
        return name

    def told(self, call: str, name: str) -> dict[str, str]:
        """What this call says of where the video lies."""
        address = self.address or f"{self.url}/files/{name}?sign=secret"
        return {"download_url": address} if self.tells == call else {}

    def share(self, name: str) -> float:
        job = self.jobs[name]
        job["polls"] += 1
        return min(1.0, (job["polls"] - 1) / self.polls)


def says(code: int, **body: Any) -> Step:
    """An answer with this code."""
    return lambda: JSONResponse(body or {"error": {"message": "no"}}, code)


def openai_videos(upstream: Upstream) -> Starlette:
    """POST, GET and DELETE /v1/videos."""

    async def create(request: Request) -> Response:
        if found := upstream.meet("create", request):
            return found
        try:
            async with request.form() as form:
                fields: dict[str, Any] = {}
                for name, value in form.items():
                    is_text = isinstance(value, str)
                    fields[name] = value if is_text else (value.content_type, await value.read())
        except MultiPartException:
            return JSONResponse({"error": {"message": "no form"}}, 400)
        if not is_picture(fields.get("input_reference", ("", PICTURES[0]))[1]):
            return JSONResponse({"error": {"message": "no picture"}}, 400)
        name = upstream.take(request, fields)
        if late := upstream.meet("created", request):
            return late
        return JSONResponse({"id": name, "object": "video", "status": "queued", "progress": 0})

    async def status(request: Request) -> Response:
        name = request.path_params["name"]
        if found := upstream.meet("status", request):
            return found
        if name not in upstream.jobs or name in upstream.deleted:
            return JSONResponse({"error": {"message": "not found"}}, 404)
        share = upstream.share(name)
        word = "completed" if share == 1 else "in_progress"
        body = {"id": name, "object": "video", "status": word, "progress": int(share * 100)}
        return JSONResponse(body)

    async def content(request: Request) -> Response:
        if found := upstream.meet("content", request):
            return found
        return Response(upstream.video, media_type="video/mp4")

    async def delete(request: Request) -> Response:
        if found := upstream.meet("delete", request):
            return found
        name = request.path_params["name"]
        if name not in upstream.deleted:
            upstream.deleted.append(name)
        return JSONResponse({"id": name, "object": "video.deleted", "deleted": True})

    async def models(request: Request) -> Response:
        return upstream.meet("models", request) or JSONResponse({"object": "list", "data": []})

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/videos", create, methods=["POST"]),
            Route("/v1/videos/{name}", status),
            Route("/v1/videos/{name}", delete, methods=["DELETE"]),
            Route("/v1/videos/{name}/content", content),
        ]
    )


def venice(upstream: Upstream, constraints: dict[str, Any] | None = None) -> Starlette:
    """The model list, and queue, retrieve, complete."""
    listed = {"resolutions": ["480p"], "aspect_ratios": ["16:9", "1:1"], "audio_configurable": True}

    async def models(request: Request) -> Response:
        if found := upstream.meet("models", request):
            return found
        spec = {"constraints": listed if constraints is None else constraints}
        spec |= {"offline": upstream.offline}
        return JSONResponse({"data": [{"id": "wan", "type": "video", "model_spec": spec}]})

    async def quote(request: Request) -> Response:
        upstream.quoted.append(json.loads(await request.body()))
        if found := upstream.meet("quote", request):
            return found
        return Response(upstream.quote, media_type="application/json")

    async def queue(request: Request) -> Response:
        if found := upstream.meet("create", request):
            return found
        fields = json.loads(await request.body())
        data = fields.get("image_url", "").partition(",")[2]
        if data and not is_picture(base64.b64decode(data)):
            return JSONResponse({"error": "Invalid request parameters"}, 400)
        name = upstream.take(request, fields)
        if late := upstream.meet("created", request):
            return late
        return JSONResponse({"model": "wan", "queue_id": name} | upstream.told("create", name))

    async def retrieve(request: Request) -> Response:
        if found := upstream.meet("status", request):
            return found
        name = json.loads(await request.body())["queue_id"]
        if name not in upstream.jobs:
            return JSONResponse({"error": "Request ID is invalid."}, 400)
        share = upstream.share(name)
        if share < 1:
            times = {"average_execution_time": 1000, "execution_duration": int(share * 1000)}
            return JSONResponse({"status": "PROCESSING"} | times)
        if upstream.tells:
            return JSONResponse({"status": "COMPLETED"} | upstream.told("status", name))
        return Response(upstream.video, media_type="video/mp4")

    async def complete(request: Request) -> Response:
        if found := upstream.meet("delete", request):
            return found
        upstream.deleted.append(json.loads(await request.body())["queue_id"])
        return JSONResponse({"success": True})

    async def file(request: Request) -> Response:
        if found := upstream.meet(f"{request.method} file", request):
            return found
        if request.query_params.get("sign") != "secret":
            return Response(status_code=404)
        return Response(upstream.video, media_type="video/mp4")

    return Starlette(
        routes=[
            Route("/api/v1/models", models),
            Route("/api/v1/video/quote", quote, methods=["POST"]),
            Route("/api/v1/video/queue", queue, methods=["POST"]),
            Route("/api/v1/video/retrieve", retrieve, methods=["POST"]),
            Route("/api/v1/video/complete", complete, methods=["POST"]),
            Route("/files/{name}", file, methods=["GET", "DELETE"]),
        ]
    )


def is_picture(data: bytes) -> bool:
    return data.startswith(PICTURES)


def breaks_off(video: bytes) -> Step:
    """Half of the content, and then the connection's end."""

    async def half() -> Any:
        yield video[: len(video) // 2]
        raise ConnectionResetError

    headers = {"content-length": str(len(video)), "etag": '"film"'}
    return lambda: StreamingResponse(half(), media_type="video/mp4", headers=headers)


@contextmanager
def serving(app: Starlette, upstream: Upstream, port: int = 0) -> Iterator[Upstream]:
    """The server at `upstream.url`, on a thread of its own."""
    listener = socket.create_server(("127.0.0.1", port))
    upstream.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
