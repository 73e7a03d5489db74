"""How often an upstream is asked, and that what it allows is enough."""

import pytest

from squero.engines.remote.pace import LONGEST_POLL_SECONDS, pause_seconds

DATE = "Thu, 01 Jan 1970 00:{minute:02}:{second:02} GMT"


@pytest.fixture(autouse=True)
def hasty() -> None:
    """The waits as they are."""


def heard(limit: int, left: int, now: float, reset: float = 60) -> dict[str, str]:
    minute, second = divmod(int(now), 60)
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(left),
        "x-ratelimit-reset-requests": f"{reset:.0f}",
        "date": DATE.format(minute=minute, second=second),
    }


@pytest.mark.parametrize(
    ("passed", "pause"), [(0, 0.2), (10, 0.3), (100, 1.2), (10_000, LONGEST_POLL_SECONDS)]
)
def test_by_the_time_that_has_passed(passed: float, pause: float) -> None:
    assert pause_seconds(passed, {}) == pytest.approx(pause)
    assert pause_seconds(passed, heard(120, 119, 0)) == pytest.approx(pause)


@pytest.mark.parametrize(
    ("limit", "left", "now", "reset", "pause"),
    [
        (120, 60, 30, 60, 30 / 61),
        (120, 0, 58, 60, 2),
        (120, 0, 30, 60, LONGEST_POLL_SECONDS),
        (120, 60, 90, 60, 0.2),
        (120, 9, 30, 60_000, LONGEST_POLL_SECONDS),
        (120, -5, 59, 60, 1),
    ],
)
def test_what_is_left_is_spread(
    limit: int, left: int, now: float, reset: float, pause: float
) -> None:
    assert pause_seconds(0, heard(limit, left, now, reset)) == pytest.approx(pause)


def test_milliseconds_are_told_apart() -> None:
    told = heard(120, 9, 0) | {"x-ratelimit-reset-requests": "1700000002000"}
    told["date"] = "Tue, 14 Nov 2023 22:13:20 GMT"
    assert pause_seconds(0, told) == pytest.approx(0.2)


@pytest.mark.parametrize("strange", ["", "x", "nan", "1e400"])
def test_nonsense(strange: str) -> None:
    told = heard(120, 9, 0)
    for name in told:
        assert 0.2 <= pause_seconds(0, told | {name: strange}) <= LONGEST_POLL_SECONDS


@pytest.mark.parametrize(("jobs", "most_refused"), [(1, 0), (2, 5), (4, 40)])
def test_an_allowance_of_two_a_second_lasts(jobs: int, most_refused: int) -> None:
    """As many jobs at once, begun with a new window; polls of 5 s apart are no haste."""
    left, refused = 120, 0
    due = dict.fromkeys(range(jobs), 0.0)
    while (now := min(due.values())) < 60:
        left, refused = max(0, left - 1), refused + (left == 0)
        job = next(job for job, at in due.items() if at == now)
        due[job] = now + pause_seconds(now, heard(120, left, now))
    assert refused <= most_refused
