"""Control groups, in a folder that looks like the kernel's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from squero.engines import memory
from squero.engines.host import Host
from squero.engines.machine import GB, Machine
from squero.engines.memory import Group
from squero.needs import Needs
from squero.shot import Crashed, OutOfMemory

UNIT = "system.slice/squero.service"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups with a unit that is delegated to us, and us in its subgroup."""
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUP", tmp_path / "own")
    (tmp_path / "own").write_text(f"0::/{UNIT}/squero\n")
    (tmp_path / UNIT / "squero").mkdir(parents=True)
    (tmp_path / UNIT / "cgroup.procs").touch()
    (tmp_path / UNIT / "cgroup.controllers").write_text("cpu memory pids\n")
    return tmp_path


class TestEnclose:
    def test_in_a_unit_that_is_ours(self, groups: Path) -> None:
        group = memory.enclose(41, 5 * GB)
        assert group == Group(groups / UNIT / "engine-41")
        assert (groups / UNIT / "cgroup.subtree_control").read_text() == "+memory"
        told = {file.name: file.read_text() for file in group.folder.iterdir()}
        assert told == {"memory.max": "5000000000", "memory.oom.group": "1", "cgroup.procs": "41"}

    @pytest.mark.parametrize(
        "own",
        [
            "0::/\n",
            "0::/system.slice/squero.service\n",
            "0::/user.slice/user-0.slice/session-1.scope\n",
            "4:memory:/system.slice/squero.service/squero\n",
            "",
        ],
        ids=["container", "no subgroup", "session", "version 1", "none"],
    )
    def test_where_nothing_is_delegated(self, groups: Path, own: str) -> None:
        (groups / "own").write_text(own)
        assert memory.enclose(41, GB) is None

    def test_in_a_unit_without_the_controller(self, groups: Path) -> None:
        (groups / UNIT / "cgroup.controllers").write_text("cpu pids\n")
        assert memory.enclose(41, GB) is None

    def test_where_the_kernel_will_not(self, groups: Path) -> None:
        (groups / UNIT / "cgroup.subtree_control").mkdir()
        with pytest.raises(OSError, match="directory"):
            memory.enclose(41, GB)
        assert not (groups / UNIT / "engine-41").exists()


class TestGroup:
    @pytest.mark.parametrize(
        ("events", "overflowed"),
        [
            ("max 3\noom 1\noom_kill 1\n", True),
            ("max 3\noom 0\noom_kill 0\n", False),
            (None, False),
        ],
    )
    def test_overflowed(self, tmp_path: Path, events: str | None, overflowed: bool) -> None:
        if events is not None:
            (tmp_path / "memory.events").write_text(events)
        assert Group(tmp_path).overflowed == overflowed

    def test_close(self, tmp_path: Path) -> None:
        (tmp_path / "engine-1").mkdir()
        Group(tmp_path / "engine-1").close()
        Group(tmp_path / "engine-1").close()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ram_gb", "most"),
    [(0, None), (10, 15 * GB + (4 << 30)), (60, 60 * GB)],
    ids=["nothing declared", "room", "no room"],
)
def test_most_bytes(ram_gb: float, most: int | None) -> None:
    assert Machine((), 64 * GB).most_bytes(Needs(ram_gb=ram_gb)) == most


def test_a_volunteer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "OWN_SCORE", tmp_path / "score")
    memory.volunteer()
    assert (tmp_path / "score").read_text() == "1000"
    monkeypatch.setattr(memory, "OWN_SCORE", tmp_path / "no" / "score")
    memory.volunteer()


@pytest.mark.anyio
class TestHost:
    async def test_the_child_volunteers(self, plugin: Path, tmp_path: Path) -> None:
        host = Host("obedient", {}, tmp_path)
        try:
            await host.load()
            assert Path(f"/proc/{host.pid}/oom_score_adj").read_text() == "1000\n"
        finally:
            await host.aclose()

    @pytest.mark.parametrize(
        ("kills", "raised"), [(1, OutOfMemory), (0, Crashed)], ids=["overflow", "other"]
    )
    async def test_a_death_in_a_group(
        self,
        plugin: Path,
        tmp_path: Path,
        groups: Path,
        shot_of: Callable[..., object],
        kills: int,
        raised: type[Exception],
    ) -> None:
        host = Host("obedient", {}, tmp_path, most_bytes=GB)
        try:
            await host.load()
            folder = groups / UNIT / f"engine-{host.pid}"
            assert (folder / "memory.max").read_text() == str(GB)
            (folder / "memory.events").write_text(f"oom_kill {kills}\n")
            with pytest.raises(raised):
                await host.render(shot_of("die"), tmp_path / "out.mp4", 30)
        finally:
            await host.aclose()
