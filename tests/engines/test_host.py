import asyncio
import os
import platform
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from squero.confine import kernel_walls
from squero.engines.host import Host, Interrupted
from squero.engines.messages import Done
from squero.engines.process import environment
from squero.engines.reports import Listener
from squero.shot import (
    BadInput,
    Crashed,
    DeadlineExceeded,
    OutOfMemory,
    RenderError,
    Shot,
    Stopped,
    UpstreamFailed,
)

pytestmark = pytest.mark.anyio

ShotOf = Callable[..., Shot]
Rendering = Callable[..., Awaitable[Done]]
SECRET = "an otter steals the doge's velvet hat"


@pytest.fixture
async def host(plugin: Path, tmp_path: Path) -> AsyncIterator[Host]:
    host = Host("obedient", {"mark": "marked"}, tmp_path, grace_seconds=0.2)
    yield host
    await host.aclose()


@pytest.fixture
def render(host: Host, tmp_path: Path, shot_of: ShotOf) -> Rendering:
    async def run(prompt: str, deadline_seconds: float = 30) -> Done:
        return await host.render(shot_of(prompt), tmp_path / "out.mp4", deadline_seconds)

    return run


async def when_it_renders(host: Host, shot: Shot, out: Path) -> "asyncio.Task[Done]":
    """The running task of a render whose engine has told its first progress."""
    told = asyncio.Event()
    task = asyncio.create_task(host.render(shot, out, 30, Listener(lambda _: told.set())))
    await asyncio.wait_for(told.wait(), 30)
    return task


class TestRender:
    async def test_gives_facts_progress_and_a_private_file(
        self, host: Host, shot_of: ShotOf, tmp_path: Path
    ) -> None:
        shares: list[float] = []
        done = await host.render(
            shot_of("succeed"), tmp_path / "out.mp4", 30, Listener(shares.append)
        )
        assert shares == [0.5]
        assert 0 <= done.seconds < 30
        assert done.peak_bytes > 1_000_000
        assert (tmp_path / "out.mp4").stat().st_mode & 0o777 == 0o600

    async def test_passes_options_and_stays_warm(self, render: Rendering, tmp_path: Path) -> None:
        written = []
        for _ in range(2):
            await render("succeed")
            written.append((tmp_path / "out.mp4").read_text())
        assert written[0] == written[1]
        assert written[0].split()[1:] == ["1", "marked"]

    async def test_after_load_uses_that_child(
        self, host: Host, render: Rendering, tmp_path: Path
    ) -> None:
        await host.load()
        pid = host.pid
        await render("succeed")
        assert (tmp_path / "out.mp4").read_text().startswith(f"{pid} ")

    async def test_one_at_a_time(self, host: Host, shot_of: ShotOf, tmp_path: Path) -> None:
        first = await when_it_renders(host, shot_of("wait"), tmp_path / "a.mp4")
        with pytest.raises(RuntimeError, match="busy"):
            await host.render(shot_of("succeed"), tmp_path / "b.mp4", 30)
        host.stop()
        with pytest.raises(Stopped):
            await first

    async def test_an_idle_child_that_died_is_replaced(self, host: Host, render: Rendering) -> None:
        await render("succeed")
        pid = host.pid
        with open_pidfd(pid) as gone:
            gone.kill()
            assert gone.wait(10)
        while host._child and host._child.is_alive:
            await asyncio.sleep(0)
        await render("succeed")
        assert host.pid != pid

    async def test_cancelled_kills_the_child(
        self, host: Host, shot_of: ShotOf, tmp_path: Path
    ) -> None:
        task = await when_it_renders(host, shot_of("hang"), tmp_path / "out.mp4")
        with open_pidfd(host.pid) as gone:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert gone.wait(0)
        assert host.pid is None

    @pytest.mark.parametrize("error", [Stopped, BadInput, ZeroDivisionError])
    async def test_an_error_of_the_listener_kills_the_child(
        self, host: Host, shot_of: ShotOf, tmp_path: Path, error: type[Exception]
    ) -> None:
        def fail(share: float) -> None:
            raise error

        with pytest.raises(error):
            await host.render(shot_of("hang"), tmp_path / "out.mp4", 30, Listener(fail))
        assert host.pid is None
        await host.render(shot_of("succeed"), tmp_path / "out.mp4", 30)


