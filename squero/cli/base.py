"""What the commands share: refusing in plain words, settings, logs, and the database of a home."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import structlog
from psycopg import OperationalError
from pydantic import ValidationError

from squero.settings import Settings
from squero.store import embedded
from squero.store.migrate import migrate, pending


def refuse(message: str, code: int = 1) -> NoReturn:
    """End the command with a sentence that says what to do."""
    print(message, file=sys.stderr)
    raise SystemExit(code)


def say(message: str) -> None:
    """A line for people, on standard error so that standard output stays the result alone."""
    print(message, file=sys.stderr, flush=True)


def load_settings(home: Path | None) -> Settings:
    """The settings of this home; refuses what cannot be."""
    try:
        return Settings() if home is None else Settings(home=home)
    except ValidationError as wrong:
        lines = [f"  {'.'.join(map(str, error['loc']))}: {error['msg']}" for error in wrong.errors()]
        refuse("\n".join(["These settings cannot be used:", *lines]), 2)


def configure_logs() -> None:
    """Logs on standard error: for eyes on a terminal, else a JSON object a line."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries may log what a customer sent; their warnings are enough.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """The URL of a database with the present schema: the home's own, or the one that is set."""
    if settings.database_url is None:
        with _embedded(settings) as url:
            asyncio.run(migrate(url))
            yield url
        return
    url = settings.database_url.get_secret_value()
    try:
        missing = asyncio.run(pending(url))
    except OperationalError:
        refuse("The database at SQUERO_DATABASE_URL does not answer: is it running and reachable?")
    if missing:
        refuse(f"The database lacks migrations {missing}: run `squero migrate` first.")
    yield url


@contextmanager
def _embedded(settings: Settings) -> Iterator[str]:
    try:
        cluster = embedded.start(settings.home)
    except embedded.EmbeddedError as error:
        refuse(str(error))
    except PermissionError as error:
        refuse(f"{error.filename}: not allowed. Choose another home with --home or SQUERO_HOME.")
    try:
        yield cluster.url
    finally:
        cluster.stop()
