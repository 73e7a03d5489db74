"""Answers to an offer that are lost: who may have the shot is asked until it says so."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from squero.engines.remote import slots
from squero.engines.remote.relay import Relay
from squero.shot import Shot, UpstreamFailed

from .conftest import Told
from .stub import Upstream, breaks_off, says

EngineAt = Callable[..., Relay]
Open = Callable[..., Upstream]

LOST = breaks_off(b"{}")


@pytest.fixture
def two(open_upstream: Open, engine_at: EngineAt) -> tuple[Relay, Upstream, Upstream]:
    """The engine over two, and these in the order in which it tries them."""
    servers = [open_upstream(), open_upstream()]
    engine = engine_at(*servers)
    first = engine._pool.order("job-1")[0]
    return (engine, *(servers if first.name == "one" else servers[::-1]))


Two = tuple[Relay, Upstream, Upstream]


def promised(name: str) -> str:
    return json.dumps({"upstream": name, "id": None, "turn": 1})


@pytest.mark.usefixtures("patient")
class TestStays:
    def test_however_many_answers_are_lost(
        self, two: Two, shot: Shot, out: Path, told: Told
    ) -> None:
        engine, first, other = two
        first.plan("created", LOST, LOST, LOST)
        engine.render(shot, out, told)
        assert out.read_bytes() == first.video
        assert (first.paid, other.calls["create"]) == (1, 0)
        assert len(first.by_key) == 1
        engine.settle(told.notes[-1])
        assert first.deleted == ["video_1"]

    @pytest.mark.parametrize("status", [429, 500, 503, 504])
    def test_whatever_it_says_then(
        self, two: Two, shot: Shot, out: Path, told: Told, status: int
    ) -> None:
        engine, first, other = two
        first.plan("created", LOST)
        first.plan("create", lambda: None, says(status), says(status))
        engine.render(shot, out, told)
        assert (first.paid, other.calls["create"]) == (1, 0)

    def test_what_a_gateway_did_not_wait_for(
        self, two: Two, shot: Shot, out: Path, told: Told
    ) -> None:
        engine, first, other = two
        first.plan("created", says(504))
        engine.render(shot, out, told)
        assert (first.paid, other.calls["create"]) == (1, 0)

    def test_the_next_attempt_too(self, two: Two, shot: Shot, out: Path, told: Told) -> None:
        engine, first, other = two
        name = engine._pool.order("job-1")[1].name
        other.plan("create", says(503), LOST)
        engine.render(dataclasses.replace(shot, note=promised(name)), out, told)
        assert (first.calls["create"], other.paid) == (0, 1)

    def test_the_next_attempt_waits_for_a_place_there(
        self, open_upstream: Open, engine_at: EngineAt, shot: Shot, out: Path
    ) -> None:
        one, free = open_upstream(), open_upstream()
        taken = slots.take(one.url, "wan", 1)
        assert taken is not None
        seen: list[float] = []

        def tell(share: float, note: str | None = None) -> None:
            seen.append(share)
            if len(seen) == 5:
                assert one.calls["create"] == free.calls["create"] == 0
                taken.release()

        noted = dataclasses.replace(shot, note=promised("one"))
        engine_at(one, free, limit=1).render(noted, out, tell)
        assert (one.paid, free.calls["create"]) == (1, 0)
        again = slots.take(one.url, "wan", 1)
        assert again is not None
        again.release()


class TestNote:
    def test_comes_before_the_offer(self, two: Two, shot: Shot, out: Path) -> None:
        engine, first, _ = two
        name = engine._pool.order("job-1")[0].name
        notes: list[tuple[str, int]] = []

        def tell(share: float, note: str | None = None) -> None:
            if note is not None:
                notes.append((note, first.calls["create"]))

        engine.render(shot, out, tell)
        assert notes[0] == (promised(name), 0)
        assert len(notes) == 2

    def test_is_taken_back_from_one_that_refused(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("create", says(503))
        engine_at(server).render(shot, out, told)
        named = [json.loads(note)["upstream"] for note in told.notes]
        assert named == ["one", None, "one", "one"]


class TestGivesUp:
    def test_and_goes_elsewhere(self, two: Two, shot: Shot, out: Path, told: Told) -> None:
        engine, first, other = two
        first.plan("created", *[LOST] * 1000)
        engine.render(shot, out, told)
        assert (first.paid, other.paid) == (1, 1)
        assert first.calls["create"] > 2
        assert json.loads(told.notes[-1])["upstream"] == engine._pool.order("job-1")[-1].name

    def test_and_the_next_attempt_finds_what_was_paid_for(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("created", *[LOST] * 1000)
        with pytest.raises(UpstreamFailed, match="away"):
            engine_at(server).render(shot, out, told)
        server.steps.clear()
        engine_at(server).render(dataclasses.replace(shot, note=told.notes[-1]), out, told)
        assert server.paid == 1


@pytest.mark.parametrize("dialect", ["venice"])
def test_a_list_that_is_lost_holds_nothing(two: Two, shot: Shot, out: Path, told: Told) -> None:
    engine, first, other = two
    first.plan("models", *[LOST] * 1000)
    engine.render(shot, out, told)
    assert (first.calls["create"], other.paid) == (0, 1)
