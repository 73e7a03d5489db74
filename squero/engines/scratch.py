"""Where renders keep their files: a private folder in memory, gone with the worker.

Prompts and media in the clear must not reach a disk, so the folder lies on /dev/shm where that has
room. A lock held inside it says that its worker lives; what dead workers left is swept.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "squero-scratch-"
LOCK = ".alive"
ROOM_BYTES = 1 << 30
"""Less than this free, and a container has the usual small /dev/shm, where no video fits."""


def default_parent() -> Path:
    """Shared memory where it can be used and has room, else the folder for temporary files."""
    memory = Path("/dev/shm")  # noqa: S108 - only private folders are made there
    if memory.is_dir() and os.access(memory, os.W_OK | os.X_OK):
        free = os.statvfs(memory)
        if free.f_bavail * free.f_frsize >= ROOM_BYTES:
            return memory
    return Path(tempfile.gettempdir())


@contextlib.contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A new folder that only this user may enter, removed at the end; first sweeps the dead."""
    parent = parent or default_parent()
    sweep(parent)
    # It takes its name only when it is locked, or another worker's sweep might take it for dead.
    unnamed = Path(tempfile.mkdtemp(prefix="squero-new-", dir=parent))
    lock = os.open(unnamed / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = unnamed.rename(parent / unnamed.name.replace("squero-new-", PREFIX))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def sweep(parent: Path) -> int:
    """Remove the folders of this user's dead workers; gives how many."""
    return sum(_remove_if_dead(entry) for entry in parent.glob(PREFIX + "*"))


def _remove_if_dead(folder: Path) -> bool:
    with contextlib.suppress(OSError), _opened(folder, os.O_DIRECTORY) as inside:
        found = os.fstat(inside)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
            return False
        with _opened(LOCK, os.O_RDWR, inside) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            return True
    return False


@contextlib.contextmanager
def _opened(path: Path | str, flags: int, inside: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_NOFOLLOW, dir_fd=inside)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
