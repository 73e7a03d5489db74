"""What grows, and on which ground: colours of leaves, grass and soil, and where the trees stand."""

from squero.engines.motion.scene import land, trees
from squero.engines.motion.scene.palette import Colour, mix, rgb
from squero.engines.motion.scene.site import Drawn, Site, Things, mist_bank

AUTUMN = tuple(rgb(code) for code in ("#d9772b", "#c24a22", "#e0a63a", "#8f7a34"))
SUMMER = tuple(rgb(code) for code in ("#4f7a3a", "#5f8a40", "#3f6a3c"))
FIRS = tuple(rgb(code) for code in ("#35523c", "#2e4a3a", "#3f5a3a"))
PETALS = tuple(rgb(code) for code in ("#d83a34", "#f2c13a", "#f4f0e6"))
BLOSSOM = tuple(rgb(code) for code in ("#f6b8cc", "#f9d2de", "#ee9db8"))


def woods(site: Site) -> Things:
    """The edge of a wood, in two rows."""
    broad = site.setting.has("autumn", "flowers", "blossom")
    firs = 0.06 if broad else 0.95
    for foot, high, far in ((0.005, 0.24, 0.7), (0.03, 0.32, 0.45)):
        yield trees.wood(
            site.stage,
            site.chance,
            site.palette,
            leaves(site),
            foot=site.stage.horizon + foot,
            high=high,
            far=far,
            firs=firs,
            thick=2.0,
            snowy=site.snowy,
        )
        if site.setting.has("fog") or site.setting.hour in ("dawn", "night"):
            yield mist_bank(site, site.stage.horizon + foot, 0.07, 0.35 + foot, 0.45)


def far_trees(site: Site) -> Drawn:
    """Trees on a far shore."""
    return trees.wood(
        site.stage,
        site.chance,
        site.palette,
        leaves(site),
        foot=site.stage.horizon + 0.025,
        high=0.075,
        far=0.3,
        firs=0.9 if not site.setting.has("autumn", "blossom") else 0.2,
        thick=2.6,
        snowy=site.snowy,
    )


def middle(site: Site) -> Things:
    """Trees or drifts in the middle distance, so that the ground has a scale."""
    stage, setting = site.stage, site.setting
    firs = 0.06 if setting.has("autumn", "flowers", "field", "hills", "blossom") else 0.95
    woody = setting.has("forest")
    places: tuple[tuple[float, float, float, float], ...] = ((0.07, 0.12, 0.2, 0.35),)
    if woody:
        places = ((0.08, 0.42, 0.2, 0.3), (0.17, 0.66, 0.05, 0.62))
    elif setting.has("blossom"):
        places = ((0.05, 0.22, 0.3, 0.1), (0.13, 0.4, 0.06, 0.5))
    for foot, high, far, clear in places:
        yield trees.wood(
            stage,
            site.chance,
            site.palette,
            leaves(site),
            foot=stage.horizon + foot,
            high=high,
            far=far,
            firs=firs,
            clear=clear,
            thick=1.3 if woody else 0.7,
            snowy=site.snowy,
        )


def turf(site: Site) -> Colour:
    """The colour of the grass."""
    if site.snowy:
        return land.SNOW
    if site.setting.has("autumn"):
        return rgb("#a88a44")
    if site.setting.ground and not site.water:
        return mix(land.GRASS, rgb(site.setting.ground), 0.55)
    return rgb("#d2ae58") if site.setting.has("wheat") else land.GRASS


def leaves(site: Site) -> tuple[Colour, ...]:
    """The colours of the leaves."""
    if site.setting.has("autumn"):
        return AUTUMN
    if site.setting.has("blossom"):
        return BLOSSOM
    return SUMMER if site.setting.has("field", "hills", "flowers") else FIRS


def soil(site: Site) -> tuple[Colour, Colour | None]:
    """The colours of the ground and of its patches."""
    if site.snowy:
        return land.SNOW, None
    if site.setting.has("forest"):
        return rgb("#4f5a34"), rgb("#6d5a3c") if not site.setting.has("autumn") else rgb("#b0642c")
    if site.setting.has("flowers"):
        return turf(site), rgb("#b06a60")
    return turf(site), mix(turf(site), rgb("#b0a050"), 0.6)
