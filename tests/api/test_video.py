"""The four video calls, field by field."""

import asyncio
import base64
import json
from uuid import uuid4

import httpx
import pytest

from squero.app import Application
from squero.domain import upkeep

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

TEXT = {"model": "motion-text-to-video", "prompt": "a lagoon", "duration": "5s"}
WAN = "wan-2.5-preview-text-to-video"
NOWHERE = {"model": "motion-text-to-video", "queue_id": str(uuid4())}
PRICE_480P = 50_000


def issue(answer):
    """The only issue of a 400."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["error"] == "Invalid request parameters"
    (found,) = body["issues"]
    node = body["details"]
    for part in found["path"]:
        node = node[part]
    assert node["_errors"] == [found["message"]]
    return found


async def money(yard, account_id):
    """Available and held micros, and how many jobs there are."""
    async with yard.database.reading() as tx:
        connection = tx._connection
        found = await connection.execute(
            "SELECT b.available_micros, b.held_micros,"
            " (SELECT count(*) FROM generations g WHERE g.account_id = b.account_id)"
            " FROM balances b WHERE b.account_id = %s",
            [account_id],
        )
        return await found.fetchone()


class TestQueue:
    async def test_answers_with_model_and_id(self, customer):
        answer = await customer.post("queue", TEXT)
        assert answer.status_code == 200
        assert set(answer.json()) == {"model", "queue_id"}
        assert answer.json()["model"] == TEXT["model"]

    @pytest.mark.parametrize(
        "field",
        [
            {"prompt": "p"},
            {"prompt": "p" * 2500},
            {"negative_prompt": ""},
            {"negative_prompt": "n" * 2500},
            {"duration": "10s"},
            {"resolution": "1080p"},
            {"resolution": "480p"},
            {"aspect_ratio": "9:16"},
            {"aspect_ratio": "1:1"},
            {"aspect_ratio": None},
            {"audio": True},
            {"audio": False},
            {"model": WAN, "audio": True},
        ],
    )
    async def test_takes(self, customer, field):
        answer = await customer.post("queue", TEXT | field)
        assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize(
        ("field", "message"),
        [
            ({"model": 5}, "Expected string, received number"),
            ({"prompt": 5}, "Expected string, received number"),
            ({"prompt": ["p"]}, "Expected string, received array"),
            ({"prompt": None}, "Expected string, received null"),
            ({"prompt": ""}, "String must contain at least 1 character(s)"),
            ({"prompt": "p" * 2501}, "String must contain at most 2500 character(s)"),
            ({"prompt": "p" * 30_000}, "String must contain at most 2500 character(s)"),
            ({"negative_prompt": "n" * 2501}, "String must contain at most 2500 character(s)"),
            ({"negative_prompt": None}, "Expected string, received null"),
            ({"duration": 5}, "Expected string, received number"),
            ({"duration": True}, "Expected string, received boolean"),
            ({"duration": "7s"}, "Invalid enum value. Expected '5s' | '10s', received '7s'"),
            (
                {"resolution": "4k"},
                "Invalid enum value. Expected '480p' | '720p' | '1080p', received '4k'",
            ),
            ({"resolution": 720}, "Expected string, received number"),
            ({"resolution": None}, "Expected string, received null"),
            (
                {"aspect_ratio": "3:2"},
                "Invalid enum value. Expected '16:9' | '9:16' | '1:1', received '3:2'",
            ),
            ({"aspect_ratio": 1.5}, "Expected string, received number"),
            ({"audio": "true"}, "Expected boolean, received string"),
            ({"audio": 1}, "Expected boolean, received number"),
            ({"model": WAN, "audio": False}, "This model does not support audio configuration"),
            ({"image_url": "https://a.test/b.png"}, "This model does not support image_url"),
            ({"image_url": 5}, "Expected string, received number"),
            ({"image_url": None}, "Expected string, received null"),
            ({"seed": 7}, "Unrecognized key(s) in object: 'seed'"),
            ({"a": 1, "b": 2}, "Unrecognized key(s) in object: 'a', 'b'"),
        ],
    )
    async def test_refuses(self, customer, field, message):
        assert issue(await customer.post("queue", TEXT | field))["message"] == message

    @pytest.mark.parametrize("field", ["model", "prompt", "duration"])
    async def test_names_a_missing_field(self, customer, field):
        asked = {name: value for name, value in TEXT.items() if name != field}
        found = issue(await customer.post("queue", asked))
        assert (found["message"], found["path"]) == ("Field is required", [field])

    async def test_tells_the_choices_where_clients_look(self, customer):
        found = issue(await customer.post("queue", TEXT | {"duration": "7s"}))
        assert found == {
            "code": "invalid_enum_value",
            "message": "Invalid enum value. Expected '5s' | '10s', received '7s'",
            "path": ["duration"],
            "expected": "'5s' | '10s'",
            "received": "7s",
        }

    async def test_tells_of_everything_at_once(self, customer):
        answer = await customer.post("queue", {"prompt": 5, "x": 1})
        paths = [found["path"] for found in answer.json()["issues"]]
        assert paths == [["model"], ["prompt"], ["duration"], []]

    async def test_of_a_key_that_is_named_as_our_own(self, customer):
        answer = await customer.http.post(
            "/api/v1/video/queue",
            content=rb'{"_errors": "\u0000", "model": "x"}',
            headers=customer.headers | {"content-type": "application/json"},
        )
        assert answer.status_code == 400
        assert answer.json()["details"]["_errors"]

    @pytest.mark.parametrize("field", ["audio_url", "video_url", "image_url", "end_image_url"])
    async def test_refuses_media_that_the_model_does_not_take(self, customer, field):
        sound = "data:audio/wav;base64," + base64.b64encode(b"RIFF").decode()
        for value in ("https://a.test/b", sound):
            asked = TEXT | {"model": "longcat-text-to-video", field: value}
            answer = await customer.post("queue", asked)
            assert issue(answer)["message"] == f"This model does not support {field}"

    async def test_names_the_model_in_a_header(self, customer):
        for answer in (
            await customer.post("queue", TEXT),
            await customer.post("queue", TEXT | {"duration": "7s"}),
            await customer.post("quote", TEXT),
            await customer.post("retrieve", NOWHERE),
            await customer.post("complete", NOWHERE),
        ):
            assert answer.headers["x-venice-model-id"] == TEXT["model"]
            assert answer.headers["x-venice-model-name"] == "Motion (text to video)"
        unknown = await customer.post("queue", TEXT | {"model": "nix"})
        assert "x-venice-model-id" not in unknown.headers

    async def test_of_an_unknown_model(self, customer):
        answer = await customer.post("queue", TEXT | {"model": "motion-txt-to-video"})
        assert answer.status_code == 404
        told = "Specified model not found: motion-txt-to-video. Did you mean: motion-text-to-video?"
        assert answer.json() == {"error": told}

    async def test_of_an_unknown_model_far_from_any(self, customer):
        answer = await customer.post("queue", TEXT | {"model": "@@@"})
        assert answer.json() == {"error": "Specified model not found: @@@."}

    @pytest.mark.parametrize(
        ("content", "media_type", "status", "error"),
        [
            (b"{", "application/json", 400, "Invalid JSON request"),
            (b'{"prompt": NaN}', "application/json", 400, "Invalid JSON request"),
            (b"[]", "application/json", 400, "Invalid request parameters"),
            (b"a=b", "application/x-www-form-urlencoded", 415, None),
            (b"{}", "application/json; charset=utf-8", 400, "Invalid request parameters"),
        ],
    )
    async def test_of_a_body_that_is_no_json(self, customer, content, media_type, status, error):
        answer = await customer.http.post(
            "/api/v1/video/queue",
            content=content,
            headers=customer.headers | {"content-type": media_type},
        )
        assert answer.status_code == status
        assert error is None or answer.json()["error"] == error
        assert answer.headers["content-type"] == "application/json"

    async def test_without_the_money(self, open_customer, yard, stored, picture):
        poor = await open_customer(credit_micros=PRICE_480P - 1)
        asked = TEXT | {
            "model": "motion-image-to-video",
            "image_url": picture,
            "resolution": "480p",
        }
        answer = await poor.post("queue", asked)
        assert answer.status_code == 402
        error = "Insufficient USD or Diem balance to complete request"
        assert answer.json() == {"error": error}
        assert await money(yard, poor.account_id) == (PRICE_480P - 1, 0, 0)
        assert not stored()

    async def test_charges_what_was_quoted(self, open_customer, yard):
        customer = await open_customer(credit_micros=1_000_000)
        asked = TEXT | {"resolution": "480p"}
        quote = (await customer.post("quote", asked)).json()["quote"]
        await customer.queue(**asked)
        assert await money(yard, customer.account_id) == (950_000, round(quote * 1_000_000), 1)

    async def test_twice_under_one_key(self, customer):
        answers = [await customer.post("queue", TEXT, **{"idempotency-key": "k"}) for _ in "ab"]
        assert answers[0].json() == answers[1].json()
        assert [a.headers.get("idempotent-replayed") for a in answers] == [None, "true"]


class TestPicture:
    ASKED = TEXT | {"model": "motion-image-to-video"}

    async def test_is_required(self, customer):
        found = issue(await customer.post("queue", self.ASKED))
        assert (found["path"], found["message"]) == (["image_url"], "Field is required")

    async def test_is_taken(self, customer, picture, stored):
        answer = await customer.post("queue", self.ASKED | {"image_url": picture})
        assert answer.status_code == 200
        assert len(stored()) == 1

    @pytest.mark.parametrize(
        "content",
        [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(64), b"%PDF-1.7", b"<svg/>"],
    )
    async def test_that_is_none_moves_no_money(self, open_customer, yard, stored, content):
        customer = await open_customer(credit_micros=1_000_000)
        url = "data:image/png;base64," + base64.b64encode(content).decode()
        found = issue(await customer.post("queue", self.ASKED | {"image_url": url}))
        assert found["path"] == ["image_url"]
        assert await money(yard, customer.account_id) == (1_000_000, 0, 0)
        assert not stored()

    @pytest.mark.parametrize("url", ["", "picture.png", "file:///etc/passwd", "data:image/png,x"])
    async def test_from_elsewhere(self, customer, url):
        assert issue(await customer.post("queue", self.ASKED | {"image_url": url}))["path"] == [
            "image_url"
        ]


class TestQuote:
    @pytest.mark.parametrize(
        ("field", "quote"),
        [
            ({}, 0.1),
            ({"duration": "10s"}, 0.2),
            ({"resolution": "1080p"}, 0.2),
            ({"prompt": 5, "image_url": 7, "unknown": []}, 0.1),
            ({"image_url": "data:image/png;base64,AAAA"}, 0.1),
            ({"audio": False, "aspect_ratio": "1:1"}, 0.1),
        ],
    )
    async def test_is_lenient(self, http, field, quote):
        asked = {"model": "motion-text-to-video", "duration": "5s"} | field
        answer = await http.post("/api/v1/video/quote", json=asked)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"quote": quote}

    async def test_ignores_a_wrong_key(self, http):
        answer = await http.post(
            "/api/v1/video/quote", json=TEXT, headers={"authorization": "Bearer wrong"}
        )
        assert answer.json() == {"quote": 0.1}

    @pytest.mark.parametrize(
        ("field", "message"),
        [
            ({"duration": 5}, "Expected string, received number"),
            ({"duration": "7s"}, "Invalid enum value. Expected '5s' | '10s', received '7s'"),
            ({"model": None}, "Expected string, received null"),
        ],
    )
    async def test_refuses(self, http, field, message):
        assert (
            issue(await http.post("/api/v1/video/quote", json=TEXT | field))["message"] == message
        )

    async def test_of_an_unknown_model(self, http):
        answer = await http.post("/api/v1/video/quote", json=TEXT | {"model": "nix"})
        assert answer.status_code == 404


class TestNoSuchJob:
    @pytest.mark.parametrize("call", ["retrieve", "complete"])
    async def test_is_told_the_same_whatever_the_reason(self, open_customer, customer, call):
        job = await customer.queue()
        stranger = await open_customer()
        asked = [
            (stranger, job),
            (customer, NOWHERE),
            (customer, NOWHERE | {"queue_id": "../../etc"}),
            (customer, NOWHERE | {"queue_id": ""}),
            (customer, job | {"model": WAN}),
        ]
        answers = [await who.post(call, body) for who, body in asked]
        assert {answer.status_code for answer in answers} == {400}
        assert {answer.content for answer in answers} == {b'{"error": "Request ID is invalid."}'}

    @pytest.mark.parametrize("call", ["retrieve", "complete"])
    @pytest.mark.parametrize(
        ("field", "message"),
        [
            ({"queue_id": 5}, "Expected string, received number"),
            ({"model": False}, "Expected string, received boolean"),
            ({"model": "data:image/png;base64,AAAA"}, "Invalid input"),
            ({"x": 1}, "Unrecognized key(s) in object: 'x'"),
        ],
    )
    async def test_refuses(self, customer, call, field, message):
        assert issue(await customer.post(call, NOWHERE | field))["message"] == message

    @pytest.mark.parametrize("call", ["retrieve", "complete"])
    @pytest.mark.parametrize("field", ["model", "queue_id"])
    async def test_names_a_missing_field(self, customer, call, field):
        asked = {name: value for name, value in NOWHERE.items() if name != field}
        found = issue(await customer.post(call, asked))
        assert (found["message"], found["path"]) == ("Field is required", [field])

    async def test_flag_is_a_boolean(self, customer):
        answer = await customer.post("retrieve", NOWHERE | {"delete_media_on_completion": "true"})
        assert issue(answer)["message"] == "Expected boolean, received string"

    async def test_body_is_small(self, customer):
        answer = await customer.post("retrieve", NOWHERE | {"model": "m" * 66_000})
        assert answer.status_code == 413


class TestRetrieve:
    async def test_while_it_waits(self, customer):
        job = await customer.queue()
        answer = await customer.retrieve(job)
        body = answer.json()
        assert answer.status_code == 200
        assert body["status"] == "PROCESSING"
        assert set(body) == {"status", "average_execution_time", "execution_duration"}
        assert body["average_execution_time"] > 0
        assert answer.headers["x-squero-position"] == "1"
        assert int(answer.headers["x-squero-remaining-ms"]) > 0

    async def test_while_it_renders(self, customer, hand):
        job = await customer.queue()
        await hand.take()
        answer = await customer.retrieve(job | {"delete_media_on_completion": False})
        assert answer.json()["status"] == "PROCESSING"
        assert "x-squero-position" not in answer.headers

    async def test_gives_the_video_as_often_as_wanted(self, customer, finished, film):
        job = await finished()
        for _ in range(2):
            answer = await customer.retrieve(job)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "video/mp4"
            assert answer.headers["content-length"] == str(len(film))
            assert answer.content == film
            assert answer.content[4:8] == b"ftyp"

    async def test_deletes_when_asked(self, customer, finished, stored, film):
        job = await finished()
        answer = await customer.retrieve(job | {"delete_media_on_completion": True})
        assert answer.content == film
        again = await customer.retrieve(job)
        assert again.status_code == 404
        assert again.json()["error"].startswith("Media could not be found. Request may ")
        assert not stored()

    @pytest.mark.parametrize("read", [0, 500_000])
    async def test_keeps_what_a_client_did_not_wait_for(
        self, customer, finished, house, serve, film, read
    ):
        job = await finished()
        body = json.dumps(job | {"delete_media_on_completion": True})
        head = (
            "POST /api/v1/video/retrieve HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            f"authorization: {customer.headers['authorization']}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        async with serve(Application(house)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writer.write((head + body).encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readexactly(read)
            writer.close()
        assert (await customer.retrieve(job)).content == film

    async def test_deletes_over_a_socket(self, customer, finished, house, serve, film, stored):
        job = await finished()
        asked = job | {"delete_media_on_completion": True}
        async with serve(Application(house)) as port, httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{port}/api/v1/video/retrieve"
            answers = [
                await client.post(url, json=asked, headers=customer.headers) for _ in range(2)
            ]
        assert [answer.status_code for answer in answers] == [200, 404]
        assert answers[0].content == film
        assert not stored()

    async def test_of_a_part_deletes_nothing(self, customer, finished, film):
        job = await finished() | {"delete_media_on_completion": True}
        answer = await customer.retrieve(job, range="bytes=0-99")
        assert (answer.status_code, answer.content) == (206, film[:100])
        assert (await customer.retrieve(job)).status_code == 200

    @pytest.mark.parametrize(
        ("kind", "status", "error"),
        [("bad_input", 422, "The picture is upside down"), ("crash", 500, None)],
    )
    async def test_of_a_failed_job_repeats_itself(
        self, open_customer, hand, yard, kind, status, error
    ):
        customer = await open_customer(credit_micros=1_000_000)
        job = await customer.queue()
        for _ in range(1 if kind == "bad_input" else 3):
            assert (await hand.fail(await hand.take(), kind, error)).status_code == 204
        answers = [await customer.retrieve(job) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {status}
        assert len({answer.content for answer in answers}) == 1
        body = {"error": error or "Inference processing failed", "credits_refunded": True}
        assert answers[0].json() == body
        assert await money(yard, customer.account_id) == (1_000_000, 0, 1)

    async def test_of_a_job_that_waited_too_long(self, customer, yard):
        job = await customer.queue()
        async with yard.database.transaction() as tx:
            await tx.run(
                "generations.fail",
                queue_id=job["queue_id"],
                failure="queued_too_long",
                message=None,
            )
        answer = await customer.retrieve(job)
        assert answer.status_code == 503
        error = "The model is at capacity. Please try again later."
        assert answer.json() == {"error": error, "credits_refunded": True}


class TestComplete:
    async def test_while_it_waits_or_renders(self, customer, hand):
        job = await customer.queue()
        assert (await customer.post("complete", job)).json() == {"success": False}
        await hand.take()
        answer = await customer.post("complete", job)
        assert (answer.status_code, answer.json()) == (200, {"success": False})

    async def test_twice(self, customer, finished, stored):
        job = await finished()
        for _ in range(2):
            assert (await customer.post("complete", job)).json() == {"success": True}
        assert (await customer.retrieve(job)).status_code == 404
        assert not stored()

    @pytest.mark.parametrize("kind", ["bad_input", "crash"])
    async def test_of_a_failed_job_changes_nothing(self, customer, hand, kind):
        job = await customer.queue()
        for _ in range(1 if kind == "bad_input" else 3):
            await hand.fail(await hand.take(), kind, "The picture is upside down")
        before = await customer.retrieve(job)
        assert before.json()["credits_refunded"] is True
        for _ in range(2):
            assert (await customer.post("complete", job)).json() == {"success": True}
        after = await customer.retrieve(job)
        assert (after.status_code, after.content) == (before.status_code, before.content)

    async def test_of_what_has_expired(self, customer, finished, yard):
        job = await finished()
        async with yard.database.transaction() as tx:
            await tx._connection.execute("UPDATE generations SET expires_at = now()")
        await upkeep.expire(yard)
        for _ in range(2):
            answer = await customer.retrieve(job)
            assert answer.status_code == 404
            assert answer.json()["error"].startswith("Media could not be found")
        assert (await customer.post("complete", job)).json() == {"success": True}
