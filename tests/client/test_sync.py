"""The face for programs that do not await does what the client does."""

import signal
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from squero.client import Job, Progress, SyncClient, SyncVideo, VideoRequest

MP4 = b"\0\0\0\x18ftypisom" + b"pixels" * 100_000
JOB = Job("m", "q")
WORKING = httpx.Response(
    200,
    json={"status": "PROCESSING", "average_execution_time": 9, "execution_duration": 2},
)
FINISHED = httpx.Response(200, headers={"content-type": "video/mp4"}, content=MP4)
QUEUED = httpx.Response(200, json={"model": "m", "queue_id": "q"})


def connect(clock: Any, transport: Any) -> SyncClient:
    return SyncClient("http://squero.test", "k3y", backoff=clock.backoff(), transport=transport)


def test_verbs(clock: Any, script: Any, tmp_path: Path) -> None:
    steps = [
        httpx.Response(200, json={"quote": 0.25}),
        QUEUED,
        WORKING,
        WORKING,
        FINISHED,
        httpx.Response(200, json={"success": True}),
        httpx.Response(200, json={"data": []}),
        httpx.Response(500),
        QUEUED,
        FINISHED,
    ]
    seen: list[Progress] = []
    with connect(clock, script(*steps)) as client:
        assert client.quote(model="m", duration="5s") == Decimal("0.25")
        job = client.queue(VideoRequest(model="m", prompt="p"))
        assert job == JOB
        assert client.retrieve(job) == Progress(9, 2, 7)
        path = client.download(job, tmp_path / "a.mp4", on_progress=seen.append)
        assert path.read_bytes() == MP4
        assert client.complete(job) is True
        assert client.models() == []
        client.render(VideoRequest(model="m", prompt="p"), tmp_path / "b.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == MP4
    assert seen == [Progress(9, 2, 7)]
    assert "k3y" not in repr(client)


def test_video(clock: Any, script: Any, tmp_path: Path) -> None:
    with connect(clock, script(FINISHED, WORKING, FINISHED)) as client:
        video = client.retrieve(JOB)
        assert isinstance(video, SyncVideo)
        with video:
            assert b"".join(video) == MP4
        with client.wait(JOB) as video:
            assert video.save(tmp_path / "a.mp4").read_bytes() == MP4


def test_no_thread_stays(clock: Any, script: Any) -> None:
    before = set(threading.enumerate())
    with connect(clock, script(QUEUED)) as client:
        client.queue(VideoRequest(model="m", prompt="p"))
        assert set(threading.enumerate()) - before
    assert not set(threading.enumerate()) - before


def test_interrupted(clock: Any, server: Any, tmp_path: Path) -> None:
    plain = server.answer
    calm = threading.Event()

    def answer(heard: Any) -> Any:
        say = plain(heard)
        say.headers, say.body = {"content-type": "video/mp4"}, MP4
        return say

    def interrupt(done: int, total: int | None) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        calm.wait(10)

    server.answer = answer
    with (
        SyncClient(server.url, "k3y", backoff=clock.backoff()) as client,
        client.wait(JOB) as video,
        pytest.raises(KeyboardInterrupt),
    ):
        try:
            video.save(tmp_path / "a.mp4", on_bytes=interrupt)
        finally:
            calm.set()
    assert list(tmp_path.iterdir()) == []
