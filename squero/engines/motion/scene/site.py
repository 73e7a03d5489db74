"""Where a scene is: the stage, what is asked for, its light, and what follows from these."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from squero.engines.motion.planes import Planes
from squero.engines.motion.scene.layer import Field
from squero.engines.motion.scene.noise import Chance
from squero.engines.motion.scene.palette import Palette, mix
from squero.engines.motion.scene.stage import Pose, Stage
from squero.engines.motion.scene.weather import mist
from squero.engines.motion.scene.words import Setting


class Drawn(Protocol):
    """Something on the stage."""

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Draw it over the frame as the camera sees it from there."""


Things = Iterator[Drawn]


@dataclass(frozen=True, slots=True)
class Site:
    """What everything that is drawn depends on; the chance is one stream, so the order matters."""

    stage: Stage
    setting: Setting
    palette: Palette
    chance: Chance
    sun: Field
    """Where the sun or moon stands, and its radius."""

    @property
    def sun_x(self) -> float:
        """How far right of the middle the light comes from."""
        return float(self.sun[0])

    @property
    def water(self) -> bool:
        """Whether water lies before us: a city has some, unless it has something else."""
        return self.setting.has("lake", "sea") or (
            self.setting.has("city") and not self.setting.has("street", "field", "desert")
        )

    @property
    def snowy(self) -> bool:
        """Whether snow lies on everything."""
        return self.setting.has("snow", "arctic")

    @property
    def shows_disc(self) -> bool:
        """Whether the sun or moon is seen."""
        setting = self.setting
        if setting.has("sun", "moon"):
            return True
        covered = setting.has(
            "rain", "storm", "snow", "fog", "lightning", "space", "aurora", "neon", "stars"
        )
        return not covered and setting.hour != "dusk"


def horizon_of(setting: Setting, aspect: float) -> float:
    """The row at which the sky ends."""
    if setting.has("space") and not setting.has("mountains", "desert", "sea", "lake", "city"):
        return 1.3
    if setting.has("desert"):
        return 0.58
    if setting.has("street"):
        return 0.6
    return 0.6 if aspect < 1 else 0.62


def sun_of(setting: Setting, stage: Stage, chance: Chance) -> Field:
    """Where the sun or moon stands (x and y), and its radius."""
    low = setting.hour in ("dawn", "sunset", "dusk")
    huge = setting.has("huge") and setting.has("sun", "moon")
    side = chance.choice([-1, 1])
    x = side * stage.aspect * chance.uniform(0.1, 0.24) * (0.3 if huge else 1.0)
    y = stage.horizon - (0.2 if huge else 0.1 if low else 0.36)
    radius = 0.15 if huge else 0.042 if setting.hour == "night" else 0.036
    if setting.has("mountains") and low and not huge:
        y -= 0.14
    return np.array([x, max(0.14, y), radius], np.float32)


def mist_bank(site: Site, row: float, high: float, depth: float, much: float) -> Drawn:
    """A bank of mist at a row of the scene."""
    colour = mix(site.palette.haze, np.ones(3, np.float32), 0.12 if not site.palette.dark else 0.0)
    speed = float(site.chance.choice([-1, 1])) * 0.008
    return mist(
        site.stage, site.chance, colour, row=row, high=high, depth=depth, much=much, speed=speed
    )
