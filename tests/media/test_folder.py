"""The media store on a folder: write once, whole or not at all."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from squero.media.folder import Folder, ObjectExists, ObjectMissing

NAME = "generations/7f3a/input/image"


@pytest.fixture(params=["nameless", "named"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Folder:
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    return Folder(tmp_path / "media")


def put(folder: Folder, name: str, data: bytes) -> None:
    with folder.create(name) as draft:
        draft.write(data)
        draft.publish()


def get(folder: Folder, name: str) -> bytes:
    with folder.open(name) as file:
        return file.read()


def files_in(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()]


def test_published_object_is_read(folder: Folder) -> None:
    put(folder, NAME, b"pixels")
    assert get(folder, NAME) == b"pixels"


def test_draft_is_not_found_before_it_is_published(folder: Folder) -> None:
    with folder.create(NAME) as draft:
        draft.write(b"half")
        with pytest.raises(ObjectMissing):
            folder.open(NAME)
    with pytest.raises(ObjectMissing):
        folder.open(NAME)


def test_dropped_draft_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    with folder.create(NAME) as draft:
        draft.write(b"half")
    assert files_in(tmp_path) == []


def test_object_is_never_overwritten(folder: Folder, tmp_path: Path) -> None:
    put(folder, NAME, b"first")
    with pytest.raises(ObjectExists):
        put(folder, NAME, b"second")
    assert get(folder, NAME) == b"first"
    assert len(files_in(tmp_path)) == 1


def test_one_of_many_writers_wins(folder: Folder) -> None:
    barrier = threading.Barrier(8)

    def write(number: int) -> int | None:
        with folder.create(NAME) as draft:
            draft.write(b"%d" % number)
            barrier.wait()
            try:
                draft.publish()
            except ObjectExists:
                return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(write, range(8)) if number is not None]
    assert len(winners) == 1
    assert get(folder, NAME) == b"%d" % winners[0]


def test_only_this_user_may_look(folder: Folder, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        put(folder, NAME, b"x")
    finally:
        os.umask(before)
    for path in (tmp_path / "media").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert (tmp_path / "media").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", ".new/x", "a/.b", "A", "a b",
     "a\n", "a\0", "é", "a" * 500],
)  # fmt: skip
def test_other_names_are_refused(folder: Folder, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        folder.create(name)
    with pytest.raises(ValueError, match="not the name"):
        folder.open(name)
    with pytest.raises(ValueError, match="not the name"):
        folder.delete_all(name)


def test_delete_takes_the_object_and_empty_folders(folder: Folder, tmp_path: Path) -> None:
    put(folder, NAME, b"x")
    put(folder, "generations/other/prompt", b"y")
    assert folder.delete(NAME)
    assert not folder.delete(NAME)
    assert not (tmp_path / "media" / "generations" / "7f3a").exists()
    assert get(folder, "generations/other/prompt") == b"y"


def test_deleted_object_stays_readable_where_it_is_open(folder: Folder) -> None:
    put(folder, NAME, b"x")
    with folder.open(NAME) as file:
        folder.delete(NAME)
        assert file.read() == b"x"


def test_delete_all_takes_what_is_below_and_nothing_else(folder: Folder) -> None:
    for name in ("a/1/x", "a/1/y/z", "a/10/x"):
        put(folder, name, b"x")
    assert folder.delete_all("a/1") == 2
    assert folder.delete_all("a/1") == 0
    assert list(folder.names("a")) == ["a/10/x"]


def test_names_lists_what_is_below(folder: Folder) -> None:
    names = {"keys/2026-01-01", "keys/2026-01-02"}
    for name in (*names, "generations/x/prompt"):
        put(folder, name, b"x")
    assert set(folder.names("keys")) == names
    assert list(folder.names("nothing")) == []


def test_name_below_an_object_is_an_error(folder: Folder) -> None:
    put(folder, "a/b", b"x")
    with pytest.raises(NotADirectoryError):
        put(folder, "a/b/c", b"x")
    with pytest.raises(ObjectMissing):
        folder.open("a/b/c")
    with pytest.raises(ObjectMissing):
        folder.open("a")


def test_deleting_and_publishing_in_one_folder_at_once(folder: Folder) -> None:
    def churn(number: int) -> None:
        for turn in range(20):
            put(folder, f"a/b/{number}-{turn}", b"x")
            assert folder.delete(f"a/b/{number}-{turn}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))
    assert list(folder.names("a")) == []


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from squero.media import folder as module
if sys.argv[2] == "named":
    del os.O_TMPFILE
if sys.argv[3] == "before":
    os.link = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
folder = module.Folder(Path(sys.argv[1]))
draft = folder.create("a/b")
draft.write(b"whole")
draft.publish()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["nameless", "named"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_crash_leaves_nothing_or_the_whole(tmp_path: Path, kind: str, moment: str) -> None:
    subprocess.run(
        [sys.executable, "-c", WRITE_AND_DIE, str(tmp_path / "media"), kind, moment],
        env={"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        check=False,
    )
    folder = Folder(tmp_path / "media")
    folder.sweep()
    kept = [file.read_bytes() for file in files_in(tmp_path)]
    assert kept == ([] if moment == "before" else [b"whole"])


def test_sweep_leaves_drafts_of_the_living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    folder = Folder(tmp_path / "media")
    with folder.create(NAME) as draft:
        draft.write(b"x")
        assert folder.sweep() == 0
        draft.publish()
    assert get(folder, NAME) == b"x"
