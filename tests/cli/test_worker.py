"""`squero worker` before it works: what it refuses, and in which words."""

import importlib
from pathlib import Path

import pytest

from squero.worker import TokenRefused

command = importlib.import_module("squero.cli.worker")
"""The module: `squero.cli` has a function of this name."""

HOME = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUERO_WORKER_TOKEN", raising=False)
    monkeypatch.delenv("SQUERO_WORKER_PARENT", raising=False)
    monkeypatch.setattr(command, "configure_logs", lambda: None)


def refused(capsys: pytest.CaptureFixture[str], server: str, file: Path | None) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        command.run(server, file)
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("server", ["http://example.com", "http://192.0.2.1:8800", "ftp://x", ""])
def test_a_server_that_would_be_told_in_the_clear(
    capsys: pytest.CaptureFixture[str], server: str
) -> None:
    code, said = refused(capsys, server, None)
    assert code == 2
    assert "https://" in said


def test_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refused(capsys, HOME, None)
    assert code == 2
    assert "SQUERO_WORKER_TOKEN" in said
    assert "--token-file" in said


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"], ids=["missing", "empty", "binary"])
def test_a_token_file_without_a_token(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    code, said = refused(capsys, HOME, file)
    assert code == 2
    assert str(file) in said


def test_a_token_that_cannot_be_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("two words")
    code, said = refused(capsys, HOME, file)
    assert code == 2
    assert "two words" not in said


def test_a_token_that_the_server_refuses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(server: str, token: str) -> None:
        assert (server, token) == ("http://localhost:1", "token")
        raise TokenRefused

    monkeypatch.setattr(command, "work", work)
    monkeypatch.setenv("SQUERO_WORKER_TOKEN", "token")
    code, said = refused(capsys, "http://localhost:1", None)
    assert code == 1
    assert "squero workers create" in said
