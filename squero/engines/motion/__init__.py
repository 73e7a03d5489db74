"""The engine `motion`: a camera over a picture, or a scene of its own; no weights, no GPU.

It animates the given image with the camera move that the prompt describes, fits a given video to
the clip's length and size, and without either draws drifting colours with the prompt's first words.
A given sound is the clip's track. The same shot gives the same frames.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from squero.engines import Tell
from squero.engines.motion.camera import Camera
from squero.engines.motion.film import Film
from squero.engines.motion.footage import Footage
from squero.engines.motion.grain import Grain
from squero.engines.motion.move import parse
from squero.engines.motion.picture import Picture
from squero.engines.motion.scene import Scene
from squero.engines.motion.sound import sound_of
from squero.shot import Shot


class Motion:
    """The engine, on this many threads."""

    def __init__(self, threads: int = 2) -> None:
        self._threads = threads

    def load(self) -> None:
        """Bound OpenCV's threads; there is nothing else to load."""
        cv2.setNumThreads(self._threads)

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        """Write the shot; raises BadInput when what it is made of cannot be decoded."""
        grain = Grain(shot.width, shot.height, shot.seed)
        sound = sound_of(shot)
        with self._source(shot) as source, Film(out, shot, self._threads, sound) as film:
            for number in range(shot.frames):
                source.expose(number / max(1, shot.frames - 1), film.planes)
                grain.settle(number, film.planes)
                film.advance()
                tell((number + 1) / shot.frames)

    @contextmanager
    def _source(self, shot: Shot) -> Iterator[Footage | Picture | Scene]:
        if "video" in shot.media:
            with Footage(shot.media["video"], shot, self._threads) as footage:
                yield footage
        elif "image" in shot.media:
            camera = Camera(parse(shot.prompt))
            yield Picture(shot.media["image"], shot.width, shot.height, camera)
        else:
            yield Scene(shot)
