"""Quiet sounds of a place: noise in bands, with slow swells, as the prompt's words ask for."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.scene.words import Setting, read
from squero.shot import Shot

Samples = NDArray[np.float32]
"""A row for each channel, between -1 and 1."""
Chance = np.random.Generator

LEVEL = 10 ** (-30 / 20)
"""The loudness of it all, as an RMS."""
PEAK = 10 ** (-16 / 20)
"""What a sample never exceeds: coding lets a sharp crackle overshoot by some 4 dB more."""
CHANNELS = 2


@dataclass(frozen=True, slots=True)
class Bed:
    """A steady noise: its band as (hertz, gain) corners, and how it swells."""

    band: tuple[tuple[float, float], ...]
    swell: float
    """How much it comes and goes, 0 to 1."""
    period: float
    """How long a swell takes, in seconds."""
    beat: bool = False
    """Whether swells follow each other evenly, as surf does."""


BEDS = {
    "wind": Bed(((60, 0), (180, 1), (420, 0.6), (1100, 0.08), (4000, 0)), 0.6, 2.6),
    "gale": Bed(((60, 0.4), (200, 1), (800, 0.7), (2400, 0.15), (7000, 0)), 0.55, 1.7),
    "rain": Bed(((300, 0), (1200, 0.5), (3500, 0.8), (8000, 0.6), (15000, 0.1)), 0.12, 3.0),
    "surf": Bed(((50, 0.5), (250, 1), (900, 0.7), (3500, 0.3), (9000, 0.02)), 0.8, 4.5, True),
    "lapping": Bed(((150, 0), (400, 1), (900, 0.5), (2200, 0.06)), 0.7, 1.3),
    "leaves": Bed(((800, 0), (2500, 0.7), (5000, 1), (9000, 0.2)), 0.7, 2.1),
    "city": Bed(((35, 0.6), (90, 1), (220, 0.5), (700, 0.14), (2500, 0.02)), 0.25, 3.5),
    "hush": Bed(((30, 0), (80, 1), (250, 0.4), (900, 0.05), (3000, 0)), 0.3, 3.2),
    "roar": Bed(((40, 0.7), (120, 1), (380, 0.5), (1200, 0.12)), 0.45, 0.7),
    "void": Bed(((25, 0.2), (55, 1), (110, 0.6), (240, 0.1)), 0.5, 4.0),
}


def ambience(shot: Shot, length: int, rate: int) -> Samples:
    """So many samples of what is heard where the shot is set; the same for the same seed."""
    chance = np.random.default_rng([abs(shot.seed), 3])
    total = np.zeros((CHANNELS, length), np.float32)
    if not length:
        return total
    for name, share in mixture(read(shot)).items():
        part = (
            SOURCES[name](chance, length, rate)
            if name in SOURCES
            else bed(BEDS[name], chance, length, rate)
        )
        total += np.float32(share) * part / max(float(np.sqrt(np.mean(part**2))), 1e-9)
    total *= np.float32(LEVEL / max(float(np.sqrt(np.mean(total**2))), 1e-9))
    # What crackles would stand out far above the rest.
    return np.asarray(PEAK * np.tanh(total / PEAK), np.float32)


def mixture(setting: Setting) -> dict[str, float]:
    """Which sounds a setting has, and how strong each is beside the others."""
    wet = setting.has("rain") or (setting.has("storm") and not setting.has("snow"))
    night = setting.hour in ("night", "dusk")
    green = setting.has("field", "hills", "flowers", "forest", "lake", "fireflies", "blossom")
    heard = {
        "rain": 1.0 if wet else 0,
        "gale": 0.8 if setting.has("storm", "wind") else 0,
        "thunder": 0.9 if setting.has("lightning", "storm") and not setting.has("snow") else 0,
        "surf": 1.0 if setting.has("sea") else 0,
        "lapping": 0.6 if setting.has("lake") and not setting.has("arctic") else 0,
        "leaves": 0.5 if setting.has("forest", "autumn", "blossom") else 0,
        "city": 0.9 if setting.has("city", "street") else 0,
        "fire": 0.8 if setting.has("fire") else 0,
        "roar": 0.4 if setting.has("fire") else 0,
        "crickets": 0.35
        if night and green and not wet and not setting.has("snow", "arctic")
        else 0,
        "birds": 0.3
        if setting.hour in ("dawn", "day") and green and not wet and not setting.has("snow")
        else 0,
        "void": 1.0 if setting.has("space") else 0,
        "wind": 0.7
        if setting.has("mountains", "desert", "arctic", "snow", "hills", "field")
        else 0,
    }
    chosen = {name: share for name, share in heard.items() if share}
    return chosen or {"hush": 1.0}


def bed(kind: Bed, chance: Chance, length: int, rate: int) -> Samples:
    """Noise in the kind's band, partly the same on both sides, rising and falling."""
    sources = chance.standard_normal((3, length), np.float32)
    shaped = banded(sources, kind.band, rate)
    both = np.stack([shaped[0] + 0.7 * shaped[2], shaped[1] + 0.7 * shaped[2]])
    swells = np.stack([envelope(kind, chance, length, rate)] * CHANNELS)
    if not kind.beat:
        swells = 0.6 * swells + 0.4 * np.stack(
            [envelope(kind, chance, length, rate) for _ in range(CHANNELS)]
        )
    return np.asarray(both * swells, np.float32)


