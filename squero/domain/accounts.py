"""Accounts: who pays, how, and with what share of the workers."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from squero.domain import ledger
from squero.domain.ledger import Currency
from squero.store.db import Tx

Billing = Literal["prepaid", "postpaid", "unmetered"]


class NoSuchAccount(Exception):
    """No account has this name."""


class AccountExists(Exception):
    """An account has this name already."""


class AccountUnmetered(Exception):
    """An unmetered account has no balance that credit could be added to."""


class NotPostpaid(Exception):
    """Only a postpaid account has a credit line."""


class LineSpent(Exception):
    """More of the credit line is spent or held than would be left of it."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it is stored."""

    id: UUID
    name: str
    billing: str
    tier: str
    weight: int
    cap: int | None
    """How many of its jobs may render at once in a lane; None is any number."""
    diem_micros: int
    """The DIEM that each epoch begins with."""


@dataclass(frozen=True, slots=True)
class Statement:
    """An account as it is listed: with what it may spend now, and what is held."""

    name: str
    billing: str
    tier: str
    weight: int
    cap: int | None
    diem_micros: int
    usd_micros: int
    line_micros: int | None
    """How far it may go before it pays, which is within `usd_micros`; None unless postpaid."""
    bundled_micros: int
    diem_left_micros: int
    held_micros: int
    keys: int


async def find_or_open(tx: Tx, name: str | None, billing: Billing) -> tuple[Account, bool]:
    """The account of this name, or a new one, and whether it is new.

    Without a name it is always a new one, named at random. `billing` is a new one's.
    """
    name = name or f"account-{secrets.token_hex(4)}"
    values = {"name": name, "billing": billing, "weight": 1, "cap": None}
    account = await tx.one(Account, "accounts.create", **values)
    if account is not None:
        await tx.run("accounts.open_balance", account_id=account.id, currency="USD")
        return account, True
    return await find(tx, name), False


async def open_new(tx: Tx, name: str, billing: Billing, line_micros: int = 0) -> Account:
    """A new account, with a credit line if it is postpaid; raises AccountExists."""
    account, new = await find_or_open(tx, name, billing)
    if not new:
        raise AccountExists(f"There is an account {name} already")
    if line_micros:
        await set_line(tx, account, line_micros)
    return account


async def find(tx: Tx, name: str) -> Account:
    """The account of this name; raises NoSuchAccount."""
    account = await tx.one(Account, "accounts.find", name=name)
    if account is None:
        raise NoSuchAccount(f"There is no account {name}")
    return account


async def all_of_them(tx: Tx) -> Sequence[Statement]:
    """Every account, by name."""
    return await tx.all(Statement, "accounts.list")


async def top_up(tx: Tx, account: Account, amount_micros: int, currency: Currency = "USD") -> None:
    """Add credit that was paid for; raises AccountUnmetered."""
    if account.billing == "unmetered":
        raise AccountUnmetered(f"Account {account.name} is unmetered: it needs no credit")
    await ledger.credit(tx, account.id, amount_micros, currency)


async def set_line(tx: Tx, account: Account, amount_micros: int) -> None:
    """Make a postpaid account's credit line as large as this; raises NotPostpaid, LineSpent."""
    if account.billing != "postpaid":
        raise NotPostpaid(f"Account {account.name} is {account.billing}: it has no credit line")
    await tx.run("accounts.lock", account_id=account.id)
    if not await ledger.set_line(tx, account.id, amount_micros):
        raise LineSpent(f"Account {account.name} has spent or holds more of its credit line")


async def set_tier(tx: Tx, account: Account, tier: str) -> None:
    """Give the account the rate limits of another tier."""
    await tx.run("accounts.set_tier", account_id=account.id, tier=tier)


async def set_share(tx: Tx, account: Account, weight: int, cap: int | None) -> None:
    """Its weight in every lane, and how many of its jobs may render at once in one."""
    await tx.run("accounts.lock", account_id=account.id)
    await tx.run("accounts.set_share", account_id=account.id, weight=weight, cap=cap)


async def set_diem(tx: Tx, account: Account, diem_micros: int) -> None:
    """The DIEM that its epochs begin with; one that has begun keeps what it has."""
    await tx.run("accounts.set_diem", account_id=account.id, diem_micros=diem_micros)
