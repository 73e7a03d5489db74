"""The model list."""

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]


class TestList:
    @pytest.mark.parametrize("query", ["", "?type=all", "?type=video", "?type=all&page=2"])
    async def test_holds_the_catalogue(self, http, yard, query):
        answer = await http.get(f"/api/v1/models{query}")
        body = answer.json()
        assert answer.status_code == 200
        assert body["object"] == "list"
        assert body["type"] == ("video" if "video" in query else "all")
        assert {entry["id"] for entry in body["data"]} == set(yard.catalog.models)

    @pytest.mark.parametrize("kind", ["text", "image", "tts", "asr", "embedding", "code"])
    async def test_of_another_type_is_empty(self, http, kind):
        answer = await http.get("/api/v1/models", params={"type": kind})
        assert answer.json() == {"object": "list", "type": kind, "data": []}

    async def test_of_an_unknown_type(self, http):
        answer = await http.get("/api/v1/models", params={"type": "smell" * 100})
        assert answer.status_code == 400
        (issue,) = answer.json()["issues"]
        assert issue["path"] == ["type"]
        assert "'video'" in issue["expected"]
        assert issue["received"] == "smell" * 4

    async def test_ignores_a_wrong_key(self, http):
        answer = await http.get("/api/v1/models", headers={"authorization": "Bearer wrong"})
        assert answer.status_code == 200

    async def test_head(self, http):
        answer = await http.head("/api/v1/models")
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0

    async def test_says_what_a_model_takes(self, http):
        listed = (await http.get("/api/v1/models")).json()["data"]
        entry = next(one for one in listed if one["id"] == "wan-2.5-preview-image-to-video")
        assert (entry["owned_by"], entry["type"]) == ("venice.ai", "video")
        assert "pricing" not in entry["model_spec"]
        assert entry["model_spec"]["constraints"] == {
            "model_type": "image-to-video",
            "durations": ["5s", "10s"],
            "resolutions": ["1080p", "720p", "480p"],
            "aspect_ratios": [],
            "audio": True,
            "audio_configurable": False,
            "audio_input": True,
            "video_input": False,
            "prompt_character_limit": 2500,
        }
        assert entry["model_spec"]["offline"] is False

    async def test_says_what_a_video_model_takes(self, http):
        listed = (await http.get("/api/v1/models?type=video")).json()["data"]
        entry = next(one for one in listed if one["id"] == "motion-video-to-video")
        constraints = entry["model_spec"]["constraints"]
        assert (constraints["model_type"], constraints["video_input"]) == ("video", True)


@pytest.mark.parametrize("call", ["traits", "compatibility_mapping"])
class TestNames:
    async def test_there_are_none(self, http, call):
        for query, kind in (("", "text"), ("?type=video", "video"), ("?type=image", "image")):
            answer = await http.get(f"/api/v1/models/{call}{query}")
            assert answer.status_code == 200
            assert answer.json() == {"object": "list", "type": kind, "data": {}}

    @pytest.mark.parametrize("kind", ["smell", "all", "code", ""])
    async def test_of_an_unknown_type(self, http, call, kind):
        answer = await http.get(f"/api/v1/models/{call}", params={"type": kind})
        assert answer.status_code == 400
        assert answer.json()["issues"][0]["path"] == ["type"]

    async def test_head_and_a_wrong_key(self, http, call):
        wrong = {"authorization": "Bearer wrong"}
        answer = await http.head(f"/api/v1/models/{call}", headers=wrong)
        assert (answer.status_code, answer.content) == (200, b"")
