"""What the commands share: refusing in plain words, settings, and logs."""

import logging
import sys
import tomllib
from pathlib import Path
from typing import Final, NoReturn

import structlog
from pydantic import ValidationError
from structlog.typing import EventDict, WrappedLogger

from squero.settings import HomeUnknown, Settings

LOGGED: Final = frozenset(
    (
        *("event", "level", "timestamp", "queue_id", "attempt", "model", "models", "kind", "why"),
        *("error", "at", "work", "code", "pid", "says"),
        *("count", "wanted", "told", "failures", "seconds"),
    )
)
"""What a line of a log may hold; none of it is a customer's. Whatever else it is given is dropped,
and with it every traceback, whose last line may quote a prompt."""


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
    except HomeUnknown as unknown:
        refuse(f"{unknown}.", 2)
    except tomllib.TOMLDecodeError as broken:
        refuse(f"The home's squero.toml cannot be read: {broken}.", 2)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}.", 2)
    except ValidationError as wrong:
        lines = [
            f"  {'.'.join(map(str, error['loc']))}: {error['msg']}" for error in wrong.errors()
        ]
        refuse("\n".join(["These settings cannot be used:", *lines]), 2)


def configure_logs() -> None:
    """Logs on standard error: for eyes on a terminal, else a JSON object a line."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_listed,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries may log what a customer sent; their warnings are enough.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")


def _only_listed(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    return {name: value for name, value in line.items() if name in LOGGED}
