"""The calls in the shape of OpenAI's Videos, on the real application."""

import asyncio
import base64
import io
import re
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
from PIL import Image
from starlette.routing import Mount

from squero.api.routes import routes
from squero.app import Application
from squero.domain import upkeep, videos

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

PROMPT = {"prompt": "a lagoon at dusk"}
SMALL = PROMPT | {"model": "motion-text-to-video", "seconds": "5", "size": "848x480"}
IMAGE_MODEL = "motion-image-to-video"
NOBODY = "video_6b513f52-28ff-4b10-a8e4-504570afe41d"
PRICE_480P = 50_000
OURS = {
    "id",
    "object",
    "model",
    "status",
    "progress",
    "created_at",
    "completed_at",
    "expires_at",
    "seconds",
    "size",
    "prompt",
    "remixed_from_video_id",
    "error",
}


class Client:
    """A customer who speaks this shape."""

    def __init__(self, customer):
        self.customer = customer

    async def call(self, method, path="", **options):
        headers = self.customer.headers | options.pop("headers", {})
        url = f"/v1/videos{path}"
        return await self.customer.http.request(method, url, headers=headers, **options)

    async def create(self, **changes):
        """A small job that must be taken."""
        answer = await self.call("POST", json=SMALL | changes)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def find(self, video):
        answer = await self.call("GET", f"/{video['id']}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ids(self, **query):
        answer = await self.call("GET", params=query)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["data"]]


@pytest.fixture
def client(customer):
    return Client(customer)


@pytest.fixture
def open_client(open_customer):
    async def make(credit_micros=None):
        return Client(await open_customer(credit_micros))

    return make


@pytest.fixture
def png(picture):
    return base64.b64decode(picture.partition(",")[2])


@pytest.fixture
def done(client, hand, film):
    """Makes a video that is done: `await done()`."""

    async def make():
        video = await client.create()
        assert (await hand.upload(await hand.take(), film)).status_code == 204
        return video

    return make


def error(answer, status=400):
    """What an error says."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def pixels(data):
    """What a picture shows, however it is written."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size, picture.convert("RGB").tobytes()


async def money(yard, account_id):
    """Available and held micros."""
    async with yard.database.reading() as tx:
        found = await tx._connection.execute(
            "SELECT available_micros, held_micros FROM balances WHERE account_id = %s",
            [account_id],
        )
        return await found.fetchone()


async def change(yard, video, sql):
    """Changes the job's row."""
    async with yard.database.reading() as tx:
        text = f"UPDATE generations SET {sql} WHERE queue_id = %s"
        await tx._connection.execute(text, [queue_id(video)])


def queue_id(video):
    return UUID(video["id"].removeprefix("video_"))


