"""`make demo`: a video out of a picture, on a server that is started for it and stopped again.

Does with the real commands what the README tells to do by hand, in a home that is gone afterwards.
"""

import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

PICTURE = Path(__file__).with_name("lagoon.jpg")
PROMPT = "Slow dolly in over the lagoon at dusk"
RESOLUTION = "720p"
OUTPUT = Path("demo.mp4")

START_SECONDS = 90.0
STOP_SECONDS = 60.0
LOG_LINES = 40
INTERRUPTED = 130

COMMAND = (sys.executable, "-P", "-m", "squero")


class Broken(Exception):
    """A step that did not work; the message says which."""


def main() -> None:
    """Run the demo; ends with SystemExit 1, and the server's log, when a step fails."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="squero-demo-"))
    log = home / "serve.log"
    try:
        with _serving(home, log) as server:
            _make_video(home, server)
    except Broken as broken:
        _tell(log)
        sys.exit(f"The demo failed: {broken}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _say(f"The server is stopped. All of it took {time.monotonic() - began:.0f} s.")
    _say(f"Your video: {OUTPUT.absolute()}")


def _make_video(home: Path, server: str) -> None:
    _say("$ squero keys create")
    made = _run("keys", "create", "--home", str(home), quiet=True)
    ask = ("--image", os.path.relpath(PICTURE), "--resolution", RESOLUTION, "-o", str(OUTPUT))
    _say(f'$ squero video "{PROMPT}" {" ".join(ask)}')
    _run("video", PROMPT, *ask, "--server", server, key=made.strip())


@contextmanager
def _serving(home: Path, log: Path) -> Iterator[str]:
    """A server on a free port; gives its URL. Stopped at the end, whatever happens."""
    _say("$ squero serve")
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            (*COMMAND, "serve", "--port", "0", "--home", str(home)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(),
            # Ctrl-C is for us alone, who then stop the server in good order.
            start_new_session=True,
        )
    try:
        yield _address(server)
    finally:
        _stop(server)


def _address(server: subprocess.Popen[bytes]) -> str:
    """The URL that the server says it listens on."""
    assert server.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(server.stdout, selectors.EVENT_READ)
        if not selector.select(START_SECONDS):
            raise Broken(f"`squero serve` did not listen within {START_SECONDS:.0f} s")
    line = server.stdout.readline().decode().strip()
    if not line:
        raise Broken(f"`squero serve` ended with status {server.wait()}")
    _say(line)
    return line.rsplit(" ", 1)[-1]


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    if server.stdout is not None:
        server.stdout.close()


def _run(*words: str, key: str = "", quiet: bool = False) -> str:
    """Run a command of Squero's to its end; a quiet one's output is given instead of shown."""
    done = subprocess.run(
        (*COMMAND, *words), capture_output=quiet, text=True, env=_environment(key), check=False
    )
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode:
        _say(done.stderr or "")
        raise Broken(f"`squero {words[0]}` ended with status {done.returncode}")
    return done.stdout or ""


def _environment(key: str = "") -> dict[str, str]:
    """Ours without the settings of another Squero."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SQUERO_")}
    return plain | ({"SQUERO_API_KEY": key} if key else {})


def _tell(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    print("The last of the server's log:", *lines[-LOG_LINES:], sep="\n  ", file=sys.stderr)


def _say(text: str) -> None:
    print(text, flush=True)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
