"""What the commands share: settings that are refused in words."""

import os
from pathlib import Path

import pytest

from squero.cli.base import load_settings


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
