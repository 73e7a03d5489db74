"""Published clients of the hosted API, which know nothing of Squero but a base URL."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from venice_ai import VeniceClient
from venice_ai.exceptions import APIError

from .conftest import Customer, Server, probe

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.acceptance,
    pytest.mark.filterwarnings("default:::(aiohttp|venice_ai|openai)"),
]

MODEL = "motion-text-to-video"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("clients") / "home")
    try:
        yield started.await_ready()
        assert started.end() == 0
    finally:
        started.close()


async def test_venice_py_buys_a_video(server: Server, tmp_path: Path) -> None:
    key = server.key("--credit", "1")
    async with VeniceClient(api_key=key, base_url=f"{server.url}/api/v1") as client:
        listed = await client.models.list(type="video")
        model = next(one for one in listed.data if one.id == MODEL)
        assert "5s" in model.model_spec.constraints.durations

        asked = {"model": MODEL, "duration_seconds": 5, "resolution": "480p"}
        priced = await client.video.quote(**asked)
        assert priced.quote == 0.05
        async with await client.video.run(prompt="a slow pan over the lagoon", **asked) as job:
            done = await job.wait(poll_interval=0.2, max_polls=300)
            saved = await job.download(tmp_path / "out.mp4", done)
        assert probe(saved)["frames"] == 120
        # The block's end completes the job: the server's copy is gone.
        with pytest.raises(APIError) as gone:
            await client.video.retrieve(model=job.model, queue_id=job.queue_id)
        assert gone.value.status_code == 404


async def test_venice_py_reads_our_errors(server: Server) -> None:
    key = server.key("--credit", "0.01")
    async with VeniceClient(api_key=key, base_url=f"{server.url}/api/v1") as client:
        asked = {"model": MODEL, "prompt": "a gondola", "resolution": "480p"}
        with pytest.raises(APIError) as poor:
            await client.video.submit(duration_seconds=5, **asked)
        assert poor.value.status_code == 402
        with pytest.raises(APIError) as unknown:
            await client.video.retrieve(model=MODEL, queue_id="nobody")
        assert unknown.value.status_code == 400
        assert "Request ID is invalid." in str(unknown.value)


def test_openai_lists_the_models(server: Server) -> None:
    key = Customer(server).key
    with openai.OpenAI(api_key=key, base_url=f"{server.url}/api/v1") as client:
        listed = list(client.models.list())
        assert MODEL in {model.id for model in listed}
        assert {model.object for model in listed} == {"model"}
