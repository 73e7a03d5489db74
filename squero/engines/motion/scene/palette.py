"""The colours of an hour, tinted by the weather, the place and the colours that are named."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.scene.words import Setting

Colour = NDArray[np.floating[Any]]
"""Red, green and blue, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The light of a scene; each colour is what a white thing would show in it."""

    sky: Colour
    """Four rows from the zenith to the horizon."""
    glow: Colour
    """Around the sun or moon."""
    disc: Colour
    light: Colour
    """What falls on a side that faces the sun or moon."""
    shade: Colour
    """What falls on every side."""
    haze: Colour
    """What far things fade into."""
    lamps: tuple[str, ...] = ("#ffd58a", "#ffb765", "#ffe9c4", "#cfe2ff")

    @property
    def dark(self) -> bool:
        """Whether lamps are lit and stars are out."""
        return float(self.shade.mean()) < 0.3


def rgb(code: str) -> Colour:
    """The colour written as #rrggbb."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The first colour with this share of the second."""
    mixed: Colour = first + (second - first) * np.float32(share)
    return mixed


def _light(sky: str, glow: str, disc: str, light: str, shade: str, haze: str) -> Palette:
    rows = np.stack([rgb(code) for code in sky.split()])
    return Palette(rows, rgb(glow), rgb(disc), rgb(light), rgb(shade), rgb(haze))


BY_HOUR = {
    "dawn": _light(
        "#41538c #8f86b4 #f3b09a #ffe0b0", "#ffb47c", "#fff4da", "#ffc592", "#6a6a92", "#e6bcb0"
    ),
    "day": _light(
        "#2a68b8 #5c9bd8 #9fcbec #dfedf3", "#fff6d8", "#fffef4", "#fff3d6", "#8297b4", "#c4d8e6"
    ),
    "sunset": _light(
        "#2a3468 #84508a #ee7a52 #ffca74", "#ff9440", "#fff0c0", "#ff9a58", "#564a70", "#dd8f6a"
    ),
    "dusk": _light(
        "#0f1a44 #2c3d80 #8062a0 #f09a84", "#f0a080", "#ffe6d0", "#94708c", "#343c66", "#7c6a96"
    ),
    "night": _light(
        "#040818 #0a1738 #172e5a #375c88", "#8fa8dc", "#f6f2e2", "#5c70a0", "#1b2444", "#213a62"
    ),
}
STORM = _light(
    "#1e252c #353f48 #55626b #8b979a", "#aab4b8", "#c8d0d0", "#6d7880", "#4c5862", "#6e7a82"
)
STORM_NIGHT = _light(
    "#070a12 #101827 #223044 #53657c", "#7a8ca8", "#c8d0e0", "#4a5a74", "#1c2534", "#3a4a5e"
)
NEON = _light(
    "#070418 #170a3c #45136c #c8327f", "#ff4fa0", "#ffd0ec", "#b83a9a", "#2a1c50", "#5c2280"
)


def palette_of(setting: Setting) -> Palette:
    """The light that the setting's words ask for."""
    chosen = BY_HOUR[setting.hour]
    night = setting.hour in ("night", "dusk")
    if setting.has("neon"):
        chosen = replace(NEON, lamps=("#ff4fa8", "#41e2ff", "#b46bff", "#ffd27a", "#5effc0"))
    elif setting.has("storm", "lightning"):
        chosen = blended(STORM_NIGHT if night else STORM, chosen, 0.2)
    elif setting.has("rain"):
        chosen = blended(chosen, STORM_NIGHT if night else STORM, 0.35 if night else 0.6)
    elif setting.has("snow", "fog") and not night:
        chosen = blended(chosen, _PALE, 0.75 if setting.has("wind") else 0.4)
    if setting.has("desert") and not night:
        chosen = tinted(chosen, rgb("#f0b070"), 0.28)
    if setting.has("arctic") and not night:
        chosen = tinted(chosen, rgb("#b8dcf4"), 0.25)
    if setting.colours:
        chosen = tinted(chosen, rgb(setting.colours[0]), 0.55)
    if len(setting.colours) > 1:
        high = tinted(chosen, rgb(setting.colours[1]), 0.8).sky
        chosen = replace(chosen, sky=np.concatenate([high[:2], chosen.sky[2:]]))
    return chosen


def blended(first: Palette, second: Palette, share: float) -> Palette:
    """The first light with this share of the second."""
    return replace(
        first,
        sky=mix(first.sky, second.sky, share),
        glow=mix(first.glow, second.glow, share),
        disc=mix(first.disc, second.disc, share),
        light=mix(first.light, second.light, share),
        shade=mix(first.shade, second.shade, share),
        haze=mix(first.haze, second.haze, share),
    )


def tinted(light: Palette, colour: Colour, share: float) -> Palette:
    """The light moved towards a hue, most at the horizon, as bright as before."""

    def toward(old: Colour, much: float) -> Colour:
        level = old.mean(axis=-1, keepdims=True) / max(float(colour.mean()), 0.05)
        hue = colour * level
        # A bright sky in a deep hue would be brighter than white.
        hue = hue / np.maximum(1.0, hue.max(axis=-1, keepdims=True) / 0.98)
        moved: Colour = np.clip(mix(old, hue.astype(np.float32), min(much, 1.0)), 0, 1)
        return moved

    rows = np.stack(
        [
            toward(row, share * much)
            for row, much in zip(light.sky, (0.6, 0.9, 1.2, 1.2), strict=True)
        ]
    )
    return replace(
        light,
        sky=rows,
        glow=toward(light.glow, share),
        light=toward(light.light, 0.7 * share),
        shade=toward(light.shade, 0.5 * share),
        haze=toward(light.haze, 1.2 * share),
    )


_PALE = _light(
    "#8fa2b8 #b0bfce #cfd8e0 #e6eaee", "#ffffff", "#fffdf4", "#e8ecf2", "#8c9bb0", "#d4dce4"
)
