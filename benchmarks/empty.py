"""What answers are measured against: Starlette under our own uvicorn configuration, doing nothing.

`python -m benchmarks.empty [FILE]` prints its port and serves: an empty answer at `/`, one that
reads the body and drops it at `/drop`, the file as it lies on the disk at `/file`, and at
`/v1/videos` what OpenAI would say of a video, which is all that a proxy needs behind it.
"""

import socket
import sys

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from squero.api.http import config

VIDEO = {
    "id": "video_0123456789abcdef",
    "object": "video",
    "model": "sora-2",
    "status": "queued",
    "progress": 0,
    "created_at": 1_764_547_200,
    "seconds": "4",
    "size": "1280x720",
}


async def empty(request: Request) -> Response:
    """Nothing."""
    return Response()


async def drop(request: Request) -> Response:
    """Nothing, once the whole body has come."""
    async for _ in request.stream():
        pass
    return Response()


async def file(request: Request) -> Response:
    """The file that the command line names."""
    return FileResponse(sys.argv[1])


async def video(request: Request) -> Response:
    """The same waiting video, whatever is asked."""
    async for _ in request.stream():
        pass
    return JSONResponse(VIDEO)


def main() -> None:
    """Serve until SIGTERM."""
    routes = [
        Route("/", empty, methods=["GET", "POST"]),
        Route("/drop", drop, methods=["POST"]),
        Route("/file", file, methods=["GET", "POST"]),
        Route("/v1/videos", video, methods=["POST"]),
        Route("/v1/videos/{id}", video, methods=["GET"]),
    ]
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server = uvicorn.Server(config(Starlette(routes=routes), lifespan="off"))
    uvloop.run(server.serve([listener]))


if __name__ == "__main__":
    main()
