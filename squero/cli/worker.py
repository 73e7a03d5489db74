"""`squero worker`: render for a server, with nothing but its URL and a token."""

import asyncio
import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from squero.cli.base import configure_logs, refuse
from squero.lifeline import die_with_parent
from squero.worker import TokenRefused, work

_PARENT = "SQUERO_WORKER_PARENT"


def run(server: str, token_file: Path | None) -> None:
    """Work until SIGTERM or Ctrl-C; ends with SystemExit when it cannot."""
    parent = os.environ.pop(_PARENT, None)
    if parent is not None:
        die_with_parent(int(parent))
    elif not _is_private(server):
        refuse("A worker's jobs are private: beyond this machine use an https:// URL.", 2)
    token = os.environ.pop("SQUERO_WORKER_TOKEN", "") or _read(token_file)
    configure_logs()
    try:
        asyncio.run(work(server, token))
    except TokenRefused:
        refuse("The server does not take this token: make one with `squero workers create`.")
    except ValueError as wrong:
        refuse(f"{server}: {wrong}", 2)
    except KeyboardInterrupt:  # before the loop had its own handler
        raise SystemExit(0) from None


def _read(token_file: Path | None) -> str:
    if token_file is None:
        refuse("No token: set SQUERO_WORKER_TOKEN or name a --token-file.", 2)
    try:
        token = token_file.read_text("ascii").strip()
    except OSError as error:
        refuse(f"{token_file}: {error.strerror}.", 2)
    except ValueError:
        token = ""
    return token or refuse(
        f"{token_file} holds no token: make one with `squero workers create`.", 2
    )


def _is_private(server: str) -> bool:
    parts = urlsplit(server)
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"
