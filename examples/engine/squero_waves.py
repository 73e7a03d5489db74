"""The engine `waves`: bands of colour that roll by, as an example of an engine of your own."""

from pathlib import Path

import av
import numpy as np

from squero.engines import Tell
from squero.shot import BadInput, Shot


class Waves:
    """Draws as many bands as its catalogue entry's options say."""

    def __init__(self, bands: int = 3) -> None:
        self._bands = bands

    def load(self) -> None:
        """There are no weights to read."""

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        """Write the shot; raises BadInput, since words are all it takes."""
        if shot.media or shot.audio:
            raise BadInput("This model takes no media and makes no sound")
        colour = np.random.default_rng(shot.seed).uniform(80, 255, 3)
        down = np.linspace(0, 2 * np.pi * self._bands, shot.height)
        with av.open(str(out), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            video = file.add_stream("libx264", rate=shot.fps)
            video.width, video.height, video.pix_fmt = shot.width, shot.height, "yuv420p"
            video.options = {"x264-params": "cpu-independent=1"}  # else frames may differ
            for number in range(shot.frames):
                light = 0.5 + 0.5 * np.sin(down + 2 * np.pi * number / shot.frames)
                rows = np.round(light[:, None, None] * colour).astype(np.uint8)
                picture = np.ascontiguousarray(np.tile(rows, (1, shot.width, 1)))
                file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                tell(number / shot.frames)
            file.mux(video.encode(None))
        tell(1.0)
