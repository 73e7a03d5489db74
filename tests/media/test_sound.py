"""Sounds through the real sandbox: what passes, how it comes out, what is refused."""

import io
import struct
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from squero.media.look import BadMedia, Sound, look_at_sound
from squero.media.sealed import SealedFile, SealedReader, SealedWriter
from squero.sandbox import Sandbox

from .samples import recording, seal

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
INVALID = "Invalid audio format. Supported formats: WAV, MP3"
UNREADABLE = "The audio file is corrupted or unreadable"
TOO_SHORT = "The audio is too short. It must last at least 3 seconds"
TOO_LONG = "The audio is too long. It must last at most 30 seconds"


async def listen(sandbox: Sandbox, data: bytes) -> tuple[Sound, bytes]:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        sealed = seal(source, data, OTHER_KEY)
        sound = await look_at_sound(sandbox, sealed, SealedFile(target.fileno(), KEY))
        recorded = SealedReader(target.fileno(), KEY).read_range(0, 1 << 40)
        return sound, b"".join(recorded)


def samples(recorded: bytes) -> NDArray[np.float64]:
    with wave.open(io.BytesIO(recorded)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 48_000)
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return data.reshape(-1, 2) / 32768


MADE: dict[str, dict[str, Any]] = {
    "wav": {},
    "wav, 24 bits": {"codec": "pcm_s24le"},
    "wav, floating": {"codec": "pcm_f32le"},
    "wav, 8 bits, mono": {"codec": "pcm_u8", "rate": 8_000, "layout": "mono"},
    "wav, 5.1": {"layout": "5.1"},
    "mp3": {"form": "mp3", "codec": "libmp3lame"},
    "mp3, mono": {"form": "mp3", "codec": "libmp3lame", "rate": 22_050, "layout": "mono"},
}


@pytest.mark.parametrize("what", MADE)
async def test_sound_is_recorded_anew(sandbox: Sandbox, what: str) -> None:
    sound, recorded = await listen(sandbox, recording(**MADE[what]))
    assert sound.media_type == "audio/wav"
    assert sound.seconds == pytest.approx(4, abs=0.06)
    assert sound.size == len(recorded)
    heard = samples(recorded)
    assert len(heard) == round(sound.seconds * 48_000)
    second = heard[48_000:96_000, 0]
    assert np.count_nonzero(np.diff(np.signbit(second))) == pytest.approx(880, abs=3)
    assert np.abs(second).max() > 0.2


async def test_metadata_is_dropped(sandbox: Sandbox) -> None:
    for form, codec in (("wav", "pcm_s16le"), ("mp3", "libmp3lame")):
        data = recording(form=form, codec=codec, title="where I live")
        assert b"where I live" in data
        _, recorded = await listen(sandbox, data)
        assert b"where I live" not in recorded
        assert len(recorded) == 44 + 4 * len(samples(recorded))


@pytest.mark.parametrize("form", ["wav", "mp3"])
@pytest.mark.parametrize("seconds", [3.0, 30.0])
async def test_the_shortest_and_the_longest(sandbox: Sandbox, form: str, seconds: float) -> None:
    codec = {"wav": "pcm_s16le", "mp3": "libmp3lame"}[form]
    sound, _ = await listen(sandbox, recording(seconds, form=form, codec=codec))
    assert sound.seconds == pytest.approx(seconds, abs=0.06)


async def test_mp3_with_a_cover_and_a_comment_behind(sandbox: Sandbox) -> None:
    picture = b"\x00image/png\x00\x03\x00" + b"\x89PNG not really" * 100
    size = len(picture)
    frame = b"APIC" + struct.pack(">I", size) + b"\x00\x00" + picture
    syncsafe = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    data = b"ID3\x03\x00\x00" + syncsafe + frame + plain_mp3() + b"TAG" + b"me".ljust(125, b"\0")
    sound, recorded = await listen(sandbox, data)
    assert sound.seconds == pytest.approx(4, abs=0.06)
    assert b"PNG" not in recorded


def plain_mp3() -> bytes:
    data = recording(form="mp3", codec="libmp3lame")
    return data[10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]) :]


async def test_mp3_without_a_tag(sandbox: Sandbox) -> None:
    assert plain_mp3()[:1] == b"\xff"
    sound, _ = await listen(sandbox, plain_mp3())
    assert sound.seconds == pytest.approx(4, abs=0.06)


def declared(data: bytes, size: int) -> bytes:
    """A WAV that claims to hold so many bytes of sound."""
    start = data.index(b"data") + 4
    return (
        data[:4]
        + struct.pack("<I", size)
        + data[8:start]
        + struct.pack("<I", size)
        + data[start + 4 :]
    )


