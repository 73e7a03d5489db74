"""The way of a shot through upstreams, in both dialects."""

import asyncio
import base64
import dataclasses
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from squero.engines.remote import openai_videos, slots, venice
from squero.engines.remote.fit import is_as_ordered, is_faststart
from squero.engines.remote.relay import Relay
from squero.engines.remote.upstream import OptionsRefused, read
from squero.shot import BadInput, Shot, Stopped, UpstreamFailed
from squero.testing import engine_contract

from .conftest import APPS, Told
from .stub import Step, Upstream, breaks_off, film, says, serving

EngineAt = Callable[..., Relay]


SAID = "a lagoon at dusk"


def is_faststart_of(video: bytes, at: Path) -> bool:
    at.write_bytes(video)
    return is_faststart(at)


def ticket(told: Told) -> dict[str, object]:
    found: dict[str, object] = json.loads(told.notes[-1])
    return found


def gushes(kind: str, status: int = 200) -> tuple[list[int], Step]:
    """An answer without an end, and how much of it was sent."""
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            sent.append(1 << 16)
            yield b" " * sent[-1]
            await asyncio.sleep(0)  # where the client's end is noticed

    return sent, lambda: StreamingResponse(endless(), status, media_type=kind)


def stalls() -> Response | None:
    time.sleep(1.5)
    return None


