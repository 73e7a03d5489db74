"""The commands that work on a home's records: workers, the ledger, migrations, models."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.table import Column, Table

from squero.app import load_catalog
from squero.cli.base import load_settings, refuse, say
from squero.cli.database import answered, open_database
from squero.cli.records import cell, moment, show, utf8, work
from squero.domain import keys, upkeep
from squero.domain.catalog import Catalog, CatalogError
from squero.domain.ledger import Audit, Difference, Miscounted, Total
from squero.domain.model import Model
from squero.domain.yard import Yard
from squero.money import usd_text
from squero.store.migrate import migrate as migrate_database


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
    troubles: Mapping[str, str]


def create_worker(home: Path | None, name: str, lane: str) -> None:
    """Make a worker's token; its text alone goes to standard output."""
    name, lane = utf8("NAME", name), utf8("--lane", lane)

    async def create(yard: Yard) -> str:
        async with yard.database.transaction() as tx:
            worker_id, token = await keys.create_worker(tx, yard.keyring, name, lane)
        say(f"Worker {name} ({worker_id}) of lane {lane}. This token is shown once:")
        return token

    print(work(home, create))


def list_workers(home: Path | None) -> None:
    """Show the tokens, when each was last used, what it renders, and what it cannot."""

    async def read(yard: Yard) -> Sequence[WorkerRow]:
        async with yard.database.reading() as tx:
            return await tx.all(WorkerRow, "workers.list")

    table = Table("id", "name", "lane", "last seen", "rendering", "state", box=None)
    lines: list[str] = []
    for row in work(home, read):
        state = "revoked" if row.revoked_at else "the server's own" if row.own else "in force"
        seen = moment(row.last_seen_at, "never")
        table.add_row(str(row.id), cell(row.name), cell(row.lane), seen, str(row.rendering), state)
        if not row.revoked_at:
            lines += [
                f"{row.name} cannot render {model}: {why}"
                for model, why in sorted(row.troubles.items())
            ]
    show(table)
    for line in lines:
        print(line)


def revoke_worker(home: Path | None, worker_id: str) -> None:
    """Revoke a token: the next call with it is refused."""
    try:
        known = UUID(worker_id)
    except ValueError:
        refuse("That is no worker's id: `squero workers list` shows them.", 2)

    async def revoke(yard: Yard) -> int:
        async with yard.database.transaction() as tx:
            return await tx.run("workers.revoke", worker_id=known)

    if not work(home, revoke):
        refuse("No token with this id is in force: `squero workers list` shows them.")
    say("Revoked.")


def check_ledger(home: Path | None) -> None:
    """Recompute the books; exit status 1 when they do not add up."""
    found = work(home, upkeep.audit)
    for line in _wrongs(found):
        print(line)
    print(_looked_at(found.totals))
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
    columns = (model_id, "durations", "resolutions", "USD per second", "engine")
    # A terminal of 80 has room for all of these words when little is left between them.
    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for model in _catalog(home).models.values():
        listed = model.constraints
        table.add_row(
            model.id,
            ", ".join(listed.durations),
            ", ".join(model.rendered),
            _price(model),
            model.engine,
        )
    Console().print(table)


def _price(model: Model) -> str:
    if model.upstream_price is not None:
        return f"upstreams' + {model.upstream_price.margin_percent} %"
    return ", ".join(model.usd_per_second[name] for name in model.rendered)


def _catalog(home: Path | None) -> Catalog:
    try:
        return load_catalog(load_settings(home))
    except CatalogError as error:
        refuse(str(error))


def _looked_at(totals: Sequence[Total]) -> str:
    balances = sum(total.balances for total in totals)
    transfers = sum(total.transfers for total in totals)
    amounts = (
        f"{usd_text(total.revenue_micros)} {total.currency} earned,"
        f" {usd_text(total.held_micros)} {total.currency} held"
        for total in totals
    )
    return f"{balances} balances, {transfers} transfers: {', '.join(amounts)}."


def _wrongs(found: Audit) -> Iterator[str]:
    yield from map(_difference, found.differences)
    for odd in found.unsettled:
        yield f"Job {odd.queue_id} ({odd.state or 'unknown'}): {odd.fault}."
    for miscount in found.miscounts:
        yield (
            f"Lane {miscount.lane}, account {miscount.account}: counts {miscount.queued} queued"
            f" and {miscount.running} running; there are {miscount.queued_rows}"
            f" and {miscount.running_rows}."
        )
    yield from map(_miscounted, found.miscounted)


def _difference(wrong: Difference) -> str:
    money = f"{wrong.currency} of {wrong.epoch}" if wrong.currency == "DIEM" else wrong.currency
    sums = f"{usd_text(wrong.available_sum)} and {usd_text(wrong.held_sum)}"
    if wrong.available_micros is None or wrong.held_micros is None:
        said = f"no balance of {money}"
    else:
        said = f"{usd_text(wrong.available_micros)} {money} available"
        said += f" and {usd_text(wrong.held_micros)} held"
    return f"Account {wrong.account}: {said}, but its transfers add up to {sums}."


def _miscounted(wrong: Miscounted) -> str:
    if wrong.spent_micros is None:
        said = f"no count of {wrong.currency} spent"
    else:
        spent = usd_text(wrong.spent_micros)
        said = f"counts {spent} {wrong.currency} spent in its {wrong.period}"
    sums = usd_text(wrong.spent_sum)
    return f"Account {wrong.account}, key …{wrong.last6}: {said}, but its holds add up to {sums}."
