"""When a call is made again, how long it waits, and what it never tells."""

import json
import logging
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from squero.client import ApiError, Http, UnexpectedAnswer, Unreachable

pytestmark = pytest.mark.anyio

URL = "http://squero.test"
OK = httpx.Response(200, json={"ok": True})


def refused(status: int, headers: dict[str, str] | None = None, **body: object) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"error": "No.", **body})


class TestRetry:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    async def test_transient_status(self, status: int, clock: Any, script: Any) -> None:
        transport = script(refused(status), refused(status), OK)
        async with Http(URL, "key", backoff=clock.backoff(), transport=transport) as http:
            answer = await http.request("POST", "/x", json={"a": 1})
        assert answer.json() == {"ok": True}
        assert [request.content for request in transport.requests] == [b'{"a": 1}'] * 3

    @pytest.mark.parametrize("status", [302, 400, 401, 402, 404, 409, 413, 415, 422, 501])
    async def test_final_status(self, status: int, clock: Any, script: Any) -> None:
        transport = script(refused(status, {"location": "http://elsewhere.test/"}))
        async with Http(URL, "key", backoff=clock.backoff(), transport=transport) as http:
            with pytest.raises(ApiError) as caught:
                await http.request("POST", "/x")
        assert (caught.value.status, caught.value.message) == (status, "No.")
        assert len(transport.requests) == 1

    @pytest.mark.parametrize(
        "lost",
        [
            httpx.ConnectError("refused"),
            httpx.ReadError("reset"),
            httpx.ReadTimeout("silent"),
            httpx.RemoteProtocolError("gone"),
        ],
    )
    async def test_lost_connection(self, lost: Exception, clock: Any, script: Any) -> None:
        transport = script(lost, OK)
        async with Http(URL, backoff=clock.backoff(), transport=transport) as http:
            assert (await http.request("GET", "/x")).status_code == 200
        assert len(transport.requests) == 2

    async def test_not_wanted(self, clock: Any, script: Any) -> None:
        transport = script(httpx.ReadError("reset"), OK)
        async with Http(URL, backoff=clock.backoff(), transport=transport) as http:
            with pytest.raises(Unreachable):
                await http.request("POST", "/x", retry=False)
        assert len(transport.requests) == 1

    async def test_settled_money_is_final(self, clock: Any, script: Any) -> None:
        transport = script(refused(500, credits_refunded=False), OK)
        async with Http(URL, backoff=clock.backoff(), transport=transport) as http:
            with pytest.raises(ApiError):
                await http.request("POST", "/x")
        assert len(transport.requests) == 1

    async def test_file_is_opened_anew(self, clock: Any, server: Any, tmp_path: Path) -> None:
        plain = server.answer
        video = tmp_path / "video"
        video.write_bytes(bytes(range(256)) * 4000)
        answers = iter([503, 503, 200])

        def answer(heard: Any) -> Any:
            say = plain(heard)
            say.status = next(answers)
            return say

        server.answer = answer
        async with Http(server.url, "token", backoff=clock.backoff()) as http:
            await http.request("PUT", "/result", content=video)
        assert [heard.body for heard in server.heard] == [video.read_bytes()] * 3
        assert {heard.headers["content-length"] for heard in server.heard} == {"1024000"}
        assert "transfer-encoding" not in server.heard[0].headers


