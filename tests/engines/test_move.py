import pytest
from hypothesis import given
from hypothesis import strategies as st

from squero.engines.motion.move import PUSH_IN, STILL, Move, parse
from squero.engines.motion.words import DIRECTIONS, FORMS, LIGHT, MARKS, PACES, words_of


@pytest.mark.parametrize(
    ("prompt", "move"),
    [
        ("the camera pushes in", Move(zoom=1)),
        ("Push-in on the prow", Move(zoom=1)),
        ("zooming into the window", Move(zoom=1)),
        ("dolly in, moving closer", Move(zoom=1)),
        ("walking, the POV moves down the hallway", Move(zoom=1)),
        ("the camera pulls back", Move(zoom=-1)),
        ("pull-out", Move(zoom=-1)),
        ("pan left", Move(pan=-1)),
        ("panning across from left to right", Move(pan=1)),
        ("a pan from right to left", Move(pan=-1)),
        ("a pan across the bay to the left", Move(pan=-1)),
        ("a leftward pan", Move(pan=-1)),
        ("tilt up at the tower", Move(tilt=-1)),
        ("a long tracking shot moving left", Move(pan=-1)),
        ("pan up and to the right", Move(tilt=-1, pan=1)),
        ("pan left and zoom in", Move(zoom=1, pan=-1)),
        ("the camera orbits her clockwise", Move(orbit=-1)),
        ("dutch angle", Move(roll=1)),
        ("hand-held footage", Move(shake=1)),
        ("360-degree orbit around a car", Move(orbit=1)),
        ("the camera swings left around him", Move(orbit=-1)),
        ("a lateral slide to the right", Move(pan=1)),
        ("the camera zips left", Move(pan=-1)),
        ("a left pan", Move(pan=-1)),
        ("pan out to the whole valley", Move(zoom=-1)),
        ("pulling back through a keyhole", Move(zoom=-1)),
        ("a smooth backward dolly through the hall", Move(zoom=-1)),
        ("gliding down a hotel hallway", Move(zoom=1)),
        ("the drone descends", Move(tilt=1)),
        ("a descending crane shot", Move(tilt=1)),
        ("lower the camera", Move(tilt=1)),
        ("a barrel roll of the camera", Move(roll=1)),
        ("the camera tilts sideways", Move(roll=1)),
        ("Camera: static", STILL),
        ("camera movement: none", STILL),
        ("dont move the camera", STILL),
        ("the camera drifts", Move(pan=1, tilt=-1, pace=0.65)),
        ("no camera movement", STILL),
        ("Locked-off tripod shot", STILL),
        ("a gondola at dusk", PUSH_IN),
        ("", PUSH_IN),
    ],
)
def test_one_move(prompt: str, move: Move) -> None:
    assert parse(prompt) == (move,)


@pytest.mark.parametrize(
    ("prompt", "move"),
    [
        ("orbit", Move(orbit=1)),
        ("orbit fast", Move(orbit=1, pace=1.4)),
        ("a castle, orbit", Move(orbit=1)),
        ("a castle, then orbit", Move(orbit=1)),
        ("a castle. Pan.", Move(pan=1)),
        ("a castle, panning", Move(pan=1)),
        ("a statue, orbit around it", Move(orbit=1)),
        ("a statue, orbiting around it", Move(orbit=1)),
        ("a dancer, orbit around her slowly", Move(orbit=1, pace=0.65)),
        ("a statue, circle around it", Move(orbit=1)),
        ("a car, orbit the car", Move(orbit=1)),
        ("circle the statue", Move(orbit=1)),
        ("a car, truck along with it", Move(pan=1)),
        ("a car, truck alongside the car", Move(pan=1)),
        ("a car, track with it", Move(pan=1)),
        ("a tower, tilt slowly", Move(tilt=-1, pace=0.65)),
        ("a lake, pan slowly", Move(pan=1, pace=0.65)),
        ("pan slowly over the lake", Move(pan=1, pace=0.65)),
        ("a lake, zoom slowly", Move(zoom=1, pace=0.65)),
        ("a lake, drift", Move(pan=1, tilt=-1, pace=0.65)),
        ("a city, then pan", Move(pan=1)),
        ("a city, still", STILL),
        ("a city, keep still", STILL),
        ("the camera moves in a circle around him clockwise", Move(orbit=-1)),
        ("circle around her to the left", Move(orbit=-1)),
        ("orbit, counterclockwise", Move(orbit=1)),
    ],
)
def test_an_order_of_few_words(prompt: str, move: Move) -> None:
    assert parse(prompt) == (move,)


@pytest.mark.parametrize(
    ("prompt", "pace"),
    [
        ("pan right", 1.0),
        ("slowly pan right", 0.65),
        ("a slow, gentle pan right", 0.65),
        ("pan right across the busy square slowly", 0.65),
        ("the camera very slowly pans right", 0.4),
        ("pan right, very slowly", 0.4),
        ("a quick pan right", 1.4),
        ("pan right extremely fast", 2.0),
        ("whip pan right", 2.5),
        ("a fast car, pan right", 1.0),
        ("pan right past a slowly turning mill", 1.0),
    ],
)
def test_pace(prompt: str, pace: float) -> None:
    assert parse(prompt) == (Move(pan=1, pace=pace),)


