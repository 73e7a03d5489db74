"""A file appears whole or not at all, whatever the connection does."""

import os
import stat
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from squero.client import ApiError, BrokenDownload, Http

pytestmark = pytest.mark.anyio

FILE = b"\0\0\0\x18ftypisom" + bytes(range(256)) * 6000
OTHER = b"\0\0\0\x18ftypmp42" + bytes(FILE[12:])[::-1]
ETAG = '"result/1"'


class Shelf:
    """Serves one file; each step says after how many bytes the connection breaks."""

    def __init__(self, server: Any, *breaks: int | None, etag: str | None = ETAG) -> None:
        self.server = server
        self.say = server.answer
        self.breaks = list(breaks)
        self.etag = etag
        self.data = FILE
        server.answer = self.answer

    def answer(self, heard: Any) -> Any:
        say = self.say(heard)
        say.break_after = self.breaks.pop(0) if self.breaks else None
        say.headers = {"content-type": "video/mp4"}
        say.body = self.data
        if self.etag:
            say.headers["etag"] = self.etag
        if "range" in heard.headers and heard.headers["if-range"] == self.etag:
            start = int(heard.headers["range"].removeprefix("bytes=").removesuffix("-"))
            say.status, say.body = 206, self.data[start:]
            say.headers["content-range"] = f"bytes {start}-{len(FILE) - 1}/{len(FILE)}"
        return say

    @property
    def ranges(self) -> list[str | None]:
        return [heard.headers.get("range") for heard in self.server.heard]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def fetch(server: Any, clock: Any, target: Path, tries: int = 4, **more: Any) -> Path:
    async with Http(server.url, "key", backoff=clock.backoff(tries=tries)) as http:
        return await http.download("POST", "/file", target, json={"id": 1}, **more)


async def test_whole(server: Any, clock: Any, tmp_path: Path) -> None:
    Shelf(server)
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "a.mp4"
    path = await fetch(server, clock, target, on_bytes=lambda *sizes: seen.append(sizes))
    assert path == target
    assert path.read_bytes() == FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert seen[-1] == (len(FILE), len(FILE))
    assert names(tmp_path) == ["a.mp4"]
    assert server.heard[0].headers["accept-encoding"] == "identity"


async def test_hidden_and_private_until_whole(server: Any, clock: Any, tmp_path: Path) -> None:
    Shelf(server, 1_000_000)
    serve = server.answer
    seen: list[tuple[bool, int]] = []

    def answer(heard: Any) -> Any:
        seen.extend(
            (path.name.startswith("."), stat.S_IMODE(path.stat().st_mode))
            for path in tmp_path.iterdir()
        )
        return serve(heard)

    server.answer = answer
    await fetch(server, clock, tmp_path / "a.mp4")
    assert seen == [(True, 0o600)] * 2


async def test_on_disk_before_it_has_its_name(
    server: Any, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Shelf(server)
    synced: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(names(tmp_path)))
    await fetch(server, clock, tmp_path / "a.mp4")
    assert len(synced) == 2
    assert "a.mp4" not in synced[0]
    assert synced[1] == ["a.mp4"]


