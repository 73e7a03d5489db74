"""Keys and tokens: how they are made, and who stands behind one.

The text of a key is shown once; the database holds a keyed hash of it. Its last six characters
are a checksum, so a mistyped key is refused without a query.
"""

import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from squero.domain.fresh import Fresh
from squero.errors import AuthenticationFailed
from squero.media.keyring import Keyring
from squero.store.db import Database, Tx

KeyType = Literal["INFERENCE", "ADMIN"]
_ALPHABET = string.digits + string.ascii_letters
_TAIL = 36
_CHECK = 6
_FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a key in force, its account, and the balance before this call."""

    key_id: UUID
    type: str
    account_id: UUID
    billing: str
    tier: str
    weight: int
    cap: int | None
    usd_micros: int
    diem_micros: int
    today: date
    """The database's day, which is the epoch."""
    models: Sequence[str] | None
    """Those that the key may use; None is every one."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Which worker calls, and the lane that its token is bound to."""

    worker_id: UUID
    lane: str
    own: bool
    name: str


def make_key(prefix: str) -> str:
    """A new key: the prefix, 36 random characters, and 6 that check them."""
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_TAIL))
    return body + _checksum(body)


def well_formed(key: str) -> bool:
    """Whether the last six characters are the checksum of the rest."""
    return (
        len(key) < 200
        and key.isascii()
        and secrets.compare_digest(key[-_CHECK:], _checksum(key[:-_CHECK]))
    )


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


async def create(
    tx: Tx, keyring: Keyring, account_id: UUID, kind: KeyType, description: str
) -> tuple[UUID, str]:
    """A new key of the account: its id, and its text, which is told this once."""
    key = make_key(f"SQUERO_{kind}_KEY_")
    key_id = await tx.value(
        "keys.create",
        account_id=account_id,
        type=kind,
        hash=keyring.hmac("key", key.encode()),
        last6=key[-6:],
        description=description,
    )
    return key_id, key


async def create_worker(
    tx: Tx, keyring: Keyring, name: str, lane: str, *, server: UUID | None = None
) -> tuple[UUID, str]:
    """A new token for workers of a lane: its id, and its text, which is told this once.

    `server` names the one that starts the worker itself.
    """
    token = make_key("SQUERO_WORKER_")
    digest = keyring.hmac("worker", token.encode())
    worker_id = await tx.value("workers.create", name=name, lane=lane, hash=digest, server=server)
    return worker_id, token


async def find_worker(database: Database, keyring: Keyring, token: str) -> Worker:
    """The worker of this token; raises AuthenticationFailed, also when it was revoked."""
    worker = None
    if well_formed(token):
        async with database.reading() as tx:
            digest = keyring.hmac("worker", token.encode())
            worker = await tx.one(Worker, "workers.authenticate", hash=digest)
    if worker is None:
        raise AuthenticationFailed
    return worker


class Callers:
    """The callers behind the keys of late: a snapshot at most a second old."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._known = Fresh(self._read, _FRESH_SECONDS)

    async def find(self, key: str) -> Caller:
        """Who stands behind this key; raises AuthenticationFailed."""
        if not well_formed(key):
            raise AuthenticationFailed
        caller = await self._known.get(self._keyring.hmac("key", key.encode()))
        if caller is None:
            raise AuthenticationFailed
        return caller

    async def _read(self, digest: bytes) -> Caller | None:
        async with self._database.reading() as tx:
            return await tx.one(Caller, "keys.caller", hash=digest)
