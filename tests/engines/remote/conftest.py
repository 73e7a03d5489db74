"""An upstream of either shape, and the engine that speaks to it, in this very process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from squero.client import Backoff
from squero.engines.remote import openai_videos, pace, relay, upstream, venice
from squero.engines.remote.relay import Relay
from squero.shot import Shot

from .stub import Upstream, serving
from .stub import openai_videos as openai_app
from .stub import venice as venice_app

APPS = {"openai-videos": openai_app, "venice": venice_app}
ENGINES = {"openai-videos": openai_videos.engine, "venice": venice.engine}


@pytest.fixture(params=["openai-videos", "venice"])
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, shorter."""
    monkeypatch.setattr(pace, "POLL_SECONDS", 0.01)
    for name, seconds in (("HEED_SECONDS", 0.01), ("OUTAGE_SECONDS", 1.0)):
        monkeypatch.setattr(relay, name, seconds)
    monkeypatch.setattr("squero.engines.remote.pool.FIRST_SECONDS", 0.02)
    monkeypatch.setattr(upstream, "SILENCE", 1.0)
    haste = Backoff(tries=3, total_seconds=1.0, first_seconds=0.01, cap_seconds=0.02)
    monkeypatch.setattr(upstream, "PATIENCE", haste)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage that a test does not see the end of."""
    monkeypatch.setattr(relay, "OUTAGE_SECONDS", 30.0)


@pytest.fixture
def open_upstream(dialect: str) -> Iterator[Callable[..., Upstream]]:
    """Opens an upstream: `open_upstream(polls=…)`."""
    with ExitStack() as opened:

        def make(**state: Any) -> Upstream:
            made = Upstream(**state)
            return opened.enter_context(serving(APPS[dialect](made), made))

        yield make


@pytest.fixture
def server(open_upstream: Callable[..., Upstream]) -> Upstream:
    return open_upstream()


@pytest.fixture
def engine_at(dialect: str) -> Callable[..., Relay]:
    """The engine over these upstreams, named one, two, …"""

    def make(*servers: Upstream, **options: Any) -> Relay:
        names = ("one", "two", "three")
        return ENGINES[dialect](
            [
                {"name": name, "url": one.url, "model": "wan", **options}
                for name, one in zip(names, servers, strict=False)
            ]
        )

    return make


class Told:
    """What an engine tells."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.notes: list[str] = []

    def __call__(self, share: float, note: str | None = None) -> None:
        self.shares.append(share)
        if note is not None:
            self.notes.append(note)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


@pytest.fixture
def shot(shot_of: Callable[..., Shot]) -> Shot:
    """What the stub's film is."""
    return shot_of(resolution="480p", key="job-1", negative_prompt="blur")
