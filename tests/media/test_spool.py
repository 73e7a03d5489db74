"""The spool: media on its way in."""

import hashlib
import os
from pathlib import Path

import pytest

from squero.media.sealed import CHUNK_BYTES, SealBroken, SealedReader
from squero.media.spool import BRIEF_BYTES, MEMORY_BYTES, Spool


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
def test_what_was_written_is_read(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    writer = Spool(tmp_path).open()
    writer.write(data[: size // 3])
    writer.write(memoryview(data)[size // 3 :])
    with writer.finish() as spooled:
        assert spooled.size == size
        assert spooled.digest == hashlib.sha256(data).digest()
        assert spooled.reader().read() == data
        assert spooled.reader().read() == data


@pytest.mark.parametrize("nameless", [True, False])
def test_nothing_has_a_name_or_is_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")
    folder = tmp_path / "spool"
    writer = Spool(folder).open()
    writer.write(b"gondola" * CHUNK_BYTES)
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    with writer.finish() as spooled:
        assert list(folder.iterdir()) == []
        descriptor, _ = spooled.sealed
        assert os.fstat(descriptor).st_mode & 0o777 == 0o600
        assert b"gondola" not in os.pread(descriptor, CHUNK_BYTES, 0)


def test_keys_differ(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.open().finish() as one, spool.open().finish() as two, pytest.raises(SealBroken):
        SealedReader(one.sealed.descriptor, two.sealed.key)


def test_ends_give_the_descriptor_back(tmp_path: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    spool = Spool(tmp_path)
    for _ in range(3):
        writer = spool.open()
        writer.discard()
        writer.discard()
        finished = spool.open()
        spooled = finished.finish()
        finished.discard()
        assert spooled.reader().read() == b""
        spooled.close()
        spooled.close()
    assert count() == before


def test_use_after_the_end_is_an_error(tmp_path: Path) -> None:
    writer = Spool(tmp_path).open()
    writer.finish().close()
    with pytest.raises(ValueError, match="ended"):
        writer.finish()
    spooled = Spool(tmp_path).open().finish()
    spooled.close()
    with pytest.raises(ValueError, match="closed"):
        spooled.reader()


class TestInMemory:
    """What is known to be brief."""

    def test_lies_in_no_folder_and_is_sealed(self, tmp_path: Path) -> None:
        writer = Spool(tmp_path / "spool").open(BRIEF_BYTES)
        writer.write(b"gondola" * 1000)
        with writer.finish() as spooled:
            assert spooled.in_memory
            assert not (tmp_path / "spool").exists()
            descriptor, _ = spooled.sealed
            assert b"gondola" not in os.pread(descriptor, 10_000, 0)
            assert spooled.reader().read() == b"gondola" * 1000

    @pytest.mark.parametrize("most_bytes", [None, BRIEF_BYTES + 1])
    def test_nothing_else_does(self, tmp_path: Path, most_bytes: int | None) -> None:
        with Spool(tmp_path).open(most_bytes).finish() as spooled:
            assert not spooled.in_memory

    def test_no_more_at_once_than_there_is_room_for(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        held = [spool.open(1).finish() for _ in range(MEMORY_BYTES // BRIEF_BYTES + 1)]
        assert [one.in_memory for one in held] == [True] * (len(held) - 1) + [False]
        held[0].close()
        held[0].close()
        spool.open(1).discard()
        with spool.open(1).finish() as one, spool.open(1).finish() as other:
            assert (one.in_memory, other.in_memory) == (True, False)
        for one in held:
            one.close()

    def test_where_the_system_has_no_such_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "memfd_create")
        with Spool(tmp_path).open(1).finish() as spooled:
            assert not spooled.in_memory
