"""`squero engines`: what it shows, and what it does to load one."""

import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from squero.cli import app

# In `squero.cli` this name is the command.
command = importlib.import_module("squero.cli.engines")

PLUGIN = Path(__file__).parents[1] / "engines" / "plugin"
ENTRY = """
id = "{id}"
name = "Mine"
description = "d"
created = 1
engine = "{engine}"
options = {{ {options} }}
{more}
usd_per_second = {{ 720p = "0.02" }}
render_seconds_per_second = {{ 720p = 1 }}
[constraints]
model_type = "text-to-video"
durations = ["5s"]
resolutions = ["720p"]
aspect_ratios = []
audio = false
audio_configurable = false
"""
Engines = Callable[..., tuple[str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without entries, and a third party's engines beside ours."""
    monkeypatch.delenv("SQUERO_HOME", raising=False)
    monkeypatch.syspath_prepend(str(PLUGIN))
    # Loggers are kept, and other tests have other ideas of where they write.
    monkeypatch.setattr(command, "configure_logs", lambda: None)
    (tmp_path / "home" / "models").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def add(home: Path) -> Callable[..., None]:
    """Put an entry into the home."""

    def write(id: str, engine: str, options: str = "", more: str = "") -> None:  # noqa: A002
        text = ENTRY.format(id=id, engine=engine, options=options, more=more)
        (home / "models" / f"{id}.toml").write_text(text)

    return write


@pytest.fixture
def engines(home: Path, capsys: pytest.CaptureFixture[str]) -> Engines:
    """The command on this home: what it wrote out and said; `status=…` is how it must end."""

    def run(*words: str, status: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            app(["engines", *words, "--home", str(home)])
        found = capsys.readouterr()
        assert (ended.value.code or 0) == status, found
        return found.out, found.err

    return run


def test_shows_what_is_installed_and_what_loads(add: Callable[..., None], engines: Engines) -> None:
    add("calm", "wilful")
    add("cross", "wilful", 'deed = "refuse"')
    add("large", "wilful", more="needs = { ram_gb = 90000 }")
    add("own", "moon")
    out, said = engines()
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    assert rows[0] == ["engine", "package", "models", "can be loaded here"]
    wilful = "squero-wilful 1.0"
    assert ["wilful", wilful, "calm", "yes"] in rows
    assert ["wilful", wilful, "cross", "no: options.deed: it is refused"] in rows
    assert ["wayward", wilful, "–", "–"] in rows
    (large,) = (row for row in rows if row[2] == "large")
    assert large[3].startswith("no: It needs 90000 GB of RAM and there are ")
    (moon,) = (row for row in rows if row[0] == "moon")
    assert moon[1:3] == ["not installed", "own"]
    (motion,) = (row for row in rows if row[0] == "motion")
    assert re.fullmatch(r"squero [\d.]+", motion[1])
    assert re.fullmatch(r"[\w-]+, [\w-]+, [\w-]+ and \d+ more", motion[2])
    assert motion[3] == "yes"
    assert re.fullmatch(r"This machine: .+; [\d.]+ GB of RAM\.\n", said)


class TestLoad:
    def test_says_what_it_took(self, engines: Engines) -> None:
        out, said = engines("--load", "motion-text-to-video")
        assert re.fullmatch(
            r"motion-text-to-video: loaded in \d+\.\d s, with \d+\.\d GB of RAM\n", out
        )
        assert said == "Loading motion-text-to-video\n"

    def test_of_one_that_lacks_something(self, add: Callable[..., None], engines: Engines) -> None:
        add("cross", "wilful", 'deed = "refuse"')
        out, said = engines("--load", "cross", status=1)
        assert out == ""
        assert said.endswith("\ncross: options.deed: it is refused.\n")

    def test_of_one_that_fails(self, add: Callable[..., None], engines: Engines) -> None:
        add("calm", "wilful")
        _, said = engines("--load", "calm", status=1)
        assert re.search(r"\ncalm: .*RuntimeError at squero_wilful\.py", said)

    def test_of_an_unknown_model(self, engines: Engines) -> None:
        _, said = engines("--load", "motion-text-to-vido", status=2)
        assert "Did you mean: motion-text-to-video?" in said

    def test_ends_the_engine_on_ctrl_c(
        self, add: Callable[..., None], home: Path, tmp_path: Path
    ) -> None:
        add("slow", "wilful", 'deed = "linger"')
        os.mkfifo(tmp_path / "lingers")
        environment = {"PYTHONPATH": str(PLUGIN), "LINGERS": str(tmp_path / "lingers")}
        process = subprocess.Popen(
            (sys.executable, "-m", "squero", "engines", "--load=slow", f"--home={home}"),
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        engine = psutil.Process(int((tmp_path / "lingers").read_text()))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.startswith("Loading slow\n")
        assert said.endswith("\nStopped.\n")
        engine.wait(timeout=60)


def test_a_catalogue_that_cannot_be_read(home: Path, engines: Engines) -> None:
    (home / "models" / "own.toml").write_text("id = ")
    _, said = engines(status=1)
    assert "own.toml" in said