class TestFailures:
    @pytest.mark.parametrize(
        ("prompt", "error", "words"),
        [
            ("die", Crashed, "The engine's process ended (signal 9)"),
            ("leave", Crashed, r"SystemExit at squero_fakes.py:\d+ in leave"),
            ("fail", Crashed, r"ValueError at squero_fakes.py:\d+ in fail"),
            ("swell", OutOfMemory, r"MemoryError at squero_fakes.py:\d+ in swell"),
            ("starve", OutOfMemory, r"OutOfMemory at squero_fakes.py:\d+ in starve"),
            ("ramble", Crashed, r"ValueError at child.py:\d+ in _tell"),
        ],
    )
    async def test_a_fresh_child_follows(
        self, host: Host, render: Rendering, prompt: str, error: type[RenderError], words: str
    ) -> None:
        await host.load()
        pid = host.pid
        with pytest.raises(error) as caught:
            await render(f"{prompt} {SECRET}")
        assert_matches(str(caught.value), words)
        assert SECRET not in str(caught.value)
        await render("succeed")
        assert host.pid not in (None, pid)

    async def test_bad_input_speaks_and_keeps_the_child(
        self, host: Host, render: Rendering
    ) -> None:
        await host.load()
        pid = host.pid
        with pytest.raises(BadInput, match=r"^The image shows no gondola$"):
            await render("refuse")
        await render("succeed")
        assert host.pid == pid

    async def test_an_upstreams_keeps_the_child(self, host: Host, render: Rendering) -> None:
        await host.load()
        pid = host.pid
        with pytest.raises(UpstreamFailed, match=r"UpstreamFailed at squero_fakes.py"):
            await render("falter")
        assert host.pid == pid

    @pytest.mark.parametrize(
        "line",
        [
            "garbage",
            "[]",
            "{}",
            '{"message": "done", "number": 1}',
            '{"message": "done", "number": 1, "seconds": "1", "peak_bytes": 1}',
            '{"message": "progress", "number": 1, "share": 2}',
            '{"message": "progress", "number": 1, "share": NaN}',
            '{"message": "progress", "number": 9, "share": 0.5}',
            '{"message": "failed", "number": 1, "kind": "deadline", "words": ""}',
            '{"message": "loaded"}',
            "x" * 5_000,
            "x" * 200_000,
        ],
        ids=lambda line: line[:60],
    )
    async def test_a_broken_protocol_is_a_crash(self, render: Rendering, line: str) -> None:
        with pytest.raises(Crashed, match="broke the protocol"):
            await render(f"garble {line}")

    async def test_the_deadline(self, host: Host, render: Rendering) -> None:
        await host.load()
        with open_pidfd(host.pid) as gone:
            with pytest.raises(DeadlineExceeded):
                await render("hang", deadline_seconds=0.3)
            assert gone.wait(0)
        await render("succeed")

    async def test_an_engine_that_does_not_load(self, plugin: Path, tmp_path: Path) -> None:
        host = Host("broken", {}, tmp_path)
        with pytest.raises(Crashed, match=r"did not load: RuntimeError at squero_fakes\.py"):
            await host.load()
        assert host.pid is None

    async def test_an_engine_that_is_too_large(self, plugin: Path, tmp_path: Path) -> None:
        host = Host("broken", {"large": True}, tmp_path)
        with pytest.raises(OutOfMemory, match=r"did not load: MemoryError at squero_fakes\.py"):
            await host.load()
        assert host.pid is None

    def test_an_unknown_engine(self, tmp_path: Path) -> None:
        with pytest.raises(LookupError, match="nowhere"):
            Host("nowhere", {}, tmp_path)


class TestNetwork:
    @pytest.mark.parametrize("network", [False, True])
    async def test_is_there_for_who_asks(
        self, plugin: Path, tmp_path: Path, shot_of: ShotOf, network: bool
    ) -> None:
        host = Host("obedient", {"network": network}, tmp_path)
        try:
            await host.render(shot_of("dial"), tmp_path / "out.mp4", 30)
        finally:
            await host.aclose()
        has_filter = "seccomp" in kernel_walls() and platform.machine() in ("x86_64", "aarch64")
        inet = ["AF_INET", "AF_INET6"] if network or not has_filter else []
        assert (tmp_path / "out.mp4").read_text().split()[2:] == ["AF_UNIX", *inet]


class Painting:
    """A render that is drawn, and whose rest waits until it is let go on."""

    def __init__(self, host: Host, shot_of: ShotOf, folder: Path) -> None:
        self._pipe = folder / "pipe"
        os.mkfifo(self._pipe)
        self.out = folder / "painted.mp4"
        self._drawn = asyncio.Event()
        self._shot = shot_of(f"paint {self._pipe}")
        self._host = host

    async def drawn(self, deadline_seconds: float = 30) -> "asyncio.Task[Done]":
        listener = Listener(drawn=self._drawn.set)
        render = self._host.render(self._shot, self.out, deadline_seconds, listener)
        task = asyncio.create_task(render)
        await asyncio.wait_for(self._drawn.wait(), 30)
        return task

    def go_on(self, how: str) -> None:
        self._pipe.write_text(how)


