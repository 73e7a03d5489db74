"""A worker against a server that says what the test wants; the engine's child is real."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from squero import worker as module
from squero.client import Backoff, Http
from squero.engines.host import Interrupted
from squero.engines.machine import Machine
from squero.worker import TokenRefused, Worker, attempt, berth, progress
from squero.worker.attempt import Attempt

pytestmark = pytest.mark.anyio

QUEUE_ID = "123e4567-e89b-12d3-a456-426614174000"
JOBS = "/worker/v1/jobs/"
QUICK = Backoff(tries=50, total_seconds=60, first_seconds=0.001, cap_seconds=0.002)

Answer = httpx.Response | Exception


def answer(status: int, **body: object) -> httpx.Response:
    return httpx.Response(status, json=body)


class Yard:
    """The server: one job, then none; a call takes its next answer, and the last for ever."""

    def __init__(self) -> None:
        self.prompt = "succeed"
        self.note: str | None = None
        self.inputs: dict[str, str] = {}
        self.models: list[object] = []
        self.jobs = 1
        self.same = False
        self.looks: list[httpx.Response] = []
        self.heard: list[tuple[str, bytes]] = []
        self.happened: dict[str, asyncio.Event] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.answers: dict[str, list[Answer]] = {
            "progress": [answer(200, go_on=True)],
            "result": [answer(204)],
            "failure": [answer(204)],
            "hand-back": [answer(204)],
            "inputs/image": [httpx.Response(200, content=b"picture")],
        }
        self.claims: list[Answer] = []
        self.tasks: list[asyncio.Task[None]] = []

    def claimed(self, attempt: int) -> httpx.Response:
        return answer(
            200,
            queue_id=QUEUE_ID if self.same else f"{QUEUE_ID[:-1]}{attempt - 2}",
            attempt=attempt,
            model="fake",
            engine="obedient",
            options={},
            deadline_seconds=60,
            a_word_of_a_newer_server=1,
            shot={
                "prompt": self.prompt,
                "negative_prompt": "",
                "width": 96,
                "height": 64,
                "frames": 12,
                "fps": 12,
                "seed": 1,
                "audio": False,
                "inputs": self.inputs,
                "note": self.note,
                "a_word_of_a_newer_server": 1,
            },
        )

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/worker/v1/prices":
            return answer(200, models=[])
        call = path.removeprefix("/worker/v1/")
        if path.startswith(JOBS):
            call = call.split("/", 3)[3]
        self.heard.append((call, await request.aread()))
        self.event(call).set()
        if call in self.gates:
            await self.gates[call].wait()
        if call == "models":
            return self.looks.pop(0) if self.looks else answer(200, models=self.models)
        if call == "claim":
            return await self._claim()
        steps = self.answers[call]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, Exception):
            raise step
        body = httpx.ByteStream(step.content)
        return httpx.Response(step.status_code, headers=step.headers, stream=body)

    async def _claim(self) -> httpx.Response:
        if len(self.calls("claim")) <= self.jobs:
            return self.claimed(1 + len(self.calls("claim")))
        self.event("claimed again").set()
        if self.claims and isinstance(self.claims[0], httpx.Response):
            return self.claims[0]
        await asyncio.Event().wait()
        raise AssertionError

    def event(self, call: str) -> asyncio.Event:
        return self.happened.setdefault(call, asyncio.Event())

    def calls(self, call: str) -> list[bytes]:
        return [body for name, body in self.heard if name == call]


@pytest.fixture
def server() -> Yard:
    return Yard()


@pytest.fixture(autouse=True)
def engines(server: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Attempt.run

    async def run(self: Attempt) -> None:
        await whole(self)
        server.event("over").set()

    monkeypatch.setattr(Attempt, "run", run)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "engines" / "plugin"))
    monkeypatch.setattr(attempt, "PROGRESS_SECONDS", 0.02)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)


Run = Callable[[], "asyncio.Task[None]"]


@pytest.fixture
async def run(server: Yard, tmp_path: Path) -> AsyncIterator[Run]:
    """Starts the worker; it is cancelled, as by SIGTERM, when the test is over."""
    tasks = server.tasks
    transport = httpx.MockTransport(server)
    async with Http("http://127.0.0.1:1", "token", backoff=QUICK, transport=transport) as http:

        def start() -> "asyncio.Task[None]":
            tasks.append(asyncio.create_task(Worker(http, tmp_path, Machine((), 10**12)).run()))
            return tasks[-1]

        yield start
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def seen(server: Yard, call: str) -> None:
    """Wait for a call; raises what the worker ends with, should it end before."""
    waits = asyncio.create_task(server.event(call).wait())
    done, _ = await asyncio.wait(
        {waits, *server.tasks}, timeout=30, return_when=asyncio.FIRST_COMPLETED
    )
    waits.cancel()
    for task in done:
        await task
    assert waits in done, f"No {call}"


class TestRender:
    async def test_delivers(self, server: Yard, run: Run, tmp_path: Path) -> None:
        server.inputs = {"image": "image/jpeg"}
        run()
        await seen(server, "over")
        assert len(server.calls("result")) == 1
        assert server.calls("result")[0].split()[0].isdigit()
        await seen(server, "claimed again")
        again = json.loads(server.calls("claim")[1])
        assert again["warm"] == ["fake"]
        assert [path for path in tmp_path.iterdir() if QUEUE_ID in path.name] == []

    async def test_bad_input_in_its_own_words(self, server: Yard, run: Run) -> None:
        server.prompt = "refuse"
        run()
        await seen(server, "over")
        said = {"kind": "bad_input", "message": "The image shows no gondola"}
        assert [json.loads(body) for body in server.calls("failure")] == [said]

    @pytest.mark.parametrize(
        ("prompt", "kind"), [("fail", "crash"), ("die", "crash"), ("starve", "out_of_memory")]
    )
    async def test_failure_without_words(
        self, server: Yard, run: Run, prompt: str, kind: str
    ) -> None:
        server.prompt = f"{prompt} zanipolo"
        with structlog.testing.capture_logs() as logs:
            run()
            await seen(server, "over")
        assert [json.loads(body) for body in server.calls("failure")] == [
            {"kind": kind, "message": None}
        ]
        assert "zanipolo" not in str(logs)

    async def test_scratch_folder_lost(self, server: Yard, run: Run, tmp_path: Path) -> None:
        (tmp_path / f"{QUEUE_ID}-2").write_text("in the way")
        run()
        await seen(server, "over")
        assert json.loads(server.calls("failure")[0])["kind"] == "crash"


class TestAhead:
    async def test_renders_while_a_result_goes_out(self, server: Yard, run: Run) -> None:
        server.jobs = 2
        server.gates["result"] = asyncio.Event()
        run()
        async with asyncio.timeout(30):
            while len(server.calls("result")) < 2:
                server.event("result").clear()
                await server.event("result").wait()
        assert not server.event("over").is_set()

    @pytest.mark.parametrize("waited", [True, False])
    async def test_a_render_that_waited_begins_late(
        self, server: Yard, run: Run, monkeypatch: pytest.MonkeyPatch, waited: bool
    ) -> None:
        monkeypatch.setattr(attempt, "PROGRESS_SECONDS", 30.0)
        monkeypatch.setattr(progress, "WAITED_SECONDS", 0.0 if waited else 30.0)
        server.prompt = "note"
        run()
        await seen(server, "over")
        told = [json.loads(body) for body in server.calls("progress")]
        assert any(one.get("begins") for one in told) == waited

    async def test_a_late_render_lets_others_have_the_next_job(
        self, server: Yard, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(berth, "PATIENCE_SECONDS", 0.01)
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        server.jobs, server.prompt = 2, f"hold {pipe}"
        run()
        await seen(server, "hand-back")
        assert len(server.calls("claim")) == 2
        await asyncio.to_thread(pipe.write_text, "go")
        await seen(server, "result")

    async def test_what_is_in_hand_is_handed_back(
        self, server: Yard, run: Run, tmp_path: Path
    ) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        server.jobs, server.prompt = 2, f"hold {pipe}"
        server.inputs = {"image": "image/jpeg"}
        task = run()
        async with asyncio.timeout(30):
            while len(server.calls("inputs/image")) < 2:
                server.event("inputs/image").clear()
                await server.event("inputs/image").wait()
        task.cancel()
        await asyncio.wait({task}, timeout=30)
        assert len(server.calls("hand-back")) == 2
        assert not server.calls("failure")

    async def test_a_settle_keeps_no_job_waiting(
        self, server: Yard, run: Run, tmp_path: Path
    ) -> None:
        settling = tmp_path / "settling"
        os.mkfifo(settling)
        gate = os.open(settling, os.O_RDWR)  # whoever reads it waits until this is closed
        server.jobs, server.prompt = 2, "note"
        run()
        async with asyncio.timeout(30):
            while len(server.calls("result")) < 2:
                server.event("result").clear()
                await server.event("result").wait()
        assert not server.event("over").is_set()
        settling.unlink()
        os.close(gate)
        await seen(server, "over")


class TestBreaks:
    async def test_what_nobody_foresaw_ends_one_attempt_alone(
        self, server: Yard, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = Attempt._fetch

        async def fail(self: Attempt) -> Any:
            if not server.calls("failure"):
                raise KeyError("zanipolo")
            return await whole(self)

        monkeypatch.setattr(Attempt, "_fetch", fail)
        server.jobs = 2
        with structlog.testing.capture_logs() as logs:
            run()
            await seen(server, "result")
        assert [json.loads(body)["kind"] for body in server.calls("failure")] == ["crash"]
        assert "zanipolo" not in str(logs)

    @pytest.mark.parametrize("claimed", [b"<html>", b"[]", b"{}"])
    async def test_an_answer_that_is_none(self, server: Yard, run: Run, claimed: bytes) -> None:
        server.jobs = 0
        server.claims = [httpx.Response(200, content=claimed)]
        task = run()
        await seen(server, "claimed again")
        await asyncio.sleep(0)
        assert not task.done()

    async def test_nothing_is_claimed_before_the_models_are_known(
        self, server: Yard, run: Run
    ) -> None:
        server.looks = [answer(503), httpx.Response(200, content=b"<html>")]
        run()
        await seen(server, "claim")
        calls = [call for call, _ in server.heard if call in ("models", "claim")]
        assert calls == ["models", "models", "models", "claim"]

    async def test_a_token_that_is_refused_at_the_first_look(self, server: Yard, run: Run) -> None:
        server.looks = [answer(401)]
        with pytest.raises(TokenRefused):
            await asyncio.wait_for(run(), 30)

    async def test_a_second_interruption_is_a_failure(
        self, server: Yard, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def interrupt(*_: object, **__: object) -> None:
            raise Interrupted

        monkeypatch.setattr("squero.engines.host.Host.render", interrupt)
        server.jobs, server.same = 2, True
        run()
        await seen(server, "failure")
        assert len(server.calls("hand-back")) == 1


class TestOut:
    async def test_after_three_failures(self, server: Yard, run: Run) -> None:
        server.jobs, server.prompt = 4, "fail"
        server.models = [
            {"id": "fake", "engine": "motion", "options": {}, "constraints": {}, "needs": {}}
        ]
        run()
        await seen(server, "claim")
        async with asyncio.timeout(60):
            while not json.loads(server.calls("claim")[-1])["troubles"]:
                server.event("claim").clear()
                await server.event("claim").wait()
        assert len(server.calls("failure")) == 3
        assert len(server.calls("hand-back")) == len(server.calls("claim")) - 4


class TestNote:
    async def test_is_reported_at_once_and_settled(
        self, server: Yard, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempt, "PROGRESS_SECONDS", 30.0)
        server.prompt = "note"
        server.gates["result"] = asyncio.Event()
        run()
        await seen(server, "result")
        told = [json.loads(body) for body in server.calls("progress")]
        assert [one["note"] for one in told if "note" in one] == [f"{QUEUE_ID} after None"]
        assert not (tmp_path / "settled").exists()
        server.gates["result"].set()
        await seen(server, "over")
        assert (tmp_path / "settled").read_text() == f"{QUEUE_ID} after None\n"

    async def test_reaches_the_server_before_the_failure(self, server: Yard, run: Run) -> None:
        server.prompt = "note_and_falter"
        away = httpx.ConnectError("refused")
        server.answers["progress"] = [away, answer(200, go_on=True)]
        run()
        await seen(server, "over")
        assert json.loads(server.calls("failure")[0])["kind"] == "upstream"
        calls = [call for call, body in server.heard if call == "failure" or b"note" in body]
        assert calls[-2:] == ["progress", "failure"]

    async def test_of_an_earlier_attempt_comes_to_the_engine(
        self, server: Yard, run: Run, tmp_path: Path
    ) -> None:
        server.prompt, server.note = "note", "before"
        run()
        await seen(server, "over")
        assert (tmp_path / "settled").read_text() == f"{QUEUE_ID} after before\n"

    @pytest.mark.parametrize("is_cancelled", [True, False])
    async def test_is_settled_when_nobody_will_render_it(
        self, server: Yard, run: Run, tmp_path: Path, is_cancelled: bool
    ) -> None:
        server.prompt = "note_and_wait"
        over = answer(200, go_on=False) if is_cancelled else answer(409)
        server.answers["progress"] = [*[answer(200, go_on=True)] * 20, over]
        run()
        await seen(server, "over")
        assert (tmp_path / "settled").exists() == is_cancelled
        assert not server.calls("result")
        assert not server.calls("failure")

    @pytest.mark.parametrize("is_cancelled", [True, False])
    async def test_of_a_job_that_ended_while_its_result_went_out(
        self, server: Yard, run: Run, tmp_path: Path, is_cancelled: bool
    ) -> None:
        server.prompt = "note"
        server.gates["result"] = asyncio.Event()
        server.answers["result"] = [answer(409)]
        run()
        await seen(server, "result")
        over = answer(200, go_on=False) if is_cancelled else answer(409)
        server.answers["progress"] = [over] * 20
        server.gates["result"].set()
        await seen(server, "over")
        assert (tmp_path / "settled").exists() == is_cancelled

    async def test_is_not_settled_when_the_job_is_handed_back(
        self, server: Yard, run: Run, tmp_path: Path
    ) -> None:
        server.prompt = "note_and_wait"
        task = run()
        await seen(server, "progress")
        task.cancel()
        await asyncio.wait({task}, timeout=30)
        assert len(server.calls("hand-back")) == 1
        assert not (tmp_path / "settled").exists()


class TestStop:
    async def test_while_inputs_come(self, server: Yard, run: Run) -> None:
        server.inputs = {"image": "image/jpeg"}
        server.gates["inputs/image"] = asyncio.Event()
        server.answers["progress"] = [answer(409)]
        run()
        await seen(server, "progress")
        for _ in range(100):  # nothing waits for anything but the loop
            await asyncio.sleep(0)
        server.gates["inputs/image"].set()
        await seen(server, "over")
        assert not server.calls("result")
        assert not server.calls("failure")

    @pytest.mark.parametrize("status", [404, 409])
    async def test_while_it_renders(self, server: Yard, run: Run, status: int) -> None:
        server.prompt = "wait"
        server.answers["progress"] = [*[answer(200, go_on=True)] * 20, answer(status)]
        run()
        await seen(server, "over")
        assert not server.calls("result")
        assert not server.calls("failure")

    async def test_revoked_while_it_renders(self, server: Yard, run: Run) -> None:
        server.prompt = "wait"
        server.answers["progress"] = [answer(401)]
        server.claims = [answer(401)]
        task = run()
        with pytest.raises(TokenRefused):
            await asyncio.wait_for(task, 30)
        assert not server.calls("result")

    async def test_told_to_end(self, server: Yard, run: Run) -> None:
        server.prompt = "wait"
        task = run()
        await seen(server, "progress")
        task.cancel()
        await asyncio.wait({task}, timeout=30)
        assert task.cancelled()
        assert len(server.calls("hand-back")) == 1
        assert not server.calls("failure")

    async def test_told_to_end_without_a_job(self, server: Yard, run: Run) -> None:
        task = run()
        await seen(server, "over")
        await seen(server, "claimed again")
        task.cancel()
        await asyncio.wait({task}, timeout=30)
        assert not server.calls("hand-back")


class TestServerAway:
    async def test_result_is_brought_later(self, server: Yard, run: Run) -> None:
        server.inputs = {"image": "image/jpeg"}
        away = httpx.ConnectError("refused")
        server.answers["inputs/image"].insert(0, away)
        server.answers["progress"] = [away]
        server.answers["result"] = [*[away] * 5, answer(503), answer(204)]
        run()
        await seen(server, "over")
        assert len(server.calls("result")) == 7
        assert len(set(server.calls("result"))) == 1
        assert not server.calls("failure")

    @pytest.mark.parametrize(("status", "told"), [(413, 1), (400, 0), (409, 0)])
    async def test_result_is_refused(self, server: Yard, run: Run, status: int, told: int) -> None:
        server.answers["result"] = [answer(status)]
        run()
        await seen(server, "over")
        assert len(server.calls("result")) == 1
        assert len(server.calls("failure")) == told

    async def test_claims_without_haste(
        self, server: Yard, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that stops answers every claim at once."""
        monkeypatch.setattr(module, "AGAIN_SECONDS", 30.0)
        server.claims = [answer(204)]
        run()
        await seen(server, "claimed again")
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(server.calls("claim")) == 2
