"""The media store on a local folder: objects under names, written once and whole or not at all.

An object is written into a file without a name and linked into place when it is complete and on
the disk, so a crash at any point leaves nothing or the whole. What the objects hold is sealed by
whoever writes them. Every call blocks: from async code use a thread.
"""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"[a-z0-9_-][a-z0-9_.-]*(/[a-z0-9_-][a-z0-9_.-]*)*")
_LIMIT_NAME = 400
_TRIES = 20
_UNFINISHED = ".new"


class ObjectExists(Exception):
    """An object of this name is there already; objects are never overwritten."""


class ObjectMissing(Exception):
    """No object has this name."""


class Draft:
    """An object being written; nobody can find it before `publish`."""

    def __init__(self, folder: "Folder", name: str) -> None:
        self.name = name
        self._folder = folder
        self._file, self._link = folder._new_file()

    def fileno(self) -> int:
        """The descriptor to write to, for as long as the draft is neither published nor dropped."""
        return self._file.fileno()

    def write(self, data: bytes) -> int:
        """Adds bytes as they are; sealed objects are written through a SealedWriter instead."""
        return self._file.write(data)

    def publish(self) -> None:
        """Makes the object durable under its name; raises ObjectExists when that is taken."""
        with contextlib.closing(self):
            self._file.flush()
            os.fsync(self._file.fileno())
            source = self._link or Path(f"/proc/self/fd/{self._file.fileno()}")
            self._folder._link(source, self.name)

    def close(self) -> None:
        """Drops what was not published; closing again does nothing."""
        self._file.close()
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link = None

    def __enter__(self) -> "Draft":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Folder:
    """Objects in a folder that belongs to this server alone.

    A name is like `generations/<queue_id>/input/image`: lower-case letters, digits, `_`, `-` and
    `.` between slashes. Every call raises ValueError for a name of any other shape.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, name: str) -> Draft:
        """A draft of a new object; write it, then `publish` it."""
        self._path(name)
        return Draft(self, name)

    def open(self, name: str) -> BinaryIO:
        """The object's bytes for reading; they stay readable when it is deleted meanwhile.

        Raises ObjectMissing.
        """
        try:
            return self._path(name).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectMissing(name) from None

    def delete(self, name: str) -> bool:
        """Deletes one object; whether it was there."""
        path = self._path(name)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        self._prune(path.parent)
        return True

    def delete_all(self, prefix: str) -> int:
        """Deletes every object below `prefix/`; how many there were."""
        top = self._path(prefix)
        count = 0
        for folder, folders, files in os.walk(top, topdown=False):
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    (Path(folder) / file).unlink()
                    count += 1
            for below in folders:
                with contextlib.suppress(OSError):
                    (Path(folder) / below).rmdir()
        self._prune(top)
        return count

    def names(self, prefix: str) -> Iterator[str]:
        """The names of the objects below `prefix/`, in no order."""
        for folder, _, files in os.walk(self._path(prefix)):
            for file in files:
                yield (Path(folder) / file).relative_to(self._root).as_posix()

    def sweep(self) -> int:
        """Removes drafts that a crash left behind; how many.

        There are some only where the filesystem has no files without a name.
        """
        count = 0
        for path in (self._root / _UNFINISHED).glob("*"):
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                count += 1
        return count

    def _path(self, name: str) -> Path:
        if len(name) > _LIMIT_NAME or not _NAME.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is not the name of an object")
        return self._root / name

    def _new_file(self) -> tuple[BinaryIO, Path | None]:
        _make(self._root)
        try:
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            return os.fdopen(os.open(self._root, flags, 0o600), "w+b"), None
        except (OSError, AttributeError):
            return self._named_file()

    def _named_file(self) -> tuple[BinaryIO, Path]:
        folder = self._root / _UNFINISHED
        _make(folder)
        descriptor, name = tempfile.mkstemp(dir=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return os.fdopen(descriptor, "w+b"), Path(name)

    def _link(self, source: Path, name: str) -> None:
        path = self._path(name)
        for _ in range(_TRIES):
            _make(path.parent)
            # A delete next to us may take the folder away between any two of these lines.
            with contextlib.suppress(FileNotFoundError), _opened(path.parent) as parent:
                try:
                    os.link(source, path.name, dst_dir_fd=parent, follow_symlinks=True)
                except FileExistsError:
                    raise ObjectExists(name) from None
                os.fsync(parent)
                return
        raise OSError(f"The folder of {name} keeps vanishing")

    def _prune(self, folder: Path) -> None:
        while folder != self._root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                break
            folder = folder.parent
        with contextlib.suppress(FileNotFoundError):
            _sync(folder)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


def _make(folder: Path) -> None:
    """Makes a folder and its missing parents, each 0700 and on the disk before it is used."""
    try:
        os.mkdir(folder, 0o700)  # noqa: PTH102
    except FileExistsError:
        if not folder.is_dir() and folder.exists():
            message = f"{folder.name} is an object, not a folder of objects"
            raise NotADirectoryError(message) from None
    except FileNotFoundError:
        _make(folder.parent)
        _make(folder)
    else:
        with contextlib.suppress(FileNotFoundError):
            _sync(folder.parent)