@pytest.fixture
def painting(host: Host, shot_of: ShotOf, tmp_path: Path) -> Painting:
    return Painting(host, shot_of, tmp_path)


class TestRest:
    async def test_goes_on_beside_the_next_render(
        self, host: Host, painting: Painting, render: Rendering, tmp_path: Path
    ) -> None:
        task = await painting.drawn()
        await render("succeed")
        assert not task.done()
        assert not painting.out.exists()
        painting.go_on("succeed")
        await task
        assert painting.out.read_text() == (tmp_path / "out.mp4").read_text()

    @pytest.mark.parametrize(
        ("how", "error"), [("refuse", BadInput), ("fail", Crashed), ("starve", OutOfMemory)]
    )
    async def test_fails_by_itself(
        self, host: Host, painting: Painting, render: Rendering, how: str, error: type[Exception]
    ) -> None:
        task, pid = await painting.drawn(), host.pid
        painting.go_on(how)
        with pytest.raises(error):
            await task
        await render("succeed")
        assert host.pid == pid

    async def test_dies_with_the_child(self, host: Host, painting: Painting) -> None:
        task = await painting.drawn()
        painting.go_on("die")
        with pytest.raises(Crashed, match="signal 9"):
            await task

    async def test_hangs_no_longer_than_its_deadline(
        self, host: Host, painting: Painting, render: Rendering
    ) -> None:
        await host.load()
        pid = host.pid
        task = await painting.drawn(deadline_seconds=0.5)
        with pytest.raises(DeadlineExceeded):
            await task
        await render("succeed")
        assert host.pid != pid

    @pytest.mark.parametrize("victim", ["the rest", "the next"])
    async def test_who_is_to_blame_for_a_death_under_two_is_not_known(
        self, host: Host, painting: Painting, shot_of: ShotOf, tmp_path: Path, victim: str
    ) -> None:
        rest = await painting.drawn()
        pipe = tmp_path / "next"
        os.mkfifo(pipe)
        shot = shot_of(f"hold {pipe}" if victim == "the rest" else f"die_after {pipe}")
        following = await when_it_renders(host, shot, tmp_path / "out.mp4")
        if victim == "the rest":
            painting.go_on("die")
        else:
            pipe.write_text("go")
        ended = await asyncio.gather(rest, following, return_exceptions=True)
        assert [type(one) for one in ended] == [Interrupted, Interrupted]

    async def test_that_hangs_is_to_blame_and_not_the_next(
        self, host: Host, painting: Painting, shot_of: ShotOf, tmp_path: Path
    ) -> None:
        await host.load()
        rest = await painting.drawn(deadline_seconds=1.0)
        following = await when_it_renders(host, shot_of("hang"), tmp_path / "out.mp4")
        ended = await asyncio.gather(rest, following, return_exceptions=True)
        assert [type(one) for one in ended] == [DeadlineExceeded, Interrupted]

    async def test_does_not_suffer_from_a_stop_of_the_next(
        self, host: Host, painting: Painting, shot_of: ShotOf, tmp_path: Path
    ) -> None:
        rest = await painting.drawn()
        hanging = await when_it_renders(host, shot_of("hang"), tmp_path / "out.mp4")
        host.stop()
        await asyncio.sleep(0.3)  # longer than the grace, after which it would be killed
        assert not hanging.done()
        painting.go_on("succeed")
        await rest
        with pytest.raises(Stopped):
            await hanging

    async def test_that_nobody_waits_for_is_no_breach(
        self, host: Host, painting: Painting, render: Rendering
    ) -> None:
        task, pid = await painting.drawn(), host.pid
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        painting.go_on("succeed")
        await render("succeed")
        assert host.pid == pid


