from itertools import pairwise
from math import cos, exp, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squero.engines.motion.camera import Camera, View, ease
from squero.engines.motion.course import DEPTH, LEAN, ORBIT, SPAN, Room
from squero.engines.motion.move import MOST, STILL, Move, parse

WAYS = st.sampled_from([-1, 0, 1])
PACES = st.sampled_from([0.4, 0.65, 1.0, 1.4, 2.5])
MOVES = st.builds(
    Move,
    zoom=WAYS,
    pan=WAYS,
    tilt=WAYS,
    orbit=WAYS,
    roll=WAYS,
    shake=st.integers(0, 1),
    pace=PACES,
)
PLAIN = st.builds(Move, zoom=WAYS, pan=WAYS, tilt=WAYS, pace=PACES)
LONG = st.floats(1, 5)
ROOMS = st.one_of(
    st.builds(Room, across=LONG, aspect=st.sampled_from([16 / 9, 9 / 16, 1, 3])),
    st.builds(Room, down=LONG, aspect=st.sampled_from([16 / 9, 9 / 16, 1])),
)


def corners(view: View, aspect: float) -> list[tuple[float, float]]:
    """The corners of a view, from the picture's middle, in halves of a frame."""
    places = []
    for x, y in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        lean = 1 + view.keystone * x
        across = (x * cos(view.roll) - y * sin(view.roll) / aspect) / lean / view.zoom
        down = (x * sin(view.roll) * aspect + y * cos(view.roll)) / lean / view.zoom
        places.append((across + view.across, down + view.down))
    return places


@given(st.lists(MOVES, min_size=1, max_size=MOST), ROOMS, st.integers(0, 99), st.floats(0, 1))
def test_no_view_leaves_the_picture(moves: list[Move], room: Room, seed: int, share: float) -> None:
    camera = Camera(tuple(moves), seed, room=room)
    reach = camera.course.reach
    assert reach[0] <= room.across + 1e-9
    assert reach[1] <= room.down + 1e-9
    for across, down in corners(camera.view(share), room.aspect):
        assert abs(across) <= reach[0] + 1e-9
        assert abs(down) <= reach[1] + 1e-9


@given(st.lists(MOVES, min_size=1, max_size=3), st.floats(0, 1))
def test_shares_of_the_picture_lie_within_it(moves: list[Move], share: float) -> None:
    view = Camera(tuple(moves)).view(share)
    assert 0 <= view.left <= view.left + view.size <= 1 + 1e-9
    assert 0 <= view.top <= view.top + view.size <= 1 + 1e-9


@given(PLAIN)
def test_each_axis_moves_its_way_or_not_at_all(move: Move) -> None:
    views = [Camera((move,)).view(step / 20) for step in range(21)]
    for before, after in pairwise(views):
        assert (after.zoom - before.zoom) * move.zoom >= -1e-12
        for gone, way in (
            (after.across - before.across, move.pan),
            (after.down - before.down, move.tilt),
        ):
            assert gone * way >= -1e-12 if way else gone == pytest.approx(0)


def paces(move: Move, field: str) -> list[float]:
    views = [Camera((move,)).view(step / 40) for step in range(41)]
    return [
        abs(getattr(after, field) - getattr(before, field)) for before, after in pairwise(views)
    ]


@pytest.mark.parametrize(
    ("move", "field"),
    [
        (Move(pan=1), "across"),
        (Move(tilt=-1), "down"),
        (Move(roll=1), "roll"),
        (Move(orbit=1), "keystone"),
    ],
)
def test_the_speed_is_even_between_soft_ends(move: Move, field: str) -> None:
    speeds = paces(move, field)
    even = speeds[9:-9]
    assert max(even) == pytest.approx(min(even))
    assert max(speeds) == pytest.approx(max(even))
    assert max(speeds[0], speeds[-1]) < max(even) / 10


def test_a_zoom_is_exponential() -> None:
    camera = Camera((Move(zoom=1),))
    zooms = [camera.view(share).zoom for share in (0.3, 0.4, 0.5, 0.6, 0.7)]
    steps = [after / before for before, after in pairwise(zooms)]
    assert steps == pytest.approx([steps[0]] * 4)
    assert camera.view(1).zoom == pytest.approx(1.38)


def test_one_move_flows_into_the_next() -> None:
    camera = Camera((Move(pan=1), Move(pan=1)))
    speeds = [
        camera.view(step / 40).across - camera.view((step - 1) / 40).across
        for step in range(10, 32)
    ]
    assert speeds == pytest.approx([speeds[0]] * len(speeds))


def test_moves_come_in_their_order() -> None:
    camera = Camera((Move(tilt=-1), Move(zoom=1)))
    start, middle, end = (camera.view(share) for share in (0, 0.4, 1))
    assert middle.zoom == pytest.approx(start.zoom)
    assert middle.down < start.down - 0.1
    assert end.zoom > 1.3 * middle.zoom


