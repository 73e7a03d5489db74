"""The demo: the file it leaves, and that it leaves nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"

pytestmark = pytest.mark.acceptance


def test_makes_a_video_and_leaves_nothing_else(tmp_path: Path) -> None:
    room, place = _folders(tmp_path)
    done = subprocess.run(
        _command(), cwd=place, env=_environment(room), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [file.name for file in place.iterdir()] == ["demo.mp4"]
    assert list(room.iterdir()) == []
    with av.open(str(place / "demo.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, stream.frames) == (1280, 720, 120)


def test_says_what_the_server_said_when_it_fails(tmp_path: Path) -> None:
    room, place = _folders(tmp_path)
    script = (
        "import pathlib, runpy, tempfile\n"
        "make = tempfile.mkdtemp\n"
        "def spoil(**names):\n"
        "    home = pathlib.Path(make(**names))\n"
        "    (home / 'secret').write_bytes(b'short')\n"
        "    (home / 'secret').chmod(0o600)\n"
        "    return str(home)\n"
        "tempfile.mkdtemp = spoil\n"
        f"runpy.run_path({str(DEMO)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", script),
        cwd=place,
        env=_environment(room),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "The last of the server's log:" in done.stderr
    assert "has 5 bytes" in done.stderr
    assert "The demo failed" in done.stderr
    assert list(place.iterdir()) == list(room.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_what_it_started_when_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    room, place = _folders(tmp_path)
    demo = subprocess.Popen(
        _command(), cwd=place, env=_environment(room), stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    with demo.stdout as said:
        for line in said:
            if line.startswith("Squero is listening"):
                demo.send_signal(number)
                break
        said.read()
    assert demo.wait() == 128 + number
    assert list(room.iterdir()) == []


def _command() -> tuple[str, ...]:
    return sys.executable, str(DEMO)


def _folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder for temporary files, and one to stand in."""
    folders = tmp_path / "t", tmp_path / "place"
    for folder in folders:
        folder.mkdir()
    return folders


def _environment(room: Path) -> dict[str, str]:
    root = str(DEMO.parents[1])
    return os.environ | {"TMPDIR": str(room), "PYTHONPATH": root}
