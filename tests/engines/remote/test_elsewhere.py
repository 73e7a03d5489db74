"""Videos of a `venice` upstream that lie at an address of their own."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.responses import RedirectResponse

from squero.engines.remote import elsewhere, upstream
from squero.engines.remote.relay import Relay
from squero.engines.remote.ticket import Taken, Ticket
from squero.engines.remote.upstream import Ready
from squero.shot import NOTE_BYTES, BadInput, Shot, UpstreamFailed

from .conftest import Told
from .stub import Upstream, breaks_off, says

EngineAt = Callable[..., Relay]
Open = Callable[..., Upstream]


@pytest.fixture
def dialect() -> str:
    return "venice"


@pytest.mark.parametrize("call", ["create", "status"])
class TestFetches:
    def test_without_a_key(
        self,
        open_upstream: Open,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
    ) -> None:
        monkeypatch.setenv("UPSTREAM_ONE_KEY", "open-sesame")
        server = open_upstream(tells=call)
        engine = engine_at(server)
        engine.render(shot, out, told)
        assert out.read_bytes() == server.video
        assert (server.paid, server.calls["GET file"], server.authorization) == (1, 1, None)
        engine.settle(told.notes[-1])
        assert server.deleted == ["video_1"]
        assert server.calls["DELETE file"] == (call == "create")

    def test_what_is_not_there_yet(
        self,
        open_upstream: Open,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        call: str,
    ) -> None:
        server = open_upstream(tells=call)
        server.plan("GET file", says(503), says(429), breaks_off(server.video))
        engine_at(server).render(shot, out, told)
        assert out.read_bytes() == server.video
        assert server.paid == 1


def test_the_next_attempt_has_the_address(
    open_upstream: Open, engine_at: EngineAt, shot: Shot, out: Path, told: Told
) -> None:
    server = open_upstream(tells="create")
    server.plan("GET file", *[says(503)] * 1000)
    with pytest.raises(UpstreamFailed, match="no news"):
        engine_at(server).render(shot, out, told)
    server.steps.clear()
    server.tells = "nobody"
    engine_at(server).render(dataclasses.replace(shot, note=told.notes[-1]), out, told)
    assert out.read_bytes() == server.video
    assert (server.paid, server.calls["create"]) == (1, 1)


class TestOutOfReach:
    """One purchase, and the end."""

    def test_an_address_that_nobody_told(
        self, open_upstream: Open, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server, other = open_upstream(tells="nobody"), open_upstream(tells="nobody")
        with pytest.raises(BadInput, match="did not hand out"):
            engine_at(server, other).render(shot, out, told)
        assert server.paid + other.paid == 1
        assert server.deleted + other.deleted == ["video_1"]

    def test_an_address_that_is_not_asked(
        self, open_upstream: Open, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        stranger = open_upstream()
        server = open_upstream(tells="create", address=f"{stranger.url}/files/x?sign=secret")
        with pytest.raises(BadInput):
            engine_at(server).render(shot, out, told)
        assert (server.paid, stranger.calls["GET file"]) == (1, 0)

    @pytest.mark.parametrize("status", [302, 403, 404, 410])
    def test_an_address_that_gives_nothing(
        self,
        open_upstream: Open,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        status: int,
    ) -> None:
        server, stranger = open_upstream(tells="create"), open_upstream()
        moved = RedirectResponse(f"{stranger.url}/files/x?sign=secret", 302)
        server.plan("GET file", (lambda: moved) if status == 302 else says(status))
        with pytest.raises(BadInput) as ended:
            engine_at(server).render(shot, out, told)
        assert (server.paid, stranger.calls["GET file"]) == (1, 0)
        assert "secret" not in str(ended.value)


class TestAddress:
    @pytest.mark.parametrize(
        "told",
        [
            "https://files.example.org/a/b.mp4?X-Signature=a%2Fb",
            "https://files.example.org:8443/x",
            "http://a.test:8000/x",
        ],
    )
    def test_taken(self, told: str) -> None:
        assert elsewhere.address({"download_url": told}, self.at()) == told

    @pytest.mark.parametrize(
        "told",
        [
            None,
            3,
            "",
            "/x",
            "https:///x",
            "http://a.test/x",
            "http://b.test:8000/x",
            "http://a.test:8000@b.test/x",
            "https://user:word@files.example.org/x",
            "https://files.example.org/x#y",
            "https://files.example.org:x/",
            "https://files.example.org/\n",
            "https://files.example.org/é",
            "file:///etc/passwd",
            "ftp://a.test:8000/x",
            "https://files.example.org/" + "x" * 2048,
        ],
    )
    def test_refused(self, told: object) -> None:
        assert elsewhere.address({"download_url": told}, self.at()) is None

    def test_stands_in_no_message(self) -> None:
        url = "https://files.example.org/secret"
        for one in (Ready(url), Taken("x", url), Ticket().at("a", Taken("x", url))):
            assert "secret" not in repr(one)

    def test_without_room_in_the_note(self) -> None:
        for length, fits in ((600, True), (1024, False)):
            url = "https://files.example.org/".ljust(length, "x")
            ticket = Ticket().at("a" * 40, Taken("i" * 256, url))
            assert len(ticket.note) <= NOTE_BYTES
            assert json.loads(ticket.note).get("url") == (url if fits else None)
            assert Ticket.read(ticket.note).id == "i" * 256

    @staticmethod
    def at() -> upstream.Upstream:
        return upstream.read([{"name": "a", "url": "http://a.test:8000", "model": "m"}])[0]
