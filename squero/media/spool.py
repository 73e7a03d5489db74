"""The spool: media on its way in with a request's body, sealed before it touches the disk.

Each spooled file has no name and a key that only this process's memory holds, so a process that
is killed leaves nothing that anybody could read or would have to sweep. What is brief lies in no
folder at all but in memory, sealed like the rest.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

from squero.media.sealed import KEY_BYTES, SealedFile, SealedReader, SealedWriter

BRIEF_BYTES = 1 << 20
"""The most that one spooled file in memory holds, in plain bytes."""
MEMORY_BYTES = 32 << 20
"""And all of them together: beyond that they lie in the folder."""


def nameless_file(folder: Path) -> int:
    """A descriptor, for reading and writing, of a file in the folder that has no name there."""
    # An unnamed file that O_EXCL keeps from ever getting a name; not every filesystem has them.
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except (OSError, AttributeError):
        descriptor, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        return descriptor


class _Place(Protocol):
    """Where a spooled file is."""

    descriptor: int

    def close(self) -> None:
        """Lets go of it."""


class _InFolder:
    def __init__(self, folder: Path) -> None:
        self.descriptor = nameless_file(folder)

    def close(self) -> None:
        os.close(self.descriptor)


class _InMemory:
    def __init__(self, room: "_Room") -> None:
        self.descriptor = os.memfd_create("spool", os.MFD_CLOEXEC)
        self._room = room

    def close(self) -> None:
        os.close(self.descriptor)
        self._room.give_back()


class _Room:
    """So many files in memory at once."""

    def __init__(self) -> None:
        self._free = MEMORY_BYTES // BRIEF_BYTES if hasattr(os, "memfd_create") else 0
        self._lock = Lock()

    def take(self) -> bool:
        """Whether there is room for one more, which is taken then."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """One is gone."""
        with self._lock:
            self._free += 1


class Spooled:
    """Media that has arrived whole; its bytes are gone when it is closed."""

    def __init__(self, place: _Place, key: bytes, size: int, digest: bytes) -> None:
        self._key = key
        self.size = size
        """In plain bytes."""
        self.digest = digest
        """SHA-256 of the plain bytes."""
        self._place: _Place | None = place
        self.in_memory = isinstance(place, _InMemory)
        """Whether it is in no folder, so that closing it waits for no disk."""

    @property
    def sealed(self) -> SealedFile:
        """The file and its key, for the sandbox; raises ValueError once closed."""
        if self._place is None:
            raise ValueError("The spooled file is closed")
        return SealedFile(self._place.descriptor, self._key)

    def reader(self) -> SealedReader:
        """The plain bytes from the start; the reader is of use until this is closed."""
        return SealedReader(*self.sealed)

    def close(self) -> None:
        """Lets go of the bytes; closing again does nothing."""
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def __enter__(self) -> "Spooled":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SpoolWriter:
    """Takes media piece by piece; end it with `finish` or `discard`."""

    def __init__(self, place: _Place) -> None:
        self._key = os.urandom(KEY_BYTES)
        self._digest = hashlib.sha256()
        self._place: _Place | None = place
        self._sealed = SealedWriter(place.descriptor, self._key)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Seals more bytes (about 1 ms a megabyte: from a thread when there are many)."""
        self._digest.update(data)
        self._sealed.write(data)

    def finish(self) -> Spooled:
        """What was written, ready to read; the writer is of no more use."""
        if self._place is None:
            raise ValueError("The writer has ended")
        size = self._sealed.finish()
        place, self._place = self._place, None
        return Spooled(place, self._key, size, self._digest.digest())

    def discard(self) -> None:
        """Forgets what was written; does nothing after `finish`."""
        place, self._place = self._place, None
        if place is not None:
            place.close()


class Spool:
    """Where spooled files live: a folder that stays empty to look at, and a little memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._room = _Room()

    def open(self, most_bytes: int | None = None) -> SpoolWriter:
        """A writer for one piece of media; makes the folder when it is missing.

        Where it is known that no more than `most_bytes` will come, they may stay in memory.
        """
        if most_bytes is not None and most_bytes <= BRIEF_BYTES and self._room.take():
            return SpoolWriter(_InMemory(self._room))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SpoolWriter(_InFolder(self._folder))


@dataclass(frozen=True, slots=True)
class DataUrl:
    """What the body's reader puts in the place of a `data:` URL."""

    media_type: str
    """As the URL claims it, in lower case and without parameters; never to be believed."""
    spooled: Spooled
