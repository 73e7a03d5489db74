"""What is put on the stage for a setting, from far to near."""

import numpy as np

from squero.engines.motion.scene import sky, weather
from squero.engines.motion.scene.country import at_our_feet, distance, ground
from squero.engines.motion.scene.site import Site, Things


def everything(site: Site) -> Things:
    """Everything, from the sky to what passes before the lens."""
    yield from overhead(site)
    if site.stage.horizon < 1:
        yield from distance(site)
        yield from ground(site)
        yield from at_our_feet(site)
    yield from in_the_air(site)


def overhead(site: Site) -> Things:
    """The sky and what is in it."""
    stage, chance, setting, palette = site.stage, site.chance, site.setting, site.palette
    yield sky.heavens(stage, chance, setting, palette, site.sun)
    hidden = setting.has("storm", "rain", "lightning", "clouds") and not setting.has("stars")
    if palette.dark and not hidden:
        yield sky.Stars(stage, chance, 2.2 if setting.has("stars", "space") else 1.0)
    if setting.has("aurora"):
        yield sky.Aurora(stage, chance)
    if site.shows_disc:
        moon = setting.hour == "night"
        yield sky.disc(stage, chance, palette, site.sun, moon)
    if stage.horizon > 1:
        yield sky.planet(stage, chance, palette, setting.has("rings"))
        return
    yield from clouds(site)
    if setting.has("lightning", "storm"):
        yield weather.Lightning(stage, chance)
    if setting.has("birds") or (
        setting.has("sea", "lake", "field") and not palette.dark and not hidden
    ):
        yield weather.Birds(stage, chance)


def clouds(site: Site) -> Things:
    """As many clouds as the weather has."""
    setting = site.setting
    much, heavy = 0.36, False
    if setting.has("storm", "rain", "lightning"):
        much, heavy = 0.75, True
    elif setting.has("clouds", "snow", "fog"):
        much = 0.85 if setting.has("wind") else 0.58
    elif setting.has("clear", "aurora") or (setting.has("stars") and setting.hour == "night"):
        return
    elif site.palette.dark or setting.has("desert"):
        much = 0.24
    speed = 0.022 if setting.has("storm", "wind") else 0.009
    yield sky.clouds(site.stage, site.chance, site.palette, site.sun, much, speed, heavy)


def in_the_air(site: Site) -> Things:
    """What falls or floats."""
    setting, stage, chance, palette = site.setting, site.stage, site.chance, site.palette
    if setting.has("rain", "storm") and not setting.has("snow"):
        yield weather.Rain(stage, chance, palette, 1.0 if setting.has("storm") else 0.7)
    kinds = []
    if setting.has("snow"):
        kinds.append("blizzard" if setting.has("storm", "wind") else "snow")
    if setting.has("leaves") or (setting.has("autumn") and not setting.has("snow")):
        kinds.append("leaves")
    if setting.has("blossom"):
        kinds.append("petals")
    kinds += [
        kind for kind, word in (("embers", "fire"), ("fireflies", "fireflies")) if setting.has(word)
    ]
    if (
        not kinds
        and setting.has("forest", "field")
        and not palette.dark
        and not setting.has("rain")
    ):
        kinds.append("dust")
    level = float(np.clip(palette.shade.mean() + 0.75 * palette.light.mean() + 0.1, 0.3, 1))
    for kind in kinds:
        lit = 1.0 if weather.KINDS[kind].blinks else level
        yield weather.Motes(stage, chance, weather.KINDS[kind], lit)
