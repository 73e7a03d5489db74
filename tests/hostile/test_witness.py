"""What the hostile ring takes for a stall of the server's, and what for one of the machine's."""

import pytest

from .conftest import Call, Caller, own_stall_seconds

TICK = 0.02


def calls(*slow: tuple[float, float]) -> list[Call]:
    """A call of a millisecond every 20, and those that took longer: when, and how long."""
    slow_calls = [Call(at, at + seconds) for at, seconds in slow]
    quick = [Call(number * TICK, number * TICK + 0.001) for number in range(200)]
    free = [
        one
        for one in quick
        if not any(one.ended > slow.began and one.began < slow.ended for slow in slow_calls)
    ]
    return sorted(free + slow_calls, key=lambda call: call.began)


@pytest.mark.parametrize(
    ("server", "idle", "own"),
    [
        ([], [], 0.001),
        ([(1, 0.5)], [], 0.5),
        ([(1, 0.5)], [(1.01, 0.48)], 0.02),
        ([(1, 0.5)], [(0.8, 0.3), (1.4, 0.3)], 0.3),
        ([(1, 0.5)], [(2, 0.5)], 0.5),
        ([(1, 0.3), (2, 0.4)], [(1, 0.3)], 0.4),
        ([(1, 0.5)], [(1, 0.09), (1.2, 0.09)], 0.32),
    ],
    ids=["none", "its own", "the machine's", "half", "another time", "one of each", "little"],
)
def test_what_an_idle_process_lost_is_not_the_servers(
    server: list[tuple[float, float]], idle: list[tuple[float, float]], own: float
) -> None:
    found = own_stall_seconds(calls(*server), calls(*idle))
    assert found == pytest.approx(own, abs=0.005)


def test_a_bystander_answers(bystander: str) -> None:
    caller = Caller(bystander, pause_seconds=0)
    caller.start()
    while len(caller.calls) < 50 and caller.is_alive():
        caller.join(0.01)
    caller.finish()
    began = [call.began for call in caller.calls]
    assert began == sorted(began)
    assert all(call.seconds > 0 for call in caller.calls)
