"""Squero as an ordinary user, whom /etc/passwd need not even name."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Customer, Server, Start, environment, family, is_gone, probe, squero

pytestmark = pytest.mark.acceptance

IS_ROOT = os.geteuid() == 0
USER = 12345 if IS_ROOT else os.geteuid()
AS_USER: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if IS_ROOT else {}

INTERPRETERS = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
"""Ours may lie where no other user may go; the system's can use the same packages."""


@pytest.fixture
def home() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="squero-test-", dir="/var/tmp"))
    os.chown(parent, USER, -1)
    yield parent / "home"
    shutil.rmtree(parent)


@pytest.fixture
def env(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The user's environment, with an interpreter that the user may run."""
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    found = {"HOME": str(home.parent), "PYTHONPATH": path}
    for interpreter in INTERPRETERS:
        with suppress(OSError, subprocess.CalledProcessError):
            words = [interpreter, "-c", "import squero.app"]
            subprocess.run(words, env=environment() | found, cwd="/", check=True, **AS_USER)
            monkeypatch.setattr(sys, "executable", interpreter)
            return found
    pytest.skip("there is no Python of this version that another user may run")


def test_serves_as_an_ordinary_user(home: Path, env: dict[str, str], start: Start) -> None:
    server = start(Server, home, env=env, **AS_USER)
    made = subprocess.run(
        [sys.executable, "-m", "squero", "keys", "create", "--home", str(home)],
        env=environment() | env,
        capture_output=True,
        text=True,
        check=True,
        **AS_USER,
    )
    customer = Customer(server, made.stdout.strip())
    assert probe(customer.video(customer.queue()))["frames"] == 120

    if IS_ROOT:
        by_root = squero("keys", "create", "--home", str(home), check=False, **env)
        assert by_root.returncode == 1
        assert "belongs to another user" in by_root.stderr

    processes = family(server.pid)
    assert server.end() == 0
    assert all(map(is_gone, processes))
    assert {path.stat().st_uid for path in home.rglob("*")} == {USER}
    assert [path for path in home.rglob("*") if path.stat().st_mode & 0o077] == []
