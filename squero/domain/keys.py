"""Keys and tokens: how they are made, and who stands behind one.

The text of a key is shown once; the database holds a keyed hash of it. Its last six characters
are a checksum, so a mistyped key is refused without a query.
"""

import math
import secrets
import string
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from squero.domain.fresh import Fresh
from squero.domain.limits import Allowance
from squero.errors import (
    AuthenticationFailed,
    KeyNotFound,
    ModelNotAllowed,
    TooManyKeys,
)
from squero.media.keyring import Keyring
from squero.store.db import Database, Tx

KeyType = Literal["INFERENCE", "ADMIN"]
Period = Literal["EPOCH", "MONTH", "LIFETIME"]
Privacy = Literal["ALL", "PRIVATE_TEXT", "PRIVATE_ONLY"]

MOST_A_MINUTE = 20
"""How many keys an account may make in a minute."""
MOST_IN_FORCE = 500
"""How many keys an account may have in force; the contract's, like the number above."""

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
    usd_micros: int
    diem_micros: int
    today: date
    """The database's day, which is the epoch."""
    models: Sequence[str] | None
    """Those that the key may use; None is every one."""
    left_seconds: float | None
    """How long the key was still in force when this was read; None is for ever."""

    def check_model(self, model_id: str) -> None:
        """Raises ModelNotAllowed for a model that the key may not use."""
        if self.models is not None and model_id not in self.models:
            raise ModelNotAllowed


@dataclass(frozen=True, slots=True)
class Terms:
    """What a key may do: until when, how much of each currency in a period, with which models."""

    expires_at: datetime | None = None
    usd_limit_micros: int | None = None
    """None is no limit; bundled credits count as USD."""
    diem_limit_micros: int | None = None
    limit_period: Period = "EPOCH"
    model_privacy: Privacy = "ALL"
    """Told as it was set: every model of ours is private."""
    models: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Terms):
    """A key as its owner sees it, without its text."""

    id: UUID
    type: KeyType
    description: str
    last6: str
    created_at: datetime
    last_used_at: datetime | None
    """To the minute."""
    period_usd_micros: int
    period_diem_micros: int
    week_usd_micros: int
    """Spent in this epoch and the six before it."""
    week_diem_micros: int


_UNBOUND = Terms()
_CHANGEABLE = ("description", *Terms.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class _Room:
    lately: int
    reset_seconds: float
    in_force: int


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
    tx: Tx,
    keyring: Keyring,
    account_id: UUID,
    kind: KeyType,
    description: str,
    terms: Terms = _UNBOUND,
    *,
    prefix: str = "SQUERO_",
) -> tuple[UUID, str]:
    """A new key of the account: its id, and its text, which is told this once."""
    key = make_key(f"{prefix}{kind}_KEY_")
    key_id = await tx.value(
        "keys.create",
        account_id=account_id,
        type=kind,
        hash=keyring.hmac("key", key.encode()),
        last6=key[-6:],
        description=description,
        **asdict(terms),
    )
    return key_id, key


async def room(tx: Tx, account_id: UUID) -> Allowance:
    """What is left of the account's new keys, with the one that this transaction makes.

    Raises TooManyKeys.
    """
    await tx.run("keys.lock_room", account_id=account_id)
    found = await tx.one(_Room, "keys.room", account_id=account_id)
    assert found is not None
    allowed = found.lately < MOST_A_MINUTE
    if allowed and found.in_force >= MOST_IN_FORCE:
        raise TooManyKeys
    left = max(0, MOST_A_MINUTE - found.lately - 1)
    return Allowance(allowed, MOST_A_MINUTE, left, math.ceil(time.time() + found.reset_seconds))


async def find_all(
    tx: Tx, account_id: UUID, limit: int | None = None, offset: int = 0
) -> Sequence[Key]:
    """The account's keys in force, the newest first."""
    return await tx.all(
        Key, "keys.list", account_id=account_id, key_id=None, limit=limit, offset=offset
    )


async def find(tx: Tx, account_id: UUID, key_id: UUID | None) -> Key:
    """The account's key of this id, expired or not; raises KeyNotFound."""
    names = {"account_id": account_id, "key_id": key_id, "limit": 1, "offset": 0}
    key = None if key_id is None else await tx.one(Key, "keys.list", **names)
    if key is None:
        raise KeyNotFound
    return key


async def change(
    tx: Tx, account_id: UUID, key_id: UUID | None, changes: Mapping[str, object]
) -> bytes:
    """Give a key another description or other terms; its digest. Raises KeyNotFound.

    `changes` are by the names of Key's fields.
    """
    values: dict[str, object] = {**dict.fromkeys(_CHANGEABLE), **changes}
    digest: bytes | None = await tx.value(
        "keys.change", account_id=account_id, key_id=key_id, changed=list(changes), **values
    )
    if digest is None:
        raise KeyNotFound("API key not found or expired")
    return digest


async def revoke(tx: Tx, account_id: UUID, key_id: UUID | None) -> bytes:
    """End a key for good; its digest. Raises KeyNotFound."""
    digest: bytes | None = await tx.value("keys.revoke", account_id=account_id, key_id=key_id)
    if digest is None:
        raise KeyNotFound("API key could not be found")
    return digest


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


async def check_worker(database: Database, worker: Worker) -> None:
    """Raises AuthenticationFailed for one that has been revoked since it was found."""
    async with database.reading() as tx:
        if not await tx.value("workers.in_force", worker_id=worker.worker_id):
            raise AuthenticationFailed


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
        digest = self._keyring.hmac("key", key.encode())
        caller, until = await self._known.get(digest)
        if until <= time.monotonic():
            # Only the database knows the moment: what was read took its time to come here.
            self.forget(digest)
            caller, _ = await self._known.get(digest)
        if caller is None:
            raise AuthenticationFailed
        return caller

    def forget(self, digest: bytes) -> None:
        """The key was changed or revoked: the next call with it asks the database."""
        self._known.forget(digest)

    async def _read(self, digest: bytes) -> tuple[Caller | None, float]:
        read_at = time.monotonic()
        async with self._database.reading() as tx:
            caller = await tx.one(Caller, "keys.caller", hash=digest)
        left_seconds = caller.left_seconds if caller else None
        return caller, math.inf if left_seconds is None else read_at + left_seconds
