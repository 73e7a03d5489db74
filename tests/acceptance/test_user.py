"""Squero as an ordinary user, whom /etc/passwd need not even name."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Customer, Server, Start, environment, family, is_gone, probe, squero

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user"),
]

USER = 12345
AS_USER: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []}


@pytest.fixture
def home() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="squero-test-", dir="/var/tmp"))
    os.chown(parent, USER, USER)
    yield parent / "home"
    shutil.rmtree(parent)


def test_serves_as_an_ordinary_user(home: Path, start: Start) -> None:
    try:
        subprocess.run([sys.executable, "-c", "import squero"], cwd=ROOT, check=True, **AS_USER)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("another user cannot run this interpreter")
    server = start(Server, home, env={"HOME": str(home.parent)}, **AS_USER)
    made = subprocess.run(
        [sys.executable, "-m", "squero", "keys", "create", "--home", str(home)],
        env=environment() | {"HOME": str(home.parent)},
        capture_output=True,
        text=True,
        check=True,
        **AS_USER,
    )
    customer = Customer(server, made.stdout.strip())
    assert probe(customer.video(customer.queue()))["frames"] == 120

    by_root = squero("keys", "create", "--home", str(home), check=False)
    assert by_root.returncode == 1
    assert "belongs to another user" in by_root.stderr

    processes = family(server.pid)
    assert server.end() == 0
    assert all(map(is_gone, processes))
    assert {path.stat().st_uid for path in home.rglob("*")} == {USER}
    assert [path for path in home.rglob("*") if path.stat().st_mode & 0o077] == []
