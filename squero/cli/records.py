"""What the commands on a home's records share: the way to them, checked words, and tables."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout
from rich.console import Console
from rich.table import Table
from rich.text import Text

from squero.app import open_yard
from squero.cli.base import load_settings, refuse
from squero.cli.database import open_database
from squero.domain.catalog import CatalogError
from squero.domain.yard import Yard
from squero.media.keyring import SecretRefused
from squero.money import micros_from_usd

Result = TypeVar("Result")

_WIDEST = 1000


def work(home: Path | None, verb: Callable[[Yard], Awaitable[Result]]) -> Result:
    """What the verb gives, on the yard of this home, whether its server runs or not."""
    settings = load_settings(home)

    async def run(url: str) -> Result:
        async with open_yard(settings, url) as yard:
            return await verb(yard)

    try:
        with open_database(settings) as database:
            return asyncio.run(run(database.url))
    except (CatalogError, SecretRefused) as error:
        refuse(str(error))
    except (DatabaseError, PoolTimeout) as error:
        refuse(f"The database did not do as asked ({type(error).__name__}): try again.")


def micros(name: str, text: str, *, nothing: bool = False) -> int:
    """The micros of an argument; refuses what is no amount, and 0 unless `nothing` is one."""
    try:
        amount = micros_from_usd(text)
    except ValueError as wrong:
        refuse(f"{name}: {wrong}.", 2)
    if amount < 0 or (amount == 0 and not nothing):
        refuse(f"{name} is {'not less' if nothing else 'more'} than nothing.", 2)
    return amount


def utf8(name: str, text: str) -> str:
    """The text of an argument; refuses bytes that are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(f"{name} is not UTF-8 text.", 2)
    return text


def cell(text: str) -> Text:
    """Somebody else's text, so that neither a table nor a terminal takes it for orders."""
    return Text(
        "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    )


def moment(time: datetime | None, never: str) -> str:
    """A time as a table shows it, or the word for there being none."""
    return never if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def show(table: Table) -> None:
    """Print it, a line a row: a narrow terminal wraps what Rich would cut short."""
    Console(width=_WIDEST).print(table)