class TestCreate:
    async def test_answers_with_the_job(self, client):
        video = await client.create()
        assert set(video) == OURS
        assert video["id"].startswith("video_")
        expected = {"object": "video", "status": "queued", "progress": 0, "seconds": "5"}
        assert expected.items() <= video.items()
        assert (video["model"], video["size"]) == ("motion-text-to-video", "848x480")
        assert isinstance(video["created_at"], int)
        for name in ("completed_at", "expires_at", "prompt", "remixed_from_video_id", "error"):
            assert video[name] is None

    async def test_answers_when_the_database_goes_away_after_it(self, client, monkeypatch):
        async def away(*_):
            raise psycopg.OperationalError

        with monkeypatch.context() as patch:
            patch.setattr(videos, "find", away)
            video = await client.create()
        assert (video["status"], video["size"], video["seconds"]) == ("queued", "848x480", "5")
        known = await client.find(video)
        assert known | {"created_at": 0} == video | {"created_at": 0}

    async def test_takes_what_the_entry_says_where_nothing_is_said(self, client):
        answer = await client.call("POST", json=PROMPT)
        assert answer.status_code == 200, answer.text
        video = answer.json()
        assert video["model"] == "motion-text-to-video"
        assert (video["seconds"], video["size"]) == ("5", "1280x720")

    @pytest.mark.parametrize(
        ("size", "resolution"),
        [
            ("1280x720", "720p"),
            ("720x1280", "720p"),
            ("1080x1080", "1080p"),
            ("480x848", "480p"),
        ],
    )
    async def test_sizes_are_rendered_as_they_are_asked_for(self, client, hand, size, resolution):
        video = await client.create(size=size)
        assert video["size"] == size
        shot = (await hand.claim()).json()["shot"]
        assert f"{shot['width']}x{shot['height']}" == size

    async def test_is_the_job_of_the_other_calls(self, client, finished, yard):
        video = await client.create()
        job = {"model": video["model"], "queue_id": video["id"].removeprefix("video_")}
        answer = await client.customer.retrieve(job)
        assert answer.json()["status"] == "PROCESSING"
        other = await client.customer.queue()
        assert (await client.find({"id": f"video_{other['queue_id']}"}))["size"] == "848x480"

    async def test_holds_the_price(self, open_client, yard):
        client = await open_client(2 * PRICE_480P)
        await client.create()
        account_id = client.customer.account_id
        assert await money(yard, account_id) == (PRICE_480P, PRICE_480P)

    @pytest.mark.parametrize(
        ("field", "param", "message"),
        [
            ({"prompt": None}, "prompt", "prompt: Expected string, received null"),
            ({"prompt": ""}, "prompt", "prompt: String must contain at least 1 character(s)"),
            ({"prompt": "p" * 2501}, "prompt", "at most 2500 character(s)"),
            ({"model": 5}, "model", "model: Expected string, received number"),
            (
                {"model": "motion-video-to-video"},
                "model",
                "motion-video-to-video starts from a video, which these calls cannot send",
            ),
            ({"seconds": 5}, "seconds", "seconds: Expected string, received number"),
            ({"seconds": "4"}, "seconds", "Expected '5' | '10', received '4'"),
            ({"seconds": "5s"}, "seconds", "Expected '5' | '10', received '5s'"),
            ({"size": "1024x1792"}, "size", "'848x480' | '480x848' | '480x480' | '1280x720'"),
            ({"size": "720p"}, "size", "received '720p'"),
            ({"model": IMAGE_MODEL}, "input_reference", "Field is required"),
            ({"input_reference": 5}, "input_reference", "Expected object, received number"),
            ({"input_reference": {}}, "input_reference.image_url", "Field is required"),
            (
                {"input_reference": {"file_id": "file-1"}},
                "input_reference.file_id",
                "There are no uploaded files here",
            ),
            (
                {"input_reference": {"image_url": 5}},
                "input_reference.image_url",
                "Expected string, received number",
            ),
            ({"seed": 7}, None, "Unrecognized key(s) in object: 'seed'"),
        ],
    )
    async def test_refuses(self, client, field, param, message):
        found = error(await client.call("POST", json=SMALL | field))
        assert message in found["message"]
        assert (found["type"], found["param"]) == ("invalid_request_error", param)

    async def test_names_a_missing_prompt(self, client):
        assert error(await client.call("POST", json={}))["param"] == "prompt"

    async def test_names_a_model_for_the_picture(self, client, picture):
        body = SMALL | {"input_reference": {"image_url": picture}}
        found = error(await client.call("POST", json=body))
        assert found["param"] == "input_reference"
        assert found["message"].endswith(
            "motion-text-to-video does not start from a picture: motion-image-to-video does"
        )

    async def test_without_a_size_that_the_picture_decides(self, client, picture):
        body = {"model": "grok-imagine-image-to-video", "seconds": "5"} | PROMPT
        body["input_reference"] = {"image_url": picture}
        found = error(await client.call("POST", json=body | {"size": "1280x720"}))
        assert "leave size out" in found["message"]
        answer = await client.call("POST", json=body)
        assert answer.json()["size"] == "1280x720"

    async def test_with_a_picture_in_json(self, client, hand, picture):
        body = PROMPT | {"input_reference": {"image_url": picture}}
        answer = await client.call("POST", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == IMAGE_MODEL
        # Nobody named a size, so it is the picture's shape: 4:3 is nearest to 16:9.
        assert answer.json()["size"] == "1280x720"
        assert (await hand.claim()).json()["shot"]["inputs"] == {"image": "image/png"}

    async def test_of_what_is_no_picture(self, client):
        text = "data:image/png;base64," + base64.b64encode(b"GIF89a and no more").decode()
        body = PROMPT | {"input_reference": {"image_url": text}}
        found = error(await client.call("POST", json=body))
        assert found["param"] == "input_reference"

    async def test_again_under_a_key(self, client):
        headers = {"idempotency-key": "once"}
        answers = [await client.call("POST", json=SMALL, headers=headers) for _ in range(2)]
        first, again = (answer.json() for answer in answers)
        assert first == again
        assert answers[1].headers["idempotent-replayed"] == "true"
        found = error(await client.call("POST", json=SMALL | {"seconds": "10"}, headers=headers))
        assert found["param"] == "Idempotency-Key"


class TestForm:
    async def test_of_texts(self, client):
        files = [(name, (None, value)) for name, value in SMALL.items()]
        answer = await client.call("POST", files=files)
        assert answer.status_code == 200, answer.text
        assert answer.json()["size"] == "848x480"

    async def test_with_a_picture(self, client, hand, png):
        files = {"input_reference": ("lagoon.png", png, "image/png")}
        answer = await client.call("POST", data=PROMPT, files=files)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == IMAGE_MODEL
        claimed = (await hand.claim()).json()
        assert claimed["shot"]["inputs"] == {"image": "image/png"}
        job = f"/jobs/{claimed['queue_id']}/{claimed['attempt']}"
        assert pixels((await hand.call("GET", f"{job}/inputs/image")).content) == pixels(png)
        assert claimed["shot"]["prompt"] == PROMPT["prompt"]

    async def test_with_a_reference_in_brackets(self, client, hand, picture):
        files = [("prompt", (None, "a lagoon")), ("input_reference[image_url]", (None, picture))]
        answer = await client.call("POST", files=files)
        assert answer.status_code == 200, answer.text
        assert (await hand.claim()).json()["shot"]["inputs"] == {"image": "image/png"}

    async def test_words_arrive_as_they_are(self, client, hand):
        words = 'a "lagoon"\\ with \r\n--gondolas, Ponte dell’Ærø 🛶'
        answer = await client.call("POST", files=[("prompt", (None, words))])
        assert answer.status_code == 200, answer.text
        assert (await hand.claim()).json()["shot"]["prompt"] == words

    @pytest.mark.parametrize("size", [1, 2, 7, 4096])
    async def test_cut_anywhere(self, client, hand, png, size):
        whole = httpx.Request(
            "POST", "http://x", data=PROMPT, files={"input_reference": ("a", png, "image/png")}
        )
        body = whole.read()

        async def pieces():
            for start in range(0, len(body), size):
                yield body[start : start + size]

        headers = {"content-type": whole.headers["content-type"]}
        answer = await client.call("POST", content=pieces(), headers=headers)
        assert answer.status_code == 200, answer.text
        claimed = (await hand.claim()).json()
        job = f"/jobs/{claimed['queue_id']}/{claimed['attempt']}"
        assert pixels((await hand.call("GET", f"{job}/inputs/image")).content) == pixels(png)


def part(name, value=b"x", more=b""):
    head = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n' % (name, more)
    return head + value + b"\r\n"


FILE = b'; filename="f"'
END = b"--b--\r\n"
PROMPTED = part(b"prompt", b"a lagoon")


class TestHostileForm:
    async def post(self, client, content, content_type="multipart/form-data; boundary=b"):
        headers = {"content-type": content_type}
        return await client.call("POST", content=content, headers=headers)

    @pytest.mark.parametrize(
        ("content", "param", "message"),
        [
            (b"", None, "Invalid form"),
            (b"no form at all", None, "Invalid form"),
            (PROMPTED, None, "Invalid form"),
            (PROMPTED + b"--b", None, "Invalid form"),
            (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, None, "Invalid form"),
            (b'--b\r\nX-Y: z; name="prompt"\r\n\r\nx\r\n' + END, None, "Invalid form"),
            (PROMPTED[:-12] + PROMPTED[5:] + END, None, "Invalid form"),
            (b"--b\r\nno header\r\n\r\nx\r\n" + END, None, "Invalid form"),
            (b"--b\r\nA: " + b"x" * 5000 + b"\r\n\r\nx\r\n" + END, None, "Invalid form"),
            (b"--b\r\n" + b"A: x\r\n" * 50 + b"\r\nx\r\n" + END, None, "Invalid form"),
            (part(b"prompt", b"\xff\xfe") + END, None, "Invalid form"),
            (part(b"prompt", b"\xc3") + END, None, "Invalid form"),
            (part(b"\xff", b"x") + END, None, "Invalid form"),
            (PROMPTED + PROMPTED + END, "prompt", "Field was sent more than once"),
            (part(b"prompt", b"a\0b") + END, "prompt", "valid Unicode without NUL"),
            (part(b"prompt", b"x", FILE) + END, "prompt", "Expected string, received file"),
            (PROMPTED + part(b"size", b"x", FILE) + END, "size", "received file"),
            (PROMPTED + part(b"video", b"x", FILE) + END, "video", "received file"),
            (PROMPTED + part(b"seed", b"7") + END, None, "Unrecognized key(s) in object: 'seed'"),
            (PROMPTED + part(b"input_reference[x]") + END, "input_reference.image_url", "required"),
            (PROMPTED + part(b"input_reference", b"", FILE) + END, "input_reference", ""),
            (PROMPTED + part(b"input_reference", b"MZ", FILE) + END, "input_reference", ""),
            (b"".join(part(b"f%d" % one) for one in range(33)) + END, None, "At most 32 fields"),
        ],
    )
    async def test_is_refused(self, client, stored, content, param, message):
        found = error(await self.post(client, content))
        assert message in found["message"]
        assert found["param"] == param
        assert stored() == []

    @pytest.mark.parametrize(
        "content_type",
        [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=" + "b" * 300,
        ],
    )
    async def test_without_a_boundary(self, client, content_type):
        answer = await self.post(client, PROMPTED + END, content_type)
        assert "Invalid form" in error(answer)["message"]

    async def test_of_another_kind(self, client):
        answer = await self.post(client, b"prompt=x", "application/x-www-form-urlencoded")
        assert error(answer, 415)["type"] == "invalid_request_error"

    async def test_that_is_compressed(self, client):
        headers = {"content-type": "multipart/form-data; boundary=b", "content-encoding": "gzip"}
        error(await client.call("POST", content=PROMPTED + END, headers=headers), 415)

    async def test_with_a_huge_text(self, client):
        error(await self.post(client, part(b"prompt", b"p" * 300_000) + END), 413)

    async def test_with_a_huge_picture(self, client, house, stored):
        body = PROMPTED + part(b"input_reference", bytes(25_000_001), FILE) + END
        assert "larger than 25 MB" in error(await self.post(client, body))["message"]
        assert stored() == []
        assert house.budget.taken_bytes == 0

    async def test_that_is_too_long_is_not_read(self, client):
        headers = {
            "content-type": "multipart/form-data; boundary=b",
            "content-length": "35000001",
        }
        read = []

        async def pieces():
            read.append(1)
            yield b"--b"

        error(await client.call("POST", content=pieces(), headers=headers), 413)
        assert len(read) <= 1

    @pytest.mark.parametrize(
        "begin",
        [
            b"",
            PROMPTED + END,
            PROMPTED + b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n',
        ],
        ids=["nothing", "after the end", "a field"],
    )
    async def test_with_garbage_without_end(self, client, house, begin):
        sent = 0

        async def pieces():
            nonlocal sent
            yield begin
            for _ in range(800):
                sent += 65_536
                yield b"\r\n--b" * 13_107 + b"x"

        answer = await self.post(client, pieces())
        assert answer.status_code in (400, 413), answer.text
        error(answer, answer.status_code)
        assert sent <= 35_000_000 + 65_536
        assert house.budget.taken_bytes == 0

    async def test_whose_client_leaves_holds_nothing(self, client, house, serve, png):
        async with serve(Application(house)) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = (
                "POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\n"
                f"Authorization: {client.customer.headers['authorization']}\r\n\r\n"
            )
            begun = b'--b\r\nContent-Disposition: form-data; name="input_reference"'
            writer.write(head.encode() + begun + FILE + b"\r\n\r\n" + png * 300)
            await writer.drain()
            while not house.budget.taken_bytes:
                await asyncio.sleep(0.005)
            writer.close()
            while house.budget.taken_bytes:
                await asyncio.sleep(0.005)


class TestFind:
    async def test_as_it_goes(self, client, house, hand, film):
        video = await client.create()
        job = await hand.take()
        house.leases.forget(queue_id(video))  # else a report so soon is not written
        await hand.progress(job, 0.42)
        working = await client.find(video)
        assert (working["status"], working["progress"]) == ("in_progress", 42)
        assert working["completed_at"] is None
        assert (await hand.upload(job, film)).status_code == 204
        over = await client.find(video)
        assert (over["status"], over["progress"], over["error"]) == ("completed", 100, None)
        assert over["expires_at"] == over["completed_at"] + 24 * 3600
        assert over["created_at"] == video["created_at"] <= over["completed_at"]

    @pytest.mark.parametrize(
        ("kind", "code"), [("bad_input", "input_rejected"), ("crash", "inference_failed")]
    )
    async def test_of_one_that_failed(self, open_client, yard, hand, kind, code):
        client = await open_client(PRICE_480P)
        video = await client.create()
        while (claimed := await hand.claim()).status_code == 200:
            claimed = claimed.json()
            await hand.fail(f"/jobs/{claimed['queue_id']}/{claimed['attempt']}", kind)
        found = await client.find(video)
        assert found["status"] == "failed"
        assert found["error"]["code"] == code
        assert found["error"]["message"]
        assert found == await client.find(video)
        assert await money(yard, client.customer.account_id) == (PRICE_480P, 0)
        answer = await client.call("GET", f"/{video['id']}/content")
        assert error(answer, 404)["message"] == "This video failed and has no content"

    @pytest.mark.parametrize(
        "name", [NOBODY, NOBODY.upper(), NOBODY[6:], "video_", "video_1", "video_x%00", "ä"]
    )
    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/content"), ("DELETE", "")])
    async def test_of_nobody(self, client, method, name, path):
        found = error(await client.call(method, f"/{name}{path}"), 404)
        assert found["message"] == "No such video"
        assert found["code"] == "not_found"

    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/content"), ("DELETE", "")])
    async def test_of_a_stranger(self, client, open_client, done, method, path):
        video = await done()
        stranger = await open_client()
        error(await stranger.call(method, f"/{video['id']}{path}"), 404)
        assert await stranger.ids() == []
        assert (await client.find(video))["status"] == "completed"

    async def test_of_one_that_has_expired(self, client, yard, done):
        video = await done()
        await change(yard, video, "expires_at = squero_now()")
        for _ in range(2):
            error(await client.call("GET", f"/{video['id']}"), 404)
            assert await client.ids() == []
            await upkeep.expire(yard)

    async def test_of_one_that_failed_long_ago(self, client, yard, hand):
        video = await client.create()
        await hand.fail(await hand.take(), "bad_input")
        await change(yard, video, "finished_at = finished_at - interval '1 day'")
        error(await client.call("GET", f"/{video['id']}"), 404)
        assert await client.ids() == []


class TestContent:
    async def test_is_the_file_and_stays(self, client, done, film):
        video = await done()
        for query in ("", "?variant=video"):
            answer = await client.call("GET", f"/{video['id']}/content{query}")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "video/mp4"
            assert answer.content == film

    async def test_in_part(self, client, done, film):
        video = await done()
        answer = await client.call(
            "GET", f"/{video['id']}/content", headers={"range": "bytes=100-199"}
        )
        assert answer.status_code == 206
        assert answer.content == film[100:200]

    @pytest.mark.parametrize("variant", ["thumbnail", "spritesheet", ""])
    async def test_of_no_other_kind(self, client, done, variant):
        video = await done()
        answer = await client.call("GET", f"/{video['id']}/content?variant={variant}")
        found = error(answer)
        assert found["param"] == "variant"
        assert "Expected 'video'" in found["message"]

    async def test_before_it_is_there(self, client):
        video = await client.create()
        found = error(await client.call("GET", f"/{video['id']}/content"), 404)
        assert "not ready yet" in found["message"]


class TestDelete:
    async def test_of_one_that_is_done(self, client, done, stored):
        video = await done()
        answer = await client.call("DELETE", f"/{video['id']}")
        assert answer.status_code == 200
        assert answer.json() == {"id": video["id"], "object": "video.deleted", "deleted": True}
        assert stored() == []
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            error(await client.call(method, f"/{video['id']}{path}"), 404)
        assert await client.ids() == []

    @pytest.mark.parametrize("taken", [False, True], ids=["waits", "renders"])
    async def test_of_one_that_is_not_gives_the_price_back(
        self, open_client, house, yard, hand, stored, taken
    ):
        client = await open_client(PRICE_480P)
        video = await client.create()
        job = await hand.take() if taken else None
        assert (await client.call("DELETE", f"/{video['id']}")).status_code == 200
        assert await money(yard, client.customer.account_id) == (PRICE_480P, 0)
        error(await client.call("GET", f"/{video['id']}"), 404)
        assert await client.ids() == []
        assert stored() == []
        if job:
            house.leases.forget(queue_id(video))
            assert (await hand.progress(job)).json() == {"go_on": False}
        else:
            assert (await hand.claim()).status_code == 204

    async def test_twice_at_once_gives_the_price_back_once(self, open_client, yard):
        client = await open_client(PRICE_480P)
        video = await client.create()
        calls = (client.call("DELETE", f"/{video['id']}") for _ in range(5))
        statuses = [answer.status_code for answer in await asyncio.gather(*calls)]
        assert 200 in statuses
        assert set(statuses) <= {200, 404}
        assert await money(yard, client.customer.account_id) == (PRICE_480P, 0)

    async def test_of_one_that_failed(self, client, hand):
        video = await client.create()
        await hand.fail(await hand.take(), "bad_input")
        assert await client.ids() == [video["id"]]
        assert (await client.call("DELETE", f"/{video['id']}")).status_code == 200
        error(await client.call("GET", f"/{video['id']}"), 404)
        assert await client.ids() == []


class TestList:
    async def test_page_after_page(self, client):
        made = [(await client.create())["id"] for _ in range(5)]
        for order, wanted in (("asc", made), ("desc", made[::-1])):
            seen, after = [], {}
            while True:
                answer = await client.call("GET", params={"limit": 2, "order": order} | after)
                page = answer.json()
                assert page["object"] == "list"
                ids = [one["id"] for one in page["data"]]
                assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
                seen += ids
                after = {"after": page["last_id"]}
                if not page["has_more"]:
                    break
            assert seen == wanted

    async def test_of_none(self, client):
        answer = await client.call("GET")
        expected = {"object": "list", "data": [], "first_id": None, "last_id": None}
        assert answer.json() == expected | {"has_more": False}

    async def test_goes_on_after_one_that_was_deleted(self, client):
        first, second = [(await client.create())["id"] for _ in range(2)]
        await client.call("DELETE", f"/{second}")
        assert await client.ids(after=second) == [first]

    async def test_tells_why_one_failed_and_no_prompt(self, client, hand):
        await client.create(prompt="a secret lagoon")
        await hand.fail(await hand.take(), "bad_input")
        answer = await client.call("GET")
        (video,) = answer.json()["data"]
        assert video["error"]["code"] == "input_rejected"
        assert "secret" not in answer.text

    @pytest.mark.parametrize(
        ("query", "param"),
        [
            ({"limit": "0"}, "limit"),
            ({"limit": "101"}, "limit"),
            ({"limit": "x"}, "limit"),
            ({"order": "up"}, "order"),
            ({"after": "x"}, "after"),
            ({"after": NOBODY}, None),
        ],
    )
    async def test_refuses(self, client, query, param):
        assert error(await client.call("GET", params=query))["param"] == param


class TestErrors:
    @pytest.mark.parametrize("key", ["", "Bearer wrong", "Basic eDp5"])
    async def test_401(self, http, key):
        answer = await http.get("/v1/videos", headers={"authorization": key})
        found = error(answer, 401)
        assert (found["type"], found["code"]) == ("invalid_request_error", "invalid_api_key")

    async def test_402(self, open_client):
        client = await open_client(1)
        found = error(await client.call("POST", json=SMALL), 402)
        assert found["type"] == found["code"] == "insufficient_quota"

    async def test_403(self, client, yard):
        async with yard.database.reading() as tx:
            await tx._connection.execute("UPDATE keys SET models = '{motion-image-to-video}'")
        found = error(await client.call("POST", json=SMALL), 403)
        assert (found["type"], found["code"]) == ("permission_error", "model_not_allowed")

    async def test_404_of_a_model(self, client):
        found = error(await client.call("POST", json=SMALL | {"model": "sora-2"}), 404)
        assert found["code"] == "model_not_found"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", f"/v1/videos/{NOBODY}/remix"),
            ("POST", "/v1/videos/edits"),
            ("GET", "/v1/videos/characters/char_1"),
            ("GET", "/v1/models"),
            ("GET", "/v1/videos/"),
        ],
    )
    async def test_404_or_405_of_a_call_that_is_not_there(self, client, method, path):
        answer = await client.customer.http.request(method, path, headers=client.customer.headers)
        assert answer.status_code in (404, 405)
        error(answer, answer.status_code)

    async def test_429_of_too_many(self, client):
        for _ in range(20):
            await client.create()
        answer = await client.call("POST", json=SMALL)
        found = error(answer, 429)
        assert (found["type"], found["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert answer.headers["x-ratelimit-limit-requests"] == "20"

    async def test_429_counts_with_the_other_calls(self, client):
        for _ in range(20):
            await client.customer.queue()
        error(await client.call("POST", json=SMALL), 429)

    async def test_429_of_too_many_failures_here_and_there(self, client):
        for _ in range(10):
            error(await client.call("GET", f"/{NOBODY}"), 404)
            assert (await client.customer.post("queue", {})).status_code == 400
        error(await client.call("GET", f"/{NOBODY}"), 404)
        assert (await client.customer.post("queue", {})).status_code == 429
        answer = await client.call("GET")
        assert "Too many failed attempts" in error(answer, 429)["message"]
        assert int(answer.headers["retry-after"]) <= 30

    @pytest.mark.parametrize("path", ["/v1/nothing", "/v1/videos/x/remix"])
    async def test_429_of_too_many_calls_that_there_are_not(self, client, path):
        headers = client.customer.headers
        for _ in range(21):
            error(await client.customer.http.get(path, headers=headers), 404)
        error(await client.customer.http.get(path, headers=headers), 429)
        error(await client.call("GET"), 429)

    async def test_500(self, client, monkeypatch):
        def fail(*_):
            raise RuntimeError("a lagoon at dusk")

        monkeypatch.setattr("squero.domain.generation.queue", fail)
        answer = await client.call("POST", json=SMALL)
        found = error(answer, 500)
        assert found["type"] == found["code"] == "server_error"
        assert "lagoon" not in answer.text

    async def test_of_broken_json(self, client):
        headers = {"content-type": "application/json"}
        answer = await client.call("POST", content=b'{"prompt":', headers=headers)
        assert error(answer)["message"] == "Invalid JSON request"


class TestPages:
    async def test_of_any_origin_may_call(self, client):
        answer = await client.call("GET", headers={"origin": "https://a.test"})
        assert answer.headers["access-control-allow-origin"] == "*"
        asked = {"origin": "https://a.test", "access-control-request-method": "POST"}
        answer = await client.call("OPTIONS", headers=asked)
        assert answer.status_code == 204


def test_every_call_is_documented(house):
    (mount,) = (one for one in routes(house) if isinstance(one, Mount) and one.path == "/v1")
    calls = {
        f"{method} /v1{route.path}" for route in mount.routes for method in route.methods - {"HEAD"}
    }
    text = Path(__file__).parents[2].joinpath("docs/openai.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+ /v1\S*)` \|", text, re.MULTILINE)) == calls
