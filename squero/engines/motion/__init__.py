"""The engine `motion`: a camera over a picture, or a scene of its own; no weights, no GPU.

It animates the given image with the camera move that the prompt describes, fits a given video to
the clip's length and size, and without either draws a scene of its own. A given sound is the clip's
track. The same shot gives the same frames, on any number of threads.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2

from squero.engines import Tell
from squero.engines.motion.camera import Camera
from squero.engines.motion.darkroom import Draw, developed
from squero.engines.motion.film import FINE, LIGHT, Film
from squero.engines.motion.footage import Footage
from squero.engines.motion.grain import Grain
from squero.engines.motion.instant import Slates
from squero.engines.motion.move import parse
from squero.engines.motion.picture import Picture
from squero.engines.motion.planes import Planes
from squero.engines.motion.scene import Scene
from squero.engines.motion.sound import sound_of
from squero.shot import Shot


class Motion:
    """The engine: so many threads draw, letters come from a folder of fonts and the built-in one.

    An instant one writes slates in place of what was asked for.
    """

    def __init__(
        self, threads: int = 2, fonts: str | None = None, *, instant: bool = False
    ) -> None:
        self._threads = threads
        self._fonts = Path(fonts) if fonts else None
        self._slates = Slates(self._fonts) if instant else None

    def load(self) -> None:
        """Keep OpenCV to the thread that calls it: frames are drawn side by side."""
        cv2.setNumThreads(1)

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        """Write the shot; raises BadInput when what it is made of cannot be decoded."""
        if self._slates:
            self._slates.render(shot, out, tell)
            return
        drawn = shot.media.keys().isdisjoint({"image", "video"})
        with ThreadPoolExecutor(1) as aside:
            sound = aside.submit(sound_of, shot)
            with (
                self._source(shot) as (draw, threads),
                Film(out, shot, sound.result(), LIGHT if drawn else FINE) as film,
                developed(draw, shot, threads) as frames,
            ):
                for number, planes in enumerate(frames, start=1):
                    film.advance(planes)
                    tell(number / shot.frames)

    @contextmanager
    def _source(self, shot: Shot) -> Iterator[tuple[Draw, int]]:
        """What draws the shot's frames, and on how many threads it may."""
        if "video" in shot.media:
            with Footage(shot.media["video"], shot, self._threads) as footage:
                yield finished(footage, shot), 1
        else:
            yield finished(self._still(shot), shot), self._threads

    def _still(self, shot: Shot) -> Picture | Scene:
        if "image" not in shot.media:
            return Scene(shot, self._fonts)
        moves = parse(shot.prompt, shot.negative_prompt)
        camera = Camera(moves, shot.seed, shot.seconds)
        media = shot.media
        return Picture(media["image"], shot.width, shot.height, camera, media.get("end_image"))


def finished(source: Footage | Picture | Scene, shot: Shot) -> Draw:
    """What draws a frame of the source with its finish; footage was seen through a lens before."""
    lens = not isinstance(source, Footage)
    grain = Grain(shot.width, shot.height, shot.seed, lens=lens)
    last = max(1, shot.frames - 1)

    def draw(number: int, planes: Planes) -> None:
        source.expose(number / last, planes)
        grain.settle(number, planes)

    return draw
