"""The calls of the client, on the wire and in what they give."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from squero.client import (
    ApiError,
    BrokenDownload,
    Client,
    Job,
    JobFailed,
    Progress,
    UnexpectedAnswer,
    Unreachable,
    Video,
    VideoRequest,
)

pytestmark = pytest.mark.anyio

MP4 = b"\0\0\0\x18ftypisom" + b"pixels" * 1000
JOB = Job("motion-text-to-video", "123e4567-e89b-12d3-a456-426614174000")
REQUEST = VideoRequest(
    model=JOB.model, prompt="pr0mpt", duration="5s", audio=True, image_url="data:image/png;base64,"
)

Connect = Callable[..., Client]


@pytest.fixture
def connect(clock: Any, script: Any) -> Connect:
    def connect(*steps: httpx.Response | Exception) -> Client:
        client = Client(
            "http://squero.test", "k3y", backoff=clock.backoff(), transport=script(*steps)
        )
        return client

    return connect


def sent(client: Client) -> list[httpx.Request]:
    requests: list[httpx.Request] = client._http._client._transport.requests  # type: ignore[attr-defined]
    return requests


def working(headers: dict[str, str] | None = None, **body: object) -> httpx.Response:
    known = {"status": "PROCESSING", "average_execution_time": 9000, "execution_duration": 2000}
    return httpx.Response(200, headers=headers, json={**known, **body})


def finished(data: bytes = MP4) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "video/mp4"}, content=data)


def refused(status: int, **body: object) -> httpx.Response:
    return httpx.Response(status, json={"error": "No.", **body})


class TestQuote:
    async def test_price(self, connect: Connect) -> None:
        async with connect(httpx.Response(200, content=b'{"quote": 0.1}')) as client:
            assert await client.quote(**REQUEST) == Decimal("0.1")
        (request,) = sent(client)
        assert request.url.path == "/api/v1/video/quote"
        assert request.headers["authorization"] == "Bearer k3y"
        assert json.loads(request.content) == {
            "model": JOB.model,
            "duration": "5s",
            "audio": True,
        }

    @pytest.mark.parametrize(
        "body",
        [b"{}", b'{"quote": "x"}', b'{"quote": null}', b'{"quote": NaN}', b'{"quote": -1}', b"<"],
    )
    async def test_no_price(self, body: bytes, connect: Connect) -> None:
        async with connect(httpx.Response(200, content=body)) as client:
            with pytest.raises(UnexpectedAnswer):
                await client.quote(model="m")


class TestQueue:
    OK = httpx.Response(200, json={"model": JOB.model, "queue_id": JOB.queue_id})

    async def test_job(self, connect: Connect) -> None:
        async with connect(self.OK) as client:
            assert await client.queue(REQUEST) == JOB
        assert json.loads(sent(client)[0].content) == REQUEST

    async def test_one_key_for_every_try(self, connect: Connect) -> None:
        lost = httpx.ReadError("reset")
        async with connect(lost, refused(500), refused(429), self.OK, self.OK) as client:
            await client.queue(REQUEST)
            await client.queue(REQUEST)
        keys = [request.headers["idempotency-key"] for request in sent(client)]
        assert len(keys) == 5
        assert len(set(keys[:4])) == 1
        assert keys[4] != keys[0]
        assert all(len(key) == 32 for key in keys)

    async def test_own_key(self, connect: Connect) -> None:
        async with connect(self.OK) as client:
            await client.queue(REQUEST, idempotency_key="order-17")
        assert sent(client)[0].headers["idempotency-key"] == "order-17"

    async def test_no_name(self, connect: Connect) -> None:
        async with connect(httpx.Response(200, json={"queue_id": 7})) as client:
            with pytest.raises(UnexpectedAnswer):
                await client.queue(REQUEST)


class TestRetrieve:
    async def test_processing(self, connect: Connect) -> None:
        headers = {"x-squero-position": "3", "x-squero-remaining-ms": "4500"}
        async with connect(working(headers)) as client:
            assert await client.retrieve(JOB) == Progress(9000, 2000, 4500, 3)
        body = {"model": JOB.model, "queue_id": JOB.queue_id}
        assert json.loads(sent(client)[0].content) == body

    @pytest.mark.parametrize(("elapsed", "remaining"), [(2000, 7000), (20_000, 0)])
    async def test_remaining_without_header(
        self, elapsed: int, remaining: int, connect: Connect
    ) -> None:
        async with connect(working(execution_duration=elapsed)) as client:
            assert await client.retrieve(JOB) == Progress(9000, elapsed, remaining, None)

    async def test_finished(self, connect: Connect) -> None:
        async with connect(finished()) as client:
            video = await client.retrieve(JOB)
            assert isinstance(video, Video)
            async with video:
                assert b"".join([chunk async for chunk in video]) == MP4

    @pytest.mark.parametrize("status", [400, 404, 422])
    async def test_failed(self, status: int, connect: Connect) -> None:
        async with connect(refused(status)) as client:
            with pytest.raises(JobFailed, match=r"^No\.$") as caught:
                await client.retrieve(JOB)
        assert caught.value.refunded is None

    @pytest.mark.parametrize("status", [422, 500, 503])
    @pytest.mark.parametrize("refunded", [True, False])
    async def test_failed_and_settled(self, status: int, refunded: bool, connect: Connect) -> None:
        async with connect(refused(status, credits_refunded=refunded), finished()) as client:
            with pytest.raises(JobFailed) as caught:
                await client.retrieve(JOB)
        assert caught.value.refunded is refunded
        assert len(sent(client)) == 1

    async def test_failed_at_a_provider(self, connect: Connect) -> None:
        error = {"message": "Not this.", "credits_refunded": True}
        async with connect(httpx.Response(422, json={"error": error})) as client:
            with pytest.raises(JobFailed, match=r"Not this\.") as caught:
                await client.retrieve(JOB)
        assert caught.value.refunded is True

    async def test_passing_trouble(self, connect: Connect) -> None:
        async with connect(refused(500), refused(502), refused(503), working()) as client:
            assert isinstance(await client.retrieve(JOB), Progress)

    @pytest.mark.parametrize("status", [401, 402, 403])
    async def test_not_the_jobs_fault(self, status: int, connect: Connect) -> None:
        async with connect(refused(status)) as client:
            with pytest.raises(ApiError):
                await client.retrieve(JOB)

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(200, html="<html>"),
            httpx.Response(200),
            httpx.Response(200, json={"status": "PROCESSING"}),
            working(status="COMPLETED"),
            working(average_execution_time=None),
        ],
    )
    async def test_nonsense(self, answer: httpx.Response, connect: Connect) -> None:
        async with connect(answer) as client:
            with pytest.raises(UnexpectedAnswer):
                await client.retrieve(JOB)

    @pytest.mark.parametrize("value", ["-1", "x", "1e9", "9" * 30])
    async def test_nonsense_header(self, value: str, connect: Connect) -> None:
        async with connect(working({"x-squero-remaining-ms": value})) as client:
            assert await client.retrieve(JOB) == Progress(9000, 2000, 7000, None)


class TestDownload:
    async def test_waits_and_saves(self, connect: Connect, clock: Any, tmp_path: Path) -> None:
        seen: list[Progress] = []
        async with connect(working(), working(), finished()) as client:
            path = await client.download(JOB, tmp_path / "a.mp4", on_progress=seen.append)
        assert path.read_bytes() == MP4
        assert len(seen) == 2
        assert clock.slept == [0.5, 0.65]
        assert len(sent(client)) == 3

    async def test_asks_no_less_than_every_five_seconds(
        self, connect: Connect, clock: Any, tmp_path: Path
    ) -> None:
        steps = [working({"x-squero-remaining-ms": "600000"})] * 20
        async with connect(*steps, finished()) as client:
            await client.download(JOB, tmp_path / "a.mp4")
        assert max(clock.slept) == clock.slept[-1] == 5

    async def test_asks_when_it_should_be_there(
        self, connect: Connect, clock: Any, tmp_path: Path
    ) -> None:
        steps = [working()] * 9 + [working({"x-squero-remaining-ms": "700"})]
        async with connect(*steps, finished()) as client:
            await client.download(JOB, tmp_path / "a.mp4")
        assert clock.slept[-1] == 0.7

    async def test_not_an_mp4(self, connect: Connect, tmp_path: Path) -> None:
        async with connect(finished(b"<html>" * 9)) as client:
            with pytest.raises(BrokenDownload):
                await client.download(JOB, tmp_path / "a.mp4")
        assert list(tmp_path.iterdir()) == []

    async def test_fails_on_the_way(self, connect: Connect, tmp_path: Path) -> None:
        async with connect(working(), refused(500, credits_refunded=True)) as client:
            with pytest.raises(JobFailed):
                await client.download(JOB, tmp_path / "a.mp4")
        assert list(tmp_path.iterdir()) == []

    async def test_deleted_between_the_parts(self, server: Any, clock: Any, tmp_path: Path) -> None:
        plain = server.answer

        def answer(heard: Any) -> Any:
            say = plain(heard)
            say.headers, say.body, say.break_after = {"content-type": "video/mp4"}, MP4, 10
            if len(server.heard) > 1:
                say.status, say.headers, say.break_after = 404, {}, None
                say.body = b'{"error": "Media could not be found."}'
            return say

        server.answer = answer
        async with Client(server.url, "k3y", backoff=clock.backoff()) as client:
            with pytest.raises(JobFailed, match="Media"):
                await client.download(JOB, tmp_path / "a.mp4")
        assert list(tmp_path.iterdir()) == []


async def test_render(connect: Connect, tmp_path: Path) -> None:
    async with connect(TestQueue.OK, working(), finished()) as client:
        path = await client.render(REQUEST, tmp_path / "a.mp4")
    assert path.read_bytes() == MP4
    assert [request.url.path.rpartition("/")[2] for request in sent(client)] == [
        "queue",
        "retrieve",
        "retrieve",
    ]


@pytest.mark.parametrize("success", [True, False])
async def test_complete(success: bool, connect: Connect) -> None:
    async with connect(httpx.Response(200, json={"success": success})) as client:
        assert await client.complete(JOB) is success
    assert sent(client)[0].url.path == "/api/v1/video/complete"


async def test_models(connect: Connect) -> None:
    async with connect(httpx.Response(200, json={"data": [{"id": "a"}]})) as client:
        assert await client.models() == [{"id": "a"}]
    assert str(sent(client)[0].url) == "http://squero.test/api/v1/models?type=video"


async def test_nothing_tells(connect: Connect) -> None:
    async with connect(httpx.ConnectError("refused")) as client:
        with pytest.raises(Unreachable) as caught:
            await client.queue(REQUEST)
    assert not [text for text in (repr(client), repr(caught.value)) if "k3y" in text]
