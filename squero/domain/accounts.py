"""Accounts: who pays, and how."""

import secrets
from dataclasses import dataclass
from uuid import UUID

from squero.domain import ledger
from squero.store.db import Tx


class NoSuchAccount(Exception):
    """No account has this name."""


class AccountUnmetered(Exception):
    """An unmetered account has no balance that credit could be added to."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it is stored."""

    id: UUID
    name: str
    billing: str
    weight: int
    cap: int | None


async def find_or_open(tx: Tx, name: str | None, *, prepaid: bool) -> tuple[Account, bool]:
    """The account of this name, or a new one, and whether it is new.

    Without a name it is always a new one, named at random. `prepaid` tells a new one's billing.
    """
    name = name or f"account-{secrets.token_hex(4)}"
    account = await tx.one(
        Account,
        "accounts.create",
        name=name,
        billing="prepaid" if prepaid else "unmetered",
        weight=1,
        cap=None,
    )
    if account is not None:
        await tx.run("accounts.open_balance", account_id=account.id, currency=ledger.USD)
        return account, True
    return await find(tx, name), False


async def find(tx: Tx, name: str) -> Account:
    """The account of this name; raises NoSuchAccount."""
    account = await tx.one(Account, "accounts.find", name=name)
    if account is None:
        raise NoSuchAccount(f"There is no account {name}")
    return account


async def top_up(tx: Tx, account: Account, amount_micros: int) -> None:
    """Add credit; raises AccountUnmetered."""
    if account.billing == "unmetered":
        raise AccountUnmetered(f"Account {account.name} is unmetered: it needs no credit")
    await ledger.credit(tx, account.id, amount_micros)
