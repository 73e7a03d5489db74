"""A file that appears only when whole, from connections that may break."""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx
from anyio import CancelScope, to_thread

from squero.client.backoff import Waits
from squero.client.errors import BrokenDownload

CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 64

Ask = Callable[[Mapping[str, str]], Awaitable[httpx.Response]]
Check = Callable[[bytes], bool]


class PartFile:
    """The bytes so far, beside the target under a random name, readable by the owner alone."""

    def __init__(self, target: Path) -> None:
        self._target = target
        fd, name = tempfile.mkstemp(".part", f".{target.name[:100]}.", target.parent)
        self._file = os.fdopen(fd, "w+b", buffering=0)
        self._path = Path(name)
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add to the end."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self.size += len(data)

    def restart(self) -> None:
        """Drop the bytes so far."""
        self._file.seek(0)
        self._file.truncate()
        self.size = 0

    def head(self) -> bytes:
        """The first bytes, to see what the file is; nothing may be written after."""
        self._file.seek(0)
        return self._file.read(HEAD_BYTES)

    def keep(self, overwrite: bool) -> Path:
        """Give the file its name, safely on disk; a taken name gets a number unless `overwrite`."""
        os.fsync(self._file.fileno())
        self._file.close()
        path = self._target
        if overwrite:
            self._path.replace(path)
        else:
            path = next(free for free in _numbered(path) if _move_to_new(self._path, free))
        _sync_folder(path.parent)
        return path

    def close(self) -> None:
        """Let go of the file, and remove it unless it was kept."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Download:
    """One download: asks for the bytes as often as it takes."""

    def __init__(
        self,
        ask: Ask,
        lost: tuple[type[Exception], ...],
        waits: Waits,
        check: Check | None,
        on_bytes: Callable[[int, int | None], object] | None,
    ) -> None:
        self._ask = ask
        self._lost = lost
        self._waits = waits
        self._check = check
        self._on_bytes = on_bytes
        self._etag: str | None = None
        self._total: int | None = None
        self._furthest = 0

    async def save(self, target: Path, opened: httpx.Response | None, overwrite: bool) -> Path:
        """The path of the whole file; raises what `ask` raises, and BrokenDownload."""
        try:
            async with _part_file(target) as part:
                while not await self._try(part, opened or await self._ask(self._range(part))):
                    opened = None
                if self._check and not self._check(await to_thread.run_sync(part.head)):
                    raise BrokenDownload("the server sent something else than the file")
                return await to_thread.run_sync(part.keep, overwrite)
        finally:
            if opened:
                with CancelScope(shield=True):
                    await opened.aclose()

    async def _try(self, part: PartFile, response: httpx.Response) -> bool:
        """Read one answer; whether the file is whole. Waits when there is to be another try."""
        lost: Exception | None = None
        try:
            if await self._accept(part, response):
                await self._read(part, response)
                if self._total in (None, part.size):
                    return True
        except self._lost as error:
            lost = error
        finally:
            with CancelScope(shield=True):
                await response.aclose()
        if part.size > self._furthest and self._etag:
            self._furthest = part.size
            self._waits.restart()
        if not await self._waits.another():
            raise BrokenDownload(f"the download broke off at {part.size} bytes") from lost
        return False

    async def _read(self, part: PartFile, response: httpx.Response) -> None:
        async for chunk in response.aiter_raw(CHUNK_BYTES):
            await to_thread.run_sync(part.write, chunk)
            if self._on_bytes:
                self._on_bytes(part.size, self._total)

    def _range(self, part: PartFile) -> dict[str, str]:
        if not (self._etag and self._total and 0 < part.size < self._total):
            return {}
        return {"range": f"bytes={part.size}-", "if-range": self._etag}

    async def _accept(self, part: PartFile, response: httpx.Response) -> bool:
        """Bring the file and the answer to the same byte; False when they cannot be."""
        if response.is_stream_consumed:
            # It was JSON, which is read at once.
            raise BrokenDownload("the server sent something else than the file")
        if response.status_code == 206:
            expected = f"bytes {part.size}-"
            told = response.headers.get("content-range", "")
            if part.size and told.startswith(expected) and told.endswith(f"/{self._total}"):
                return True
            await to_thread.run_sync(part.restart)
            return False
        await to_thread.run_sync(part.restart)
        self._total = _length(response)
        etag = response.headers.get("etag", "")
        self._etag = etag if etag.startswith('"') and self._total is not None else None
        return True


def _length(response: httpx.Response) -> int | None:
    """The size that the answer promises; None when its framing alone marks the end."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise BrokenDownload("the server encoded the file although it was asked not to")
    length = response.headers.get("content-length", "")
    if length.isdecimal():
        return int(length)
    if "chunked" in response.headers.get("transfer-encoding", ""):
        return None
    raise BrokenDownload("the server did not say how long the file is")


@asynccontextmanager
async def _part_file(target: Path) -> AsyncIterator[PartFile]:
    part = await to_thread.run_sync(PartFile, target)
    try:
        yield part
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(part.close)


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_stem(f"{path.stem}-{number}")


def _move_to_new(source: Path, target: Path) -> bool:
    """Rename without replacing; False when the name is taken."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return False
    except OSError:
        # No hard links here (FAT, some network drives): the next best, with a small gap.
        if target.exists():
            return False
        source.replace(target)
    return True


def _sync_folder(folder: Path) -> None:
    """Make the new name outlive a power cut, where folders can be synced."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
