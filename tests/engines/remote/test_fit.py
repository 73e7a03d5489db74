"""What an upstream made, put to where it belongs: whose fault it is if not, what passes as is."""

from pathlib import Path

import av
import pytest

from squero.engines.motion import Motion
from squero.engines.remote import fit
from squero.engines.remote.upstream import Broke
from squero.shot import Shot

SHOT = Shot("a lagoon", width=96, height=64, frames=24, fps=24, seed=1, audio=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    Motion(instant=True).render(SHOT, tmp_path / "source.mp4", lambda share, note=None: None)
    return tmp_path / "source.mp4"


def recode(source: Path, target: Path, codec: str) -> Path:
    """The same pictures, with silence by another codec."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0])
        sound = new.add_stream(codec, rate=48_000, layout="stereo")
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                new.mux(packet)
        for frame in silence(SHOT):
            new.mux(sound.encode(frame))
        new.mux(sound.encode(None))
    return target


def silence(shot: Shot) -> list[av.AudioFrame]:
    """The shot's length of nothing, in frames of a coder's size."""
    frames = []
    for start in range(0, int(shot.seconds * 48_000), 1536):
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1536)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.sample_rate = start, 48_000
        frames.append(frame)
    return frames


def test_passes_as_it_is(source: Path, tmp_path: Path) -> None:
    whole = source.read_bytes()
    fit.deliver(source, SHOT, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == whole


def test_a_sound_that_no_browser_plays_is_coded_anew(source: Path, tmp_path: Path) -> None:
    fit.deliver(recode(source, tmp_path / "ac3.mp4", "ac3"), SHOT, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert out.streams.audio[0].codec_context.name == "aac"


@pytest.mark.parametrize("code", fit.OURS)
def test_a_full_disk_is_not_the_videos_fault(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object) -> bool:
        raise av.error.FFmpegError(code, "no room")

    monkeypatch.setattr(fit, "is_as_ordered", fail)
    with pytest.raises(av.error.FFmpegError):
        fit.deliver(source, SHOT, tmp_path / "out.mp4")


def test_what_is_no_video(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    source.write_bytes(b"no video" * 100)
    with pytest.raises(Broke):
        fit.deliver(source, SHOT, tmp_path / "out.mp4")
