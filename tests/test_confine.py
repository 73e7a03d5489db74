"""What is asked of the kernel before a child is confined, and what counts as enclosed."""

import contextlib
import os
import platform
import resource
import sys

import pytest

from squero import confine
from squero.confine import Confinement, Protection, kernel_walls
from squero.sandbox import Sandbox

pytestmark = pytest.mark.anyio

BARE = Protection(True, True, True, 0, False, False)


def test_a_kernel_without_filters_has_no_seccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    # A mode that no kernel knows: it answers as one that was built without filters does.
    monkeypatch.setattr(confine, "_SECCOMP_MODE_FILTER", 99)
    assert "seccomp" not in kernel_walls()


def test_a_machine_whose_calls_are_unknown_has_no_seccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "seccomp" not in kernel_walls()


def test_another_system_has_no_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert kernel_walls() == frozenset()


async def test_what_the_kernel_has_stands_in_a_child() -> None:
    sandbox = Sandbox([])
    found = await sandbox.protection()
    await sandbox.aclose()
    stands = {"landlock": found.landlock > 0, "seccomp": found.seccomp}
    assert {wall for wall, up in stands.items() if up} == kernel_walls()


@pytest.mark.parametrize(
    ("wall", "encloses"),
    [
        ({}, False),
        ({"landlock": 7}, False),
        ({"seccomp": True}, True),
        ({"bubblewrap": True}, True),
    ],
    ids=["none", "landlock", "seccomp", "bubblewrap"],
)
def test_landlock_alone_does_not_enclose(wall: dict[str, bool], encloses: bool) -> None:
    assert BARE._replace(**wall).encloses is encloses


def test_memory_counts_on_top_of_what_the_parent_has() -> None:
    parent = os.getpid()
    confinement = Confinement(memory_bytes=64 << 20, file_bytes=1000, walls=())
    before = resource.getrlimit(resource.RLIMIT_AS)
    child = os.fork()
    if child == 0:
        try:
            confinement.enter(parent=parent, cpu_seconds=5)
            bytearray(8 << 20)
            with contextlib.suppress(MemoryError):
                bytearray(256 << 20)
                os._exit(2)
            limits = (
                resource.getrlimit(resource.RLIMIT_FSIZE),
                resource.getrlimit(resource.RLIMIT_CPU),
            )
            os._exit(0 if limits == ((1000, 1000), (5, 5)) else 3)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_child_whose_parent_is_gone_ends() -> None:
    confinement = Confinement(memory_bytes=64 << 20, file_bytes=1000, walls=())
    child = os.fork()
    if child == 0:
        try:
            confinement.enter(parent=1 << 30, cpu_seconds=5)
        finally:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
