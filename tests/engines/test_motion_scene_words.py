"""Which words of a prompt are drawn: whole words in the sense that can be drawn, and not denied."""

import re
from collections.abc import Callable

import pytest

from squero.engines.motion.scene.palette import palette_of
from squero.engines.motion.scene.words import FEATURES, colours, features, read
from squero.shot import Shot

ShotOf = Callable[..., Shot]
RED, PINK, TURQUOISE = "#d8352a", "#f28ab5", "#35c5c0"


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("rainy", {"rain"}),
        ("raindrops", {"rain"}),
        ("an april shower", {"rain"}),
        ("thunderclouds", {"storm", "lightning"}),
        ("a snowstorm", {"storm", "snow"}),
        ("a rainforest", {"forest"}),
        ("a rain forest", {"forest"}),
        ("a cornfield", {"field", "wheat"}),
        ("grassland", {"field"}),
        ("sailing", {"boat"}),
        ("the coastline", {"sea"}),
        ("mountainous", {"mountains"}),
        ("volcanoes", {"mountains"}),
        ("a planet with wide rings", {"space", "rings"}),
        ("the rings of Saturn", {"space", "rings"}),
        ("a huge, red sun", {"huge", "sun"}),
        ("the moon hangs huge", {"huge", "moon"}),
        ("a space station", {"space"}),
        ("waves on the shore", {"sea"}),
    ],
)
def test_endings(prompt: str, names: set[str]) -> None:
    assert features(prompt) == names


@pytest.mark.parametrize(
    "prompt",
    [
        "a rainbow",
        "a raincoat",
        "Mount Rainier",
        "a car cornering",
        "Cornwall",
        "cornflakes",
        "a sailor",
        "a thunderbird",
        "a grasshopper",
        "wintergreen",
        "a roller coaster",
        "beachwear",
        "a mountaineer",
    ],
)
def test_words_inside_words_are_not_seen(prompt: str) -> None:
    assert features(prompt) == set()


@pytest.mark.parametrize(
    "prompt",
    [
        "a shower curtain",
        "taking a shower",
        "a space heater",
        "a living space",
        "wedding rings",
        "a boxing ring",
        "a great dane",
        "ice cream",
        "shallow depth of field",
        "bird's-eye view",
        "palm trees",
        "a film star",
        "a glass of water",
        "a fire hydrant",
        "carved of wood",
        "he waves to them",
        "a road that winds through it",
    ],
)
def test_other_senses_are_not_seen(prompt: str) -> None:
    assert features(prompt) == set()
    assert features(f"{prompt}, a lake at night") == {"lake", "night"}


def test_a_great_dane_does_not_enlarge_the_sun() -> None:
    assert features("a great dane in the sun") == {"sun"}


@pytest.mark.parametrize(
    "prompt",
    [
        "no clouds, rain, or fog",
        "no clouds, rain or fog",
        "without clouds, heavy rain, or any fog",
        "no dark clouds",
        "no clouds, no rain",
        "no sign of rain",
        "no longer raining",
        "not raining",
        "it is not raining anymore",
        "it isn't night",
        "it isn’t night",
        "avoid clouds",
        "avoid clouds and rain",
        "avoid showing the sea",
        "don't show the sea",
        "do not show the sea",
        "don't show clouds, rain or the sea",
        "rather than the sea",
    ],
)
def test_what_is_denied_is_not_seen(prompt: str) -> None:
    assert features(prompt) == set()
    assert features(f"a city, {prompt}") == {"city"}


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("no clouds, a lake at dawn", {"lake", "dawn"}),
        ("no clouds over the sea", {"sea"}),
        ("no zoom, pan or tilt, a lake at night", {"lake", "night"}),
        ("without rain the desert blooms", {"desert"}),
        ("not far from the sea", {"sea"}),
        ("not only rain but snow", {"rain", "snow"}),
        ("it never stops raining", {"rain"}),
        ("nothing but the sea", {"sea"}),
        ("don't move the camera, a lake", {"lake"}),
    ],
)
def test_a_denial_ends(prompt: str, names: set[str]) -> None:
    assert features(prompt) == names


@pytest.mark.parametrize(
    ("prompt", "light", "ground"),
    [
        ("a pink sky over the hills", (PINK,), None),
        ("a pink and red sunset over the sea", (PINK, RED), None),
        ("the sky is pink", (PINK,), None),
        ("the hills are softly red", (), RED),
        ("a city in red tones", (RED,), None),
        ("all in red", (RED,), None),
        ("turquoise water", (), TURQUOISE),
        ("a turquoise and pink lagoon", (), TURQUOISE),
        ("the lake is turquoise", (), TURQUOISE),
        ("a red barn in the snow at night", (), None),
        ("a red and white lighthouse by the sea", (), None),
        ("a pink-and-red coat on a beach", (), None),
        ("a woman in red on a beach", (), None),
        ("the car is red, at night", (), None),
        ("red wooden doors", (), None),
        ("red sandals", (), None),
        ("turquoise palm trees by the sea", (), None),
        ("no red sky", (), None),
        ("a red car under a pink sky", (PINK,), None),
    ],
)
def test_colours_of_what_is_drawn(prompt: str, light: tuple[str, ...], ground: str | None) -> None:
    assert colours(prompt) == (light, ground)


def test_a_red_barn_leaves_the_night_as_it_is(shot_of: ShotOf) -> None:
    red, plain = (
        palette_of(read(shot_of(f"{barn} in the snow at night")))
        for barn in ("a red barn", "a barn")
    )
    assert (red.sky == plain.sky).all()


def test_palms_do_not_become_firs(shot_of: ShotOf) -> None:
    assert not read(shot_of("a beach with palm trees at sunset")).has("forest")


@pytest.mark.parametrize("denial", ["no clouds, ", "never x' y, ", "avoid sea ", "don't show "])
@pytest.mark.timeout(5)
def test_a_long_prompt_is_read_in_time(denial: str) -> None:
    assert features(denial * 500 + ". A lake") >= {"lake"}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("between", ["-", "--", " -", "- a", "'"])
def test_a_rule_after_a_size_is_read_in_time(between: str) -> None:
    assert features(f"a lake, a huge{between * 800} heading") >= {"lake"}


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_endings_are_spelt_out(name: str) -> None:
    assert not re.search(r"[a-z]\\w[*+]", FEATURES[name])


@pytest.mark.parametrize("colour", ["yellow", "turquoise", "red", "silver"])
def test_no_colour_of_the_sky_leaves_the_range(shot_of: ShotOf, colour: str) -> None:
    palette = palette_of(read(shot_of(f"a {colour} and cyan sky above hills at noon")))
    assert 0 <= palette.sky.min() <= palette.sky.max() <= 1
