"""Sealed bytes: nothing that a customer sent or received lies on a disk in the clear.

An object is a header and numbered chunks of 256 KiB, each sealed with AES-256-GCM. The nonce is
the chunk's number and whether it is the last, so any range opens by itself, and an object that
was cut off, added to or put in another order does not open at all.
"""

import hmac
import io
import os
from collections.abc import Iterator, Sequence
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from squero.media.chunks import Chunks, Source

CHUNK_BYTES = 256 * 1024
KEY_BYTES = 32

_MAGIC = b"squero\x00\x01"
_SALT_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + _SALT_BYTES
_TAG_BYTES = 16
_NONCE_BYTES = 12
_SEALED_CHUNK_BYTES = CHUNK_BYTES + _TAG_BYTES
_LIMIT_CHUNKS = 2**32
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0)


class SealedFile(NamedTuple):
    """An open file and the key of the object in it: what is handed to a sandboxed child."""

    descriptor: int
    key: bytes


class SealBroken(Exception):
    """Sealed bytes that are not what was sealed under this key: cut off, changed or foreign."""


def derived_key(key: bytes, label: bytes) -> bytes:
    """The 32 bytes that HKDF-SHA-256 (RFC 5869, no salt) makes of a key for one labelled use."""
    # In a fresh child half of what the cipher library's own takes.
    extracted = hmac.digest(bytes(KEY_BYTES), key, "sha256")
    return hmac.digest(extracted, label + b"\x01", "sha256")


def object_key(generation_key: bytes, name: str) -> bytes:
    """The key of one object of a generation, by its role and attempt, such as `result/2`."""
    return derived_key(generation_key, b"squero object\x00" + name.encode())


def seal(key: bytes, plaintext: bytes, purpose: bytes = b"") -> bytes:
    """A small value sealed for a place that is no file, such as the prompt in its row.

    The nonce is random, so one key may seal many values (up to 2**32). What was sealed for one
    purpose does not open for another.
    """
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, b"squero value\x00" + purpose)


def open_sealed(key: bytes, sealed: bytes, purpose: bytes = b"") -> bytes:
    """What `seal` sealed under this key for this purpose; raises SealBroken."""
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    if len(rest) < _TAG_BYTES:
        raise SealBroken("The sealed value is cut off")
    try:
        return AESGCM(key).decrypt(nonce, rest, b"squero value\x00" + purpose)
    except InvalidTag:
        raise SealBroken("The sealed value does not open under this key") from None


