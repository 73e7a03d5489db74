"""`squero keys`: made here, listed without their text, and revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from rich.table import Table

from squero.cli.base import refuse, say
from squero.cli.records import cell, micros, moment, show, utf8, work
from squero.domain import accounts, keys
from squero.domain.yard import Yard


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is listed."""

    id: UUID
    account: str
    type: str
    last6: str
    description: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    state: str


def create(
    home: Path | None, account: str | None, kind: str, description: str, credit: str | None
) -> None:
    """Make a key; its text alone goes to standard output."""
    kinds: dict[str, keys.KeyType] = {"inference": "INFERENCE", "admin": "ADMIN"}
    if kind.lower() not in kinds:
        refuse("--type is inference or admin.", 2)
    amount = None if credit is None else micros("--credit", credit)
    account = None if account is None else utf8("--account", account)
    description = utf8("--description", description)

    async def make(yard: Yard) -> str:
        async with yard.database.transaction() as tx:
            owner, new = await accounts.find_or_open(
                tx, account, "unmetered" if amount is None else "prepaid"
            )
            if amount is not None:
                await accounts.top_up(tx, owner, amount)
            _, key = await keys.create(
                tx,
                yard.keyring,
                owner.id,
                kinds[kind.lower()],
                description,
                prefix=yard.settings.key_prefix,
            )
        say(f"{'New account' if new else 'Account'} {owner.name} ({owner.billing}).")
        say("This key is shown once:")
        return key

    try:
        print(work(home, make))
    except accounts.AccountUnmetered as wrong:
        refuse(f"{wrong}.")


def list_all(home: Path | None) -> None:
    """Show every key but its text, by account, the oldest first."""

    async def read(yard: Yard) -> Sequence[KeyRow]:
        async with yard.database.reading() as tx:
            return await tx.all(KeyRow, "operator.keys")

    times = ("created", "last used", "expires")
    table = Table("id", "account", "type", "last six", "description", *times, "state", box=None)
    for row in work(home, read):
        table.add_row(
            str(row.id),
            cell(row.account),
            row.type.lower(),
            row.last6,
            cell(row.description),
            moment(row.created_at, "never"),
            moment(row.last_used_at, "never"),
            moment(row.expires_at, "never"),
            row.state,
        )
    show(table)


def revoke(home: Path | None, key_id: str) -> None:
    """Revoke a key: every server refuses it within a second."""
    try:
        known = UUID(key_id)
    except ValueError:
        refuse("That is no key's id: `squero keys list` shows them.", 2)

    async def end(yard: Yard) -> int:
        async with yard.database.transaction() as tx:
            return await tx.run("operator.revoke_key", key_id=known)

    if not work(home, end):
        refuse("No key with this id is in force: `squero keys list` shows them.")
    say("Revoked.")
