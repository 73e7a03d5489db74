"""What is asked of the kernel before a child is confined, and what counts as enclosed."""

import platform
import sys

import pytest

from squero import confine
from squero.confine import Protection, kernel_walls
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
