"""An engine that does something else when it is made, asked what is missing, or loaded."""

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from squero.engines import Tell
from squero.shot import BadInput, Shot


class Wilful:
    """`deed` says what."""

    def __init__(self, deed: str = "", upstreams: tuple[str, ...] = ()) -> None:
        print(f"a print of {deed}", flush=True)
        match deed:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave":
                sys.exit(3)
            case "hang":
                threading.Event().wait()
            case "refuse":
                raise BadInput("options.deed:  it is\nrefused")
            case "fail":
                raise KeyError("weights")
            case "import":
                importlib.import_module("no_such_module")
            case "garble":
                for number in range(3, 10):
                    with contextlib.suppress(OSError):
                        os.write(number, b"nothing\n")
        self.deed = deed

    def missing(self, constraints: Mapping[str, object] | None) -> str | None:
        match self.deed:
            case "constraints":
                return f"It cannot do {constraints}"
            case "environment":
                names = ("SQUERO_WORKER_TOKEN", "UPSTREAM_FAR_KEY", "HERE")
                return f"{[name for name in names if name in os.environ]} in {Path.cwd()}"
            case "long":
                return "x" * 10_000
            case "crash":
                raise RuntimeError("in missing")
        return None

    def load(self) -> None:
        if self.deed == "linger":
            Path(os.environ["LINGERS"]).write_text(str(os.getpid()))
            threading.Event().wait()
        raise RuntimeError("in load")

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        raise AssertionError
