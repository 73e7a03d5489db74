"""`squero accounts` and `squero credit`: who pays, how, how much, and with what share."""

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.table import Table

from squero.cli.base import refuse, say
from squero.cli.records import cell, micros, show, utf8, work
from squero.domain import accounts
from squero.domain.accounts import Account, Statement
from squero.domain.yard import Yard
from squero.money import usd_text
from squero.store.db import Tx

TIERS = ("paid", "partner")
_MENDS: dict[type[Exception], str] = {
    accounts.NoSuchAccount: ": `squero accounts list` shows them all",
    accounts.AccountExists: ": choose another name",
    accounts.NotPostpaid: "",
    accounts.LineSpent: ": choose a larger one",
    accounts.AccountUnmetered: "",
}


def list_all(home: Path | None) -> None:
    """Show every account: its terms, what it may spend now, and what is held."""

    async def read(yard: Yard) -> Sequence[Statement]:
        async with yard.database.reading() as tx:
            return await accounts.all_of_them(tx)

    amounts = ("USD", "line", "bundled", "DIEM today", "DIEM a day", "held")
    table = Table("account", "billing", "tier", box=None)
    for heading in ("weight", "cap", *amounts, "keys"):
        table.add_column(heading, justify="right")
    for row in work(home, read):
        table.add_row(cell(row.name), row.billing, row.tier, *_figures(row))
    show(table)


def create(
    home: Path | None, name: str, prepaid: str | None, postpaid: str | None, *, unmetered: bool
) -> None:
    """Open an account: with its first credit, with a credit line, or unmetered."""
    if (prepaid is not None) + (postpaid is not None) + unmetered > 1:
        refuse("Choose one of --prepaid, --postpaid and --unmetered.", 2)
    if not utf8("NAME", name):
        refuse("NAME is empty: give the account one.", 2)
    credit = 0 if prepaid is None else micros("--prepaid", prepaid, nothing=True)
    line = 0 if postpaid is None else micros("--postpaid", postpaid, nothing=True)
    billing: accounts.Billing = "unmetered" if prepaid is None else "prepaid"
    if postpaid is not None:
        billing = "postpaid"

    async def open_it(yard: Yard) -> None:
        async with yard.database.transaction() as tx:
            account = await accounts.open_new(tx, name, billing, line)
            if credit:
                await accounts.top_up(tx, account, credit)

    _try(home, open_it)
    terms = {
        "prepaid": f", {usd_text(credit)} USD",
        "postpaid": f", a line of {usd_text(line)} USD",
    }
    say(f"New account {name} ({billing}{terms.get(billing, '')}).")


def add_credit(home: Path | None, account: str, usd: str, *, bundled: bool) -> None:
    """Add to an account's balance: USD, or bundled credits."""
    amount = micros("USD", usd)
    _change(
        home,
        utf8("ACCOUNT", account),
        lambda tx, owner: accounts.top_up(
            tx, owner, amount, "BUNDLED_CREDITS" if bundled else "USD"
        ),
    )
    say(f"Added {usd_text(amount)} {'bundled credits' if bundled else 'USD'} to {account}.")


def set_tier(home: Path | None, name: str, tier: str) -> None:
    """Give an account the rate limits of another tier."""
    if tier not in TIERS:
        refuse(f"TIER is {' or '.join(TIERS)}.", 2)
    _change(home, utf8("NAME", name), lambda tx, account: accounts.set_tier(tx, account, tier))
    say(f"{name} has the rate limits of the tier {tier}.")


def set_weight(home: Path | None, name: str, weight: int) -> None:
    """Give an account another share of the workers."""
    _change(
        home,
        utf8("NAME", name),
        lambda tx, account: accounts.set_share(tx, account, weight, account.cap),
    )
    say(f"{name} weighs {weight}.")


def set_cap(home: Path | None, name: str, cap: str) -> None:
    """Say how many of an account's jobs may render at once in a lane."""
    most = None if cap == "none" else _whole("CAP", cap)
    _change(
        home,
        utf8("NAME", name),
        lambda tx, account: accounts.set_share(tx, account, account.weight, most),
    )
    say(f"{name} renders {'any number' if most is None else f'at most {most}'} at once in a lane.")


def set_line(home: Path | None, name: str, usd: str) -> None:
    """Make a postpaid account's credit line as large as this."""
    amount = micros("USD", usd, nothing=True)
    _change(home, utf8("NAME", name), lambda tx, account: accounts.set_line(tx, account, amount))
    say(f"{name} has a credit line of {usd_text(amount)} USD.")


def set_diem(home: Path | None, name: str, diem: str) -> None:
    """Say with how much DIEM an account's days begin."""
    amount = micros("DIEM", diem, nothing=True)

    async def change(tx: Tx, account: Account) -> None:
        if account.billing == "unmetered":
            raise accounts.AccountUnmetered(f"Account {name} is unmetered: it needs no DIEM")
        await accounts.set_diem(tx, account, amount)

    _change(home, utf8("NAME", name), change)
    say(f"Each UTC day that has not begun for {name} begins with {usd_text(amount)} DIEM.")


def _change(home: Path | None, name: str, change: Callable[[Tx, Account], Awaitable[None]]) -> None:
    async def run(yard: Yard) -> None:
        async with yard.database.transaction() as tx:
            await change(tx, await accounts.find(tx, name))

    _try(home, run)


def _try(home: Path | None, verb: Callable[[Yard], Awaitable[None]]) -> None:
    try:
        work(home, verb)
    except tuple(_MENDS) as wrong:
        refuse(f"{wrong}{_MENDS[type(wrong)]}.")


def _figures(row: Statement) -> list[str]:
    """What an account has; an unmetered one's USD is no figure."""
    usd = "unmetered" if row.billing == "unmetered" else usd_text(row.usd_micros)
    micros_of = (row.bundled_micros, row.diem_left_micros, row.diem_micros, row.held_micros)
    return [
        str(row.weight),
        "none" if row.cap is None else str(row.cap),
        usd,
        "none" if row.line_micros is None else usd_text(row.line_micros),
        *(usd_text(amount) for amount in micros_of),
        str(row.keys),
    ]


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        refuse(f"{name} is a whole number from 1 on, or none.", 2)
    return int(text)
