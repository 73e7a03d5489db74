"""A third party's package of engines on the path, and the shots that the tests render."""

from collections.abc import Callable
from pathlib import Path

import pytest

from squero.shot import Shot

ShotOf = Callable[..., Shot]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds `squero_fakes` and its entry points, as if it were installed."""
    folder = Path(__file__).parent / "plugin"
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def shot_of() -> ShotOf:
    """A small shot, changed by keywords."""

    def make(prompt: str = "a lagoon at dusk", **changes: object) -> Shot:
        values = {"width": 96, "height": 64, "frames": 12, "fps": 12, "seed": 7} | changes
        return Shot(prompt=prompt, **values)  # type: ignore[arg-type]

    return make
