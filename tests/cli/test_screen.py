"""What `squero video` shows of money, sizes and times, and how often."""

import io
from decimal import Decimal

import pytest
from rich.console import Console

from squero.cli import screen
from squero.cli.screen import Lines, dollars, megabytes
from squero.client import Progress

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("price", "text"),
    [("0", "$0.00"), ("0.1", "$0.10"), ("12.50", "$12.50"), ("0.012345", "$0.012345")],
)
def test_a_price_has_cents_and_every_digit_that_there_is(price: str, text: str) -> None:
    assert dollars(Decimal(price)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1 kB"), (1_001, "2 kB"), (1_000_000, "1.0 MB"), (12_345_678, "12.3 MB")],
)
def test_a_size(count: int, text: str) -> None:
    assert megabytes(count) == text


@pytest.mark.parametrize(
    ("elapsed", "remaining", "text"),
    [
        (0, 4_100, "about 5 s left"),
        (0, 61_000, "about 1 min 1 s left"),
        (9_000, 0, "almost done"),
        (9_001, 0, "longer than usual"),
    ],
)
async def test_the_time_that_is_left(elapsed: int, remaining: int, text: str) -> None:
    assert lines(Progress(9_000, elapsed, remaining)) == [f"Rendering, {text}"]


async def test_a_line_is_for_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [Progress(9_000, 0, 5_000, place) for place in (3, 3, 2, 2, None)]
    assert lines(*waits) == [
        "Waiting at place 3, about 5 s left",
        "Waiting at place 2, about 5 s left",
        "Rendering, about 5 s left",
    ]
    monkeypatch.setattr(screen, "LINE_EVERY_SECONDS", 0.0)
    assert len(lines(*waits)) == 5


def lines(*told: Progress) -> list[str]:
    """What a pipe gets."""
    out = io.StringIO()
    shown = Lines(Console(file=out, width=200))
    for progress in told:
        shown.progress(progress)
    return out.getvalue().splitlines()
