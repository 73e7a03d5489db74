"""What the land is like, from the horizon to our feet."""

import numpy as np

from squero.engines.motion.scene import boat, city, fire, land, street, trees
from squero.engines.motion.scene.growth import (
    BLOSSOM,
    PETALS,
    far_trees,
    leaves,
    middle,
    soil,
    turf,
    woods,
)
from squero.engines.motion.scene.palette import mix, rgb
from squero.engines.motion.scene.site import Site, Things, mist_bank
from squero.engines.motion.scene.water import Water


def distance(site: Site) -> Things:
    """What stands on the horizon."""
    setting = site.setting
    if setting.has("mountains", "arctic"):
        yield from mountains(site)
    elif setting.has("hills", "field", "lake") and not setting.has("sea", "desert"):
        yield from hills(site)
    if setting.has("desert"):
        yield from mesas(site)
    if setting.has("city"):
        yield from town(site)
    if setting.has("forest") and not setting.has("city"):
        yield from woods(site)
    elif setting.has("mountains", "lake") and not setting.has("city", "desert", "sea", "arctic"):
        yield far_trees(site)
    if site.water and setting.has("boat"):
        yield from boat.boats(site.stage, site.chance, site.palette)


def ground(site: Site) -> Things:
    """What lies between the horizon and our feet."""
    setting, stage, chance, palette = site.setting, site.stage, site.chance, site.palette
    if setting.has("street"):
        yield from road(site)
    elif site.water:
        yield water(site)
        if setting.has("fog") or (setting.has("lake") and setting.hour == "dawn"):
            yield mist_bank(site, stage.horizon + 0.03, 0.07, 0.5, 0.55)
    elif setting.has("desert"):
        yield from dunes(site)
    else:
        albedo, second = soil(site)
        yield land.plain(stage, chance, palette, albedo, second=second, sun_x=site.sun_x)
        if setting.has("hills") and not setting.has("forest"):
            yield from knolls(site)
        elif not setting.has("arctic") or setting.has("forest"):
            yield from middle(site)
    if setting.has("fog") or (setting.has("wind") and setting.has("snow")):
        yield mist_bank(site, stage.horizon + 0.1, 0.16, 0.8, 0.6)


def at_our_feet(site: Site) -> Things:
    """What stands so near that it moves most."""
    setting, stage, chance, palette = site.setting, site.stage, site.chance, site.palette
    if setting.has("street", "desert"):
        return
    if setting.has("city"):
        yield street.roofs(stage, chance, palette)
    elif site.snowy:
        yield from land.banks(stage, chance, palette, land.SNOW, site.sun_x)
    elif setting.has("sea"):
        yield land.rocks(stage, chance, palette, land.ROCK, site.sun_x)
    else:
        flowers = PETALS if setting.has("flowers") else BLOSSOM if setting.has("blossom") else ()
        thick = 0.6 if setting.has("forest") else 1.0
        gust = 2.0 if setting.has("wind", "storm") else 1.0
        albedo = turf(site) * np.float32(0.9)
        yield from land.grass(
            stage, chance, palette, albedo, thick=thick, flowers=flowers, gust=gust
        )
    if setting.has("fire"):
        yield fire.Fire(stage, chance, 0.87, 0.24)
    if setting.has("autumn", "blossom") and not setting.has("sea", "city"):
        yield trees.boughs(stage, chance, palette, leaves(site))


def mountains(site: Site) -> Things:
    """Two ranges, the nearer one lower, with mist between them at dawn."""
    snow = 0.35 if site.snowy else 0.75
    albedo = land.SNOW * np.float32(0.8) if site.snowy else land.ROCK
    low = 0.5 if site.setting.has("aurora") or not site.setting.has("mountains") else 1.0
    for foot, high, far, cells in (
        (0.0, 0.33 * low, 0.62, 1.6),
        (0.015, 0.22 * low, 0.36, 1.9),
    ):
        yield land.ridge(
            site.stage,
            site.chance,
            site.palette,
            foot=site.stage.horizon + foot,
            high=high,
            cells=cells,
            albedo=albedo,
            far=far,
            sun_x=site.sun_x,
            snow=snow,
            rough=0.48,
        )
        if site.setting.has("fog") or site.setting.hour == "dawn":
            yield mist_bank(site, site.stage.horizon - 0.03, 0.08, 0.32 + foot, 0.5)