class TestRender:
    def test_delivers(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        engine = engine_at(server)
        engine.render(shot, out, told)
        assert out.read_bytes() == server.video
        assert ticket(told) == {"upstream": "one", "id": "video_1", "turn": 1}
        assert sorted(told.shares) == told.shares
        assert 0.5 in told.shares
        assert server.deleted == []
        engine.settle(told.notes[-1])
        assert server.deleted == ["video_1"]
        assert server.paid == 1

    def test_sends_its_key(
        self,
        server: Upstream,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        monkeypatch.setenv("UPSTREAM_ONE_KEY", "open-sesame")
        engine_at(server).render(shot, out, told)
        assert server.authorization == "Bearer open-sesame"
        (tmp_path / "key").write_text("from-a-file\n")
        monkeypatch.setenv("UPSTREAM_ONE_KEY_FILE", str(tmp_path / "key"))
        engine_at(server).render(shot, out, told)
        assert server.authorization == "Bearer from-a-file"

    def test_another_size_and_pace_are_fitted(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.video = film(128, 128, 17, 16)
        wanted = dataclasses.replace(shot, audio=True)
        engine_at(server).render(wanted, out, told)
        assert is_as_ordered(out, wanted)

    def test_an_unreadable_video_is_tried_elsewhere(
        self,
        open_upstream: Callable[..., Upstream],
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
    ) -> None:
        bad, good = open_upstream(video=b"no video"), open_upstream()
        engine_at(bad, good).render(shot, out, told)
        assert out.read_bytes() == good.video
        assert bad.deleted == list(bad.jobs)

    def test_an_index_at_the_end_comes_to_the_front(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.video = film(flags="disable_chpl")
        assert not is_faststart_of(server.video, out)
        engine_at(server).render(shot, out, told)
        assert is_faststart(out)
        assert is_as_ordered(out, shot)

    def test_keeps_the_contract_of_engines(self, server: Upstream, engine_at: EngineAt) -> None:
        engine_contract(engine_at(server))

    def test_inputs_go_as_bytes(
        self,
        server: Upstream,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        dialect: str,
        tmp_path: Path,
    ) -> None:
        data = b"\x89PNG and so on \x00"
        (tmp_path / "input-image").write_bytes(data)
        media, types = {"image": tmp_path / "input-image"}, {"image": "image/png"}
        pictured = dataclasses.replace(shot, media=media, types=types)
        engine_at(server).render(pictured, out, told)
        sent = server.jobs["video_1"]
        assert (sent["model"], sent["prompt"], sent["negative_prompt"]) == ("wan", SAID, "blur")
        if dialect == "openai-videos":
            assert sent["input_reference"] == ("image/png", data)
            assert (sent["size"], sent["seconds"], sent["seed"]) == ("96x64", "1", "7")
            assert (sent["fps"], sent["num_frames"]) == ("12", "12")
        else:
            url = "data:image/png;base64," + base64.b64encode(data).decode()
            assert (sent["image_url"], sent["duration"]) == (url, "1s")
            assert (sent["resolution"], sent["aspect_ratio"]) == ("480p", "16:9")
            assert sent["audio"] is False


class TestResume:
    def test_goes_on_where_the_note_says(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("status", lambda: None, says(503))
        engine_at(server).render(shot, out, told)
        again = dataclasses.replace(shot, note=told.notes[-1])
        engine_at(server).render(again, out, told)
        assert (server.paid, server.calls["create"]) == (1, 1)

    def test_without_a_note_the_key_finds_the_job(
        self,
        open_upstream: Callable[..., Upstream],
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
    ) -> None:
        servers = [open_upstream(), open_upstream(), open_upstream()]
        for _ in range(2):
            engine_at(*servers).render(shot, out, told)
        assert sum(one.paid for one in servers) == 1
        assert sum(one.calls["create"] for one in servers) == 2

    def test_a_job_that_is_gone_is_asked_for_anew(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        note = json.dumps({"upstream": "one", "id": "video_9", "turn": 1})
        engine_at(server).render(dataclasses.replace(shot, note=note), out, told)
        assert out.read_bytes() == server.video
        assert ticket(told)["turn"] == 2

    @pytest.mark.parametrize("note", ["", "{", "[]", "3", '{"x": 1}', '{"upstream": "nobody"}'])
    def test_a_note_that_means_nothing(
        self,
        server: Upstream,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        note: str,
    ) -> None:
        engine_at(server).render(dataclasses.replace(shot, note=note), out, told)
        assert server.paid == 1


class TestFailures:
    @pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 502, 503])
    def test_one_that_does_not_take_it_is_passed_over(
        self,
        open_upstream: Callable[..., Upstream],
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        status: int,
    ) -> None:
        servers = [open_upstream(), open_upstream()]
        engine = engine_at(*servers)
        first = engine._pool.order("job-1")[0]
        away, other = servers if first.name == "one" else servers[::-1]
        away.plan("create", says(status))
        engine.render(shot, out, told)
        assert (away.paid, other.paid) == (0, 1)
        assert first not in engine._pool.order("job-1") or other.paid

    @pytest.mark.usefixtures("patient")
    def test_a_lost_answer_is_asked_for_again(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("created", stalls)
        engine_at(server).render(shot, out, told)
        assert (server.paid, server.calls["create"]) == (1, 2)

    def test_all_away_is_a_failure_of_the_upstream(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("create", *[says(503)] * 1000)
        with pytest.raises(UpstreamFailed, match="away"):
            engine_at(server).render(shot, out, told)

    def test_one_that_comes_back_is_waited_for(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("create", says(503), says(429))
        server.plan("status", says(502), says(429), says(503))
        engine_at(server).render(shot, out, told)
        assert server.paid == 1

    def test_silence_while_it_renders(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("status", *[says(503)] * 1000)
        with pytest.raises(UpstreamFailed, match="no news"):
            engine_at(server).render(shot, out, told)
        assert ticket(told)["id"] == "video_1"

    def test_a_video_that_cannot_be_fetched(
        self,
        open_upstream: Callable[..., Upstream],
        engine_at: EngineAt,
        shot: Shot,
        dialect: str,
        out: Path,
        told: Told,
    ) -> None:
        server = open_upstream(polls=1)
        if dialect == "openai-videos":
            server.plan("content", *[says(503)] * 1000)
        else:
            server.plan("status", lambda: None, *[breaks_off(server.video)] * 1000)
        with pytest.raises(UpstreamFailed, match="no news"):
            engine_at(server).render(shot, out, told)
        assert server.paid == 1

    @pytest.mark.parametrize("status", [400, 413, 422])
    def test_a_refusal_is_the_inputs(
        self,
        server: Upstream,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        status: int,
    ) -> None:
        server.plan("create", says(status, error={"message": "a lagoon at dusk is indecent"}))
        with pytest.raises(BadInput) as refused:
            engine_at(server).render(shot, out, told)
        assert "lagoon" not in str(refused.value)

    def test_a_broken_download_goes_on(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told, dialect: str
    ) -> None:
        if dialect == "venice":
            server.polls = 1
            server.plan("status", lambda: None, lambda: None, breaks_off(server.video))
        else:
            server.plan("content", breaks_off(server.video))
        engine_at(server).render(shot, out, told)
        assert out.read_bytes() == server.video
        assert server.paid == 1

    def test_jobs_that_break_there_are_asked_for_under_a_new_key(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told, dialect: str
    ) -> None:
        broken: dict[str, Step] = {
            "openai-videos": says(200, status="failed", error={"code": "internal", "message": "x"}),
            "venice": says(500, error="Inference processing failed", credits_refunded=True),
        }
        server.plan("status", broken[dialect])
        engine_at(server).render(shot, out, told)
        assert server.paid == 2
        assert server.deleted == ["video_1"]
        server.plan("status", *[broken[dialect]] * 3)
        with pytest.raises(UpstreamFailed, match="No upstream's job"):
            engine_at(server).render(dataclasses.replace(shot, key="job-2"), out, told)
        assert ticket(told) == {"upstream": None, "id": None, "turn": 4}

    def test_moderation_while_it_renders(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told, dialect: str
    ) -> None:
        refused: dict[str, Step] = {
            "openai-videos": says(
                200, status="failed", error={"code": "moderation_blocked", "message": "x"}
            ),
            "venice": says(422, error={"message": "x", "credits_refunded": True}),
        }
        server.plan("status", refused[dialect])
        with pytest.raises(BadInput):
            engine_at(server).render(shot, out, told)
        assert server.deleted == ["video_1"]


class TestRestart:
    def test_of_the_upstream_is_waited_for(
        self, engine_at: EngineAt, shot: Shot, out: Path, told: Told, dialect: str
    ) -> None:
        state = Upstream(polls=10**6)
        app = APPS[dialect](state)
        with ThreadPoolExecutor(1) as aside:
            with serving(app, state):
                rendering = aside.submit(engine_at(state).render, shot, out, told)
                while state.calls["status"] < 3:
                    time.sleep(0.01)
            state.polls = 1
            with serving(app, state, int(state.url.rpartition(":")[2])):
                rendering.result(30)
        assert out.read_bytes() == state.video
        assert state.calls["create"] == 1


class TestStop:
    @pytest.mark.parametrize("call", ["create", "status"])
    def test_is_heeded_while_the_upstream_says_nothing(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, call: str
    ) -> None:
        def tell(share: float, note: str | None = None) -> None:
            if server.calls[call]:
                raise Stopped

        server.plan(call, stalls)
        began = time.monotonic()
        with pytest.raises(Stopped):
            engine_at(server).render(shot, out, tell)
        assert time.monotonic() - began < 1

    def test_settle_is_silent_about_an_upstream_that_is_away(
        self, server: Upstream, engine_at: EngineAt
    ) -> None:
        server.plan("delete", *[says(500)] * 10)
        engine_at(server).settle(json.dumps({"upstream": "one", "id": "video_1", "turn": 1}))
        engine_at(server).settle("nothing")
        assert server.deleted == []


class TestLimit:
    def test_is_kept(self) -> None:
        url = f"http://{uuid4()}.test"
        first, second = (slots.take(url, "wan", 2) for _ in range(2))
        assert first is not None and second is not None
        assert slots.take(url, "wan", 2) is None
        assert slots.take(url, "other", 2) is not None
        first.release()
        first.release()  # the second time does nothing
        third = slots.take(url, "wan", 2)
        assert third is not None
        second.release()
        third.release()

    def test_a_refusal_gives_the_place_back(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("create", says(422))
        engine = engine_at(server, limit=1)
        with pytest.raises(BadInput):
            engine.render(shot, out, told)
        place = slots.take(server.url, "wan", 1)
        assert place is not None
        place.release()

    def test_waits_for_a_place(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path
    ) -> None:
        taken = slots.take(server.url, "wan", 1)
        assert taken is not None
        seen: list[float] = []

        def tell(share: float, note: str | None = None) -> None:
            seen.append(share)
            if len(seen) == 5:
                assert server.calls["create"] == 0
                taken.release()

        engine_at(server, limit=1).render(shot, out, tell)
        assert server.paid == 1


class TestOptions:
    @pytest.mark.parametrize(
        ("upstreams", "words"),
        [
            ([], "one at least"),
            ([{"name": "a", "url": "http://a.test"}], "upstreams.0.model: Field required"),
            ([{"name": "A!", "url": "http://a.test", "model": "m"}], "upstreams.0.name"),
            ([{"name": "a", "url": "x", "model": "m", "key": "k"}], "upstreams.0.key"),
            ([{"name": "a", "url": "x", "model": "m", "weight": 0}], "upstreams.0.weight"),
            ([{"name": "a", "url": "x", "model": "m"}] * 2, "its own name"),
        ],
    )
    def test_refused(
        self, engine_at: EngineAt, upstreams: list[dict[str, object]], words: str, dialect: str
    ) -> None:
        from .conftest import ENGINES

        with pytest.raises(OptionsRefused, match=words):
            ENGINES[dialect](upstreams)


def test_weights_are_kept_in_the_long_run() -> None:
    from squero.engines.remote import pool, upstream

    options = [
        {"name": "light", "url": "http://a.test", "model": "m"},
        {"name": "heavy", "url": "http://b.test", "model": "m", "weight": 3},
    ]
    found = pool.Pool(upstream.read(options))
    first = [found.order(f"job-{number}")[0].name for number in range(2000)]
    assert 1400 < first.count("heavy") < 1600


def test_answers_of_json_that_is_none(
    server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
) -> None:
    server.plan("create", lambda: JSONResponse(["x"]), says(200, id="../../x", queue_id="../x"))
    server.plan("status", lambda: JSONResponse(["x"]), says(200, status="dreaming"))
    engine_at(server).render(shot, out, told)
    assert server.paid == 1


class TestEndless:
    """An upstream that says more than anybody asked for."""

    @pytest.mark.parametrize("kind", ["application/json", "text/html"])
    @pytest.mark.parametrize("call", ["create", "status"])
    def test_is_passed_over(
        self,
        server: Upstream,
        engine_at: EngineAt,
        shot: Shot,
        out: Path,
        told: Told,
        call: str,
        kind: str,
    ) -> None:
        sent, endless = gushes(kind)
        server.plan(call, endless)
        engine_at(server).render(shot, out, told)
        assert out.read_bytes() == server.video
        assert server.calls[call] > 1
        assert sum(sent) < 64 << 20

    @pytest.mark.parametrize("dialect", ["venice"])
    def test_list_of_models(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        _, endless = gushes("application/json")
        server.plan("models", endless)
        engine_at(server).render(shot, out, told)
        assert server.calls["models"] == 2

    def test_error(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        _, endless = gushes("application/json", 500)
        server.plan("status", endless)
        engine_at(server).render(shot, out, told)
        assert server.paid == 1

    def test_what_unfolds_is_not_read(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        folded = gzip.compress(b'{"id": "%s"}' % (b"x" * (1 << 24)))
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        server.plan("create", lambda: Response(folded, headers=headers))
        engine_at(server).render(shot, out, told)
        assert server.calls["create"] == 2

    @pytest.mark.usefixtures("patient")
    def test_that_drips(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        async def drips() -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.1)

        server.plan("create", lambda: StreamingResponse(drips(), media_type="application/json"))
        engine_at(server).render(shot, out, told)
        assert server.calls["create"] == 2

    @pytest.mark.parametrize("dialect", ["openai-videos"])
    def test_json_in_place_of_the_video(
        self, server: Upstream, engine_at: EngineAt, shot: Shot, out: Path, told: Told
    ) -> None:
        server.plan("content", says(200, status="completed"))
        engine_at(server).render(shot, out, told)
        assert out.read_bytes() == server.video


class TestFields:
    def test_a_strict_server_gets_the_four(self, shot: Shot) -> None:
        at = read([{"name": "a", "url": "http://a.test", "model": "m"}])[0]
        sent = openai_videos.OpenaiVideos(strict=True)._fields(at, shot)
        assert [name for name, _ in sent] == ["model", "prompt", "size", "seconds"]

    def test_inputs_without_a_place_are_refused(self, shot: Shot, tmp_path: Path) -> None:
        for roles in (["audio"], ["image", "end_image"], ["image", "video"]):
            media = dict.fromkeys(roles, tmp_path / "input")
            with pytest.raises(BadInput, match="nothing else"):
                openai_videos._inputs(dataclasses.replace(shot, media=media))

    def test_what_a_model_does_not_take_is_left_out(self, shot: Shot) -> None:
        at = read([{"name": "a", "url": "http://a.test", "model": "m"}])[0]
        sent = venice._request(at, dataclasses.replace(shot, negative_prompt=""), {})
        assert sent == {"model": "m", "prompt": SAID, "duration": "1s"}

    @pytest.mark.parametrize(
        ("size", "ratio"),
        [((848, 480), "16:9"), ((480, 848), "9:16"), ((480, 480), "1:1"), ((640, 480), "4:3")],
    )
    def test_the_nearest_ratio(self, size: tuple[int, int], ratio: str) -> None:
        listed = ["adaptive", "16:9", "4:3", "1:1", "3:4", "9:16"]
        assert venice._nearest(listed, size[0] / size[1]) == ratio