def test_a_quick_move_is_over_sooner() -> None:
    views = [Camera((Move(pan=1, pace=2.5),)).view(step / 20) for step in range(21)]
    assert views[3] == views[0]
    assert views[17].across == pytest.approx(views[20].across)
    assert views[20].across > Camera((Move(pan=1),)).view(1).across


def test_an_orbit_leans_no_more_than_keeps_lines_straight() -> None:
    views = [Camera((Move(orbit=1, pace=2.5),) * 2).view(share) for share in (0, 1)]
    assert [view.keystone for view in views] == pytest.approx([-ORBIT, ORBIT])


@pytest.mark.parametrize(
    ("move", "room", "field", "way"),
    [
        (Move(zoom=1), Room(down=2.5), "down", -1),
        (Move(zoom=1), Room(across=2.5), "across", 1),
        (Move(tilt=1), Room(down=2.5), "down", 1),
        (Move(pan=-1), Room(across=2.5), "across", -1),
    ],
)
def test_the_frame_travels_along_a_longer_picture(
    move: Move, room: Room, field: str, way: int
) -> None:
    camera = Camera((move,), room=room)
    gone = getattr(camera.view(1), field) - getattr(camera.view(0), field)
    assert gone * way > 1.4
    assert camera.course.floor == 1


@pytest.mark.parametrize("move", [STILL, Move(shake=1), Move(pan=1)])
def test_and_not_when_it_should_stay_or_go_elsewhere(move: Move) -> None:
    views = [Camera((move,), room=Room(down=2.5)).view(share) for share in (0, 1)]
    assert views[0].down == pytest.approx(views[1].down, abs=0.05)


def test_still_sees_all_the_time_the_same() -> None:
    camera = Camera((STILL,))
    assert camera.view(0) == camera.view(0.3) == camera.view(1) == View(0, 0, 1)


class TestManyMoves:
    @given(st.lists(MOVES, min_size=1, max_size=MOST), st.sampled_from([16 / 9, 9 / 16, 3]))
    def test_span_no_more_than_a_clip_may(self, moves: list[Move], aspect: float) -> None:
        course = Camera(tuple(moves), room=Room(aspect=aspect)).course
        across, down, near, _, _ = np.ptp(course.states, axis=0)
        assert max(across, down) * course.floor / 2 <= SPAN + 1e-9
        assert near <= DEPTH + 1e-9
        assert np.abs(course.states[:, 3]).max() <= LEAN + 1e-9

    def test_are_each_still_seen(self) -> None:
        moves = (Move(tilt=-1),) * 5 + (Move(tilt=1),) * 2 + (Move(tilt=-1),)
        camera = Camera(moves)
        stops = np.array([camera.view(0.1 + 0.1 * part).down for part in range(9)])
        steps = np.diff(stops)
        assert np.sign(steps).tolist() == [move.tilt for move in moves]
        assert np.abs(steps[[1, 2, 3]]) == pytest.approx(np.abs(steps[1]))

    def test_take_their_ways_together_in_proportion(self) -> None:
        camera = Camera((Move(pan=1, tilt=-1, pace=1.6),) * 8)
        first, last = camera.view(0), camera.view(1)
        assert last.across - first.across == pytest.approx(first.down - last.down)

    def test_zoom_to_a_depth(self) -> None:
        camera = Camera((Move(zoom=1),) * 8)
        assert camera.view(1).zoom == pytest.approx(exp(DEPTH))
        assert camera.view(0).zoom == pytest.approx(1)

    @pytest.mark.parametrize("count", [MOST + 1, 40, 170])
    def test_are_read_as_far_as_there_is_time(self, count: int) -> None:
        words = ["pan left"] * (MOST - 1) + ["zoom in"] + ["tilt up"] * (count - MOST)
        assert parse(", then ".join(words)) == (Move(pan=-1),) * (MOST - 1) + (Move(zoom=1),)


class TestShake:
    def test_is_the_seeds(self) -> None:
        first, again, other = (Camera((Move(shake=1),), seed).view(0.4) for seed in (1, 1, 2))
        assert first == again != other

    def test_goes_on_at_the_same_speed_in_a_longer_clip(self) -> None:
        short = Camera((Move(shake=1),), seed=1, seconds=4)
        long = Camera((Move(shake=1),), seed=1, seconds=8)
        assert short.view(0.6).across == pytest.approx(long.view(0.3).across)

    def test_is_smooth_and_turns_a_little(self) -> None:
        camera = Camera((Move(shake=1),), seed=3, seconds=5)
        views = [camera.view(step / 1000) for step in range(1001)]
        assert max(abs(view.roll) for view in views) > 0.001
        bends = [
            a.across - 2 * b.across + c.across
            for a, b, c in zip(views, views[1:], views[2:], strict=False)
        ]
        assert max(map(abs, bends)) < 1e-4


def test_ease_from_end_to_end() -> None:
    assert [ease(0), ease(0.5), ease(1)] == [0, 0.5, 1]
