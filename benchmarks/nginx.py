"""nginx handing out one file unsealed, where it is installed: what a download is held against."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.server import Server, free_port, listening

_CONF = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
error_log {folder}/nginx.log; events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; location = /file {{ alias {file}; }} }}
}}
"""


@asynccontextmanager
async def nginx(file: Path) -> AsyncIterator[Server | None]:
    """nginx on the server's core with the file at `/file`; None when it is not installed."""
    if (program := shutil.which("nginx")) is None:
        yield None
        return
    port, folder = free_port(), file.parent
    conf = folder / "nginx.conf"
    conf.write_text(_CONF.format(folder=folder, port=port, file=file))
    async with listening([program, "-c", str(conf)], port) as server:
        yield server
