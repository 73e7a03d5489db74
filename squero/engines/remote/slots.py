"""How many jobs of this machine's workers are at an upstream: locks that die with their holder."""

import fcntl
import hashlib
import os
import stat
from pathlib import Path

PARENTS = (Path("/dev/shm"), Path("/tmp"))  # noqa: S108 - only a private folder is made there


class Slot:
    """A place at an upstream, until it is let go or this process ends."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next one have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def take(url: str, model: str, limit: int | None) -> Slot | None:
    """A place among so many at this model of a server; None while all are taken."""
    if limit is None:
        return Slot(None)
    folder = _folder()
    name = hashlib.sha256(f"{url}\n{model}".encode()).hexdigest()[:24]
    for number in range(limit):
        descriptor = os.open(
            folder / f"{name}-{number}", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return Slot(descriptor)
    return None


def _folder() -> Path:
    """A folder of this user's that all its workers share; raises OSError where there is none."""
    parent = next(one for one in PARENTS if one.is_dir() and os.access(one, os.W_OK | os.X_OK))
    folder = parent / f"squero-slots-{os.geteuid()}"
    folder.mkdir(0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's own")
    return folder
