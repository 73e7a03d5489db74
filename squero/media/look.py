"""Looking into media: what a file really is, found by a sandboxed child that decodes it.

These are the faces of `squero.media.picture`, `sound`, `footage` and `clip`, which no process but
the sandbox's imports. No header and no claim of a customer is believed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from squero.errand import SandboxRefusal
from squero.media.sealed import SealedFile
from squero.sandbox import Sandbox, SandboxDied
from squero.shot import Shot

PICTURE = "squero.media.picture:redraw"
SOUND = "squero.media.sound:rerecord"
FOOTAGE = "squero.media.footage:refilm"
CLIP = "squero.media.clip:inspect"
PICTURES, RECORDINGS = (PICTURE,), (SOUND, FOOTAGE, CLIP)
"""The allow-lists for the Sandboxes that `look_at_picture` and the others are handed."""

UNREADABLE_PICTURE = "The image file is corrupted or unreadable"
UNREADABLE_SOUND = "The audio file is corrupted or unreadable"
UNREADABLE_CLIP = "The video file is corrupted or unreadable"

TOO_SLOW_CLIP = "The video takes too long to read. Send a shorter or a smaller one"

_PICTURE_SECONDS = _SOUND_SECONDS = 20.0
_CPU_SECONDS = 8
"""Of a picture or a sound: twice what the costliest that may pass takes."""
_FOOTAGE_SECONDS = 55.0
_CLIP_SECONDS = 120.0


class BadMedia(Exception):
    """Media that will not do; `message` is fit for whoever sent it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it was drawn anew: upright, sRGB, without metadata."""

    width: int
    height: int
    sent_width: int
    """Of what was sent, upright too: what is very large was made smaller."""
    sent_height: int
    media_type: str
    """`image/jpeg` or `image/png`."""
    size: int
    """In plain bytes."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound as it was recorded anew: 48 kHz, stereo, without metadata."""

    seconds: float
    media_type: str
    """`audio/wav`."""
    size: int
    """In plain bytes."""


@dataclass(frozen=True, slots=True)
class Footage:
    """A customer's video as it was filmed anew: upright, at an even pace, without metadata."""

    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    has_audio: bool
    media_type: str
    """`video/mp4`."""
    size: int
    """In plain bytes."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What is really in a video file."""

    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    has_audio: bool
    size: int
    """In plain bytes."""


_Facts = TypeVar("_Facts", Picture, Sound, Footage, Clip)


async def look_at_picture(sandbox: Sandbox, source: SealedFile, target: SealedFile) -> Picture:
    """Decodes an image and seals it, drawn anew, into the target's file.

    Whatever the target's file held is replaced. Raises BadMedia with the contract's words.
    """
    with _told(UNREADABLE_PICTURE):
        facts = await sandbox.run(PICTURE, *_both(source, target), _PICTURE_SECONDS, _CPU_SECONDS)
        return _record(Picture, facts)


async def look_at_sound(sandbox: Sandbox, source: SealedFile, target: SealedFile) -> Sound:
    """Decodes a WAV or MP3 of 3 to 30 seconds and seals it, recorded anew, into the target's file.

    Whatever the target's file held is replaced. Raises BadMedia with the contract's words.
    """
    with _told(UNREADABLE_SOUND):
        facts = await sandbox.run(SOUND, *_both(source, target), _SOUND_SECONDS, _CPU_SECONDS)
        return _record(Sound, facts)


async def look_at_footage(sandbox: Sandbox, source: SealedFile, target: SealedFile) -> Footage:
    """Decodes an MP4, MOV or WebM and seals it, filmed anew as an MP4, into the target's file.

    Whatever the target's file held is replaced. Takes seconds of a core for seconds of video.
    Raises BadMedia with the contract's words.
    """
    with _told(UNREADABLE_CLIP, TOO_SLOW_CLIP):
        facts = await sandbox.run(FOOTAGE, *_both(source, target), _FOOTAGE_SECONDS)
        return _record(Footage, facts)


async def look_at_clip(sandbox: Sandbox, source: SealedFile, expected: Shot | None = None) -> Clip:
    """Reads an MP4 whole and decodes its ends; against `expected`, when that is given.

    Raises BadMedia when it is no sound MP4 or differs in size, frames, fps or sound.
    """
    with _told(UNREADABLE_CLIP):
        facts = await sandbox.run(
            CLIP, {"source_key": source.key.hex()}, (source.descriptor,), _CLIP_SECONDS
        )
        clip = _record(Clip, facts)
    if expected is not None:
        _compare(clip, expected)
    return clip


def _both(source: SealedFile, target: SealedFile) -> tuple[dict[str, str], tuple[int, int]]:
    """The task's arguments and descriptors."""
    arguments = {"source_key": source.key.hex(), "target_key": target.key.hex()}
    return arguments, (source.descriptor, target.descriptor)


@contextmanager
def _told(unreadable: str, too_slow: str = "") -> Iterator[None]:
    """Turns the end of a child into BadMedia; a child that died did so of an unreadable file."""
    try:
        yield
    except SandboxRefusal as refusal:
        raise BadMedia(str(refusal)) from None
    except SandboxDied as death:
        late = death.reason == "timeout" and too_slow
        raise BadMedia(late or unreadable) from death


def _compare(clip: Clip, shot: Shot) -> None:
    if (clip.width, clip.height) != (shot.width, shot.height):
        found = f"{clip.width}x{clip.height}"
        raise BadMedia(f"The video is {found}, not {shot.width}x{shot.height}")
    if clip.frames != shot.frames:
        raise BadMedia(f"The video has {clip.frames} frames, not {shot.frames}")
    if abs(clip.seconds - shot.seconds) > 0.5 / shot.fps:
        raise BadMedia(f"The video lasts {clip.seconds:.3f} s, not {shot.seconds:.3f} s")
    if clip.has_audio != shot.audio:
        raise BadMedia("The video has no sound" if shot.audio else "The video has sound")


def _record(kind: type[_Facts], facts: Mapping[str, Any]) -> _Facts:
    """The facts as a record; a child that was taken over may have said anything."""
    kinds = {field.name: field.type for field in fields(kind)}
    if kinds.keys() != facts.keys() or any(type(facts[name]) is not kinds[name] for name in kinds):
        raise SandboxDied("broken answer")
    return kind(**facts)
