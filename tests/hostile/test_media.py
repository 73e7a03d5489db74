"""Files that were good before a die was cast over their bytes."""

import base64
import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from squero.media import look
from squero.media.sealed import SealedFile
from squero.media.spool import Spool
from squero.sandbox import Sandbox
from tests.acceptance.conftest import ROOT, Customer, Server
from tests.media.samples import film, recording

from .conftest import SEED, SOAK, Say

pytestmark = [pytest.mark.anyio, pytest.mark.hostile, pytest.mark.timeout(0)]

PICTURES = 300
RECORDINGS = 200

ORDER = {
    "model": "motion-image-to-video",
    "prompt": "p",
    "duration": "5s",
    "resolution": "480p",
}


def mutated(draw: random.Random, good: bytes) -> bytes:
    """The file after a few accidents: bytes flipped, numbers maximal, parts lost or doubled."""
    data = bytearray(good)
    for _ in range(draw.randint(1, 6)):
        # Headers are where the numbers are that a decoder believes.
        place = draw.randrange(min(len(data), draw.choice([64, 1024, len(data)])) or 1)
        size = draw.choice([1, 2, 4, 4, 64, 4096])
        match draw.randrange(7):
            case 0:
                data[place : place + 1] = bytes([data[place] ^ 1 << draw.randrange(8)])
            case 1:
                data[place : place + size] = draw.randbytes(size)
            case 2:
                filler = draw.choice([b"\0", b"\xff", b"\x7f", b"\x80"])
                data[place : place + size] = filler * size
            case 3:
                del data[place : place + size]
            case 4:
                data[place:place] = data[place : place + size] * draw.choice([1, 1, 50])
            case 5:
                data = data[: max(16, place)]
            case 6:
                other = draw.randrange(len(data))
                data[place : place + size] = data[other : other + size]
        if len(data) < 16:
            data += bytes(16)
    return bytes(data)


def pictures() -> dict[str, bytes]:
    """A good file of every kind that is taken, and some that are not."""
    with Image.open(ROOT / "examples" / "lagoon.jpg") as opened:
        picture = opened.convert("RGB").resize((480, 320))
    made = {}
    kinds: list[tuple[str, str, dict[str, object]]] = [
        ("png", "PNG", {}),
        ("jpeg", "JPEG", {"quality": 80}),
        ("webp", "WEBP", {"quality": 60}),
        ("progressive", "JPEG", {"progressive": True}),
        ("lossless", "WEBP", {"lossless": True}),
        ("gif", "GIF", {}),
        ("tiff", "TIFF", {}),
    ]
    for name, kind, options in kinds:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        made[name] = file.getvalue()
    return made


def moving(form: str, codec: str) -> bytes:
    """Three seconds that brighten."""
    plane = np.zeros((240, 320, 3), np.uint8)
    return film(72, form=form, codec=codec, picture=plane, grey=lambda number: number * 3)


def test_pictures_through_the_api(server: Server, say: Say) -> None:
    customer = Customer(server, server.key())
    zygote = server.child("picture:redraw")
    draw = random.Random(SEED)
    good = pictures()
    statuses: Counter[int] = Counter()
    words: Counter[str] = Counter()
    for _ in range(PICTURES * SOAK):
        name, data = draw.choice(list(good.items()))
        media_type = draw.choice(["png", "jpeg", "webp", name])
        encoded = base64.b64encode(mutated(draw, data)).decode()
        answer = customer.post(
            "queue", **ORDER, image_url=f"data:image/{media_type};base64,{encoded}"
        )
        statuses[answer.status_code] += 1
        assert answer.status_code in (200, 400), (name, answer.text)
        words.update(str(issue["message"]) for issue in answer.json().get("issues", ()))
    say(f"{dict(statuses)}, {dict(words)}")
    assert statuses[200] and words["The image file is corrupted or unreadable"]
    assert server.child("picture:redraw") == zygote


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


Look = Callable[[Sandbox, SealedFile, SealedFile], object]


def recordings() -> Iterator[tuple[str, bytes]]:
    """Sounds and videos with the look that each is given."""
    yield look.SOUND, recording(4)
    yield look.SOUND, recording(4, form="mp3", codec="libmp3lame", rate=44_100)
    yield look.FOOTAGE, moving("mp4", "libx264")
    yield look.FOOTAGE, moving("webm", "libvpx")
    yield look.CLIP, moving("mp4", "libx264")


async def test_recordings_through_the_sandbox(spool: Spool, say: Say) -> None:
    sandbox = Sandbox(look.PICTURES + look.RECORDINGS)
    await sandbox.start()
    draw = random.Random(SEED)
    ends: Counter[str] = Counter()
    good = list(recordings())
    try:
        before = await sandbox._living()
        for _ in range(RECORDINGS * SOAK):
            function, data = draw.choice(good)
            ends[await end(sandbox, spool, function, mutated(draw, data))] += 1
        assert await sandbox._living() is before
    finally:
        await sandbox.aclose()
    say(f"{dict(ends)}")
    assert ends["taken"] and ends["refused"]
    assert ends.keys() <= {"taken", "refused"}


async def end(sandbox: Sandbox, spool: Spool, function: str, data: bytes) -> str:
    """How a look at these bytes ends: a child that died did so for an unreadable file."""
    source, target = spool.open(), spool.open()
    source.write(data)
    with source.finish() as bytes_in, target.finish() as room:
        try:
            if function == look.SOUND:
                await look.look_at_sound(sandbox, bytes_in.sealed, room.sealed)
            elif function == look.FOOTAGE:
                await look.look_at_footage(sandbox, bytes_in.sealed, room.sealed)
            else:
                await look.look_at_clip(sandbox, bytes_in.sealed)
        except look.BadMedia as bad:
            assert 0 < len(bad.message) <= 200
            return "refused"
    return "taken"
