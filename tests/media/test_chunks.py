"""Memory for chunks: used again, shared by readers of one object, and by nobody else."""

import os
import tempfile
from collections.abc import Iterator
from typing import IO

import pytest

from squero.media.chunks import LIMIT_BUFFERS, Chunks, Source
from squero.media.sealed import CHUNK_BYTES, SealBroken, SealedReader, SealedWriter

ONE: Source = (b"key", b"header")
OTHER: Source = (b"other key", b"header")
KEY = bytes(32)


@pytest.fixture
def chunks() -> Chunks:
    return Chunks(64)


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


def kept(chunks: Chunks, source: Source, nonce: bytes, data: bytes) -> None:
    view = chunks.take(len(data))
    view[:] = data
    chunks.keep(source, nonce, view)


def test_two_readers_find_what_one_has_opened(chunks: Chunks) -> None:
    chunks.enter(ONE)
    chunks.enter(ONE)
    kept(chunks, ONE, b"1", b"opened")
    found = chunks.find(ONE, b"1")
    assert found is not None
    assert bytes(found) == b"opened"
    assert found.readonly


def test_nothing_is_found_under_another_nonce_or_key(chunks: Chunks) -> None:
    for source in (ONE, ONE, OTHER, OTHER):
        chunks.enter(source)
    kept(chunks, ONE, b"1", b"opened")
    assert chunks.find(ONE, b"2") is None
    assert chunks.find(OTHER, b"1") is None


def test_one_alone_leaves_nothing_and_gets_the_same_memory(chunks: Chunks) -> None:
    chunks.enter(ONE)
    kept(chunks, ONE, b"1", b"opened")
    assert chunks.find(ONE, b"1") is None
    assert bytes(chunks.take(6)) == b"opened"


def test_nothing_is_found_after_the_last_reader(chunks: Chunks) -> None:
    chunks.enter(ONE)
    chunks.enter(ONE)
    kept(chunks, ONE, b"1", b"opened")
    chunks.leave(ONE)
    assert chunks.find(ONE, b"1") is not None
    chunks.leave(ONE)
    assert chunks.find(ONE, b"1") is None


def test_what_was_found_longest_ago_goes_first(chunks: Chunks) -> None:
    chunks.enter(ONE)
    chunks.enter(ONE)
    for number in range(LIMIT_BUFFERS):
        kept(chunks, ONE, b"%d" % number, b"opened")
    assert chunks.find(ONE, b"0") is not None
    kept(chunks, ONE, b"new", b"opened")
    assert chunks.find(ONE, b"1") is None
    assert None not in (chunks.find(ONE, b"0"), chunks.find(ONE, b"2"), chunks.find(ONE, b"new"))


def test_what_somebody_holds_is_not_written_over(chunks: Chunks) -> None:
    chunks.enter(ONE)
    chunks.enter(ONE)
    views = []
    for number in range(3 * LIMIT_BUFFERS):
        data = b"%06d" % number
        kept(chunks, ONE, data, data)
        found = chunks.find(ONE, data)
        assert found is not None
        views.append((found, data))
    assert all(view == data for view, data in views)


def test_what_was_let_go_while_it_was_filled_is_not_kept_on_top(chunks: Chunks) -> None:
    """Memory kept once is kept for good: it would grow with every such moment."""
    chunks.enter(ONE)
    chunks.enter(ONE)
    held = [chunks.take(6) for _ in range(LIMIT_BUFFERS)]
    for number, view in enumerate(held):
        chunks.keep(ONE, b"%d" % number, view)
    early, late = chunks.take(6), chunks.take(6)
    chunks.keep(ONE, b"early", early)
    chunks.keep(ONE, b"late", late)
    del held, view, early, late
    assert len(chunks.take_some(9 * LIMIT_BUFFERS)) == LIMIT_BUFFERS


def sealed(file: IO[bytes], plain: bytes) -> None:
    writer = SealedWriter(file.fileno(), KEY)
    writer.write(plain)
    writer.finish()


def test_readers_of_one_object_open_a_chunk_once(file: IO[bytes]) -> None:
    plain = os.urandom(3 * CHUNK_BYTES)
    sealed(file, plain)
    one, other = SealedReader(file.fileno(), KEY), SealedReader(file.fileno(), KEY)
    assert one.piece(0, CHUNK_BYTES) == plain[:CHUNK_BYTES]
    os.pwrite(file.fileno(), bytes(CHUNK_BYTES), 100)  # what is sealed there is gone
    assert other.piece(0, CHUNK_BYTES) == plain[:CHUNK_BYTES]
    one.close()
    other.close()
    with SealedReader(file.fileno(), KEY) as late, pytest.raises(SealBroken):
        late.piece(0, CHUNK_BYTES)


def test_what_others_have_open_makes_no_cut_object_whole(file: IO[bytes]) -> None:
    sealed(file, os.urandom(3 * CHUNK_BYTES))
    one, other = SealedReader(file.fileno(), KEY), SealedReader(file.fileno(), KEY)
    one.piece(CHUNK_BYTES, 2 * CHUNK_BYTES)
    with tempfile.TemporaryFile() as cut:
        size = os.fstat(file.fileno()).st_size - CHUNK_BYTES - 16
        cut.write(os.pread(file.fileno(), size, 0))
        cut.flush()
        with pytest.raises(SealBroken):
            SealedReader(cut.fileno(), KEY)
    one.close()
    other.close()
