"""The command line before it does anything: quick, and with words for everything."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from squero import __version__
from squero.cli import app

CPU_SECONDS = 0.5
HEAVY = {"av", "cv2", "numpy", "psycopg", "pydantic", "httpx", "rich", "starlette", "structlog"}


def commands(group: object, *words: str) -> Iterator[tuple[str, ...]]:
    """Every command, by its words."""
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *words, name)


ALL = list(commands(typer.main.get_command(app)))


def test_every_command_is_known() -> None:
    names = {words[0] for words in ALL if words}
    assert names >= {"serve", "worker", "migrate", "video", "keys", "ledger", "workers", "doctor"}


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    usage, _, rest = done.output.partition("\n\n")
    assert usage.lower().startswith("usage:")
    assert rest.strip()[0].isalnum(), "Nothing says what it is for"


def test_version() -> None:
    assert CliRunner().invoke(app, ["version"]).output == f"{__version__}\n"


def test_unknown_command_says_so() -> None:
    done = CliRunner().invoke(app, ["sevre"])
    assert done.exit_code == 2
    assert "sevre" in done.output


def cpu_seconds() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "squero", "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick() -> None:
    assert min(cpu_seconds() for _ in range(3)) < CPU_SECONDS


def test_help_imports_nothing_heavy() -> None:
    words = "import sys, squero.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", words], check=True, capture_output=True, text=True, env=os.environ
    )
    assert HEAVY.isdisjoint(done.stdout.split())