def sealed_size(size: int) -> int:
    """How many bytes an object of `size` plain bytes takes when it is sealed."""
    chunks = max(1, -(-size // CHUNK_BYTES))
    return _HEADER_BYTES + size + chunks * _TAG_BYTES


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    # Every sealing draws a salt of its own: an upload that broke off and is sent again under the
    # same name meets a fresh key, so a nonce never seals two plaintexts.
    if len(key) != KEY_BYTES:
        raise ValueError(f"A key has {KEY_BYTES} bytes, not {len(key)}")
    return AESGCM(derived_key(key, b"squero chunks\x00" + salt))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(_NONCE_BYTES - 1, "big") + bytes([last])


def _descriptor(file: BinaryIO | int) -> int:
    return file if isinstance(file, int) else file.fileno()


def _memory(length: int) -> memoryview:
    return memoryview(mmap(-1, length, flags=MAP_PRIVATE | MAP_ANONYMOUS))


class SealedWriter:
    """Seals what is written into a file, in place of all it held, keeping one chunk in memory.

    The file stays open and is the caller's; nothing in it opens before `finish`.
    """

    def __init__(self, file: BinaryIO | int, key: bytes) -> None:
        salt = os.urandom(_SALT_BYTES)
        self._descriptor = _descriptor(file)
        self._cipher = _cipher(key, salt)
        self._header = _MAGIC + salt
        # Both are used again for every chunk: fresh ones cost more than the sealing itself. Of
        # these the system hands out what is touched, and most objects are less than a chunk.
        self._plain = _memory(CHUNK_BYTES)
        self._sealed = _memory(_SEALED_CHUNK_BYTES)
        self._pending = 0
        self._chunks = 0
        self._finished = False
        self.size = 0
        """The plain bytes taken so far."""
        os.ftruncate(self._descriptor, 0)
        self._put(self._header, 0)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Seals every chunk that is full and known not to be the last; gives the bytes taken."""
        if self._finished:
            raise ValueError("The object is finished")
        view = memoryview(data).cast("B")
        given = len(view)
        self.size += given
        while view:
            if self._pending == CHUNK_BYTES:
                self._seal(self._take(), last=False)
            if self._pending or len(view) <= CHUNK_BYTES:
                view = self._keep(view)
            else:
                self._seal(view[:CHUNK_BYTES], last=False)
                view = view[CHUNK_BYTES:]
        return given

    def finish(self) -> int:
        """Seals the last chunk; gives the size of the object in plain bytes."""
        if not self._finished:
            self._seal(self._take(), last=True)
            self._finished = True
            # Half a megabyte that nobody needs any more, however long this object lives.
            self._plain = self._sealed = memoryview(b"")
        return self.size

    def _keep(self, view: memoryview) -> memoryview:
        """Copies into the chunk that is pending; gives what had no room in it."""
        taken = min(CHUNK_BYTES - self._pending, len(view))
        self._plain[self._pending : self._pending + taken] = view[:taken]
        self._pending += taken
        return view[taken:]

    def _take(self) -> memoryview:
        """What was kept for the next chunk, which is kept no longer."""
        pending, self._pending = self._pending, 0
        return self._plain[:pending]

    def _seal(self, plain: memoryview, *, last: bool) -> None:
        if self._chunks >= _LIMIT_CHUNKS:
            raise ValueError("The object is too large")
        sealed = self._sealed[: len(plain) + _TAG_BYTES]
        self._cipher.encrypt_into(_nonce(self._chunks, last), plain, self._header, sealed)
        self._put(sealed, _HEADER_BYTES + self._chunks * _SEALED_CHUNK_BYTES)
        self._chunks += 1

    def _put(self, data: bytes | memoryview, position: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, position)
            view = view[written:]
            position += written


_chunks = Chunks(_SEALED_CHUNK_BYTES)
_NOTHING: tuple[int, bytes | memoryview] = (-1, b"")


class SealedReader(io.RawIOBase):
    """A sealed object as a seekable file, opening the chunks that are read and no others.

    A file handed in is closed with the reader; a bare descriptor stays the caller's. Reads by
    position, so several readers may share a descriptor. The last chunk is opened at once, so that
    `size` is sure. Raises SealBroken here and from every read.
    """

    def __init__(self, file: BinaryIO | int, key: bytes) -> None:
        super().__init__()
        self._file = None if isinstance(file, int) else file
        self._source: Source | None = None
        self._descriptor = _descriptor(file)
        self._header = os.pread(self._descriptor, _HEADER_BYTES, 0)
        if len(self._header) < _HEADER_BYTES or not self._header.startswith(_MAGIC):
            raise SealBroken("This is not a sealed object")
        self._cipher = _cipher(key, self._header[len(_MAGIC) :])
        body = os.fstat(self._descriptor).st_size - _HEADER_BYTES
        self._chunks = max(1, -(-body // _SEALED_CHUNK_BYTES))
        self._last_bytes = body - (self._chunks - 1) * _SEALED_CHUNK_BYTES - _TAG_BYTES
        if self._last_bytes < 0 or (self._last_bytes == 0 and self._chunks > 1):
            raise SealBroken("The sealed object is cut off")
        self.size = (self._chunks - 1) * CHUNK_BYTES + self._last_bytes
        """The object's size in plain bytes."""
        self._source = (key, self._header)
        _chunks.enter(self._source)
        self._position = 0
        self._held = _NOTHING
        self._held = (self._chunks - 1, self._chunk(self._chunks - 1))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("A position is not negative")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills the buffer from at most one chunk; 0 at the end."""
        if self._position >= self.size:
            return 0
        number, offset = divmod(self._position, CHUNK_BYTES)
        self._held = (number, self._chunk(number))
        plain = memoryview(self._held[1])[offset : offset + len(buffer)]
        buffer[: len(plain)] = plain
        self._position += len(plain)
        return len(plain)

    def whole(self) -> bytes:
        """All of the plain bytes; does not move the reader's position."""
        if self._chunks == 1:
            return bytes(self._chunk(0))
        return b"".join(self.read_range(0, self.size))

    def read_range(self, start: int, end: int) -> Iterator[memoryview]:
        """The plain bytes from `start` up to `end`, in pieces of a chunk at most.

        Does not move the reader's position; what lies outside the object is left out.
        """
        end = min(end, self.size)
        while start < end:
            piece = self.piece(start, end)
            yield piece
            start += len(piece)

    def piece(self, start: int, end: int) -> memoryview:
        """The plain bytes from `start` up to `end`, or to the end of the chunk if that is nearer.

        Their memory is used again once nobody holds a view of it.
        """
        number, offset = divmod(start, CHUNK_BYTES)
        return memoryview(self._chunk(number))[offset : end - number * CHUNK_BYTES]

    def pieces(self, start: int, end: int, most: int) -> Sequence[memoryview]:
        """The next pieces, up to so many, which the system has in memory: at least one.

        Raises BlockingIOError when it would have to ask the disk for the first. Of several no more
        come than there is memory for that is used again.
        """
        if not _AT_ONCE:
            raise BlockingIOError
        number, offset = divmod(start, CHUNK_BYTES)
        stop = min(number + most, -(-end // CHUNK_BYTES))
        sealed, pieces = _chunks.take(_SEALED_CHUNK_BYTES), list[memoryview]()
        for plain in _chunks.take_some(stop - number):
            try:
                chunk = memoryview(self._chunk(number, sealed, plain))
            except BlockingIOError:
                if not pieces:
                    raise
                break
            pieces.append(chunk[offset : end - number * CHUNK_BYTES])
            number, offset = number + 1, 0
        return pieces

    def close(self) -> None:
        if self._source is not None:
            _chunks.leave(self._source)
            self._source = None
        if self._file is not None and not self.closed:
            self._file.close()
        self._held = _NOTHING
        super().close()

    def _chunk(
        self, number: int, sealed: memoryview | None = None, plain: memoryview | None = None
    ) -> bytes | memoryview:
        """A chunk, opened: at once and by way of this memory, or when the disk has it."""
        held, found = self._held
        if held == number:
            return found
        if self.closed:
            raise ValueError("The reader is closed")
        self._held = _NOTHING
        last = number == self._chunks - 1
        length = self._last_bytes if last else CHUNK_BYTES
        nonce, source = _nonce(number, last), self._source
        assert source is not None
        if chunk := _chunks.find(source, nonce):
            return chunk
        data = self._read(length + _TAG_BYTES, _HEADER_BYTES + number * _SEALED_CHUNK_BYTES, sealed)
        try:
            if self._chunks == 1:
                # No other chunk comes after it, for which the memory would be there already.
                return self._cipher.decrypt(nonce, data, self._header)
            plain = _chunks.take(length) if plain is None else plain[:length]
            self._cipher.decrypt_into(nonce, data, self._header, plain)
        except InvalidTag:
            raise SealBroken("The sealed object does not open under this key") from None
        _chunks.keep(source, nonce, plain)
        return plain

    def _read(self, length: int, position: int, memory: memoryview | None) -> bytes | memoryview:
        if memory is not None:
            return self._read_at_once(memory[:length], position)
        data = os.pread(self._descriptor, length, position)
        while len(data) < length:
            more = os.pread(self._descriptor, length - len(data), position + len(data))
            if not more:
                raise SealBroken("The sealed object is cut off")
            data += more
        return data

    def _read_at_once(self, memory: memoryview, position: int) -> memoryview:
        try:
            taken = os.preadv(self._descriptor, [memory], position, _AT_ONCE)
        except OSError as error:
            # Where a file system cannot tell what is in memory, it says so.
            raise BlockingIOError from error
        if taken < len(memory):
            raise BlockingIOError
        return memory
