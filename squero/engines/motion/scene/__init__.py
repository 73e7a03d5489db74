"""A scene drawn for a prompt: layers that move apart under the camera, and what stirs in them."""

from pathlib import Path

import cv2
import numpy as np

from squero.engines.motion.camera import Camera
from squero.engines.motion.course import Room
from squero.engines.motion.move import parse
from squero.engines.motion.planes import Planes
from squero.engines.motion.scene.compose import everything
from squero.engines.motion.scene.palette import palette_of
from squero.engines.motion.scene.site import Site, horizon_of, sun_of
from squero.engines.motion.scene.stage import Stage
from squero.engines.motion.scene.title import Title
from squero.engines.motion.scene.words import read
from squero.shot import Shot


def camera_of(shot: Shot) -> Camera:
    """The camera that the shot's words move."""
    moves = parse(shot.prompt, shot.negative_prompt)
    return Camera(moves, shot.seed, shot.seconds, Room(aspect=shot.width / shot.height))


class Scene:
    """The scene of a shot. Its frames do not depend on each other: any thread may ask for any."""

    def __init__(self, shot: Shot, fonts: Path | None = None) -> None:
        setting = read(shot)
        size = (shot.width, shot.height)
        horizon = horizon_of(setting, shot.width / shot.height)
        self._stage = Stage(size, horizon, camera_of(shot), shot.seconds)
        chance = np.random.default_rng([abs(shot.seed), 2])
        sun = sun_of(setting, self._stage, chance)
        site = Site(self._stage, setting, palette_of(setting), chance, sun)
        self._things = list(everything(site))
        self._enlarging = self._stage.enlarging
        self._title = Title(shot.prompt, *size, fonts)

    def expose(self, share: float, frame: Planes) -> None:
        """Fill the frame with the scene at this share of the clip."""
        pose = self._stage.pose(share)
        for thing in self._things:
            thing.lay(pose, frame)
        if self._enlarging > 1:
            turn(frame, pose.roll, self._enlarging)
        self._title.lay(share, frame)


def turn(frame: Planes, roll: float, enlarging: float) -> None:
    """Turn the camera by so many radians clockwise and bring it nearer, in place."""
    for plane in (frame.y, frame.u, frame.v):
        height, width = plane.shape
        middle = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(middle, np.degrees(roll), enlarging)
        plane[:] = cv2.warpAffine(
            plane, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
