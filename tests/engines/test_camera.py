from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squero.engines.motion.camera import Camera, ease
from squero.engines.motion.move import STILL, Move

WAYS = st.sampled_from([-1, 0, 1])
MOVES = st.builds(Move, zoom=WAYS, pan=WAYS, tilt=WAYS, pace=st.floats(0.5, 1.5))


@given(MOVES, st.floats(0, 1))
def test_no_view_leaves_the_picture(move: Move, share: float) -> None:
    view = Camera(move).view(share)
    assert view.left >= 0
    assert view.top >= 0
    assert view.left + view.size <= 1 + 1e-9
    assert view.top + view.size <= 1 + 1e-9


@given(MOVES)
def test_each_axis_moves_its_way_or_not_at_all(move: Move) -> None:
    views = [Camera(move).view(step / 20) for step in range(21)]
    for before, after in pairwise(views):
        assert (after.size - before.size) * -move.zoom >= 0
        middle = (after.left + after.size / 2) - (before.left + before.size / 2)
        assert middle * move.pan >= 0 if move.pan else middle == pytest.approx(0)


@pytest.mark.parametrize("move", [Move(zoom=1), Move(zoom=-1), Move(pan=1), Move(tilt=-1)])
def test_starts_and_ends_gently(move: Move) -> None:
    camera = Camera(move)

    def pace(start: float) -> float:
        first, second = camera.view(start), camera.view(start + 0.01)
        return abs(first.size - second.size) + abs(first.left - second.left)

    if move.tilt:
        assert camera.view(0.01).top == pytest.approx(camera.view(0).top, abs=1e-3)
    else:
        assert max(pace(0), pace(0.99)) < pace(0.5) / 10


def test_still_sees_all_the_time_the_same() -> None:
    camera = Camera(STILL)
    assert camera.view(0) == camera.view(0.3) == camera.view(1)
    assert camera.view(0).size == 1


def test_ease_from_end_to_end() -> None:
    assert [ease(0), ease(0.5), ease(1)] == [0, 0.5, 1]
