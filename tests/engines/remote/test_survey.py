"""What is asked of all upstreams at once: whether they are there, and what they charge."""

import dataclasses
import time
from collections.abc import Callable

import pytest

from squero.engines.remote import survey
from squero.engines.remote.relay import Relay
from squero.engines.remote.venice import Seller
from squero.shot import Shot, UpstreamFailed

from .stub import Upstream, says

EngineAt = Callable[..., Relay]
Open = Callable[..., Upstream]

AWAY = Upstream(url="http://127.0.0.1:9")
ANSWERS_NOT = "None of its upstreams answers"
SERVES_NOT = "None of its upstreams serves the model"

only_venice = pytest.mark.parametrize("dialect", ["venice"])


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "ANSWER_SECONDS", 1.0)


class TestMissing:
    def test_nothing_while_one_is_there(self, server: Upstream, engine_at: EngineAt) -> None:
        assert engine_at(AWAY, server).missing() is None
        assert engine_at(AWAY, server).missing({"model_type": "text-to-video"}) is None
        assert server.paid == 0

    def test_all_are_away(self, server: Upstream, engine_at: EngineAt) -> None:
        server.plan("models", says(503))
        began = time.monotonic()
        assert engine_at(server, AWAY).missing() == ANSWERS_NOT
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize("status", [401, 404, 429])
    def test_a_refusal_is_an_answer(
        self, server: Upstream, engine_at: EngineAt, status: int
    ) -> None:
        server.plan("models", says(status))
        assert engine_at(server).missing() is None

    def test_one_that_stalls(self, server: Upstream, engine_at: EngineAt) -> None:
        server.plan("models", lambda: time.sleep(1.5))
        assert engine_at(server).missing() == ANSWERS_NOT

    @only_venice
    def test_offline_there(self, server: Upstream, engine_at: EngineAt) -> None:
        engine = engine_at(server, AWAY)
        server.offline = True
        assert engine.missing() == SERVES_NOT
        server.offline = False
        assert engine.missing() is None

    @only_venice
    @pytest.mark.parametrize("data", [[], None, 3, [1, {"id": 2}], [{"id": "wan"}]])
    def test_not_in_its_list(self, server: Upstream, engine_at: EngineAt, data: object) -> None:
        server.plan("models", says(200, data=data))
        assert engine_at(server).missing() == SERVES_NOT

    def test_a_key_that_cannot_be_read(
        self, server: Upstream, engine_at: EngineAt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UPSTREAM_ONE_KEY_FILE", "/nowhere")
        assert engine_at(server).missing() == ANSWERS_NOT


@only_venice
class TestPrice:
    @pytest.fixture
    def seller(self, engine_at: EngineAt) -> Callable[..., Seller]:
        def make(*servers: Upstream) -> Seller:
            engine = engine_at(*servers)
            assert isinstance(engine, Seller)
            return engine

        return make

    def test_is_the_quote_of_what_would_be_queued(
        self, server: Upstream, seller: Callable[..., Seller], shot: Shot
    ) -> None:
        square = dataclasses.replace(shot, prompt="", width=64, audio=True)
        assert seller(server).price(square) == 100_000
        asked = {"model": "wan", "duration": "1s", "resolution": "480p", "aspect_ratio": "1:1"}
        assert server.quoted == [asked | {"audio": True}]
        assert server.paid == 0

    @pytest.mark.parametrize(
        ("told", "micros"),
        [
            ("0", 0),
            ("3", 3_000_000),
            ("0.07", 70_000),
            ("0.0700001", 70_001),
            ("0.30000000000000004", 300_000),
            ("0.29999999999999999", 300_000),
            ("1e-7", 1),
        ],
    )
    def test_is_exact_and_rounded_up(
        self, server: Upstream, seller: Callable[..., Seller], shot: Shot, told: str, micros: int
    ) -> None:
        server.quote = f'{{"quote": {told}}}'
        assert seller(server).price(shot) == micros

    def test_of_several_is_the_highest(
        self, open_upstream: Open, seller: Callable[..., Seller], shot: Shot
    ) -> None:
        cheap, dear, refuses = (open_upstream(quote=f'{{"quote": 0.{n}}}') for n in (1, 2, 3))
        refuses.plan("quote", says(400))
        assert seller(cheap, dear, refuses).price(shot) == 200_000

    def test_of_none_that_takes_it(
        self, server: Upstream, seller: Callable[..., Seller], shot: Shot
    ) -> None:
        server.plan("quote", says(400))
        assert seller(server).price(shot) is None

    @pytest.mark.parametrize(
        "told",
        [
            "",
            "[]",
            "{}",
            '{"quote": "0.1"}',
            '{"quote": true}',
            '{"quote": -0.1}',
            '{"quote": NaN}',
            '{"quote": 1e99999999999}',
            '{"quote": 1000000001}',
            "[" * 100_000,
            '{"quote": %s}' % ("9" * 5_000),
        ],
        ids=lambda told: told[:20],
    )
    def test_that_is_none(
        self, server: Upstream, seller: Callable[..., Seller], shot: Shot, told: str
    ) -> None:
        server.quote = told
        with pytest.raises(UpstreamFailed):
            seller(server).price(shot)

    def test_of_nobody(self, seller: Callable[..., Seller], shot: Shot) -> None:
        with pytest.raises(UpstreamFailed):
            seller(AWAY).price(shot)


@pytest.mark.parametrize("dialect", ["openai-videos"])
def test_openai_videos_tell_no_price(server: Upstream, engine_at: EngineAt) -> None:
    assert not hasattr(engine_at(server), "price")