@pytest.mark.parametrize(
    ("prompt", "moves"),
    [
        ("zoom in, then pull out", (Move(zoom=1), Move(zoom=-1))),
        ("Pan left followed by a tilt up", (Move(pan=-1), Move(tilt=-1))),
        ("zoom in before panning left", (Move(zoom=1), Move(pan=-1))),
        ("zoom in after panning left", (Move(pan=-1), Move(zoom=1))),
        ("After panning left, zoom in", (Move(pan=-1), Move(zoom=1))),
        ("Pan left. After that hold.", (Move(pan=-1), STILL)),
        ("pan left and right", (Move(pan=-1), Move(pan=1))),
        ("The camera pans left; then it tilts up", (Move(pan=-1), Move(tilt=-1))),
        ("a man walks in, then pan left", (Move(pan=-1),)),
        ("pan left, tilt up", (Move(pan=-1), Move(tilt=-1))),
        ("The camera pans left. It tilts up.", (Move(pan=-1), Move(tilt=-1))),
        ("As the camera pans left, it tilts up", (Move(pan=-1, tilt=-1),)),
        ("pan left, panning slowly left", (Move(pan=-1, pace=0.65),)),
        ("zoom in, pan right afterwards", (Move(zoom=1), Move(pan=1))),
        ("zoom in, hold, zoom out", (Move(zoom=1), STILL, Move(zoom=-1))),
        ("the camera glides forward, then up", (Move(zoom=1), Move(tilt=-1))),
        ("zoom out, then in the distance a light", (Move(zoom=-1),)),
        ("it approaches, the camera pushes in and then orbits", (Move(zoom=1), Move(orbit=1))),
        ("pan left before the cathedral", (Move(pan=-1),)),
        ("a lake; zoom out; orbit", (Move(zoom=-1), Move(orbit=1))),
        ("a lake, zoom out, orbit", (Move(zoom=-1), Move(orbit=1))),
        ("zoom out and orbit", (Move(zoom=-1, orbit=1),)),
    ],
)
def test_one_after_the_other(prompt: str, moves: tuple[Move, ...]) -> None:
    assert parse(prompt) == moves


@pytest.mark.parametrize(
    ("prompt", "negative", "move"),
    [
        ("without zooming", "", STILL),
        ("don't pan", "", PUSH_IN),
        ("the camera never zooms, it pans left", "", Move(pan=-1)),
        ("no pan, tilt or zoom", "", STILL),
        ("no zoom, pan left", "", Move(pan=-1)),
        ("No zoom, no pan, just tilt up", "", Move(tilt=-1)),
        ("No pan; dolly left", "", Move(pan=-1)),
        ("tilt up instead of zooming", "", Move(tilt=-1)),
        ("no sudden movements, pan left", "", Move(pan=-1)),
        ("a harbour", "zoom, camera shake", STILL),
        ("a harbour", "blurry, motion blur, pan of soup", PUSH_IN),
        ("pan left and zoom in", "zoom", Move(pan=-1)),
        ("pan left and zoom in", "zoom out", Move(pan=-1, zoom=1)),
        ("handheld, pan left", "shaky camera", Move(pan=-1)),
        ("orbit left", "camera movement", STILL),
        ("pan left", "static", Move(pan=-1)),
    ],
)
def test_what_is_ruled_out(prompt: str, negative: str, move: Move) -> None:
    assert parse(prompt, negative) == (move,)


@pytest.mark.parametrize(
    "prompt",
    [
        "a pan of soup",
        "a pan left on the stove",
        "the boat drifts to the left",
        "a boat, drifting to the left",
        "the camera follows a boat as it drifts left",
        "she turns and moves left",
        "a shot of a boat, drifting to the left",
        "turning left, the car",
        "a delivery drone rises",
        "a low angle view looking up at a tower",
        "she pulls focus",
        "track and field",
        "right hand",
        "she zooms past",
        "tilted head",
        "she tilts her head up",
        "a crane by the harbour",
        "roll of film",
        "rolling hills",
        "a truck left the yard",
        "a tilt-shift photograph",
        "the moon orbits the earth",
        "a dancer, spinning slowly",
        "a dancer, twirling around",
        "a moth, orbiting slowly",
        "a ship, rolling",
        "leaves, drifting",
        "vultures circle the carcass",
        "a square, circle, triangle",
        "a red car, truck with a trailer",
        "still waters",
        "still, the river runs",
        "petals fall, drift, land",
        "satellites, low orbit",
        "a still life of fruit",
        "she keeps still",
        "a neon sign that says 'x' and “pan left”",
    ],
)
def test_what_is_not_the_cameras(prompt: str) -> None:
    assert parse(f"{prompt}.") == (PUSH_IN,)
    assert parse(f"{prompt}, and the camera pans right") == (Move(pan=1),)


@pytest.mark.parametrize("prompt", [".", "then then then", "pan", "the", "and,", "left", "-", "\n"])
def test_scraps_are_read_to_the_end(prompt: str) -> None:
    assert parse(prompt, prompt)
    assert words_of(prompt)[-1] == "."


WORDS = sorted({*FORMS, *DIRECTIONS, *LIGHT, *MARKS, *PACES, "camera", "no", "still", "boat"})


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.text(max_size=30))
def test_any_words_in_any_order_are_some_move(words: list[str], text: str) -> None:
    assert parse(" ".join(words), text)
    assert parse(text, " ".join(words))


def test_a_long_prompt_is_read_whole() -> None:
    assert parse("a boat drifts to the left, " * 90 + "the camera pulls back") == (Move(zoom=-1),)
