"""The motion engine with a sound: it is the clip's track, cut, filled up and faded."""

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from squero.engines.motion import Motion
from squero.engines.motion.ambience import PEAK
from squero.engines.motion.sound import fade, fitted, slope, sound_of
from squero.shot import BadInput, Shot

ShotOf = Callable[..., Shot]
RATE = 48_000
Samples = NDArray[np.float32]


def tone(path: Path, seconds: float, *, rate: int = RATE, channels: int = 2) -> Path:
    """A WAV with a tone of even loudness (an RMS of 0.25)."""
    times = np.arange(round(seconds * rate)) / rate
    wave_form = np.sin(2 * np.pi * 440 * times) * 0.25 * np.sqrt(2) * 32767
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(wave_form.astype("<i2")[:, None], channels, 1).tobytes())
    return path


def loudness(samples: Samples, begin: float, end: float) -> float:
    part = samples[:, round(begin * RATE) : round(end * RATE)]
    return float(np.sqrt(np.mean(part**2)))


def film(shot: Shot, out: Path) -> Path:
    Motion().render(shot, out, lambda share: None)
    return out


def heard(path: Path) -> Samples:
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(parts, axis=1)


class TestTrack:
    @pytest.mark.parametrize("audio", [True, False])
    @pytest.mark.parametrize(
        ("count", "fps", "seconds"), [(24, 12, 3.0), (60, 24, 1.0), (17, 30, 5.0), (1, 25, 3.0)]
    )
    def test_is_exactly_as_long_as_the_clip(
        self,
        tmp_path: Path,
        shot_of: ShotOf,
        audio: bool,
        count: int,
        fps: int,
        seconds: float,
    ) -> None:
        media = {"audio": tone(tmp_path / "tone.wav", seconds)}
        shot = shot_of(frames=count, fps=fps, audio=audio, media=media)
        with av.open(str(film(shot, tmp_path / "out.mp4"))) as container:
            sound, video = container.streams.audio[0], container.streams.video[0]
            assert (sound.codec_context.name, sound.channels, sound.rate) == ("aac", 2, RATE)
            assert sound.duration is not None and sound.time_base is not None
            assert sound.duration * sound.time_base == Fraction(count, fps)
            assert sum(1 for _ in container.decode(video)) == count

    def test_a_longer_sound_is_cut_and_faded(self, tmp_path: Path, shot_of: ShotOf) -> None:
        media = {"audio": tone(tmp_path / "tone.wav", 5)}
        samples = heard(film(shot_of(frames=24, fps=12, media=media), tmp_path / "out.mp4"))
        assert loudness(samples, 0.1, 1.6) == pytest.approx(0.25, rel=0.05)
        assert loudness(samples, 1.8, 1.9) < 0.6 * 0.25
        assert loudness(samples, 1.97, 2.0) < 0.1 * 0.25

    def test_a_shorter_sound_dies_away_before_the_silence(
        self, tmp_path: Path, shot_of: ShotOf
    ) -> None:
        media = {"audio": tone(tmp_path / "tone.wav", 1)}
        samples = heard(film(shot_of(frames=24, fps=12, media=media), tmp_path / "out.mp4"))
        assert loudness(samples, 0.1, 0.6) == pytest.approx(0.25, rel=0.05)
        assert loudness(samples, 0.97, 1.0) < 0.1 * 0.25
        assert loudness(samples, 1.1, 2.0) < 0.001

    def test_starts_without_a_click(self, tmp_path: Path, shot_of: ShotOf) -> None:
        media = {"audio": tone(tmp_path / "tone.wav", 3)}
        samples = heard(film(shot_of(media=media), tmp_path / "out.mp4"))
        assert loudness(samples, 0, 0.005) < 0.3 * 0.25

    def test_the_same_shot_gives_the_same_file(self, tmp_path: Path, shot_of: ShotOf) -> None:
        shot = shot_of(media={"audio": tone(tmp_path / "tone.wav", 3)})
        first, second = film(shot, tmp_path / "a.mp4"), film(shot, tmp_path / "b.mp4")
        assert first.read_bytes() == second.read_bytes()