def banded(noise: Samples, band: tuple[tuple[float, float], ...], rate: int) -> Samples:
    """The noise with each frequency as strong as the band's corners say."""
    length = noise.shape[-1]
    hertz, gains = zip(*band, strict=True)
    strength = np.interp(np.fft.rfftfreq(length, 1 / rate), hertz, gains, right=0)
    found = np.fft.irfft(np.fft.rfft(noise) * strength, length)
    return np.asarray(found, np.float32)


def envelope(kind: Bed, chance: Chance, length: int, rate: int) -> Samples:
    """How loud it is from sample to sample, about 1 at the most."""
    seconds = length / rate
    count = max(4, int(seconds / kind.period * 2) + 4)
    knots = chance.uniform(0, 1, count)
    if kind.beat:
        knots = np.where(np.arange(count) % 2, 0.1, 1) * chance.uniform(0.7, 1, count)
    at = np.linspace(0, seconds / kind.period * 2, length) + chance.uniform(0, 1)
    low = at.astype(int).clip(0, count - 2)
    part = at - low
    part = part * part * (3 - 2 * part)
    level = knots[low] * (1 - part) + knots[low + 1] * part
    return np.asarray(1 - kind.swell + kind.swell * level, np.float32)


def crickets(chance: Chance, length: int, rate: int) -> Samples:
    """Insects that chirp in trains of pulses, each from its own side."""
    times = np.arange(length) / rate
    total = np.zeros((CHANNELS, length), np.float32)
    for _ in range(4):
        pitch, pulse, train = (
            chance.uniform(3900, 5200),
            chance.uniform(17, 24),
            chance.uniform(0.9, 1.7),
        )
        at = times + chance.uniform(0, 3)
        gate = np.clip(np.sin(2 * np.pi * at / train) * 3 - 0.6, 0, 1)
        beats = np.clip(np.sin(2 * np.pi * pulse * at), 0, 1) ** 2
        total += placed(np.sin(2 * np.pi * pitch * at) * beats * gate, chance)
    return total


def birds(chance: Chance, length: int, rate: int) -> Samples:
    """A few calls, each a whistle that bends, now and then repeated."""
    total = np.zeros((CHANNELS, length), np.float32)
    start = chance.uniform(0.1, 0.8)
    while start < length / rate:
        low, bend = chance.uniform(2300, 3900), chance.uniform(-900, 1100)
        for repeat in range(int(chance.integers(1, 4))):
            spell = chance.uniform(0.07, 0.16)
            times = np.arange(round(spell * rate)) / rate
            turn = 2 * np.pi * (low * times + bend * times**2 / (2 * spell))
            call = (
                np.sin(turn + 2 * np.sin(2 * np.pi * 28 * times))
                * np.sin(np.pi * times / spell) ** 2
            )
            put(total, placed(call, chance), round((start + 0.2 * repeat) * rate))
        start += chance.uniform(0.7, 2.2)
    return total


def crackle(chance: Chance, length: int, rate: int) -> Samples:
    """Wood that snaps in a fire: short bursts of noise, most of them weak."""
    total = np.zeros((CHANNELS, length), np.float32)
    count = max(3, round(16 * length / rate))
    for start in np.sort(chance.integers(0, length, count)):
        spell = round(chance.uniform(0.003, 0.02) * rate)
        burst = chance.standard_normal(spell) * np.exp(-5 * np.arange(spell) / spell)
        put(total, placed(burst * chance.exponential(0.35), chance), int(start))
    return total


def thunder(chance: Chance, length: int, rate: int) -> Samples:
    """Rolls far away: low noise that begins fast and dies away in steps."""
    rumble = banded(
        chance.standard_normal((CHANNELS, length), np.float32),
        ((20, 0.2), (45, 1), (140, 0.4), (420, 0.02)),
        rate,
    )
    times = np.arange(length) / rate
    level = np.full(length, 0.02)
    starts = np.cumsum(np.concatenate([[0.5 * length / rate + 0.5], chance.uniform(2.0, 4.0, 4)]))
    for start in np.concatenate([starts, starts - chance.uniform(2.5, 3.5)]):
        since = np.clip(times - start, 0, None)
        level += (1 - np.exp(-9 * since)) * np.exp(-1.1 * since) * (0.7 + 0.3 * np.sin(7 * since))
    return np.asarray(rumble * level, np.float32)


def placed(mono: NDArray[np.float64], chance: Chance) -> Samples:
    """One sound somewhere between left and right."""
    side = chance.uniform(0.1, 0.9)
    gains = np.sqrt(np.array([[1 - side], [side]]))
    return np.asarray(gains * mono, np.float32)


def put(total: Samples, part: Samples, start: int) -> None:
    """Add a sound from a sample on, as far as there is room, in place."""
    room = total[:, start : start + part.shape[1]]
    room += part[:, : room.shape[1]]


SOURCES: dict[str, Callable[[Chance, int, int], Samples]] = {
    "crickets": crickets,
    "birds": birds,
    "fire": crackle,
    "thunder": thunder,
}
