"""Sealed objects: what goes in comes out, and nothing that was touched opens."""

import errno
import io
import os
import tempfile
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given, settings
from hypothesis import strategies as st

from squero.media.sealed import (
    CHUNK_BYTES,
    SealBroken,
    SealedReader,
    SealedWriter,
    derived_key,
    object_key,
    open_sealed,
    seal,
    sealed_size,
)

KEY = bytes(range(32))
HEADER = sealed_size(0) - 16
STEP = CHUNK_BYTES + 16

BORDERS = [
    chunks * CHUNK_BYTES + offset
    for chunks in range(4)
    for offset in (-1, 0, 1)
    if chunks or offset >= 0
]


def pattern(size: int) -> bytes:
    return (os.urandom(4099) * (size // 4099 + 1))[:size]


def sealed(file: IO[bytes], plain: bytes, key: bytes = KEY) -> None:
    writer = SealedWriter(file.fileno(), key)
    writer.write(plain)
    assert writer.finish() == len(plain)


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


def plain_of(file: IO[bytes], key: bytes = KEY) -> bytes:
    reader = SealedReader(file.fileno(), key)
    return b"".join(reader.read_range(0, reader.size))


@pytest.mark.parametrize("size", BORDERS)
def test_round_trip_at_the_borders(file: IO[bytes], size: int) -> None:
    plain = pattern(size)
    sealed(file, plain)
    assert os.fstat(file.fileno()).st_size == sealed_size(size)
    reader = SealedReader(file.fileno(), KEY)
    assert reader.size == size
    assert reader.read() == plain
    assert plain_of(file) == plain


@settings(max_examples=40, deadline=None)
@example(sizes=[CHUNK_BYTES, CHUNK_BYTES], start=CHUNK_BYTES - 1, length=2)
@given(
    sizes=st.lists(st.integers(0, CHUNK_BYTES + 2), max_size=4),
    start=st.integers(0, 3 * CHUNK_BYTES),
    length=st.integers(0, 3 * CHUNK_BYTES),
)
def test_pieces_and_ranges(sizes: list[int], start: int, length: int) -> None:
    pieces = [pattern(size) for size in sizes]
    plain = b"".join(pieces)
    with tempfile.TemporaryFile() as file:
        writer = SealedWriter(file.fileno(), KEY)
        for piece in pieces:
            writer.write(piece)
        writer.finish()
        reader = SealedReader(file.fileno(), KEY)
        assert b"".join(reader.read_range(start, start + length)) == plain[start : start + length]
        buffered = io.BufferedReader(reader, 1000)
        buffered.seek(start)
        assert buffered.read(length) == plain[start : start + length]


def test_a_finished_writer_holds_no_memory(file: IO[bytes]) -> None:
    writer = SealedWriter(file.fileno(), KEY)
    writer.write(b"a gondola")
    memory = weakref.ref(writer._plain), weakref.ref(writer._sealed)
    assert writer.finish() == writer.finish() == 9
    assert [ref() for ref in memory] == [None, None]
    with pytest.raises(ValueError, match="finished"):
        writer.write(b"more")


def test_seek_and_tell_like_a_file(file: IO[bytes]) -> None:
    sealed(file, b"0123456789")
    reader = SealedReader(file.fileno(), KEY)
    assert reader.seek(-3, os.SEEK_END) == 7
    assert reader.read(2) == b"78"
    assert reader.seek(-1, os.SEEK_CUR) == reader.tell() == 8
    assert reader.seek(100) == 100
    assert reader.read(1) == b""
    with pytest.raises(ValueError, match="negative"):
        reader.seek(-1)


def cut(size: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:-size]


def flip(position: int) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        at = position % len(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return changed


def swapped(data: bytes) -> bytes:
    first, second = data[HEADER : HEADER + STEP], data[HEADER + STEP : HEADER + 2 * STEP]
    return data[:HEADER] + second + first + data[HEADER + 2 * STEP :]


TAMPERED = {
    "one byte short": cut(1),
    "without its last chunk": lambda data: data[: HEADER + 2 * STEP],
    "first chunk alone": lambda data: data[: HEADER + STEP],
    "header alone": lambda data: data[:HEADER],
    "header and a tag": lambda data: data[: HEADER + 16],
    "empty": lambda data: b"",
    "a byte more": lambda data: data + b"x",
    "a chunk more": lambda data: data + data[HEADER : HEADER + STEP],
    "its last chunk twice": lambda data: data + data[HEADER + 2 * STEP :],
    "chunks swapped": swapped,
    "first chunk missing": lambda data: data[:HEADER] + data[HEADER + STEP :],
    "magic": flip(0),
    "version": flip(7),
    "salt": flip(10),
    "first byte": flip(HEADER),
    "middle": flip(HEADER + STEP + 100),
    "first tag": flip(HEADER + STEP - 1),
    "last tag": flip(-1),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_noticed(file: IO[bytes], how: str) -> None:
    sealed(file, pattern(2 * CHUNK_BYTES + 500))
    file.seek(0)
    data = TAMPERED[how](file.read())
    file.seek(0)
    file.truncate()
    file.write(data)
    file.flush()
    with pytest.raises(SealBroken):
        plain_of(file)


@pytest.mark.parametrize("size", [0, 500, CHUNK_BYTES, 2 * CHUNK_BYTES])
def test_every_cut_at_a_chunk_is_noticed_on_opening(file: IO[bytes], size: int) -> None:
    sealed(file, pattern(size + CHUNK_BYTES))
    file.truncate(sealed_size(size))
    with pytest.raises(SealBroken):
        SealedReader(file.fileno(), KEY)


def test_unfinished_object_does_not_open(file: IO[bytes]) -> None:
    writer = SealedWriter(file.fileno(), KEY)
    writer.write(pattern(2 * CHUNK_BYTES + 1))
    with pytest.raises(SealBroken):
        SealedReader(file.fileno(), KEY)


def test_foreign_key_does_not_open(file: IO[bytes]) -> None:
    sealed(file, b"secret")
    with pytest.raises(SealBroken):
        SealedReader(file.fileno(), object_key(KEY, "result/1"))


def test_file_that_shrinks_under_the_reader_is_noticed(file: IO[bytes]) -> None:
    sealed(file, pattern(2 * CHUNK_BYTES + 10))
    reader = SealedReader(file.fileno(), KEY)
    file.truncate(HEADER + 100)
    with pytest.raises(SealBroken):
        reader.read(10)


def test_sealing_again_replaces_and_never_repeats(file: IO[bytes]) -> None:
    sealed(file, pattern(CHUNK_BYTES + 5))
    sealed(file, b"same words")
    file.seek(0)
    first = file.read()
    sealed(file, b"same words")
    file.seek(0)
    second = file.read()
    assert first[HEADER:] != second[HEADER:]
    assert plain_of(file) == b"same words"


def test_nothing_of_the_plain_bytes_shows(file: IO[bytes]) -> None:
    sealed(file, b"gondola" * 100)
    file.seek(0)
    assert b"gondola" not in file.read()


def test_readers_share_a_descriptor(file: IO[bytes]) -> None:
    plain = pattern(CHUNK_BYTES + 100)
    sealed(file, plain)
    one, two = SealedReader(file.fileno(), KEY), SealedReader(file.fileno(), KEY)
    first = one.read(50_000)
    assert two.read(10) == plain[:10]
    assert first + one.read(50_000) == plain[:100_000]


def test_reader_closes_the_file_it_was_handed(file: IO[bytes]) -> None:
    sealed(file, b"x")
    SealedReader(file.fileno(), KEY).close()
    assert not file.closed
    with os.fdopen(os.dup(file.fileno()), "rb") as copy:
        SealedReader(copy, KEY).close()
        assert copy.closed


def test_memory_is_flat(file: IO[bytes]) -> None:
    piece = bytes(1 << 20)
    tracemalloc.start()
    try:
        writer = SealedWriter(file.fileno(), KEY)
        for _ in range(100):
            writer.write(piece)
        writer.finish()
        reader = SealedReader(file.fileno(), KEY)
        total = sum(map(len, reader.read_range(0, reader.size)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 100 << 20
    assert peak < 8 * CHUNK_BYTES


def test_pieces_that_are_held_do_not_change(file: IO[bytes]) -> None:
    plain = pattern(40 * CHUNK_BYTES)
    sealed(file, plain)
    reader = SealedReader(file.fileno(), KEY)
    first = reader.piece(5, CHUNK_BYTES)
    held = list(reader.read_range(0, reader.size))
    assert reader.read(10) == plain[:10]
    assert first == plain[5:CHUNK_BYTES]
    assert b"".join(held) == plain


def test_threads_get_memory_of_their_own(file: IO[bytes]) -> None:
    plain = pattern(20 * CHUNK_BYTES)
    sealed(file, plain)

    def opened(_: int) -> bool:
        reader = SealedReader(file.fileno(), KEY)
        return all(
            reader.piece(start, reader.size) == plain[start : start + CHUNK_BYTES]
            for start in range(0, reader.size, CHUNK_BYTES)
        )

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(opened, range(12)))


class TestWithoutWaiting:
    @pytest.mark.parametrize("most", [1, 2, 16])
    def test_pieces(self, file: IO[bytes], most: int) -> None:
        plain = pattern(2 * CHUNK_BYTES + 10)
        sealed(file, plain)
        reader = SealedReader(file.fileno(), KEY)
        for start, end in [(0, 1), (7, CHUNK_BYTES + 5), (CHUNK_BYTES, reader.size)]:
            found = reader.pieces(start, end, most)
            stop = min(end, (start // CHUNK_BYTES + most) * CHUNK_BYTES)
            assert b"".join(found) == plain[start:stop]
            assert max(map(len, found)) <= CHUNK_BYTES

    def test_pieces_of_which_the_last_are_on_the_disk(
        self, file: IO[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = pattern(4 * CHUNK_BYTES)
        sealed(file, plain)
        reader, preadv, reads = SealedReader(file.fileno(), KEY), os.preadv, [1, 2]

        def twice(*asked: Any) -> int:
            if not reads:
                raise BlockingIOError
            reads.pop()
            return preadv(*asked)

        monkeypatch.setattr(os, "preadv", twice)
        assert b"".join(reader.pieces(5, reader.size, 4)) == plain[5 : 2 * CHUNK_BYTES]

    def test_no_more_than_there_is_warm_memory_for(self, file: IO[bytes]) -> None:
        plain = pattern(40 * CHUNK_BYTES)
        sealed(file, plain)
        reader = SealedReader(file.fileno(), KEY)
        held = [memoryview(piece) for piece in reader.read_range(0, reader.size)]
        assert [len(reader.pieces(0, reader.size, 16)) for _ in range(3)] == [1, 1, 1]
        del held
        assert len(reader.pieces(0, reader.size, 16)) == 16

    def test_tampering_is_noticed(self, file: IO[bytes]) -> None:
        sealed(file, pattern(2 * CHUNK_BYTES))
        os.pwrite(file.fileno(), b"x", HEADER + 100)
        reader = SealedReader(file.fileno(), KEY)
        with pytest.raises(SealBroken):
            reader.pieces(0, 10, 1)

    @pytest.mark.parametrize("found", [errno.EAGAIN, errno.EOPNOTSUPP, None])
    def test_what_is_on_the_disk_alone(
        self, file: IO[bytes], monkeypatch: pytest.MonkeyPatch, found: int | None
    ) -> None:
        def preadv(*_: object) -> int:
            if found:
                raise OSError(found, "not in memory")
            return CHUNK_BYTES

        monkeypatch.setattr(os, "preadv", preadv)
        plain = pattern(2 * CHUNK_BYTES)
        sealed(file, plain)
        reader = SealedReader(file.fileno(), KEY)
        with pytest.raises(BlockingIOError):
            reader.pieces(0, 10, 1)
        assert reader.piece(0, 10) == plain[:10]

    def test_where_the_system_cannot_be_asked(
        self, file: IO[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("squero.media.sealed._AT_ONCE", 0)
        sealed(file, pattern(2 * CHUNK_BYTES))
        with pytest.raises(BlockingIOError):
            SealedReader(file.fileno(), KEY).pieces(0, 10, 1)


def test_key_of_another_length_is_refused(file: IO[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SealedWriter(file.fileno(), b"short")


class TestValue:
    def test_round_trip(self) -> None:
        assert open_sealed(KEY, seal(KEY, b"a gondola")) == b"a gondola"
        assert open_sealed(KEY, seal(KEY, b"")) == b""

    def test_sealing_twice_differs(self) -> None:
        assert seal(KEY, b"x") != seal(KEY, b"x")

    def test_purpose_is_bound(self) -> None:
        with pytest.raises(SealBroken):
            open_sealed(KEY, seal(KEY, b"x", b"one"), b"two")

    @pytest.mark.parametrize("position", [0, 12, -1])
    def test_change_is_noticed(self, position: int) -> None:
        with pytest.raises(SealBroken):
            open_sealed(KEY, flip(position)(seal(KEY, b"a gondola")))

    @pytest.mark.parametrize("length", [0, 5, 20])
    def test_cut_is_noticed(self, length: int) -> None:
        with pytest.raises(SealBroken):
            open_sealed(KEY, seal(KEY, b"a gondola")[:length])


def test_object_keys_differ_by_name_and_generation() -> None:
    names = ("prompt", "input/image", "result/1", "result/2")
    keys = {object_key(KEY, name) for name in names}
    keys |= {object_key(bytes(32), name) for name in names}
    assert len(keys) == 8
    assert all(len(key) == 32 for key in keys)


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=60))
def test_keys_are_derived_by_hkdf(key: bytes, label: bytes) -> None:
    library = HKDF(algorithm=SHA256(), length=32, salt=None, info=label)
    assert derived_key(key, label) == library.derive(key)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_whole(file: IO[bytes], size: int) -> None:
    plain = pattern(size)
    sealed(file, plain)
    reader = SealedReader(file.fileno(), KEY)
    reader.seek(5)
    assert reader.whole() == plain
    assert reader.tell() == 5
