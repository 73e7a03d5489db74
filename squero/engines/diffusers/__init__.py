"""The engine `diffusers`: open-weight video models out of a local folder.

One engine for every pipeline of diffusers that draws video: the entry's options name its class, a
job's fields become the arguments of its call, and what it draws becomes exactly the clip. Needs the
extra `squero[diffusers]`.
"""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from squero.engines import Rest, Tell
from squero.engines.diffusers.arguments import Abilities, arguments
from squero.engines.diffusers.clip import Picture, developed, frames, heard
from squero.engines.diffusers.fitting import Course, Grid
from squero.engines.diffusers.look import missing
from squero.engines.diffusers.options import Unready, read
from squero.engines.diffusers.steps import DENOISING, stepping
from squero.engines.motion.ambience import Samples
from squero.engines.motion.film import Film
from squero.engines.motion.planes import from_rgb
from squero.shot import Shot


class Diffusers:
    """The engine; raises Unready when its options cannot be, of which `options` has the list."""

    def __init__(self, **options: object) -> None:
        self._said = options
        self._options = read(options)
        self._ranks: Any = None

    @property
    def network(self) -> bool:
        """Whether it needs one from `load` on: ranks meet first, and then close it themselves."""
        return self._options.parallel is not None

    def missing(self, constraints: Mapping[str, object] | None = None) -> str | None:
        """What keeps this engine from loading, or from what the entry's constraints promise.

        As far as it is seen without torch and without reading a weight; None: nothing is seen.
        """
        return missing(self._options, constraints or {})

    def load(self) -> None:
        """Read the weights; raises Unready, which names the option at fault."""
        loading = prepared()
        if self._options.parallel:
            self._ranks = loading.Ranks.led(self._options.parallel, self._said)
        self._load(loading)

    def follow(self, rank: int, store: Path) -> None:
        """Read the weights as one of several ranks, which meet at this file."""
        loading = prepared()
        assert self._options.parallel
        self._ranks = loading.Ranks.met(self._options.parallel, rank, store)
        self._load(loading)

    def _load(self, loading: ModuleType) -> None:
        self._sown = loading.sown
        self._pipeline: Any = loading.loaded(self._options, self._ranks)
        self._grid = Grid.of(self._pipeline)
        self._able = Abilities.of(self._pipeline)
        if strange := sorted(self._options.call.keys() - self._able.takes):
            raise Unready(f"options.call.{strange[0]}: {self._options.pipeline} has no such word")
        if self._ranks:
            self._ranks.any(False)  # a deadline is for drawing, not for waiting until others can

    def render(self, shot: Shot, out: Path, tell: Tell) -> Rest:
        """Draw the shot, whose rest is to write it.

        Raises BadInput for what the model cannot do or the media cannot give.
        """
        course = Course.of(shot, self._options.fps)
        if self._ranks:
            self._ranks.send(shot, out)
        made = self._drawn(shot, course, tell)
        # From here on nothing is on the accelerator.
        drawn, sound = developed(made.frames[0]), heard(shot, *self._sound(made))
        pictures = frames(drawn, course, shot, scales=self._able.side is not None)
        return partial(written, pictures, sound, shot, out, tell)

    def draw(self, shot: Shot) -> None:
        """Have a part in drawing the shot, which rank 0 writes."""
        self._drawn(shot, Course.of(shot, self._options.fps), lambda share, note=None: None)

    def _drawn(self, shot: Shot, course: Course, tell: Tell) -> Any:
        """What the pipeline gives: `frames` as a tensor, and perhaps `audio`."""
        given = arguments(self._able, self._grid, course, shot)
        if self._ranks:
            tell = self._ranks.agreed(tell)
            if self._ranks.rank:
                given["output_type"] = "latent"  # rank 0 decodes
        self._pipeline.progress_bar = stepping(tell)
        try:
            return self._pipeline(
                **{**self._options.call, **given}, generator=self._sown(shot.seed)
            )
        finally:
            # What a stop leaves on the device and in the caches would be the next render's.
            self._pipeline.maybe_free_model_hooks()

    def _sound(self, made: Any) -> tuple[Any, int]:
        """As a tensor, with its rate."""
        if not self._able.sound:
            return None, 0
        return made.audio[0], self._pipeline.vocoder.config.output_sampling_rate


def written(
    pictures: Iterator[Picture], sound: Samples | None, shot: Shot, out: Path, tell: Tell
) -> None:
    """Write the clip."""
    with Film(out, shot, sound) as film:
        for number, picture in enumerate(pictures, start=1):
            film.advance(from_rgb(picture))
            tell(DENOISING + (1 - DENOISING) * number / shot.frames)


def prepared() -> ModuleType:
    """The module that loads, with libraries that fetch nothing and are quiet; raises Unready."""
    # A library that finds something missing asks a hub for it, unless it is told that there is
    # none; it reads this when it is imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from squero.engines.diffusers import loading
    except ModuleNotFoundError as absent:
        raise Unready(f"{absent.name} is missing: install squero[diffusers]") from None
    loading.quieten()
    return loading
