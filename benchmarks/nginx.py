"""nginx handing out one file unsealed, where it is installed: what a download is held against."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.server import Server
from benchmarks.stage import cores

_CONF = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
error_log {folder}/nginx.log; events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000; client_body_temp_path {folder}/b;
    proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; location = /file {{ alias {file}; }} }}
}}
"""


@asynccontextmanager
async def nginx(file: Path) -> AsyncIterator[Server | None]:
    """nginx on the server's core with the file at `/file`; None when it is not installed."""
    if (program := shutil.which("nginx")) is None:
        yield None
        return
    port, conf = _free_port(), file.parent / "nginx.conf"
    conf.write_text(_CONF.format(folder=file.parent, port=port, file=file))
    process = await asyncio.create_subprocess_exec(program, "-c", str(conf))
    os.sched_setaffinity(process.pid, {cores()[0]})
    try:
        await _answers(port)
        yield Server(process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def _answers(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    raise RuntimeError("nginx did not start")