class TestNote:
    async def test_is_heard_at_once(self, host: Host, shot_of: ShotOf, tmp_path: Path) -> None:
        notes: list[str] = []
        shot = shot_of("note", key="job", note="this")
        await host.render(shot, tmp_path / "out.mp4", 30, Listener(note=notes.append))
        assert notes == ["job after this"]

    async def test_settle_reaches_the_engine(
        self, host: Host, render: Rendering, tmp_path: Path
    ) -> None:
        await render("succeed")
        pid = host.pid
        await host.settle("one")
        await host.settle("fail here")
        await host.settle("two")
        assert (tmp_path / "settled").read_text() == "one\ntwo\n"
        assert host.pid == pid

    async def test_settle_beside_a_render(
        self, host: Host, shot_of: ShotOf, tmp_path: Path
    ) -> None:
        task = await when_it_renders(host, shot_of("wait"), tmp_path / "out.mp4")
        await host.settle("one")
        assert (tmp_path / "settled").read_text() == "one\n"
        assert not task.done()
        host.stop()
        with pytest.raises(Stopped):
            await task

    async def test_a_render_beside_a_settle(
        self, host: Host, render: Rendering, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "settling")
        await render("succeed")
        settling = asyncio.create_task(host.settle("one"))
        await asyncio.sleep(0)
        await render("succeed")
        assert not settling.done()
        (tmp_path / "settling").write_text("go")
        await settling

    async def test_settle_and_render_share_a_fresh_child(
        self, host: Host, render: Rendering, tmp_path: Path
    ) -> None:
        await asyncio.gather(host.settle("one"), render("succeed"))
        assert (tmp_path / "out.mp4").read_text().split()[1] == "1"  # one child, loaded once

    async def test_settle_finds_a_fresh_child(self, host: Host, tmp_path: Path) -> None:
        await host.settle("one")
        assert (tmp_path / "settled").read_text() == "one\n"


