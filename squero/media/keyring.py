"""The keys of the server: one secret, a key for each use of it, and a key for each day.

A generation's key is wrapped by the key of its day, and a day's key by the secret. When a day's
key is deleted, every generation key that was wrapped by it is lost wherever a copy lingers.
"""

import contextlib
import hashlib
import hmac
import os
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

from squero.media.folder import Folder, ObjectExists, ObjectMissing
from squero.media.sealed import KEY_BYTES, derived_key, open_sealed, seal

_LIMIT_SECRET_BYTES = 4096
_CACHE_SECONDS = 60


class SecretRefused(Exception):
    """The server's secret is missing, too short or open to others; the message says what to do."""


class KeyForgotten(Exception):
    """The key of this day is gone for good, and with it all that it wrapped."""


def load_secret(path: Path, *, create: bool = True) -> bytes:
    """The server's secret: at least 32 bytes of a file that no other user may read.

    A missing one is made of 32 random bytes unless `create` is false. Raises SecretRefused.
    """
    if create and not path.exists():
        _make_secret(path)
    try:
        with path.open("rb") as file:
            _check_access(path, os.fstat(file.fileno()))
            secret = file.read(_LIMIT_SECRET_BYTES + 1)
    except FileNotFoundError:
        raise SecretRefused(f"The secret {path} is missing") from None
    except PermissionError:
        raise SecretRefused(f"The secret {path} may not be read by this user") from None
    if not KEY_BYTES <= len(secret) <= _LIMIT_SECRET_BYTES:
        raise SecretRefused(f"The secret {path} has {len(secret)} bytes; it needs {KEY_BYTES}")
    return secret


def _check_access(path: Path, status: os.stat_result) -> None:
    # A secret that an orchestrator mounts belongs to root and is read through its group.
    mounted = status.st_uid == 0 and os.geteuid() != 0
    if status.st_uid not in (0, os.geteuid()):
        raise SecretRefused(f"The secret {path} belongs to another user: chown it to this one")
    if status.st_mode & (0o037 if mounted else 0o077):
        mode = status.st_mode & 0o777
        raise SecretRefused(f"The secret {path} is open to others ({mode:o}): chmod 600 it")


def _make_secret(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Linking never replaces: of two servers that start at once, both read the first's secret.
        Path(path).hardlink_to(name)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Keyring:
    """What the secret can do. Calls that name a day may read the media store: use a thread."""

    def __init__(self, secret: bytes, folder: Folder) -> None:
        self._secret = secret
        self._folder = folder
        self._wrapping = derived_key(secret, b"squero wrap")
        self._hmacs: dict[str, bytes] = {}
        self._days: dict[date, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def hmac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA-256 of the data under a key of this purpose alone."""
        key = self._hmacs.get(purpose)
        if key is None:
            key = derived_key(self._secret, b"squero hmac\x00" + purpose.encode())
            self._hmacs[purpose] = key
        return hmac.digest(key, data, hashlib.sha256)

    def wrap(self, generation_key: bytes, day: date) -> bytes:
        """A generation's key as it may be stored; makes the day's key when there is none yet."""
        return seal(self._day_key(day, create=True), generation_key, _purpose(day))

    def wrap_at_once(self, generation_key: bytes, day: date) -> bytes | None:
        """The same without blocking; None where the day's key must be read: then use `wrap`."""
        key, until = self._days.get(day, (b"", 0.0))
        if time.monotonic() >= until:
            return None
        return seal(key, generation_key, _purpose(day))

    def unwrap(self, wrapped: bytes, day: date) -> bytes:
        """The generation's key again; raises KeyForgotten, or SealBroken for a changed one."""
        return open_sealed(self._day_key(day, create=False), wrapped, _purpose(day))

    def forget_before(self, day: date) -> int:
        """Deletes the keys of all earlier days; how many. Other replicas follow in a minute."""
        count = 0
        for name in list(self._folder.names("keys")):
            if date.fromisoformat(name.removeprefix("keys/")) < day:
                count += self._folder.delete(name)
        with self._lock:
            self._days = {kept: entry for kept, entry in self._days.items() if kept >= day}
        return count

    def _day_key(self, day: date, *, create: bool) -> bytes:
        now = time.monotonic()
        key, until = self._days.get(day, (b"", 0.0))
        if now >= until:
            key = self._stored(day) if not create else self._stored_or_new(day)
            with self._lock:
                fresh = {kept: entry for kept, entry in self._days.items() if entry[1] > now}
                self._days = fresh | {day: (key, now + _CACHE_SECONDS)}
        return key

    def _stored_or_new(self, day: date) -> bytes:
        try:
            return self._stored(day)
        except KeyForgotten:
            pass
        with self._folder.create(f"keys/{day}") as draft:
            draft.write(seal(self._wrapping, os.urandom(KEY_BYTES), _purpose(day)))
            # Where another replica was first, its key is the day's.
            with contextlib.suppress(ObjectExists):
                draft.publish()
        return self._stored(day)

    def _stored(self, day: date) -> bytes:
        try:
            with self._folder.open(f"keys/{day}") as file:
                sealed = file.read()
        except ObjectMissing:
            raise KeyForgotten(f"The key of {day} is gone") from None
        return open_sealed(self._wrapping, sealed, _purpose(day))


def _purpose(day: date) -> bytes:
    return f"day {day}".encode()
