"""The commands that work on a home's records: keys, workers, the ledger, migrations, models."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout
from rich.console import Console
from rich.table import Column, Table

from squero.app import load_catalog, open_yard
from squero.cli.base import load_settings, refuse, say
from squero.cli.database import answered, open_database
from squero.domain import accounts, keys, upkeep
from squero.domain.catalog import Catalog, CatalogError
from squero.domain.ledger import Audit
from squero.domain.yard import Yard
from squero.media.keyring import SecretRefused
from squero.money import micros_from_usd, usd_text
from squero.store.migrate import migrate as migrate_database

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker's token as it is listed."""

    id: UUID
    name: str
    lane: str
    own: bool
    created_at: datetime
    last_seen_at: datetime | None
    revoked_at: datetime | None
    rendering: int


def create_key(
    home: Path | None, account: str | None, kind: str, description: str, credit: str | None
) -> None:
    """Make a key; its text alone goes to standard output."""
    kinds: dict[str, keys.KeyType] = {"inference": "INFERENCE", "admin": "ADMIN"}
    if kind.lower() not in kinds:
        refuse("--type is inference or admin.", 2)
    micros = None if credit is None else _micros("--credit", credit)
    account = None if account is None else _utf8("--account", account)
    description = _utf8("--description", description)

    async def create(yard: Yard) -> str:
        async with yard.database.transaction() as tx:
            owner, new = await accounts.find_or_open(
                tx, account, "unmetered" if micros is None else "prepaid"
            )
            if micros is not None:
                await accounts.top_up(tx, owner, micros)
            _, key = await keys.create(tx, yard.keyring, owner.id, kinds[kind.lower()], description)
        say(f"{'New account' if new else 'Account'} {owner.name} ({owner.billing}).")
        say("This key is shown once:")
        return key

    try:
        print(_run(home, create))
    except accounts.AccountUnmetered as wrong:
        refuse(f"{wrong}.")


def add_credit(home: Path | None, account: str, usd: str) -> None:
    """Add to a prepaid account's balance."""
    micros, account = _micros("USD", usd), _utf8("ACCOUNT", account)

    async def add(yard: Yard) -> None:
        async with yard.database.transaction() as tx:
            owner = await accounts.find(tx, account)
            await accounts.top_up(tx, owner, micros)

    try:
        _run(home, add)
    except (accounts.NoSuchAccount, accounts.AccountUnmetered) as wrong:
        refuse(f"{wrong}.")
    say(f"Added {usd_text(micros)} USD to {account}.")


def create_worker(home: Path | None, name: str, lane: str) -> None:
    """Make a worker's token; its text alone goes to standard output."""
    name, lane = _utf8("NAME", name), _utf8("--lane", lane)

    async def create(yard: Yard) -> str:
        async with yard.database.transaction() as tx:
            worker_id, token = await keys.create_worker(tx, yard.keyring, name, lane)
        say(f"Worker {name} ({worker_id}) of lane {lane}. This token is shown once:")
        return token

    print(_run(home, create))


def list_workers(home: Path | None) -> None:
    """Show the tokens, when each was last used, and what it renders."""

    async def read(yard: Yard) -> Sequence[WorkerRow]:
        async with yard.database.reading() as tx:
            return await tx.all(WorkerRow, "workers.list")

    table = Table("id", "name", "lane", "last seen", "rendering", "state", box=None)
    for row in _run(home, read):
        seen = row.last_seen_at.strftime("%Y-%m-%d %H:%M:%S UTC") if row.last_seen_at else "never"
        state = "revoked" if row.revoked_at else "the server's own" if row.own else "in force"
        table.add_row(str(row.id), row.name, row.lane, seen, str(row.rendering), state)
    Console().print(table)


def revoke_worker(home: Path | None, worker_id: str) -> None:
    """Revoke a token: the next call with it is refused."""
    try:
        known = UUID(worker_id)
    except ValueError:
        refuse("That is no worker's id: `squero workers list` shows them.", 2)

    async def revoke(yard: Yard) -> int:
        async with yard.database.transaction() as tx:
            return await tx.run("workers.revoke", worker_id=known)

    if not _run(home, revoke):
        refuse("No token with this id is in force: `squero workers list` shows them.")
    say("Revoked.")


def check_ledger(home: Path | None) -> None:
    """Recompute the books; exit status 1 when they do not add up."""
    found = _run(home, upkeep.audit)
    for line in _wrongs(found):
        print(line)
    totals = found.totals
    print(
        f"{totals.balances} balances, {totals.transfers} transfers:"
        f" {usd_text(totals.revenue_micros)} USD earned, {usd_text(totals.held_micros)} USD held."
    )
    if not found.in_order:
        raise SystemExit(1)
    print("The books are in order.")


def migrate(home: Path | None) -> None:
    """Bring the database's schema up to date."""
    settings = load_settings(home)
    if settings.database_url is None:
        with open_database(settings):
            say("The schema is up to date.")
        return
    url = settings.database_url.get_secret_value()
    applied = asyncio.run(answered(migrate_database(url)))
    say(f"Applied {applied}." if applied else "The schema is up to date.")


def list_models(home: Path | None) -> None:
    """Show the catalogue."""
    model_id = Column("id", no_wrap=True)  # to be copied from here
    table = Table(model_id, "durations", "resolutions", "USD per second", "engine", box=None)
    for model in _catalog(home).models.values():
        listed = model.constraints
        prices = ", ".join(model.usd_per_second[name] for name in model.rendered)
        table.add_row(
            model.id,
            ", ".join(listed.durations),
            ", ".join(model.rendered),
            prices,
            model.engine,
        )
    Console().print(table)


def _catalog(home: Path | None) -> Catalog:
    try:
        return load_catalog(load_settings(home))
    except CatalogError as error:
        refuse(str(error))


def _wrongs(found: Audit) -> Iterator[str]:
    for wrong in found.differences:
        yield (
            f"Account {wrong.account}: {usd_text(wrong.available_micros)} {wrong.currency}"
            f" available and {usd_text(wrong.held_micros)} held, but its transfers add up to"
            f" {usd_text(wrong.available_sum)} and {usd_text(wrong.held_sum)}."
        )
    for odd in found.unsettled:
        yield f"Job {odd.queue_id} is {odd.state}, but its money went to {odd.settled_to}."
    for miscount in found.miscounts:
        yield (
            f"Lane {miscount.lane}, account {miscount.account}: counts {miscount.queued} queued"
            f" and {miscount.running} running; there are {miscount.queued_rows}"
            f" and {miscount.running_rows}."
        )


def _run(home: Path | None, verb: Callable[[Yard], Awaitable[Result]]) -> Result:
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


def _micros(name: str, text: str) -> int:
    try:
        micros = micros_from_usd(text)
    except ValueError as wrong:
        refuse(f"{name}: {wrong}.", 2)
    if micros <= 0:
        refuse(f"{name} is more than nothing.", 2)
    return micros


def _utf8(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(f"{name} is not UTF-8 text.", 2)
    return text