async def test_what_is_declared_is_not_believed(sandbox: Sandbox) -> None:
    sound, recorded = await listen(sandbox, declared(recording(), 1_000_000_000))
    assert sound.seconds == pytest.approx(4, abs=0.01)
    assert len(recorded) < 1_000_000


async def test_a_recording_that_was_cut_short_is_what_is_left(sandbox: Sandbox) -> None:
    mp3 = recording(8, form="mp3", codec="libmp3lame")
    sound, _ = await listen(sandbox, mp3[: len(mp3) // 2 + 7])
    assert sound.seconds == pytest.approx(4, abs=0.2)


def endless_mp3() -> bytes:
    """A hundred thousand frames of next to nothing, which is 43 minutes."""
    frame = b"\xff\xfb\x14\xc4"  # MPEG-1 layer III, 32 kbit/s, 44.1 kHz, mono
    return (frame + bytes(104 - 4)) * 100_000


def changing_mp3() -> bytes:
    one = recording(4, form="mp3", codec="libmp3lame")
    other = recording(4, form="mp3", codec="libmp3lame", rate=22_050, layout="mono")
    return one + other


def wav_of(codec: int, rate: int = 48_000, channels: int = 2, bits: int = 16) -> bytes:
    """A WAV whose header says so, with zeros for sound."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", codec, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    sound = bytes(400_000)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    body += struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


REFUSED: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "nothing": (lambda: b"", {INVALID}),
    "text": (lambda: b"hello" * 1000, {INVALID}),
    "flac": (lambda: recording(form="flac", codec="flac"), {INVALID}),
    "ogg": (lambda: recording(form="ogg", codec="libopus"), {INVALID}),
    "aac": (lambda: recording(form="adts", codec="aac"), {INVALID}),
    "mp4": (lambda: recording(form="mp4", codec="aac"), {INVALID}),
    "aiff": (lambda: recording(form="aiff", codec="pcm_s16be"), {INVALID}),
    "an mp3 in a wav": (lambda: recording(form="wav", codec="libmp3lame"), {INVALID}),
    "an unknown codec": (lambda: wav_of(0x0161), {INVALID}),
    "a tag alone": (lambda: b"ID3\x03\x00\x00\x00\x00\x00\x00", {UNREADABLE, INVALID}),
    "the start of a wav": (lambda: recording()[:40], {UNREADABLE, INVALID}),
    "a wav without sound": (lambda: declared(recording(), 0)[:44], {UNREADABLE}),
    "a wav of no channels": (lambda: wav_of(1, channels=0), {UNREADABLE, INVALID}),
    "a wav at 4 GHz": (lambda: wav_of(1, rate=4_000_000_000), {UNREADABLE, INVALID, TOO_SHORT}),
    "a wav of 30,000 channels": (lambda: wav_of(1, channels=30_000), {UNREADABLE, INVALID}),
    "a wav at 1 Hz": (lambda: wav_of(1, rate=1), {UNREADABLE, TOO_LONG}),
    "garbled mp3": (lambda: b"ID3" + bytes(range(256)) * 400, {UNREADABLE, INVALID, TOO_SHORT}),
    "changing mp3": (changing_mp3, {UNREADABLE}),
    "two seconds": (lambda: recording(2), {TOO_SHORT}),
    "just under three": (lambda: recording(2.99), {TOO_SHORT}),
    "thirty-one seconds": (lambda: recording(31), {TOO_LONG}),
    "thirty-one seconds, declared as four": (
        lambda: declared(recording(31), 4 * 192_000)[: 44 + 2 * 192_000],
        {TOO_SHORT},
    ),
    "endless mp3": (endless_mp3, {TOO_LONG}),
    "endless wav": (
        lambda: declared(wav_of(1, 8_000, 1, 8) + bytes(8_000_000), 0xFFFFFFFF),
        {TOO_LONG},
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_refused_with_the_words_of_the_contract(sandbox: Sandbox, what: str) -> None:
    make, messages = REFUSED[what]
    with pytest.raises(BadMedia) as caught:
        await listen(sandbox, make())
    assert caught.value.message in messages


@pytest.mark.parametrize(
    "playlist", ["#EXTM3U\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n"]
)
async def test_playlist_never_leads_elsewhere(
    sandbox: Sandbox, tmp_path: Path, playlist: str
) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(recording())
    with pytest.raises(BadMedia, match="Invalid audio format"):
        await listen(sandbox, playlist.format(other).encode())
    assert (await listen(sandbox, other.read_bytes()))[0].seconds == 4


async def test_foreign_key_is_refused(sandbox: Sandbox) -> None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        SealedWriter(source.fileno(), KEY).finish()
        with pytest.raises(BadMedia, match=UNREADABLE):
            await look_at_sound(
                sandbox, SealedFile(source.fileno(), OTHER_KEY), SealedFile(target.fileno(), KEY)
            )