class TestWait:
    async def test_doubles_to_the_cap(self, clock: Any, script: Any) -> None:
        async with Http(URL, backoff=clock.backoff(), transport=script(refused(503))) as http:
            with pytest.raises(ApiError):
                await http.request("GET", "/x")
        assert clock.slept == [1, 2, 4, 5, 5]

    async def test_full_jitter(self, clock: Any, script: Any) -> None:
        backoff = clock.backoff(jitter=0.25)
        async with Http(URL, backoff=backoff, transport=script(refused(503))) as http:
            with pytest.raises(ApiError):
                await http.request("GET", "/x")
        assert clock.slept == [0.25, 0.5, 1, 1.25, 1.25]

    async def test_bounded_in_time(self, clock: Any, script: Any) -> None:
        backoff = clock.backoff(tries=1000, total_seconds=20)
        async with Http(URL, backoff=backoff, transport=script(refused(503))) as http:
            with pytest.raises(ApiError):
                await http.request("GET", "/x")
        assert sum(clock.slept) == 17

    async def test_told_by_retry_after(self, clock: Any, script: Any) -> None:
        transport = script(refused(429, {"retry-after": "30"}), OK)
        async with Http(URL, backoff=clock.backoff(0.5), transport=transport) as http:
            await http.request("GET", "/x")
        assert clock.slept == [30.5]

    @pytest.mark.parametrize("unit", [1, 1000])
    async def test_told_by_reset(self, unit: int, clock: Any, script: Any) -> None:
        headers = {"x-ratelimit-reset-requests": str(int(clock.time + 42) * unit)}
        transport = script(refused(429, headers), OK)
        async with Http(URL, backoff=clock.backoff(0), transport=transport) as http:
            await http.request("GET", "/x")
        assert clock.slept == [42]

    async def test_reset_is_by_the_servers_clock(self, clock: Any, script: Any) -> None:
        headers = {"x-ratelimit-reset-requests": "1600000007", "date": formatdate(1_600_000_000)}
        transport = script(refused(429, headers), OK)
        async with Http(URL, backoff=clock.backoff(0), transport=transport) as http:
            await http.request("GET", "/x")
        assert clock.slept == [7]

    async def test_reset_means_nothing_but_on_429(self, clock: Any, script: Any) -> None:
        headers = {"x-ratelimit-reset-requests": str(int(clock.time + 42))}
        transport = script(refused(503, headers), OK)
        async with Http(URL, backoff=clock.backoff(), transport=transport) as http:
            await http.request("GET", "/x")
        assert clock.slept == [1]

    async def test_told_too_long(self, clock: Any, script: Any) -> None:
        transport = script(refused(429, {"retry-after": "86400"}))
        async with Http(URL, backoff=clock.backoff(), transport=transport) as http:
            with pytest.raises(ApiError):
                await http.request("GET", "/x")
        assert clock.slept == []

    @pytest.mark.parametrize("nonsense", ["-5", "nan", "inf", "soon", ""])
    async def test_told_nonsense(self, nonsense: str, clock: Any, script: Any) -> None:
        transport = script(refused(429, {"retry-after": nonsense}), OK)
        async with Http(URL, backoff=clock.backoff(), transport=transport) as http:
            await http.request("GET", "/x")
        assert clock.slept == [1]


class TestAnswerBytes:
    @pytest.mark.parametrize("status", [200, 500])
    async def test_are_the_most(self, status: int, script: Any) -> None:
        body = b'"' + b"x" * 98 + b'"'
        transport = script(httpx.Response(status, content=body))
        async with Http(URL, answer_bytes=99, transport=transport) as http:
            with pytest.raises(UnexpectedAnswer, match="more than 99 bytes"):
                await http.request("GET", "/x", retry=False)
        assert transport.requests[0].headers["accept-encoding"] == "identity"
        transport = script(httpx.Response(200, headers={"x": "y"}, content=body))
        async with Http(URL, answer_bytes=100, transport=transport) as http:
            answer = await http.request("GET", "/x")
        assert (answer.content, answer.headers["x"]) == (body, "y")

    async def test_are_not_those_of_a_file(self, script: Any, tmp_path: Path) -> None:
        headers = {"content-type": "video/mp4", "content-length": "5"}
        transport = script(httpx.Response(200, headers=headers, content=b"video"))
        async with Http(URL, answer_bytes=1, transport=transport) as http:
            path = await http.download("GET", "/x", tmp_path / "video")
        assert path.read_bytes() == b"video"