class TestPrice:
    @pytest.mark.parametrize(("audio", "micros"), [(True, 12_000), (False, None)])
    async def test_is_the_engines(
        self, host: Host, shot_of: ShotOf, audio: bool, micros: int | None
    ) -> None:
        assert await host.price(shot_of("", audio=audio)) == micros

    @pytest.mark.parametrize(("engine", "alone"), [("motion", False), ("broken", True)])
    async def test_of_an_engine_that_has_none(
        self, plugin: Path, tmp_path: Path, shot_of: ShotOf, engine: str, alone: bool
    ) -> None:
        """For that alone it is not loaded, which `broken` would not survive."""
        host = Host(engine, {}, tmp_path, prices_alone=alone)
        try:
            assert await host.price(shot_of("")) is None
        finally:
            await host.aclose()

    async def test_an_upstreams_failure_keeps_the_child(self, host: Host, shot_of: ShotOf) -> None:
        await host.load()
        pid = host.pid
        with pytest.raises(UpstreamFailed):
            await host.price(shot_of("falter"))
        assert await host.price(shot_of("", audio=True)) == 12_000
        assert host.pid == pid

    @pytest.mark.parametrize("prompt", ["die", "fail", "leave"])
    async def test_a_fresh_child_follows_a_death(
        self, host: Host, shot_of: ShotOf, prompt: str
    ) -> None:
        with pytest.raises(Crashed):
            await host.price(shot_of(prompt))
        assert await host.price(shot_of("", audio=True)) == 12_000

    async def test_has_a_deadline(
        self, host: Host, shot_of: ShotOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("squero.engines.host.PRICE_SECONDS", 0.2)
        await host.load()
        with pytest.raises(DeadlineExceeded):
            await host.price(shot_of("hang"))
        assert host.pid is None


class TestStop:
    async def test_heeded_keeps_the_child(
        self, host: Host, shot_of: ShotOf, tmp_path: Path, render: Rendering
    ) -> None:
        task = await when_it_renders(host, shot_of("wait"), tmp_path / "out.mp4")
        pid = host.pid
        host.stop()
        with pytest.raises(Stopped):
            await task
        await render("succeed")
        assert host.pid == pid

    async def test_ignored_kills_within_the_grace(
        self, host: Host, shot_of: ShotOf, tmp_path: Path, render: Rendering
    ) -> None:
        task = await when_it_renders(host, shot_of("hang"), tmp_path / "out.mp4")
        pid, began = host.pid, time.monotonic()
        host.stop()
        host.stop()
        with pytest.raises(Stopped):
            await task
        assert 0.2 <= time.monotonic() - began < 5
        await render("succeed")
        assert host.pid != pid

    async def test_has_the_time_of_one_step(
        self, host: Host, shot_of: ShotOf, tmp_path: Path, render: Rendering
    ) -> None:
        strides = asyncio.Event()
        listener = Listener(lambda share: strides.set() if share > 0.5 else None)
        task = asyncio.create_task(
            host.render(shot_of("stride"), tmp_path / "out.mp4", 30, listener)
        )
        await asyncio.wait_for(strides.wait(), 30)
        pid = host.pid
        host.stop()  # a step takes thrice the fixture's grace
        with pytest.raises(Stopped):
            await task
        await render("succeed")
        assert host.pid == pid

    async def test_remembers_how_long_a_step_took(
        self, host: Host, shot_of: ShotOf, tmp_path: Path, render: Rendering
    ) -> None:
        await render("strides")
        task = await when_it_renders(host, shot_of("stride"), tmp_path / "out.mp4")
        pid = host.pid
        host.stop()  # before its first step
        with pytest.raises(Stopped):
            await task
        await render("succeed")
        assert host.pid == pid

    async def test_while_loading(self, host: Host, shot_of: ShotOf, tmp_path: Path) -> None:
        task = asyncio.create_task(host.render(shot_of("hang"), tmp_path / "o.mp4", 30))
        await asyncio.sleep(0)
        host.stop()
        with pytest.raises(Stopped):
            await task

    async def test_idle_does_nothing(self, host: Host, render: Rendering) -> None:
        host.stop()
        await render("succeed")

    async def test_close_stops_a_render(self, host: Host, shot_of: ShotOf, tmp_path: Path) -> None:
        task = await when_it_renders(host, shot_of("hang"), tmp_path / "out.mp4")
        await host.aclose()
        with pytest.raises(Stopped):
            await task


class TestPrivacy:
    async def test_the_log_gets_lines_but_not_the_prompt(
        self, host: Host, render: Rendering
    ) -> None:
        with capture_logs() as entries:
            with pytest.raises(Crashed):
                await render(f"blurt {SECRET}")
            await host.aclose()
        says = [entry["says"] for entry in entries]
        assert "a print of the engine" in says
        assert any(line.startswith("ValueError at squero_fakes.py") for line in says)
        assert "otter" not in str(entries)

    async def test_the_child_sees_no_setting_and_shows_no_prompt(
        self, render: Rendering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SQUERO_WORKER_TOKEN", "token")
        await render(f"look {SECRET}")
        seen = (tmp_path / "out.mp4").read_text()
        assert "-m squero.engines.child" in seen
        assert f"cwd={tmp_path} tmp={tmp_path} umask=77" in seen
        assert "SQUERO_" not in seen
        assert "otter" not in seen


PARENT = """
import asyncio, sys
from pathlib import Path
from squero.engines.host import Host
from squero.engines.reports import Listener
from squero.shot import Shot

async def main():
    host = Host("obedient", {}, Path(sys.argv[1]))
    shot = Shot(prompt=sys.argv[2], width=2, height=2, frames=1, fps=1, seed=1)
    tell = lambda share: print(host.pid, flush=True)
    await host.render(shot, Path(sys.argv[1]) / "out.mp4", 60, Listener(tell))

asyncio.run(main())
"""


class TestDeathOfTheParent:
    @pytest.mark.parametrize("prompt", ["hang", "clutch"])
    def test_takes_the_child_along(self, plugin: Path, tmp_path: Path, prompt: str) -> None:
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(plugin), *filter(None, sys.path)])}
        command = [sys.executable, "-c", PARENT, str(tmp_path), prompt]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as parent:
            assert parent.stdout is not None
            try:
                pid = next(int(line) for line in parent.stdout if line.strip().isdigit())
                with open_pidfd(pid) as gone:
                    assert not gone.wait(0)
                    parent.kill()
                    assert gone.wait(10)
            finally:
                parent.kill()

    def test_a_closed_pipe_ends_the_child(self) -> None:
        command = [sys.executable, "-m", "squero.engines.child", str(os.getpid())]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
            assert child.stdin is not None
            child.stdin.close()
            assert child.wait(10) == 1

    def test_a_parent_that_died_at_once(self) -> None:
        command = [sys.executable, "-m", "squero.engines.child", "1"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
            assert child.wait(10) == 1


class open_pidfd:  # noqa: N801
    """A process, to be awaited though it is not our child, and though its id may be reused."""

    def __init__(self, pid: int | None) -> None:
        assert pid is not None
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> "open_pidfd":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def kill(self) -> None:
        signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within this time."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])


def assert_matches(text: str, pattern: str) -> None:
    assert text == pattern or re.fullmatch(pattern, text), text


def test_a_child_sees_the_gpus_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert environment(tmp_path)["CUDA_VISIBLE_DEVICES"] == "0,1,2"
    given = environment(tmp_path, gpus=["GPU-a", "GPU-b"])
    assert given["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"


def test_keys_of_upstreams_are_for_engines_that_have_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_ONE_KEY", "secret")
    monkeypatch.setenv("SQUERO_WORKER_TOKEN", "secret")
    assert "secret" not in environment(tmp_path).values()
    assert environment(tmp_path, upstreams=True)["UPSTREAM_ONE_KEY"] == "secret"
    assert "SQUERO_WORKER_TOKEN" not in environment(tmp_path, upstreams=True)
