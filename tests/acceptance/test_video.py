"""Buying a video from the real process, by the command line and by plain HTTP."""

import base64
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Customer, Server, assert_books, probe, squero

pytestmark = pytest.mark.acceptance

PICTURE = ROOT / "examples" / "lagoon.jpg"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("video") / "home")
    try:
        yield started.await_ready()
        assert started.end() == 0
    finally:
        started.close()


def whole(size: tuple[int, int]) -> dict[str, Any]:
    """What five seconds with sound must be."""
    return {
        "codec": "h264",
        "size": size,
        "fps": 24,
        "seconds": pytest.approx(5, abs=0.05),
        "sound": ["aac"],
        "frames": 120,
        "faststart": True,
    }


class TestCommand:
    @pytest.mark.parametrize("picture", [None, PICTURE], ids=["text", "image"])
    def test_video(self, server: Server, tmp_path: Path, picture: Path | None) -> None:
        output = tmp_path / "out.mp4"
        words = ["--image", str(picture)] if picture else []
        done = squero(
            *("video", "a slow pan over the lagoon", "--resolution", "480p", *words),
            *("--server", server.url, "-o", str(output)),
            SQUERO_API_KEY=server.key(),
        )
        assert "Price: $0.05\n" in done.stdout
        assert f"Saved {output}" in done.stdout
        assert "Deleted the server's copy" in done.stdout
        assert probe(output) == whole((848, 480))

    def test_the_books(self, server: Server) -> None:
        before = squero("ledger", "check", "--home", str(server.home)).stdout
        earned = Decimal(before.split(" USD earned")[0].split()[-1])
        customer = Customer(server)
        customer.video(customer.queue())
        assert_books(server.home, str(earned + Decimal("0.05")))


class TestCalls:
    def test_as_a_hosted_client(self, server: Server) -> None:
        customer = Customer(server, server.key("--credit", "0.07"))
        asked = {
            "model": "motion-image-to-video",
            "duration": "5s",
            "resolution": "480p",
            "aspect_ratio": "1:1",
        }
        price = customer.post("quote", **asked).json()["quote"]
        assert price == 0.05
        picture = base64.b64encode(PICTURE.read_bytes()).decode()
        media = {"prompt": "push in", "image_url": f"data:image/jpeg;base64,{picture}"}
        job = customer.post("queue", **asked | media).json()
        assert job.keys() >= {"model", "queue_id"}
        named = {"model": job["model"], "queue_id": job["queue_id"]}

        first = customer.post("retrieve", **named)
        assert first.json()["status"] == "PROCESSING"
        assert first.json().keys() >= {"average_execution_time", "execution_duration"}
        assert probe(customer.video(named)) == whole((480, 480))

        refused = customer.post("queue", **asked | media)
        assert refused.status_code == 402
        assert customer.post("complete", **named).json() == {"success": True}
        assert customer.post("retrieve", **named).status_code == 404

    def test_silence_when_asked_for(self, server: Server) -> None:
        customer = Customer(server)
        found = probe(customer.video(customer.queue(audio=False)))
        assert found == whole((848, 480)) | {"sound": []}
