import asyncio

import httpx
import pytest
from starlette.responses import Response

from squero.api.quotes import Quote, Quotes
from squero.app import Application

QUOTE = Quote(Response(), ())
URL = "/api/v1/video/quote"
ASKED = {"model": "motion-text-to-video", "duration": "5s"}
JSON = {"content-type": "application/json"}


def test_knows_what_it_was_told():
    quotes = Quotes()
    quotes.keep(b"{}", QUOTE)
    assert quotes.find(b"{}") is QUOTE
    assert quotes.find(b"{ }") is None


def test_keeps_no_prompt():
    quotes = Quotes()
    quotes.keep(b'{"prompt": "a lagoon"}', QUOTE)
    assert quotes.find(b'{"prompt": "a lagoon"}') is None


def test_forgets_the_oldest():
    quotes = Quotes()
    for number in range(513):
        quotes.keep(b"%d" % number, QUOTE)
    assert quotes.find(b"0") is None
    assert quotes.find(b"1") is QUOTE


@pytest.mark.anyio
@pytest.mark.usefixtures("unblocked")
class TestOverHttp:
    @pytest.fixture
    async def client(self, house, serve):
        async with (
            serve(Application(house)) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            yield client

    async def test_is_the_same_for_the_same_words(self, client, house):
        asked = ASKED | {"mark": "the same words"}
        first, again = [await client.post(URL, json=asked) for _ in range(2)]
        assert house.quotes.find(first.request.content) is not None
        assert first.json() == again.json() == {"quote": 0.1}
        assert first.headers.pop("cf-ray") != again.headers.pop("cf-ray")
        for answer in (first, again):
            del answer.headers["date"]
        assert first.headers == again.headers
        assert first.headers["x-venice-model-id"] == ASKED["model"]

    async def test_that_comes_with_a_prompt_is_not_kept(self, client, house):
        answer = await client.post(URL, json=ASKED | {"prompt": "a lagoon"})
        assert answer.status_code == 200
        assert house.quotes.find(answer.request.content) is None

    async def test_refusals_are_made_anew(self, client, house):
        for _ in range(2):
            answer = await client.post(URL, json=ASKED | {"duration": "7s"})
            assert answer.status_code == 400
            assert answer.headers["x-venice-model-id"] == ASKED["model"]
            assert house.quotes.find(answer.request.content) is None

    async def test_known_words_are_held_to_the_limits(self, client, house):
        asked = b'{"model": "motion-text-to-video", "duration": "5s"}'
        assert (await client.post(URL, content=asked, headers=JSON)).status_code == 200
        assert house.quotes.find(asked) is not None
        assert (await client.post(URL, content=asked)).status_code == 415
        packed = JSON | {"content-encoding": "gzip"}
        assert (await client.post(URL, content=asked, headers=packed)).status_code == 415

    async def test_that_brings_media_is_answered(self, client):
        answer = await client.post(URL, json=ASKED | {"image_url": "data:image/png;base64,AAAA"})
        assert answer.json() == {"quote": 0.1}

    async def test_in_pieces(self, client):
        async def pieces():
            for piece in (b'{"model": "motion-text-', b'to-video", "duration"', b': "5s"}'):
                yield piece
                await asyncio.sleep(0.01)

        answer = await client.post(URL, content=pieces(), headers=JSON)
        assert answer.json() == {"quote": 0.1}

    async def test_with_a_key(self, client, customer):
        answers = [await client.post(URL, json=ASKED, headers=customer.headers) for _ in range(2)]
        assert [answer.json() for answer in answers] == 2 * [{"quote": 0.1}]
