"""OpenAI's own client makes videos here, knowing nothing of Squero but a base URL and a model."""

import io
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from PIL import Image

from .conftest import Customer, Server, assert_books, probe

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.acceptance,
    pytest.mark.filterwarnings("default:::(openai)"),
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]

MODEL = "motion-instant-text-to-video"
SMALL = {"model": MODEL, "seconds": "5", "size": "848x480"}
POLL = {"poll_interval_ms": 200}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "home")
    try:
        yield started.await_ready()
        assert started.end() == 0
    finally:
        started.close()


def picture() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((640, 480)).save(file, "PNG")
    return file.getvalue()


def test_openai_makes_videos(server: Server, tmp_path: Path) -> None:
    key = server.key("--credit", "0.16")
    with openai.OpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0) as client:
        _from_words(client, tmp_path)
        _from_a_picture(client)
        _end_and_list(client)
        _read_errors(client, server)
    assert_books(server.home, "0.15")


async def test_openai_makes_a_video_asynchronously(server: Server) -> None:
    url = f"{server.url}/v1"
    async with openai.AsyncOpenAI(api_key=Customer(server).key, base_url=url) as client:
        video = await client.videos.create_and_poll(prompt="a gondola", **SMALL, **POLL)
        assert video.status == "completed"
        content = await client.videos.download_content(video.id)
        assert probe(content.content)["frames"] == 120


def _from_words(client: openai.OpenAI, folder: Path) -> None:
    video = client.videos.create_and_poll(prompt="a slow pan over the lagoon", **SMALL, **POLL)
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert (video.model, video.seconds, video.size) == (MODEL, "5", "848x480")
    assert video.prompt is None
    client.videos.download_content(video.id).write_to_file(folder / "lagoon.mp4")
    found = probe(folder / "lagoon.mp4")
    assert (found["size"], found["frames"], found["faststart"]) == ((848, 480), 120, True)
    assert [one.id for one in client.videos.list()] == [video.id]
    gone = client.videos.delete(video.id)
    assert (gone.id, gone.deleted, gone.object) == (video.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


def _from_a_picture(client: openai.OpenAI) -> None:
    video = client.videos.create_and_poll(
        prompt="slow dolly in",
        input_reference=("lagoon.png", picture(), "image/png"),
        seconds="5",  # type: ignore[arg-type]
        size="480x848",  # type: ignore[arg-type]
        **POLL,
    )
    assert (video.status, video.model) == ("completed", "motion-image-to-video")
    with client.videos.with_streaming_response.download_content(video.id) as content:
        assert content.headers["content-type"] == "video/mp4"
        assert probe(content.read())["size"] == (480, 848)


def _end_and_list(client: openai.OpenAI) -> None:
    """A job that is deleted at once costs nothing; the list goes over its pages by itself."""
    client.videos.delete(client.videos.create(prompt="a bridge", **SMALL).id)
    last = client.videos.create_and_poll(prompt="a bridge", **SMALL, **POLL)
    listed = list(client.videos.list(limit=1, order="asc"))
    assert len(listed) == 2
    assert listed[-1].id == last.id


def _read_errors(client: openai.OpenAI, server: Server) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        client.videos.create(prompt="a gondola", model=MODEL, seconds="4")
    assert (wrong.value.param, wrong.value.type) == ("seconds", "invalid_request_error")
    assert "Expected '5' | '10'" in wrong.value.message
    with pytest.raises(openai.NotFoundError) as unknown:
        client.videos.create(prompt="a gondola", model="sora-2")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.APIStatusError) as poor:
        client.videos.create(prompt="a gondola", **SMALL)
    assert (poor.value.status_code, poor.value.code) == (402, "insufficient_quota")
    with pytest.raises(openai.AuthenticationError) as stranger:
        client.with_options(api_key="wrong").videos.list()
    assert stranger.value.code == "invalid_api_key"
    with pytest.raises(openai.APIStatusError):
        client.videos.remix("video_1", prompt="another")