class TestBreak:
    async def test_goes_on_where_it_broke(self, server: Any, clock: Any, tmp_path: Path) -> None:
        shelf = Shelf(server, 1_000_000, 300_000)
        path = await fetch(server, clock, tmp_path / "a.mp4")
        assert path.read_bytes() == FILE
        assert shelf.ranges[0] is None
        starts = [int(str(name)[6:-1]) for name in shelf.ranges[1:]]
        assert 0 < starts[0] <= 1_000_000
        assert starts[0] < starts[1] <= starts[0] + 300_000
        assert [heard.body for heard in server.heard] == [b'{"id": 1}'] * 3

    async def test_starts_over_without_etag(self, server: Any, clock: Any, tmp_path: Path) -> None:
        shelf = Shelf(server, 1_000_000, etag=None)
        path = await fetch(server, clock, tmp_path / "a.mp4")
        assert path.read_bytes() == FILE
        assert shelf.ranges == [None, None]

    async def test_starting_over_is_no_progress(
        self, server: Any, clock: Any, tmp_path: Path
    ) -> None:
        Shelf(server, 300_000, 600_000, 900_000, etag=None)
        with pytest.raises(BrokenDownload):
            await fetch(server, clock, tmp_path / "a.mp4", tries=3)

    async def test_weak_etag_is_none(self, server: Any, clock: Any, tmp_path: Path) -> None:
        shelf = Shelf(server, 1_000_000, etag='W/"1"')
        assert (await fetch(server, clock, tmp_path / "a.mp4")).read_bytes() == FILE
        assert shelf.ranges == [None, None]

    async def test_file_changed_meanwhile(self, server: Any, clock: Any, tmp_path: Path) -> None:
        shelf = Shelf(server, 1_000_000)
        serve = server.answer

        def answer(heard: Any) -> Any:
            if len(server.heard) == 2:
                shelf.data, shelf.etag = OTHER, '"result/2"'
            return serve(heard)

        server.answer = answer
        path = await fetch(server, clock, tmp_path / "a.mp4")
        assert path.read_bytes() == OTHER

    async def test_wrong_part(self, server: Any, clock: Any, tmp_path: Path) -> None:
        Shelf(server, 1_000_000)
        serve = server.answer

        def answer(heard: Any) -> Any:
            say = serve(heard)
            if say.status == 206:
                say.headers["content-range"] = f"bytes 5-{len(FILE) - 1}/{len(FILE)}"
                say.body = bytes(len(say.body))
            return say

        server.answer = answer
        path = await fetch(server, clock, tmp_path / "a.mp4")
        assert path.read_bytes() == FILE

    async def test_progress_earns_more_tries(self, server: Any, clock: Any, tmp_path: Path) -> None:
        Shelf(server, *[300_000] * 5)
        backoff = clock.backoff(tries=2, total_seconds=3)
        async with Http(server.url, backoff=backoff) as http:
            path = await http.download("POST", "/file", tmp_path / "a.mp4")
        assert path.read_bytes() == FILE
        assert len(clock.slept) > 3

    async def test_the_same_bytes_again_are_no_progress(
        self, server: Any, clock: Any, tmp_path: Path
    ) -> None:
        shelf = Shelf(server, *[700_000] * 99)
        serve = server.answer

        def answer(heard: Any) -> Any:
            shelf.etag = f'"{len(server.heard)}"'
            return serve(heard)

        server.answer = answer
        with pytest.raises(BrokenDownload):
            await fetch(server, clock, tmp_path / "a.mp4")
        assert len(server.heard) < 10

    async def test_too_short(self, script: Any, clock: Any, tmp_path: Path) -> None:
        short = httpx.Response(200, headers={"content-length": "2000"}, content=FILE[:1000])
        whole = httpx.Response(200, content=FILE)
        transport = script(short, whole)
        async with Http("http://x.test", backoff=clock.backoff(), transport=transport) as http:
            path = await http.download("POST", "/file", tmp_path / "a.mp4")
        assert path.read_bytes() == FILE

    @pytest.mark.parametrize("etag", [ETAG, None])
    async def test_gives_up(
        self, etag: str | None, server: Any, clock: Any, tmp_path: Path
    ) -> None:
        shelf = Shelf(server, *([5] if etag else [700_000]) * 99, etag=etag)
        shelf.breaks[1:] = [0 if etag else 700_000] * 99
        with pytest.raises(BrokenDownload, match="broke off"):
            await fetch(server, clock, tmp_path / "a.mp4")
        assert names(tmp_path) == []
        assert len(server.heard) <= 5

    async def test_always_a_wrong_part(self, server: Any, clock: Any, tmp_path: Path) -> None:
        shelf = Shelf(server)
        serve = server.answer

        def answer(heard: Any) -> Any:
            say = serve(heard)
            say.status = 206
            say.headers["content-range"] = "bytes 7-8/9"
            return say

        server.answer = answer
        with pytest.raises(BrokenDownload):
            await fetch(server, clock, tmp_path / "a.mp4")
        assert shelf.ranges == [None] * 4


class TestRefusal:
    async def test_wrong_kind(self, server: Any, clock: Any, tmp_path: Path) -> None:
        Shelf(server).data = b"<html>" * 100
        with pytest.raises(BrokenDownload, match="something else"):
            await fetch(server, clock, tmp_path / "a", check=lambda head: head[4:8] == b"ftyp")
        assert names(tmp_path) == []

    @pytest.mark.parametrize(
        "headers", [{"content-encoding": "gzip", "content-length": "9"}, {"connection": "close"}]
    )
    async def test_unknown_length(
        self, headers: dict[str, str], script: Any, tmp_path: Path
    ) -> None:
        answer = httpx.Response(200, content=b"")
        answer.headers = httpx.Headers(headers)
        async with Http("http://x.test", transport=script(answer)) as http:
            with pytest.raises(BrokenDownload, match=r"encoded|how long"):
                await http.download("POST", "/file", tmp_path / "a")
        assert names(tmp_path) == []

    async def test_no_success(self, server: Any, clock: Any, tmp_path: Path) -> None:
        plain = server.answer

        def answer(heard: Any) -> Any:
            say = plain(heard)
            say.status = 404
            return say

        server.answer = answer
        with pytest.raises(ApiError):
            await fetch(server, clock, tmp_path / "a.mp4")
        assert names(tmp_path) == []

    async def test_no_folder(self, server: Any, clock: Any, tmp_path: Path) -> None:
        Shelf(server)
        with pytest.raises(FileNotFoundError):
            await fetch(server, clock, tmp_path / "missing" / "a.mp4")


async def test_cancelled(server: Any, clock: Any, tmp_path: Path) -> None:
    Shelf(server)
    with anyio.CancelScope() as scope:
        await fetch(server, clock, tmp_path / "a.mp4", on_bytes=lambda done, total: scope.cancel())
    assert scope.cancelled_caught
    assert names(tmp_path) == []


class TestTakenName:
    async def test_replaced(self, server: Any, clock: Any, tmp_path: Path) -> None:
        Shelf(server)
        (tmp_path / "a.mp4").write_bytes(b"old")
        assert (await fetch(server, clock, tmp_path / "a.mp4")).read_bytes() == FILE

    async def test_numbered(self, server: Any, clock: Any, tmp_path: Path) -> None:
        Shelf(server)
        paths = [
            (await fetch(server, clock, tmp_path / "a.mp4", overwrite=False)).name for _ in range(3)
        ]
        assert paths == ["a.mp4", "a-2.mp4", "a-3.mp4"]
        assert names(tmp_path) == sorted(paths)

    async def test_without_hard_links(
        self, server: Any, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any) -> None:
            raise PermissionError

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        Shelf(server)
        (tmp_path / "a.mp4").write_bytes(b"old")
        path = await fetch(server, clock, tmp_path / "a.mp4", overwrite=False)
        assert path.name == "a-2.mp4"
        assert (tmp_path / "a.mp4").read_bytes() == b"old"
        assert names(tmp_path) == ["a-2.mp4", "a.mp4"]
