"""The engine `motion`: a camera over a picture, or a scene of its own; no weights, no GPU.

It animates the given image with the camera move that the prompt describes, and without an image
draws drifting colours with the prompt's first words. The same shot gives the same frames.
"""

from pathlib import Path

import cv2

from squero.engines import Tell
from squero.engines.motion.camera import Camera
from squero.engines.motion.film import Film
from squero.engines.motion.grain import Grain
from squero.engines.motion.move import parse
from squero.engines.motion.picture import Picture
from squero.engines.motion.scene import Scene
from squero.shot import Shot


class Motion:
    """The engine, on this many threads."""

    def __init__(self, threads: int = 2) -> None:
        self._threads = threads

    def load(self) -> None:
        """Bound OpenCV's threads; there is nothing else to load."""
        cv2.setNumThreads(self._threads)

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        """Write the shot; raises BadInput when its image cannot be decoded."""
        source = self._source(shot)
        grain = Grain(shot.width, shot.height, shot.seed)
        with Film(out, shot, self._threads) as film:
            for number in range(shot.frames):
                source.expose(number / max(1, shot.frames - 1), film.planes)
                grain.settle(number, film.planes)
                film.advance()
                tell((number + 1) / shot.frames)

    def _source(self, shot: Shot) -> Picture | Scene:
        if "image" not in shot.media:
            return Scene(shot)
        camera = Camera(parse(shot.prompt))
        return Picture(shot.media["image"], shot.width, shot.height, camera)
