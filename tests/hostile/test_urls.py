"""A customer's URLs in a network where every address is a canary: none is ever woken."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from squero.store import embedded
from tests.acceptance.conftest import ROOT, environment, squero

from .conftest import SEED, SOAK, Say
from .urls import DATABASE

pytestmark = [pytest.mark.hostile, pytest.mark.timeout(0)]

SPELLINGS = 5000
ROUNDS = 200
NO_PICTURE = "400; Invalid image format"
UNSHARE = ["unshare", "--user", "--map-root-user", "--net"]


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    try:
        subprocess.run([*UNSHARE, "ip", "link", "set", "lo", "up"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.fail("unshare (util-linux) and ip (iproute2) are needed")
    except subprocess.CalledProcessError as refused:
        pytest.fail(f"a network namespace is needed: {refused.stderr.decode().strip()}")


def tried(way: str, *place: str, **env: str) -> dict[str, Any]:
    """What came of all URLs, tried in a namespace of their own."""
    words = ["tests.hostile.urls", way, SEED, SPELLINGS * SOAK, ROUNDS * SOAK, *place]
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.hostile.canaries", *map(str, words)],
        cwd=ROOT,
        env=environment() | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def check(report: dict[str, Any], fetched: str) -> None:
    """No canary was woken, and they were awake."""
    assert report["control"] == {"seen": 4, "good": [fetched] * 2}
    assert sum(report["spellings"].values()) == SPELLINGS * SOAK
    assert sum(report["rebinding"].values()) == ROUNDS * SOAK
    assert not [one for one in (*report["spellings"], *report["rebinding"]) if one[:1] == "5"]
    assert report["hits"] == []
    # The names were looked up, and some of them led outside first, where a redirect awaited.
    assert report["asked"] >= ROUNDS * SOAK
    assert report["outside"] > 0
    assert fetched not in report["rebinding"]


def test_by_the_fetcher(say: Say) -> None:
    report = tried("fetcher")
    say(json.dumps(report))
    check(report, "arrived")


def test_by_the_api(tmp_path: Path, say: Say) -> None:
    # The database lives outside: only a socket file leads to it.
    outside, home = tmp_path / "database", tmp_path / "home"
    cluster = embedded.start(outside)
    try:
        env = {"SQUERO_DATABASE_URL": cluster.url}
        squero("migrate", "--home", str(home), **env)
        key = squero("keys", "create", "--home", str(home), **env).stdout.strip()
        report = tried("api", str(home), key, **{DATABASE: cluster.url})
    finally:
        cluster.stop()
    say(json.dumps(report))
    check(report, NO_PICTURE)
    assert not [
        line for line in home.with_suffix(".log").read_text().splitlines() if "http" in line
    ]
