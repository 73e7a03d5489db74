"""Pictures, sounds and videos on their way in: as data URLs, and from a site of the test's own."""

import asyncio
import base64
import io
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from PIL import Image

from squero.api.budget import Budget
from squero.app import Application
from squero.domain import generation, inputs
from squero.media.addresses import Rules
from squero.media.fetch import Fetcher
from squero.media.turns import Turns
from squero.settings import Settings
from tests.media.samples import data_url, recording

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

FROM_IMAGE = {"model": "motion-image-to-video", "prompt": "p", "duration": "5s"}
FROM_TEXT = {"model": "motion-text-to-video", "prompt": "p", "duration": "5s"}
FROM_VIDEO = {"model": "motion-video-to-video", "prompt": "p", "duration": "5s"}


def issue(answer):
    """The only issue of a 400."""
    assert answer.status_code == 400, answer.text
    (found,) = answer.json()["issues"]
    return found


@pytest.fixture
def house(cleared):
    """The shared house, with a yard that may fetch from localhost."""
    fetcher = Fetcher(cleared.yard.spool, Rules(dev=True))
    return replace(cleared, yard=replace(cleared.yard, fetcher=fetcher))


@pytest.fixture
async def site():
    """Serves bytes on localhost: `async with site({"/a": b"…"}) as (url, asked)`."""

    @asynccontextmanager
    async def open_site(pages):
        asked = []

        async def serve(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            asked.append(path)
            content = pages.get(path)
            status = b"404 Not Found" if content is None else b"200 OK"
            length = str(len(content or b"")).encode()
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: %b\r\n\r\n" % (status, length))
            writer.write(content or b"")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            yield f"http://localhost:{server.sockets[0].getsockname()[1]}", asked

    return open_site


def sound(seconds):
    """A tone as WAV."""
    return recording(seconds, rate=8000, layout="mono")


@pytest.fixture
def job_of(customer, hand):
    """Queues what must be taken; the worker's claim of it."""

    async def make(asked):
        answer = await customer.post("queue", asked)
        assert answer.status_code == 200, answer.text
        return (await hand.claim()).json()

    return make


class TestUrl:
    async def test_of_a_picture(self, job_of, site, picture, hand):
        content = base64.b64decode(picture.partition(",")[2])
        async with site({"/a.png?key=1": content}) as (url, asked):
            claimed = await job_of(FROM_IMAGE | {"image_url": f"{url}/a.png?key=1"})
        assert asked == ["/a.png?key=1"]
        assert claimed["shot"]["inputs"] == {"image": "image/png"}
        path = f"/jobs/{claimed['queue_id']}/{claimed['attempt']}/inputs/image"
        assert (await hand.call("GET", path)).content[:4] == b"\x89PNG"

    async def test_of_an_end_picture_has_no_say_in_the_shape(self, job_of, site, picture):
        wide, tall = base64.b64decode(picture.partition(",")[2]), io.BytesIO()
        Image.new("RGB", (300, 400)).save(tall, "PNG")
        async with site({"/wide": wide}) as (url, _):
            urls = {"image_url": f"{url}/wide", "end_image_url": data_url(tall.getvalue())}
            claimed = await job_of(FROM_IMAGE | urls)
        inputs = {"image": "image/png", "end_image": "image/png"}
        assert claimed["shot"]["inputs"] == inputs
        assert claimed["shot"]["width"] > claimed["shot"]["height"]

    async def test_of_two_kinds_at_once(self, job_of, site, picture):
        pages = {"/a": base64.b64decode(picture.partition(",")[2]), "/b": sound(4)}
        async with site(pages) as (url, asked):
            urls = {"image_url": f"{url}/a", "audio_url": f"{url}/b"}
            claimed = await job_of(FROM_IMAGE | urls)
        assert sorted(asked) == ["/a", "/b"]
        assert claimed["shot"]["inputs"] == {"image": "image/png", "audio": "audio/wav"}

    @pytest.mark.parametrize(
        "asked",
        [
            FROM_TEXT,
            FROM_IMAGE | {"duration": "7s"},
            FROM_IMAGE | {"model": "nix"},
        ],
        ids=["no picture wanted", "another field wrong", "no such model"],
    )
    async def test_of_a_refused_request_is_not_asked(self, customer, site, asked):
        async with site({}) as (url, heard):
            answer = await customer.post("queue", asked | {"image_url": f"{url}/a"})
        assert answer.status_code in (400, 404)
        assert heard == []

    async def test_that_gives_nothing_has_one_answer(self, customer, site, stored):
        async with site({"/html": b"<html>"}) as (url, _):
            gone = await customer.post("queue", FROM_IMAGE | {"image_url": f"{url}/gone"})
            html = await customer.post("queue", FROM_IMAGE | {"image_url": f"{url}/html"})
        closed = await customer.post("queue", FROM_IMAGE | {"image_url": f"{url}/a"})
        inside = await customer.post("queue", FROM_IMAGE | {"image_url": "http://10.0.0.1/"})
        assert gone.content == closed.content == inside.content
        assert issue(gone)["path"] == ["image_url"]
        assert issue(html)["message"] == "Invalid image format"
        assert not stored()

    async def test_of_a_picture_outside_the_models_limits(self, customer, site, stored):
        asked = FROM_IMAGE | {"model": "seedance-1-5-pro-image-to-video-basic"}
        pages = {}
        for size in ((300, 299), (300, 300)):
            file = io.BytesIO()
            Image.new("RGB", size).save(file, "PNG")
            pages[f"/{size[1]}"] = file.getvalue()
        async with site(pages) as (url, heard):
            small = await customer.post("queue", asked | {"image_url": f"{url}/299"})
            assert not stored()
            answer = await customer.post("queue", asked | {"image_url": f"{url}/300"})
        found = issue(small)
        assert (found["path"], found["code"]) == (["image_url"], "too_small")
        assert found["message"].endswith("Send a larger one")
        assert answer.status_code == 200
        assert heard == ["/299", "/300"]

    @pytest.mark.parametrize("url", ["ftp://a.test/", "https://u:p@a.test/", "data:image/png,x"])
    async def test_that_is_none(self, customer, url):
        found = issue(await customer.post("queue", FROM_IMAGE | {"image_url": url}))
        assert found["path"] == ["image_url"]
        assert "a.test" not in found["message"]


class TestSound:
    async def test_is_taken_and_the_job_has_sound(self, job_of):
        url = data_url(sound(3), "audio/wav")
        claimed = await job_of(FROM_TEXT | {"audio_url": url})
        assert claimed["shot"]["inputs"] == {"audio": "audio/wav"}
        assert claimed["shot"]["audio"] is True

    async def test_makes_a_silent_model_sound(self, job_of, picture):
        asked = FROM_IMAGE | {"model": "wan-2-7-image-to-video", "image_url": picture}
        claimed = await job_of(asked | {"audio_url": data_url(sound(3))})
        assert claimed["shot"]["audio"] is True

    @pytest.mark.parametrize(
        ("content", "word"),
        [(b"RIFF....WAVE", "corrupted"), (b"no sound", "Invalid audio format")],
    )
    async def test_that_is_none(self, customer, stored, content, word):
        found = issue(await customer.post("queue", FROM_TEXT | {"audio_url": data_url(content)}))
        assert found["path"] == ["audio_url"]
        assert word in found["message"]
        assert not stored()

    @pytest.mark.parametrize(("seconds", "word"), [(2.5, "too short"), (31, "too long")])
    async def test_of_another_length(self, customer, seconds, word):
        asked = FROM_TEXT | {"audio_url": data_url(sound(seconds))}
        assert word in issue(await customer.post("queue", asked))["message"]

    async def test_that_is_too_large(self, customer, monkeypatch):
        monkeypatch.setattr(inputs, "LIMIT_BYTES", inputs.LIMIT_BYTES | {"audio_url": 1000})
        found = issue(await customer.post("queue", FROM_TEXT | {"audio_url": data_url(sound(3))}))
        assert (found["path"], found["code"]) == (["audio_url"], "too_big")

    async def test_and_no_sound(self, customer):
        asked = FROM_TEXT | {"audio": False, "audio_url": data_url(sound(3))}
        assert issue(await customer.post("queue", asked))["path"] == ["audio"]


class TestVideo:
    async def test_is_taken(self, job_of, film):
        claimed = await job_of(FROM_VIDEO | {"video_url": data_url(film, "video/mp4")})
        assert claimed["shot"]["inputs"] == {"video": "video/mp4"}
        assert (claimed["shot"]["width"], claimed["shot"]["height"]) == (1280, 720)

    async def test_from_a_url(self, job_of, site, film):
        async with site({"/a.mp4": film}) as (url, _):
            claimed = await job_of(FROM_VIDEO | {"video_url": f"{url}/a.mp4"})
        assert claimed["shot"]["inputs"] == {"video": "video/mp4"}

    async def test_is_required(self, customer):
        found = issue(await customer.post("queue", FROM_VIDEO))
        assert (found["path"], found["message"]) == (["video_url"], "Field is required")

    async def test_and_no_picture(self, customer, picture):
        asked = FROM_VIDEO | {"video_url": "https://a.test/", "image_url": picture}
        found = issue(await customer.post("queue", asked))
        assert found["message"] == "This model does not support image_url"

    async def test_that_is_none(self, customer, picture):
        asked = FROM_VIDEO | {"video_url": picture}
        message = issue(await customer.post("queue", asked))["message"]
        assert message == "Invalid video format. Supported formats: MP4, MOV, WebM"

    async def test_lets_a_picture_pass(self, customer, yard, film, picture):
        turns = yard.turns["video_url"]
        async with turns.turn(None), turns.turn(uuid4()):
            waiting = asyncio.create_task(
                customer.post("queue", FROM_VIDEO | {"video_url": data_url(film)})
            )
            answer = await customer.post("queue", FROM_IMAGE | {"image_url": picture})
            assert answer.status_code == 200
            assert not waiting.done()
        assert (await waiting).status_code == 200


class TestTurns:
    @pytest.fixture
    def yard(self, yard):
        turns = {"image_url": Turns(4, 2, wait_seconds=0.2)}
        # In place: the application has the house already.
        object.__setattr__(yard, "turns", turns)
        return yard

    async def test_of_one_account_leave_others_theirs(
        self, customer, open_customer, yard, picture, stored
    ):
        turns, asked = yard.turns["image_url"], FROM_IMAGE | {"image_url": picture}
        async with turns.turn(customer.account_id), turns.turn(customer.account_id):
            other = await (await open_customer()).post("queue", asked)
            kept = len(stored())
            own = await customer.post("queue", asked)
        assert (other.status_code, own.status_code) == (200, 503)
        assert own.json() == {"error": "The model is at capacity. Please try again later."}
        assert len(stored()) == kept
        assert (await customer.post("queue", asked)).status_code == 200


async def test_media_that_takes_too_long_in_all(customer, picture, monkeypatch, stored):
    async def look(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(inputs, "look_at_picture", look)
    monkeypatch.setattr(inputs, "LIMIT_SECONDS", 0.1)
    answer = await customer.post("queue", FROM_IMAGE | {"image_url": picture})
    assert answer.status_code == 503
    assert not stored()


class TestRoom:
    @pytest.fixture
    def house(self, house):
        settings = Settings(body_limit_bytes=1000, body_bytes_in_flight=1000)
        return replace(house, budget=Budget(settings))

    async def test_for_what_is_fetched(self, customer, house, site, stored):
        async with site({"/large": bytes(2000), "/small": bytes(500)}) as (url, _):
            large = await customer.post("queue", FROM_IMAGE | {"image_url": f"{url}/large"})
            small = await customer.post("queue", FROM_IMAGE | {"image_url": f"{url}/small"})
        assert large.status_code == 503
        assert issue(small)["message"] == "Invalid image format"
        assert house.budget.taken_bytes == 0
        assert not stored()


class TestHangUp:
    """A client that leaves while its media is looked into: the look ends, and nothing is queued."""

    async def left(self, serve, house, customer, body, waits):
        content = json.dumps(body).encode()
        head = [
            "POST /api/v1/video/queue HTTP/1.1",
            "host: squero.test",
            "content-type: application/json",
            f"content-length: {len(content)}",
            f"authorization: {customer.headers['authorization']}",
        ]
        async with serve(Application(house)) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write("\r\n".join([*head, "", ""]).encode() + content)
            async with asyncio.timeout(20):
                await waits()
            writer.close()
            await writer.wait_closed()
            # The server ends only when the call has.

    async def test_during_the_look(
        self, serve, house, yard, customer, hand, picture, stored, monkeypatch
    ):
        began, ended = asyncio.Event(), asyncio.Event()

        async def look(*_):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        monkeypatch.setattr(inputs, "look_at_picture", look)
        asked = FROM_IMAGE | {"image_url": picture}
        await self.left(serve, house, customer, asked, began.wait)
        await asyncio.wait_for(ended.wait(), 5)
        assert (await hand.claim()).status_code == 204
        assert not stored()
        assert house.budget.taken_bytes == 0
        assert not yard.turns["image_url"]._running

    async def test_once_it_is_being_queued_changes_nothing(
        self, serve, house, customer, hand, picture, monkeypatch
    ):
        began, insert = asyncio.Event(), generation._insert

        async def slowly(*arguments):
            began.set()
            await asyncio.sleep(0.2)
            await insert(*arguments)

        monkeypatch.setattr(generation, "_insert", slowly)
        asked = FROM_IMAGE | {"image_url": picture}
        await self.left(serve, house, customer, asked, began.wait)
        claimed = (await hand.claim()).json()
        path = f"/jobs/{claimed['queue_id']}/{claimed['attempt']}/inputs/image"
        assert (await hand.call("GET", path)).content[:4] == b"\x89PNG"
