"""A job's fields as the arguments of a pipeline's call; what the model cannot do is refused."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from PIL import Image, ImageOps

from squero.engines.diffusers.fitting import Course, Grid, transformer_of
from squero.engines.diffusers.folder import is_part
from squero.engines.motion.footage import Footage
from squero.engines.motion.picture import decoded
from squero.engines.motion.planes import Planes
from squero.shot import BadInput, Shot

ENLARGED = 1.1
"""How much longer the sides of a clip may be than those that a model draws of its own choice."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a pipeline takes and gives."""

    takes: frozenset[str]
    """The names of its call's arguments."""
    end_image: bool
    sound: bool
    side: int | None
    """Of the square with as many pixels as it draws, when it chooses the size itself."""
    condition: Callable[..., Any] | None = None
    """What makes an image that is to be seen somewhere, for a loaded pipeline that takes such."""

    @property
    def image(self) -> bool:
        """Whether it starts from an image."""
        return not self.takes.isdisjoint({"image", "conditions"})

    @classmethod
    def of(cls, pipeline: Any) -> "Abilities":
        """Those of a loaded pipeline, by its call and its parts."""
        named = inspect.signature(type(pipeline).__call__).parameters
        placed = get_args(named["conditions"].annotation) if "conditions" in named else ()
        looks = transformer_of(pipeline).config
        able = cls.by(frozenset(named) - {"self"}, pipeline.config, looks)
        return replace(able, condition=placed[0] if placed else None)

    @classmethod
    def by(
        cls, takes: frozenset[str], index: Mapping[str, Any], looks: Mapping[str, Any]
    ) -> "Abilities":
        """Those of a pipeline with this call, these parts and a transformer that looks so."""
        return cls(
            takes=takes,
            end_image="conditions" in takes or ("last_image" in takes and heeds_last(index, looks)),
            sound=is_part(index.get("vocoder")),
            side=None if "height" in takes else looks.get("target_size"),
        )

    def refuse(self, shot: Shot) -> None:
        """Raises BadInput for what the model cannot make of the shot."""
        for words in self._refusals(shot):
            raise BadInput(words)

    def _refusals(self, shot: Shot) -> Iterator[str]:
        media = shot.media.keys()
        if "image" in media and not self.image:
            yield "This model takes no image"
        if "image" not in media and "image" in self.takes:
            yield "This model needs an image"
        if "end_image" in media and not self.end_image:
            yield "This model takes no end image"
        if "video" in media and "video" not in self.takes:
            yield "This model takes no video"
        if "video" not in media and "video" in self.takes:
            yield "This model needs a video"
        if shot.negative_prompt and "negative_prompt" not in self.takes:
            yield "This model takes no negative prompt"
        if shot.audio and not (self.sound or "audio" in media):
            yield "This model makes no sound"
        if self.side and shot.width * shot.height > (self.side * ENLARGED) ** 2:
            yield f"This model draws no more than {self.side**2} pixels"


def heeds_last(index: Mapping[str, Any], looks: Mapping[str, Any]) -> bool:
    """Whether a last image is looked at, by a pipeline that takes one.

    With a time step for each frame it is not; and an encoder's view of two images needs a place
    for the second.
    """
    if index.get("expand_timesteps"):
        return False
    return looks.get("image_dim") is None or looks.get("pos_embed_seq_len") is not None


def arguments(able: Abilities, grid: Grid, course: Course, shot: Shot) -> dict[str, Any]:
    """What the call takes of the shot, but for its seed; raises BadInput.

    Pictures are cut to the size that the model draws, videos also to its pace and its number of
    frames.
    """
    able.refuse(shot)
    size, frames = grid.size(shot.width, shot.height), grid.length(course.drawn)
    found: dict[str, Any] = {
        "prompt": shot.prompt,
        "width": size[0],
        "height": size[1],
        "num_frames": frames,
        "frame_rate": float(course.pace),
        "output_type": "pt",
    }
    if shot.negative_prompt:
        found["negative_prompt"] = shot.negative_prompt
    images = {
        name: pictured(shot.media[role], size)
        for role, name in (("image", "image"), ("end_image", "last_image"))
        if role in shot.media
    }
    if able.condition:
        places = {"image": 0, "last_image": -1}
        found["conditions"] = [
            able.condition(frames=image, index=places[name]) for name, image in images.items()
        ]
    found |= images
    if "video" in shot.media:
        drawn = replace(shot, width=size[0], height=size[1], frames=frames, fps=course.pace)
        found["video"] = list(filmed(shot.media["video"], drawn))
    return {name: value for name, value in found.items() if name in able.takes}


def pictured(path: Path, size: tuple[int, int]) -> Image.Image:
    """The picture's middle at this size; raises BadInput when it cannot be decoded."""
    return ImageOps.fit(decoded(path, size), size, Image.Resampling.LANCZOS)


def filmed(path: Path, shot: Shot) -> Iterator[Image.Image]:
    """The shot's frames out of a video file; raises BadInput when it cannot be decoded."""
    planes = Planes.blank(shot.width, shot.height)
    with Footage(path, shot, threads=2) as footage:
        for number in range(shot.frames):
            footage.expose(number / max(1, shot.frames - 1), planes)
            yield coloured(planes)


def coloured(planes: Planes) -> Image.Image:
    """The planes in RGB."""
    frame = VideoFrame.from_numpy_buffer(planes.buffer, format="yuv420p")
    rgb = VideoReformatter().reformat(
        frame,
        format="rgb24",
        src_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return Image.fromarray(rgb.to_ndarray())
