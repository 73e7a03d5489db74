"""What answers are measured against: Starlette under our own uvicorn configuration, doing nothing.

`python -m benchmarks.empty [FILE]` prints its port and serves: an empty answer at `/`, one that
reads the body and drops it at `/drop`, and the file as it lies on the disk at `/file`.
"""

import socket
import sys

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from squero.api.http import config


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


def main() -> None:
    """Serve until SIGTERM."""
    routes = [
        Route("/", empty, methods=["GET", "POST"]),
        Route("/drop", drop, methods=["POST"]),
        Route("/file", file, methods=["GET", "POST"]),
    ]
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server = uvicorn.Server(config(Starlette(routes=routes), lifespan="off"))
    uvloop.run(server.serve([listener]))


if __name__ == "__main__":
    main()
