"""`squero video` against a server that says what the test wants."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from squero.cli.video import run

MP4 = b"\0\0\0\x18ftypisom" + b"pixels" * 50_000
QUEUE_ID = "123e4567-e89b-12d3-a456-426614174000"
PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n...", b"\xff\xd8\xff\xe0...", b"RIFF\n\0\0\0WEBPVP8 "

Answer = tuple[int, Any, dict[str, str]]


class Yard:
    """A server: each call answers the next of its list, and the last of it for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.held = ""
        self.reached, self.released = Event(), Event()
        self.answers: dict[str, list[Answer]] = {
            "quote": [(200, {"quote": 0.1}, {})],
            "queue": [(200, {}, {})],
            "retrieve": [(200, MP4, {})],
            "complete": [(200, {"success": True}, {})],
        }

    def answer(self, call: str, body: dict[str, Any]) -> Answer:
        self.heard.append((call, body))
        if call == self.held:
            self.reached.set()
            self.released.wait(30)
        steps = self.answers[call]
        status, answer, headers = steps.pop(0) if len(steps) > 1 else steps[0]
        if call == "queue" and status == 200:
            answer = {"model": body["model"], "queue_id": QUEUE_ID}
        return status, answer, headers

    @property
    def calls(self) -> list[str]:
        return [call for call, _ in self.heard]


def working(elapsed: int = 2000, **headers: str) -> Answer:
    body = {
        "status": "PROCESSING",
        "average_execution_time": 9000,
        "execution_duration": elapsed,
    }
    return 200, body, {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Yard]:
    yard = Yard()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer, headers = yard.answer(self.path.rpartition("/")[2], body)
            is_video = isinstance(answer, bytes)
            data = answer if is_video else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "video/mp4" if is_video else "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    yard.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("SQUERO_API_KEY", "k3y")
    monkeypatch.setenv("SQUERO_SERVER", yard.url)
    monkeypatch.chdir(tmp_path)
    yield yard
    yard.released.set()
    listener.shutdown()
    thread.join()
    listener.server_close()


def stops(code: int, *args: Any, **more: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*args, **more)
    assert caught.value.code == code