class TestFitted:
    @pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (44_100, 1), (8_000, 1)])
    def test_any_rate_and_channels(self, tmp_path: Path, rate: int, channels: int) -> None:
        path = tone(tmp_path / "tone.wav", 3, rate=rate, channels=channels)
        samples = fitted(path, 2 * RATE)
        assert samples.shape == (2, 2 * RATE)
        assert np.array_equal(samples[0], samples[1])
        crossings = np.count_nonzero(np.diff(np.signbit(samples[0, RATE // 2 : 3 * RATE // 2])))
        assert crossings == pytest.approx(880, abs=2)

    def test_mp3(self, tmp_path: Path) -> None:
        with av.open(str(tmp_path / "tone.mp3"), "w") as container:
            stream = container.add_stream("libmp3lame", rate=RATE, layout="stereo")
            whole = np.full((2, RATE), 0.5, np.float32) * np.sin(np.arange(RATE) / 20)
            frame = av.AudioFrame.from_ndarray(
                whole.astype(np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        assert loudness(fitted(tmp_path / "tone.mp3", RATE), 0.1, 0.6) > 0.3

    @pytest.mark.parametrize("data", [b"", b"hello" * 100, b"#EXTM3U\n/etc/passwd\n", b"RIFF"])
    def test_what_is_no_sound_is_bad_input(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(BadInput, match="audio could not be decoded"):
            fitted(tmp_path / "bad", RATE)


class TestFade:
    def test_slope_is_smooth_and_whole(self) -> None:
        rise = slope(100)
        assert (rise[0], rise[-1]) == (0, 1)
        assert (np.diff(rise) >= 0).all()

    @pytest.mark.parametrize("length", [0, 1, 2, 3, 1000])
    def test_of_hardly_any_sound(self, length: int) -> None:
        sound = np.ones((2, length), np.float32)
        fade(sound)
        assert length < 2 or sound[0, 0] == sound[0, -1] == 0


class TestAmbience:
    @pytest.mark.parametrize(("count", "fps"), [(24, 12), (17, 30), (1, 25)])
    def test_is_exactly_as_long_as_the_clip(self, shot_of: ShotOf, count: int, fps: int) -> None:
        samples = sound_of(shot_of("rain", frames=count, fps=fps, audio=True))
        assert samples is not None
        assert samples.shape == (2, round(Fraction(count * RATE, fps)))
        assert samples.dtype == np.float32

    @pytest.mark.parametrize(
        "prompt",
        [
            "rain on the city",
            "waves",
            "a campfire",
            "a meadow at dawn",
            "crickets in a field at night",
            "thunder over the sea",
            "outer space",
            "an empty page",
        ],
    )
    def test_is_quiet_and_not_silent(self, shot_of: ShotOf, prompt: str) -> None:
        samples = sound_of(shot_of(prompt, frames=48, audio=True))
        assert samples is not None
        level = 20 * np.log10(loudness(samples, 0.3, 3.5))
        assert -36 < level < -25
        assert np.abs(samples).max() <= PEAK
        assert np.isfinite(samples).all()

    @pytest.mark.parametrize("seed", [1, 3, 5])
    def test_a_fire_does_not_startle(self, tmp_path: Path, shot_of: ShotOf, seed: int) -> None:
        shot = shot_of("a campfire", frames=48, audio=True, seed=seed)
        snap = np.abs(heard(film(shot, tmp_path / "out.mp4"))).max()
        assert 20 * np.log10(snap) < -10

    def test_begins_and_ends_softly(self, shot_of: ShotOf) -> None:
        samples = sound_of(shot_of("rain", frames=48, audio=True))
        assert samples is not None
        assert np.abs(samples[:, 0]).max() == np.abs(samples[:, -1]).max() == 0
        assert loudness(samples, 3.97, 4.0) < 0.2 * loudness(samples, 1, 3)

    def test_is_stereo(self, shot_of: ShotOf) -> None:
        samples = sound_of(shot_of("rain", audio=True))
        assert samples is not None
        assert -0.1 < np.corrcoef(samples)[0, 1] < 0.9

    def test_the_seed_decides(self, shot_of: ShotOf) -> None:
        first, again, other = (
            sound_of(shot_of("waves", seed=seed, audio=True)) for seed in (3, 3, 4)
        )
        assert first is not None and again is not None and other is not None
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_rain_is_brighter_than_a_city(self, shot_of: ShotOf) -> None:
        rain, city = (sound_of(shot_of(prompt, audio=True)) for prompt in ("rain", "a city"))
        assert rain is not None and city is not None
        assert middle_hertz(rain) > 1500 > 600 > middle_hertz(city)

    def test_what_is_ruled_out_is_not_heard(self, shot_of: ShotOf) -> None:
        quiet = sound_of(shot_of("a city without rain", audio=True))
        assert quiet is not None
        assert middle_hertz(quiet) < 600

    def test_a_picture_sounds_as_its_prompt_says(self, tmp_path: Path, shot_of: ShotOf) -> None:
        media = {"image": tmp_path / "picture.png"}
        rain = sound_of(shot_of("pan left, rain", audio=True, media=media))
        hush = sound_of(shot_of("pan left", audio=True, media=media))
        assert rain is not None and hush is not None
        assert middle_hertz(rain) > 4 * middle_hertz(hush)

    def test_none_is_made_where_none_is_wanted(self, shot_of: ShotOf) -> None:
        assert sound_of(shot_of("rain", audio=False)) is None


def middle_hertz(samples: Samples) -> float:
    """The frequency below which half of the power lies."""
    power = np.cumsum(np.abs(np.fft.rfft(samples[0])) ** 2)
    place = int(np.searchsorted(power, power[-1] / 2))
    return place * RATE / samples.shape[1]
