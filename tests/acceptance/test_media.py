"""A customer's own pictures, sounds and videos through the real process, by URL and in the body."""

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from squero.wire.video import QueueVideoRequest
from tests.media.samples import RATE, data_url, film, recording, still

from .conftest import Customer, Server, probe
from .test_video import whole

pytestmark = pytest.mark.acceptance

HERTZ = 1000
SMALL = {"prompt": "a slow pan", "duration": "5s", "resolution": "480p"}

# The example values of the specification of 2025-12-30, all of them, word for word; of its media
# only the beginnings are shown there. The end image is of the newer one.
EXAMPLE = {
    "model": "wan-2.5-preview-image-to-video",
    "prompt": "Commerce being conducted in the city of Venice, Italy.",
    "negative_prompt": "low resolution, error, worst quality, low quality, defects",
    "duration": "5s",
    "aspect_ratio": "16:9",
    "resolution": "720p",
    "audio": True,
}
EXAMPLE_MEDIA = {
    "image_url": "data:image/png;base64,iVBORw0K",
    "end_image_url": "data:image/png;base64,iVBORw0K",
    "audio_url": "data:audio/mpeg;base64,SUQzBAA",
    "video_url": "data:video/mp4;base64,AAAA",
}


def brightening() -> bytes:
    """A second of video that goes from dark to light, with a sound."""
    return film(24, grey=lambda number: 20 + 8 * number, audio="aac")


def heard(video: bytes) -> NDArray[np.float32]:
    """The left channel of a video's sound."""
    with av.open(io.BytesIO(video), "r") as container:
        return np.concatenate([part.to_ndarray()[0] for part in container.decode(audio=0)])


def pitch(samples: NDArray[np.float32]) -> float:
    """The loudest frequency."""
    return float(np.abs(np.fft.rfft(samples)).argmax()) * RATE / len(samples)


def shown(video: bytes) -> list[NDArray[np.uint8]]:
    """Every picture of a video."""
    with av.open(io.BytesIO(video), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("media") / "home", "--dev")
    try:
        yield started.await_ready()
        assert started.end() == 0
    finally:
        started.close()


@pytest.fixture
def customer(server: Server) -> Customer:
    return Customer(server)


class Site(ThreadingHTTPServer):
    """A site of the customer's, on localhost."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Page)

    def url(self, path: str) -> str:
        return f"http://localhost:{self.server_port}{path}"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.pages[self.path]
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site({"/a.png": still(), "/a.mp4": brightening()}) as opened:
        thread = threading.Thread(target=opened.serve_forever)
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


def test_a_picture_by_url_and_a_sound_beside_it(customer: Customer, site: Site) -> None:
    sound = recording(3, hertz=HERTZ)
    job = customer.queue(
        **SMALL,
        model="motion-image-to-video",
        image_url=site.url("/a.png"),
        audio_url=data_url(sound, "audio/wav"),
    )
    assert site.asked == ["/a.png"]
    video = customer.video(job)
    # 4:3 is nearest to 16:9 of the shapes that the model has.
    assert probe(video) == whole((848, 480))
    first = shown(video)[0]
    assert first[240, 80, 0] > 150 > first[240, 80, 2]
    assert first[240, 760, 2] > 150 > first[240, 760, 0]
    samples = heard(video)
    assert pitch(samples[: 2 * RATE]) == pytest.approx(HERTZ, abs=2)
    assert np.abs(samples[: 2 * RATE]).max() > 0.3
    assert np.abs(samples[round(3.1 * RATE) :]).max() < 0.01


@pytest.mark.parametrize("way", ["url", "data"])
def test_a_video_is_fitted_to_the_clip(customer: Customer, site: Site, way: str) -> None:
    url = site.url("/a.mp4") if way == "url" else data_url(brightening(), "video/mp4")
    asked = SMALL | {"model": "motion-video-to-video", "video_url": url, "aspect_ratio": "1:1"}
    video = customer.video(customer.queue(**asked, audio=way == "data"))
    assert probe(video) == whole((480, 480)) | {"sound": ["aac"] if way == "data" else []}
    levels = [picture.mean() for picture in shown(video)]
    assert (levels[0], levels[-1]) == pytest.approx((20, 20 + 8 * 23), abs=6)
    assert levels == pytest.approx(list(np.linspace(levels[0], levels[-1], 120)), abs=8)
    # Quiet of its own, and not the sound of the video.
    assert way == "url" or np.abs(heard(video)).max() < 0.3


class TestExample:
    def test_is_every_field_there_is(self) -> None:
        assert EXAMPLE.keys() | EXAMPLE_MEDIA.keys() == QueueVideoRequest.model_fields.keys()

    @pytest.mark.parametrize(
        ("model", "fields"),
        [
            (EXAMPLE["model"], {"audio", "image_url", "audio_url"}),
            ("motion-image-to-video", {"image_url", "end_image_url"}),
            ("motion-video-to-video", {"audio", "aspect_ratio", "video_url"}),
        ],
    )
    def test_works(self, customer: Customer, model: str, fields: set[str]) -> None:
        """Each field on a model that takes it, with real media that begins as in the example."""
        mp3 = recording(5, form="mp3", codec="libmp3lame", hertz=HERTZ)
        media = {
            "image_url": data_url(still(), "image/png"),
            "end_image_url": data_url(still(), "image/png"),
            "audio_url": data_url(mp3, "audio/mpeg"),
            "video_url": data_url(brightening(), "video/mp4"),
        }
        assert all(media[name].startswith(shown) for name, shown in EXAMPLE_MEDIA.items())
        always = {"model", "prompt", "negative_prompt", "duration", "resolution"}
        example = EXAMPLE | media | {"model": model}
        asked = {name: example[name] for name in always | fields}

        quoted = customer.post("quote", **asked)
        assert quoted.status_code == 200, quoted.text
        answer = customer.post("queue", **asked)
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"model", "queue_id"}
        video = customer.video(answer.json())
        assert probe(video) == whole((1280, 720))
        if "audio_url" in fields:
            assert pitch(heard(video)[: 4 * RATE]) == pytest.approx(HERTZ, abs=2)
        assert customer.post("complete", **answer.json()).json() == {"success": True}