class TestRun:
    def test_whole_way(
        self, yard: Yard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        yard.answers["retrieve"][:0] = [
            working(x_squero_position="2", x_squero_remaining_ms="61000"),
            working(x_squero_remaining_ms="4100"),
        ]
        run("a gondola", output=tmp_path / "a.mp4")
        assert (tmp_path / "a.mp4").read_bytes() == MP4
        assert capsys.readouterr().out.splitlines() == [
            "Price: $0.10",
            f"Queued as {QUEUE_ID}",
            "Waiting at place 2, about 1 min 1 s left",
            "Rendering, about 5 s left",
            f"Saved {tmp_path}/a.mp4 (301 kB)",
            "Deleted the server's copy",
        ]
        assert yard.calls == ["quote", "queue", "retrieve", "retrieve", "retrieve", "complete"]
        assert yard.heard[1][1] == {
            "model": "motion-text-to-video",
            "prompt": "a gondola",
            "duration": "5s",
        }

    def test_every_option(self, yard: Yard) -> None:
        run("a", model="m", duration="10s", resolution="480p", aspect_ratio="9:16")
        assert yard.heard[1][1] == {
            "model": "m",
            "prompt": "a",
            "duration": "10s",
            "resolution": "480p",
            "aspect_ratio": "9:16",
        }

    def test_remaining_without_the_header(
        self, yard: Yard, capsys: pytest.CaptureFixture[str]
    ) -> None:
        yard.answers["retrieve"].insert(0, working(2500))
        run("a")
        assert "Rendering, about 7 s left" in capsys.readouterr().out

    def test_longer_than_usual(self, yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
        yard.answers["retrieve"].insert(0, working(12_000))
        run("a")
        assert "Rendering, longer than usual" in capsys.readouterr().out

    def test_bar(
        self, yard: Yard, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "120")
        yard.answers["retrieve"].insert(0, working(x_squero_remaining_ms="4100"))
        run("a", output=Path("a.mp4"))
        out = capsys.readouterr().out
        assert "\x1b[" in out
        assert re.search(r"Rendering .*about 5 s left", out)
        assert "Saved a.mp4" in out

    def test_another_server(self, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SQUERO_SERVER", "http://127.0.0.1:1")
        run("a", server=yard.url)
        assert yard.calls[0] == "quote"


class TestImage:
    @pytest.mark.parametrize(
        ("data", "kind"), [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")]
    )
    def test_real_type(self, data: bytes, kind: str, yard: Yard, tmp_path: Path) -> None:
        image = tmp_path / "picture.gif"
        image.write_bytes(data)
        run("a", image=str(image))
        _, sent = yard.heard[1]
        assert sent["model"] == "motion-image-to-video"
        assert sent["image_url"].startswith(f"data:{kind};base64,")
        assert "image_url" not in yard.heard[0][1]

    @pytest.mark.parametrize("url", ["https://a.test/b.png?c=d", "HTTP://a.test"])
    def test_url(self, url: str, yard: Yard) -> None:
        run("a", image=url)
        _, sent = yard.heard[1]
        assert (sent["model"], sent["image_url"]) == ("motion-image-to-video", url)
        assert url not in str(yard.heard[0])

    @pytest.mark.parametrize("data", [b"GIF89a", b"", None])
    def test_unusable(
        self, data: bytes | None, yard: Yard, capsys: pytest.CaptureFixture[str]
    ) -> None:
        image = Path("picture.png")
        if data is not None:
            image.write_bytes(data)
        stops(2, "a", image=str(image))
        assert "picture.png" in capsys.readouterr().err
        assert yard.calls == []


class TestOutput:
    def test_default_name_replaces_nothing(self, yard: Yard, tmp_path: Path) -> None:
        for _ in range(3):
            run("a", model="org/model v1")
        found = sorted(path.name for path in tmp_path.iterdir())
        assert len(found) == 3
        assert all(re.fullmatch(r"org-model-v1-\d{8}-\d{6}(-\d)?\.mp4", name) for name in found)

    def test_named_is_replaced_and_said(
        self, yard: Yard, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("a.mp4").write_bytes(b"old")
        run("a", output=Path("a.mp4"))
        assert Path("a.mp4").read_bytes() == MP4
        assert "in place of the file that was there" in capsys.readouterr().out

    @pytest.mark.parametrize("name", [".", "missing/a.mp4"])
    def test_unusable(self, name: str, yard: Yard) -> None:
        stops(2, "a", output=Path(name))
        assert yard.calls == []


class TestComplete:
    def test_kept(self, yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
        run("a", keep=True)
        assert "complete" not in yard.calls
        assert "keeps its copy" in capsys.readouterr().out

    @pytest.mark.parametrize("answer", [(200, {"success": False}, {}), (400, {"error": "?"}, {})])
    def test_does_not_work(
        self, answer: Answer, yard: Yard, capsys: pytest.CaptureFixture[str]
    ) -> None:
        yard.answers["complete"] = [answer]
        run("a")
        assert "did not delete its copy" in capsys.readouterr().out

    def test_only_for_what_is_saved(self, yard: Yard) -> None:
        yard.answers["retrieve"] = [(200, b"<html>" * 10, {})]
        stops(1, "a")
        assert "complete" not in yard.calls


class TestFailure:
    def test_no_key(
        self, yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("SQUERO_API_KEY")
        stops(2, "a")
        assert "set SQUERO_API_KEY, make one with `squero keys create`" in capsys.readouterr().err
        assert yard.calls == []

    @pytest.mark.parametrize("prompt", ["", "  ", None])
    def test_no_prompt(self, prompt: str | None, yard: Yard) -> None:
        stops(2, prompt)
        assert yard.calls == []

    def test_bad_address(self, yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
        stops(2, "a", server="localhost:8800")
        assert "http://" in capsys.readouterr().err

    def test_no_server(self, yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
        stops(1, "a", server="http://127.0.0.1:1")
        said = capsys.readouterr().err
        assert "is `squero serve` running at http://127.0.0.1:1?" in said
        assert "--resume" not in said

    def test_busy_from_the_start(self, yard: Yard) -> None:
        yard.answers["quote"] = [(503, {"error": "Busy"}, {})]
        stops(1, "a")
        assert yard.calls == ["quote"] * 3

    @pytest.mark.parametrize(
        ("call", "status", "advice"),
        [
            ("queue", 401, "make one with `squero keys create`"),
            ("queue", 402, "squero credit"),
            ("quote", 404, "squero models"),
            ("queue", 413, "status 413"),
        ],
    )
    def test_refused(
        self,
        call: str,
        status: int,
        advice: str,
        yard: Yard,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        yard.answers[call] = [(status, {"error": "No"}, {})]
        stops(1, "a")
        said = capsys.readouterr().err
        assert advice in said
        assert "k3y" not in said
        assert "may have taken" not in said

    def test_issues_are_listed(self, yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
        issues = [
            {"path": ["duration"], "message": "Expected '5s' | '10s'", "code": "custom"},
            {"path": ["audio"], "message": "[bold]Not here", "code": "custom"},
        ]
        yard.answers["queue"] = [(400, {"error": "Invalid", "issues": issues}, {})]
        stops(1, "a")
        said = capsys.readouterr().err.splitlines()
        assert "  duration: Expected '5s' | '10s'" in said
        assert "  audio: [bold]Not here" in said

    @pytest.mark.parametrize("refunded", [True, False])
    def test_job_failed(
        self, refunded: bool, yard: Yard, capsys: pytest.CaptureFixture[str]
    ) -> None:
        body = {"error": "Inference processing failed", "credits_refunded": refunded}
        yard.answers["retrieve"] = [(500, body, {})]
        stops(1, "a")
        said = capsys.readouterr().err
        assert "The job failed: Inference processing failed" in said
        assert ("The charge was refunded." in said) is refunded
        assert "--resume" not in said

    def test_way_back(self, yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
        yard.answers["retrieve"] = [(401, {"error": "No"}, {})]
        stops(1, "a", output=Path("my video.mp4"))
        command = f"squero video --resume {QUEUE_ID} --model motion-text-to-video -o 'my video.mp4'"
        assert command in capsys.readouterr().err


def test_resume(yard: Yard) -> None:
    run(None, model="m", output=Path("a.mp4"), resume=QUEUE_ID)
    assert Path("a.mp4").read_bytes() == MP4
    assert yard.calls == ["retrieve", "complete"]
    assert yard.heard[0][1] == {"model": "m", "queue_id": QUEUE_ID}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("queue", "may have taken the job"),
        ("retrieve", f"--resume {QUEUE_ID}"),
        ("complete", "Stopped."),
    ],
)
def test_interrupted(call: str, words: str, yard: Yard, tmp_path: Path) -> None:
    yard.held = call
    command = [sys.executable, "-c", "from squero.cli.video import run; run('a')"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    ) as process:
        assert yard.reached.wait(30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert words in said
    assert ("--resume" in said) is (call == "retrieve")
    assert "Traceback" not in said
    assert len(list(tmp_path.iterdir())) == (call == "complete")
