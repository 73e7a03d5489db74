"""What a worker keeps away from, and for how long."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import structlog

from squero.client import Http
from squero.worker import troubles as module
from squero.worker.job import Job
from squero.worker.troubles import OUT_SECONDS, Troubles

pytestmark = pytest.mark.anyio

MODELS = [
    {"id": "one", "engine": "motion", "options": {}, "constraints": {}, "needs": {}},
    {"id": "two", "engine": "motion", "options": {}, "constraints": {}, "needs": {}},
    {"id": "far", "engine": "nowhere", "options": {}, "constraints": {}, "needs": {}},
    {"id": "large", "engine": "obedient", "options": {}, "constraints": {}, "needs": {"gpus": 99}},
    {"id": "able", "engine": "obedient", "options": {}, "constraints": {}, "needs": {}},
]


def job(model: str) -> Job:
    return Job(uuid4(), 1, model, "motion", {}, {}, 60)


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "engines" / "plugin"))
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
async def troubles(clock: Clock) -> AsyncIterator[Troubles]:
    models = httpx.MockTransport(lambda _: httpx.Response(200, json={"models": MODELS}))
    async with Http("http://127.0.0.1:1", "token", transport=models) as http:
        troubles = Troubles(http)
        await troubles.look()
        yield troubles


class TestLook:
    async def test_names_what_cannot_be_loaded(self, troubles: Troubles) -> None:
        told = troubles.told()
        assert sorted(told) == ["far", "large"]
        assert "'nowhere'" in told["far"]
        assert "99 GPUs" in told["large"]

    async def test_the_server_is_away(self, clock: Clock) -> None:
        away = httpx.MockTransport(lambda _: httpx.Response(503))
        async with Http("http://127.0.0.1:1", "token", transport=away) as http:
            troubles = Troubles(http)
            assert not await troubles.look()
        assert troubles.told() == {}

    async def test_once_may_be_a_hiccup(
        self, troubles: Troubles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = [{"able": "No GPU", "large": "No GPU"}, {}, {"able": "1"}, {"able": "2"}]
        told = []

        async def unloadable(*_: object, **__: object) -> dict[str, str]:
            return answers[len(told)]

        monkeypatch.setattr(module, "unloadable", unloadable)
        for _ in answers:
            await troubles.look()
            told.append(troubles.told())
        assert told == [{"large": "No GPU"}, {}, {}, {"able": "2"}]

    async def test_fit_into_a_claim(
        self, troubles: Troubles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            troubles, "_unloadable", {f"model-{number}": "why\n" * 100 for number in range(1000)}
        )
        told = json.dumps(troubles.told())
        assert len(told) < 60_000
        assert "\\n" not in told


class TestFailures:
    async def test_three_of_one_model(self, troubles: Troubles) -> None:
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                assert "one" not in troubles.told()
                troubles.failed(job("one"))
        assert "one" in troubles.told()
        assert "two" not in troubles.told()
        assert [line["event"] for line in logs] == ["takes itself out"]

    async def test_three_in_a_row_of_several(self, troubles: Troubles) -> None:
        for model in ("one", "two", "one"):
            troubles.failed(job(model))
        assert sorted(troubles.told()) == ["able", "far", "large", "one", "two"]

    async def test_one_job_that_fails_thrice_is_one(self, troubles: Troubles) -> None:
        poisoned = job("one")
        for _ in range(3):
            troubles.failed(poisoned)
        assert "one" not in troubles.told()

    async def test_a_success_between(self, troubles: Troubles) -> None:
        troubles.failed(job("one"))
        troubles.failed(job("two"))
        troubles.succeeded()
        troubles.failed(job("one"))
        assert "one" not in troubles.told()

    async def test_comes_back_and_leaves_again_after_one_more(
        self, troubles: Troubles, clock: Clock
    ) -> None:
        for model in ("one", "two", "one"):
            troubles.failed(job(model))
        clock.now += OUT_SECONDS
        assert sorted(troubles.told()) == ["far", "large"]
        troubles.failed(job("two"))
        assert len(troubles.told()) == len(MODELS)

    async def test_another_model_is_not_to_blame_for_the_one_that_is_out(
        self, troubles: Troubles
    ) -> None:
        for model in ("one", "one", "one", "two"):
            troubles.failed(job(model))
        assert "two" not in troubles.told()
