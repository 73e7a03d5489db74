"""A queue call that is sent twice makes one job.

`Idempotency-Key` is our addition to the API: 24 hours per account. What is remembered is a keyed
hash of the call, never its words.
"""

import json
import re
from dataclasses import dataclass
from uuid import UUID

from squero.domain.video_request import VideoRequest
from squero.errors import InvalidRequest, Issue
from squero.media.keyring import Keyring
from squero.media.spool import DataUrl
from squero.store.db import Tx

_KEY = re.compile(r"[A-Za-z0-9_-]{1,255}")


@dataclass(frozen=True, slots=True)
class Remembered:
    """The first call under a key."""

    request_hash: bytes
    queue_id: UUID
    model: str


@dataclass(frozen=True, slots=True)
class Once:
    """The name that a client gave to a call, and the hash of what it asks for."""

    key: str
    request_hash: bytes


def once(keyring: Keyring, key: str, request: VideoRequest) -> Once:
    """The call under its key; raises InvalidRequest when the key is not well formed."""
    if not _KEY.fullmatch(key):
        message = "Idempotency-Key must be 1 to 255 characters of A-Z, a-z, 0-9, _ and -"
        raise InvalidRequest([Issue(("Idempotency-Key",), message)])
    media = {
        name: value.spooled.digest.hex() if isinstance(value, DataUrl) else value
        for name, value in request.media.items()
    }
    fields = {
        name: getattr(request, name) for name in request.__dataclass_fields__ if name != "media"
    }
    text = json.dumps([fields, media], sort_keys=True)
    return Once(key, keyring.hmac("idempotency", text.encode()))


async def find(tx: Tx, account_id: UUID, call: Once) -> Remembered | None:
    """The first call under this key, if there was one; raises InvalidRequest if it was another."""
    first = await tx.one(Remembered, "idempotency.find", account_id=account_id, key=call.key)
    if first is not None and first.request_hash != call.request_hash:
        message = "This Idempotency-Key was used for another request"
        raise InvalidRequest([Issue(("Idempotency-Key",), message)])
    return first


async def remember(tx: Tx, account_id: UUID, call: Once, queue_id: UUID) -> bool:
    """Whether this call is the first under its key; waits for one that is being made."""
    remembered = await tx.run(
        "idempotency.remember",
        account_id=account_id,
        key=call.key,
        request_hash=call.request_hash,
        queue_id=queue_id,
    )
    return remembered == 1
