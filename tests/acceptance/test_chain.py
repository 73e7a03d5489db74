"""Two Squeros in a row: the second's jobs are rendered by the first, over the API alone."""

import base64
from pathlib import Path

import pytest

from .conftest import ROOT, Customer, Server, Start, assert_books, probe, until

pytestmark = pytest.mark.acceptance

ENTRY = """
id = "chained-{kind}"
name = "Chained {kind}"
description = "Rendered by another server."
created = 1
engine = "venice"
usd_per_second = {{ 480p = "0.02" }}
render_seconds_per_second = {{ 480p = 1.0 }}

[[options.upstreams]]
name = "first"
url = "{url}"
model = "motion-{kind}"

[constraints]
model_type = "{kind}"
durations = ["5s"]
resolutions = ["480p"]
aspect_ratios = {ratios}
audio = true
audio_configurable = true
"""


def chained(start: Start, first: Server, home: Path, key: str) -> Server:
    """A server whose models are the first's."""
    (home / "models").mkdir(parents=True)
    home.chmod(0o700)
    for kind, ratios in (("text-to-video", '["16:9", "9:16", "1:1"]'), ("image-to-video", "[]")):
        entry = ENTRY.format(kind=kind, url=first.url, ratios=ratios)
        (home / "models" / f"{kind}.toml").write_text(entry)
    second: Server = start(Server, home, env={"UPSTREAM_FIRST_KEY": key})
    return second.await_ready()


def test_two_servers_in_a_row(start: Start, tmp_path: Path) -> None:
    first = start(Server, tmp_path / "first").await_ready()
    second = chained(start, first, tmp_path / "second", first.key("--credit", "5"))
    customer = Customer(second, second.key("--credit", "5"))
    picture = base64.b64encode((ROOT / "examples" / "lagoon.jpg").read_bytes()).decode()

    upright = customer.queue(model="chained-text-to-video", aspect_ratio="9:16")
    moved = customer.queue(
        model="chained-image-to-video", image_url=f"data:image/jpeg;base64,{picture}", audio=False
    )
    found = probe(customer.video(upright))
    assert (found["size"], found["frames"], found["sound"]) == ((480, 848), 120, ["aac"])
    found = probe(customer.video(moved))
    assert (found["size"], found["frames"], found["sound"]) == ((848, 480), 120, [])

    with first.database() as database:
        of_the_first = "SELECT media, model, height, audio FROM generations ORDER BY seq"

        def let_go() -> bool:
            rows = database.execute(of_the_first).fetchall()
            return [row[0] for row in rows] == ["deleted", "deleted"]

        until("the first keeps nothing", let_go)
        assert [row[1:] for row in database.execute(of_the_first).fetchall()] == [
            ("motion-text-to-video", 848, True),
            ("motion-image-to-video", 480, False),
        ]
    with second.database() as database:
        assert database.execute("SELECT max(attempt), count(note) FROM generations").fetchone() == (
            1,
            0,
        )
    assert "gondola" not in second.log.read_text()
    assert_books(first.home, "0.1")
    assert_books(second.home, "0.2")


def test_a_failure_of_the_first_is_paid_back_by_both(start: Start, tmp_path: Path) -> None:
    first = start(Server, tmp_path / "first").await_ready()
    terms = tmp_path / "terms"
    second = chained(start, first, tmp_path / "second", first.key("--credit", "5"))
    terms.write_text("casanova\n")
    first.end()
    first = start(
        Server,
        first.home,
        "--port",
        first.url.rpartition(":")[2],
        env={"SQUERO_REFUSED_TERMS_FILE": str(terms)},
    ).await_ready()
    customer = Customer(second, second.key("--credit", "5"))
    answer = customer.settled(customer.queue("casanova at dawn", model="chained-text-to-video"))
    assert (answer.status_code, answer.json()["credits_refunded"]) == (422, True)
    assert "casanova" not in answer.text
    assert_books(first.home, "0")
    assert_books(second.home, "0")
