"""What the commands on a home's records are tried on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from squero.cli import app


@pytest.fixture
def records(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose database is the test's."""
    monkeypatch.setenv("SQUERO_DATABASE_URL", database_url)
    return tmp_path / "home"


@pytest.fixture
def squero(records: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """A command on these records: `squero("accounts", "list")` gives what it wrote out and said.

    `status=…` is how it must end.
    """

    def run(*words: str, status: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            app([*words, "--home", str(records)])
        found = capsys.readouterr()
        assert (ended.value.code or 0) == status, found
        return found.out, found.err

    return run


@pytest.fixture
def refused(squero: Callable[..., tuple[str, str]]) -> Callable[..., str]:
    """The words of a command that ends with this status and writes nothing out."""

    def run(*words: str, status: int = 1) -> str:
        out, said = squero(*words, status=status)
        assert out == ""
        return said

    return run