class TestErrors:
    async def test_issues(self, clock: Any, script: Any) -> None:
        issue = {
            "path": ["duration"],
            "message": "Required",
            "code": "custom",
            "received": "s3cret",
        }
        transport = script(refused(400, issues=[issue]))
        async with Http(URL, transport=transport) as http:
            with pytest.raises(ApiError) as caught:
                await http.request("POST", "/x")
        (found,) = caught.value.issues
        assert (found.path, found.message) == (("duration",), "Required")
        assert "s3cret" not in repr(caught.value.issues)

    async def test_details_tree(self, script: Any) -> None:
        details = {"_errors": [], "image": {"_errors": ["Field is required"]}}
        async with Http(URL, transport=script(refused(400, details=details))) as http:
            with pytest.raises(ApiError) as caught:
                await http.request("POST", "/x")
        assert [(issue.path, issue.message) for issue in caught.value.issues] == [
            (("image",), "Field is required")
        ]

    @pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000, b"\xff", b'{"error": {}}', b"[1]"])
    async def test_strange_body(self, body: bytes, script: Any) -> None:
        async with Http(URL, transport=script(httpx.Response(400, content=body))) as http:
            with pytest.raises(ApiError, match="400: Bad Request"):
                await http.request("POST", "/x")

    async def test_message_is_fit_for_a_terminal(self, script: Any) -> None:
        answer = httpx.Response(400, json={"error": "a\x1b[2J\nb" + "x" * 9999})
        async with Http(URL, transport=script(answer)) as http:
            with pytest.raises(ApiError) as caught:
                await http.request("POST", "/x")
        assert caught.value.message.startswith("a [2J b")
        assert len(caught.value.message) == 500


class TestSecrets:
    @pytest.mark.parametrize("token", ["two words", "line\nbreak", "kéy", "nul\0"])
    def test_impossible_token(self, token: str) -> None:
        with pytest.raises(ValueError, match="character") as caught:
            Http(URL, token)
        assert token not in str(caught.value)

    async def test_nothing_tells(
        self, clock: Any, script: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        transport = script(httpx.ReadError("reset"))
        async with Http(URL, "k3y", backoff=clock.backoff(), transport=transport) as http:
            with pytest.raises(Unreachable) as caught:
                await http.request("POST", "/x", json={"prompt": "pr0mpt"})
        assert transport.requests[0].headers["authorization"] == "Bearer k3y"
        assert json.loads(transport.requests[0].content) == {"prompt": "pr0mpt"}
        told = [caplog.text, repr(http), str(caught.value), repr(caught.value.__cause__)]
        assert not [text for text in told if "k3y" in text or "pr0mpt" in text]

    async def test_broken_surrogate_does_not_quote_the_prompt(self, script: Any) -> None:
        transport = script(OK)
        async with Http(URL, transport=transport) as http:
            await http.request("POST", "/x", json={"prompt": "a\udcffb"})
        assert transport.requests[0].content == b'{"prompt": "a\\udcffb"}'


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        ["127.0.0.1:8800", "ftp://x", "http://", "http://u:p@x", "http://x/?q=1", "http://x:y"],
    )
    def test_unusable(self, url: str) -> None:
        with pytest.raises(ValueError, match="address") as caught:
            Http(url)
        assert "u:p" not in str(caught.value)

    @pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/api/v1", f"{URL}/api/v1/"])
    async def test_root_or_api(self, url: str, script: Any) -> None:
        transport = script(OK)
        async with Http(url, transport=transport) as http:
            await http.request("GET", "/api/v1/models")
        assert str(transport.requests[0].url) == f"{URL}/api/v1/models"

    async def test_no_redirects(self, server: Any) -> None:
        plain = server.answer

        def answer(heard: Any) -> Any:
            say = plain(heard)
            say.status, say.headers = 307, {"location": "/elsewhere"}
            return say

        server.answer = answer
        async with Http(server.url, "key") as http:
            with pytest.raises(ApiError, match="redirects"):
                await http.request("POST", "/x")
        assert [heard.path for heard in server.heard] == ["/x"]

    async def test_proxy_is_for_others(
        self, server: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("HTTP_PROXY", server.url)
        async with Http("http://127.0.0.1:1", backoff=clock.backoff(tries=1)) as http:
            with pytest.raises(Unreachable):
                await http.request("GET", "/mine")
        async with Http("http://squero.invalid") as http:
            await http.request("GET", "/theirs")
        assert [heard.path for heard in server.heard] == ["http://squero.invalid/theirs"]
