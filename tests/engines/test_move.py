import pytest

from squero.engines.motion.move import PUSH_IN, STILL, Move, parse


@pytest.mark.parametrize(
    ("prompt", "move"),
    [
        ("the camera pushes in", Move(zoom=1)),
        ("Push-in on the prow", Move(zoom=1)),
        ("zooming into the window", Move(zoom=1)),
        ("dolly in, moving closer", Move(zoom=1)),
        ("the camera pulls back", Move(zoom=-1)),
        ("zoom out to reveal the city", Move(zoom=-1)),
        ("pull-out", Move(zoom=-1)),
        ("pan left", Move(pan=-1)),
        ("the camera pans to the right", Move(pan=1)),
        ("panning across from left to right", Move(pan=1)),
        ("a pan from right to left", Move(pan=-1)),
        ("tracking shot to the left", Move(pan=-1)),
        ("tilt up at the tower", Move(tilt=-1)),
        ("camera tilts down", Move(tilt=1)),
        ("pan left and zoom in", Move(zoom=1, pan=-1)),
        ("zoom in, then pull out", Move(zoom=1)),
        ("slowly pan right", Move(pan=1, pace=0.65)),
        ("a fast zoom in", Move(zoom=1, pace=1.35)),
        ("static shot of a canal", STILL),
        ("no camera movement", STILL),
        ("a gondola at dusk", PUSH_IN),
        ("a panda on the right, left alone", PUSH_IN),
        ("a man walks in", PUSH_IN),
    ],
)
def test_parse(prompt: str, move: Move) -> None:
    assert parse(prompt) == move