def hills(site: Site) -> Things:
    """Three rows of hills, fading into the distance."""
    albedo = mix(turf(site), land.WOOD, 0.35)
    for foot, high, far in ((0.0, 0.13, 0.66), (0.02, 0.085, 0.42), (0.045, 0.05, 0.2)):
        yield land.ridge(
            site.stage,
            site.chance,
            site.palette,
            foot=site.stage.horizon + foot,
            high=high,
            cells=1.3,
            albedo=albedo,
            far=far,
            sun_x=site.sun_x,
            rough=0.3,
        )
        if site.setting.has("fog") or site.setting.hour == "dawn":
            yield mist_bank(site, site.stage.horizon - 0.005 + foot, 0.05, 0.33 + foot, 0.5)


def mesas(site: Site) -> Things:
    """Bare heights behind the sand."""
    yield land.ridge(
        site.stage,
        site.chance,
        site.palette,
        foot=site.stage.horizon,
        high=0.07,
        cells=1.1,
        albedo=rgb("#b8704a"),
        far=0.6,
        sun_x=site.sun_x,
        rough=0.35,
        deep=0.12,
    )


def town(site: Site) -> Things:
    """Three rows of buildings along the water or the park."""
    if site.setting.has("street"):
        return
    stage = site.stage
    for foot, high, far, wide in (
        (0.0, 0.3, 0.6, 0.06),
        (0.012, 0.36, 0.3, 0.085),
        (0.03, 0.16, 0.05, 0.1),
    ):
        yield from city.skyline(
            stage,
            site.chance,
            site.palette,
            foot=stage.horizon + foot,
            high=high,
            far=far,
            wide=wide,
            sun_x=site.sun_x,
            signs=site.setting.has("neon") and far < 0.5,
        )


def knolls(site: Site) -> Things:
    """Slopes that roll towards us, with trees on them."""
    stage, grass = site.stage, turf(site)
    for foot, high, far in ((0.07, 0.09, 0.4), (0.17, 0.13, 0.2), (0.32, 0.16, 0.03)):
        row = stage.horizon + foot
        yield trees.wood(
            stage,
            site.chance,
            site.palette,
            leaves(site),
            foot=row - 0.5 * high,
            high=0.05 + 0.45 * foot,
            far=far,
            firs=0.5,
            thick=0.35,
            clear=0.2,
            snowy=site.snowy,
        )
        yield land.ridge(
            stage,
            site.chance,
            site.palette,
            foot=row,
            high=high,
            cells=0.9,
            albedo=grass,
            far=far,
            sun_x=site.sun_x,
            rough=0.22,
            deep=0.25,
            base=row,
        )


def water(site: Site) -> Water:
    """The sea, or quieter water."""
    setting = site.setting
    swell = 0.12
    if setting.has("sea"):
        swell = 0.55
    if setting.has("storm", "lightning", "wind"):
        swell = 0.9 if setting.has("sea") else 0.4
    elif setting.has("rain"):
        swell = max(swell, 0.25)
    deep = rgb(setting.ground or ("#1f6f80" if setting.has("sea") else "#2f5a68"))
    # What stands on the far shore stands between a high sun and its path on the water.
    shines = site.shows_disc and not (setting.has("city") and setting.hour == "day")
    return Water(
        site.stage,
        site.chance,
        site.palette,
        swell=swell,
        deep=deep,
        sun=site.sun if shines else None,
    )


def dunes(site: Site) -> Things:
    """Dunes, one behind the other."""
    for foot, high, far in (
        (0.05, 0.07, 0.45),
        (0.12, 0.1, 0.28),
        (0.24, 0.16, 0.13),
        (0.44, 0.2, 0.0),
    ):
        yield land.dune(
            site.stage,
            site.chance,
            site.palette,
            foot=site.stage.horizon + foot,
            high=high,
            far=far,
            sun_x=site.sun_x,
        )


def road(site: Site) -> Things:
    """House fronts along both sides of a street that mirrors them."""
    stage = site.stage
    rows = (
        (0.004, 0.3, 0.6, 0.07, 0.03),
        (0.05, 0.5, 0.35, 0.13, 0.13),
        (0.13, 0.8, 0.12, 0.2, 0.33),
    )
    fronts = [
        list(
            city.skyline(
                stage,
                site.chance,
                site.palette,
                foot=stage.horizon + foot,
                high=high,
                far=far,
                wide=wide,
                sun_x=site.sun_x,
                signs=site.palette.dark,
                spread=spread * min(1.0, stage.aspect),
            )
        )
        for foot, high, far, wide, spread in rows
    ]
    for row in fronts:
        yield from row
    yield Water(
        stage,
        site.chance,
        site.palette,
        swell=0.05,
        deep=rgb("#20222a"),
        sun=None,
        wet=3.0 if site.setting.has("rain") else 5.0,
    )
    # Once more: first they were there to be mirrored, and now they stand on the street.
    for row in fronts[1:]:
        yield from row
    yield from street.street_lamps(stage, site.palette)
