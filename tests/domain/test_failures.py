"""The limit on failed requests: what blocks, for how long, and whom."""

import time
import tracemalloc
from uuid import uuid4

import pytest

from squero.domain.failures import Failures


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def failures(clock):
    return Failures(20, 30, clock=clock)


@pytest.fixture(params=[uuid4(), "192.0.2.1"], ids=["account", "address"])
def who(request):
    return request.param


def fail(failures, who, times):
    for _ in range(times):
        failures.count(who)


class TestBlock:
    def test_begins_with_the_twenty_first(self, failures, who):
        fail(failures, who, 20)
        assert failures.blocked(who) == 0
        failures.count(who)
        assert failures.blocked(who) == 30

    def test_ends_after_its_seconds(self, failures, clock, who):
        fail(failures, who, 21)
        clock.now += 29.9
        assert failures.blocked(who) == pytest.approx(0.1)
        clock.now += 0.1
        assert failures.blocked(who) == 0

    def test_is_not_extended_by_calls_that_were_under_way(self, failures, clock, who):
        fail(failures, who, 21)
        clock.now += 20
        fail(failures, who, 100)
        assert failures.blocked(who) == 10

    def test_leaves_nothing_behind(self, failures, clock, who):
        fail(failures, who, 21)
        clock.now += 30
        fail(failures, who, 20)
        assert failures.blocked(who) == 0
        failures.count(who)
        assert failures.blocked(who) == 30

    def test_needs_them_within_its_seconds(self, failures, clock, who):
        for _ in range(200):
            failures.count(who)
            clock.now += 1.5
            assert failures.blocked(who) == 0

    def test_slides(self, failures, clock, who):
        fail(failures, who, 10)
        clock.now += 29
        fail(failures, who, 10)
        clock.now += 1
        fail(failures, who, 10)
        assert failures.blocked(who) == 0
        failures.count(who)
        assert failures.blocked(who) == 30

    def test_is_nobody_elses(self, failures, who):
        fail(failures, who, 21)
        assert failures.blocked(uuid4()) == 0
        assert failures.blocked("192.0.2.2") == 0

    @pytest.mark.parametrize("step_seconds", [3600, -3600])
    def test_knows_no_wall_clock(self, monkeypatch, who, step_seconds):
        failures = Failures(20, 30)
        fail(failures, who, 20)
        before = time.time()
        monkeypatch.setattr(time, "time", lambda: before + step_seconds)
        failures.count(who)
        assert 29 < failures.blocked(who) <= 30


class TestMemory:
    def test_of_a_flood_of_addresses_is_bounded(self, clock):
        failures = Failures(20, 30, most=1000, clock=clock)
        account = uuid4()
        fail(failures, account, 21)
        for number in range(1000):
            fail(failures, f"2001:db8:{number:x}::/64", 21)
        tracemalloc.start()
        for number in range(1000, 20_000):
            failures.count(f"2001:db8:{number:x}::/64")
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown < 2_000_000
        assert len(failures._addresses) == 1000
        assert failures.blocked(account) == 30

    def test_keeps_those_that_failed_last(self, clock):
        failures = Failures(1, 30, most=2, clock=clock)
        fail(failures, "a", 2)
        failures.count("b")
        failures.count("c")
        assert failures.blocked("a") == 0
        failures.count("b")
        assert failures.blocked("b") == 30

    def test_of_one_who_fails_for_ever_is_bounded(self, clock):
        failures = Failures(1_000_000, 30, clock=clock)
        for _ in range(1000):
            failures.count("a")
            clock.now += 1
        assert len(failures._addresses["a"]) <= 31
