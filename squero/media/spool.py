"""The spool: media on its way in with a request's body, sealed before it touches the disk.

Each spooled file has no name and a key that only this process's memory holds, so a process that
is killed leaves nothing that anybody could read or would have to sweep.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from squero.media.sealed import KEY_BYTES, SealedFile, SealedReader, SealedWriter


def nameless_file(folder: Path) -> int:
    """A descriptor, for reading and writing, of a file in the folder that has no name there."""
    # An unnamed file that O_EXCL keeps from ever getting a name; not every filesystem has them.
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except (OSError, AttributeError):
        descriptor, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        return descriptor


class Spooled:
    """Media that has arrived whole; its bytes are gone when it is closed."""

    def __init__(self, descriptor: int, key: bytes, size: int, digest: bytes) -> None:
        self._key = key
        self.size = size
        """In plain bytes."""
        self.digest = digest
        """SHA-256 of the plain bytes."""
        self._descriptor: int | None = descriptor

    @property
    def sealed(self) -> SealedFile:
        """The file and its key, for the sandbox; raises ValueError once closed."""
        if self._descriptor is None:
            raise ValueError("The spooled file is closed")
        return SealedFile(self._descriptor, self._key)

    def reader(self) -> SealedReader:
        """The plain bytes from the start; the reader is of use until this is closed."""
        return SealedReader(*self.sealed)

    def close(self) -> None:
        """Lets go of the bytes; closing again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> "Spooled":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SpoolWriter:
    """Takes media piece by piece; end it with `finish` or `discard`."""

    def __init__(self, folder: Path) -> None:
        self._key = os.urandom(KEY_BYTES)
        self._digest = hashlib.sha256()
        self._descriptor: int | None = nameless_file(folder)
        self._sealed = SealedWriter(self._descriptor, self._key)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Seals more bytes (about 1 ms a megabyte: from a thread when there are many)."""
        self._digest.update(data)
        self._sealed.write(data)

    def finish(self) -> Spooled:
        """What was written, ready to read; the writer is of no more use."""
        if self._descriptor is None:
            raise ValueError("The writer has ended")
        size = self._sealed.finish()
        descriptor, self._descriptor = self._descriptor, None
        return Spooled(descriptor, self._key, size, self._digest.digest())

    def discard(self) -> None:
        """Forgets what was written; does nothing after `finish`."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class Spool:
    """Where spooled files live: a folder that stays empty to look at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> SpoolWriter:
        """A writer for one piece of media; makes the folder when it is missing."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SpoolWriter(self._folder)


@dataclass(frozen=True, slots=True)
class DataUrl:
    """What the body's reader puts in the place of a `data:` URL."""

    media_type: str
    """As the URL claims it, in lower case and without parameters; never to be believed."""
    spooled: Spooled
