"""What the commands share: settings that are refused in words, and what is logged."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import squero
from squero.cli.base import LOGGED, load_settings

METHODS = ("debug", "info", "warning", "error", "critical", "exception")
TELLING = """
import structlog
from squero.cli.base import configure_logs
configure_logs()
log = structlog.get_logger("a plug-in")
log.info("asked", model="m", prompt="SECRET", url="SECRET")
try:
    raise ValueError("SECRET")
except ValueError:
    log.exception("broken")
    log.error("broken", exc_info=True, stack_info=True, at="here")
"""


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of whom neither the environment nor the system knows a home."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in [name for name in os.environ if name.startswith("SQUERO_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(Path, "home", unknown)


@pytest.mark.usefixtures("stranger")
class TestUserWithoutAHome:
    def test_is_told_what_to_choose(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            load_settings(None)
        assert "choose --home or SQUERO_HOME" in capsys.readouterr().err

    def test_may_choose(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert load_settings(tmp_path).home == tmp_path
        monkeypatch.setenv("SQUERO_HOME", str(tmp_path))
        assert load_settings(None).home == tmp_path
        monkeypatch.delenv("SQUERO_HOME")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert load_settings(None).home == tmp_path / "squero"


def fields_logged() -> Iterator[str]:
    """The name of each field that a call of `log` in our own code gives."""
    for path in Path(squero.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(ast.Name("log"), method)) if method in METHODS:
                    yield from (word.arg for word in node.keywords if word.arg)


class TestLogs:
    def test_hold_what_is_listed_alone(self) -> None:
        words = [sys.executable, "-c", TELLING]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        assert "SECRET" not in done.stderr
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert [line["event"] for line in lines] == ["asked", "broken", "broken"]
        assert all(line.keys() <= LOGGED for line in lines)
        assert (lines[0]["model"], lines[2]["at"]) == ("m", "here")

    def test_all_that_we_log_is_listed(self) -> None:
        named = set(fields_logged())
        assert len(named) > 10
        assert named <= LOGGED
