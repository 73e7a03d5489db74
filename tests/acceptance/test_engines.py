"""One customer's way, the same whatever renders: here, a stub of an upstream, another Squero."""

import base64
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from squero.money import usd_text

from ..engines.remote.stub import Upstream, film, openai_videos, says, serving
from .conftest import (
    ROOT,
    Customer,
    Server,
    assert_books,
    command_line,
    family,
    probe,
    until,
)

pytestmark = pytest.mark.acceptance

PICTURE = base64.b64encode((ROOT / "examples" / "lagoon.jpg").read_bytes()).decode()
IMAGE_URL = f"data:image/jpeg;base64,{PICTURE}"
ENTRY = """
id = "{kind}"
name = "{kind}"
description = "d"
created = 1
engine = "{engine}"
{price}
render_seconds_per_second = {{ 480p = 0.2 }}

{options}
[constraints]
model_type = "{kind}"
durations = ["5s"]
resolutions = ["480p"]
aspect_ratios = ["16:9", "9:16", "1:1"]
audio = true
audio_configurable = true
"""
UPSTREAM = """
[[options.upstreams]]
name = "first"
url = "{url}"
model = "{model}"
"""
OWN_PRICE = 'usd_per_second = { 480p = "0.01" }'
KINDS = ("text-to-video", "image-to-video")


@dataclass
class Shop:
    """A server, and what makes its next job fail."""

    server: Server
    fail: Callable[[Customer, dict[str, str]], None]
    price: float = 0.05

    def customer(self, credit: str = "5") -> Customer:
        return Customer(self.server, self.server.key("--credit", credit))


def opened(
    opened: ExitStack, home: Path, engine: str, options: str, price: str = OWN_PRICE, **env: str
) -> Server:
    """A server whose models are this engine's."""
    (home / "models").mkdir(parents=True)
    home.chmod(0o700)
    for kind in KINDS:
        said = options.replace("{kind}", kind)
        entry = ENTRY.format(kind=kind, engine=engine, options=said, price=price)
        (home / "models" / f"{kind}.toml").write_text(entry)
    server = Server(home, env=env)
    opened.callback(server.close)
    return server.await_ready()


def motion(stack: ExitStack, home: Path) -> Shop:
    def fail(customer: Customer, job: dict[str, str]) -> None:
        """Kill each of its children, until it has its three strikes."""

        def struck() -> bool:
            for pid in family(server.pid):
                if "squero.engines.child" in command_line(pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            return len(server.said("failed", kind="crash")) >= 3

        until("three strikes", struck)

    server = opened(stack, home, "motion", "")
    return Shop(server, fail)


def at_a_stub(stack: ExitStack, home: Path) -> Shop:
    stub = Upstream(polls=2, video=film(848, 480, 120, 24))
    stack.enter_context(serving(openai_videos(stub), stub))
    options = UPSTREAM.format(url=f"{stub.url}/v1", model="wan")
    server = opened(stack, home, "openai-videos", options)

    def fail(customer: Customer, job: dict[str, str]) -> None:
        stub.plan("status", *[says(200, status="failed", error={"code": "internal"})] * 9)
        until("it is over", lambda: not stub.steps["status"])

    return Shop(server, fail)


def in_a_row(stack: ExitStack, home: Path) -> Shop:
    """The first's price and a margin of a fifth are the second's."""
    terms = home.with_name("terms")
    terms.write_text("casanova\n")
    first = Server(home.with_name("first"), env={"SQUERO_REFUSED_TERMS_FILE": str(terms)})
    stack.callback(first.close)
    key = first.await_ready().key("--credit", "5")
    options = UPSTREAM.format(url=first.url, model="motion-{kind}")
    asked = "upstream_price = { margin_percent = 20 }"
    server = opened(stack, home, "venice", options, asked, UPSTREAM_FIRST_KEY=key)
    until("prices are known", lambda: len(server.said("prices")) == len(KINDS))
    return Shop(server, lambda customer, job: None, price=0.06)


SHOPS = {"motion": motion, "openai-videos": at_a_stub, "venice": in_a_row}


@pytest.fixture(scope="module", params=SHOPS)
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield SHOPS[request.param](stack, tmp_path_factory.mktemp("shop") / "home")


def balance(customer: Customer) -> str:
    """What is available, as of a second ago."""
    answer = customer.post("retrieve", model="text-to-video", queue_id="x")
    return answer.headers["x-venice-balance-usd"]


def whole(size: tuple[int, int], sound: list[str]) -> dict[str, Any]:
    return {
        "codec": "h264",
        "size": size,
        "fps": 24,
        "seconds": pytest.approx(5, abs=0.05),
        "sound": sound,
        "frames": 120,
        "faststart": True,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_purchase(shop: Shop, kind: str) -> None:
    customer = shop.customer(credit=f"{1.5 * shop.price:.3f}")
    asked = {"model": kind, "duration": "5s", "resolution": "480p", "aspect_ratio": "9:16"}
    assert customer.post("quote", **asked).json() == {"quote": shop.price}
    order = asked | {"prompt": "push in"} | ({"image_url": IMAGE_URL} if kind[0] == "i" else {})
    job = customer.queue(**order)
    working = customer.post("retrieve", **job)
    assert working.json()["status"] == "PROCESSING"
    assert working.json().keys() >= {"average_execution_time", "execution_duration"}
    assert customer.post("complete", **job).json() == {"success": False}
    assert customer.post("queue", **order).status_code == 402

    video = customer.video(job)
    assert probe(video) == whole((480, 848), ["aac"])
    assert customer.video(job) == video
    assert customer.post("complete", **job).json() == {"success": True}
    assert customer.post("retrieve", **job).status_code == 404


def test_silence_and_deletion_with_the_video(shop: Shop) -> None:
    customer = shop.customer()
    job = customer.queue(model="text-to-video", audio=False)
    video = customer.settled(job | {"delete_media_on_completion": True})
    assert probe(video.content) == whole((848, 480), [])
    assert customer.post("retrieve", **job).status_code == 404


def test_what_is_not_taken_costs_nothing(shop: Shop) -> None:
    customer = shop.customer("0.1")
    for wrong in (
        {"model": "image-to-video"},
        {"model": "text-to-video", "duration": "6s"},
        {"model": "text-to-video", "aspect_ratio": "21:9"},
        {"model": "text-to-video", "image_url": IMAGE_URL},
    ):
        asked = {"prompt": "p", "duration": "5s", "resolution": "480p"} | wrong
        assert customer.post("queue", **asked).status_code == 400, wrong
    assert balance(customer) == "0.1"


def test_a_failure_is_paid_back(shop: Shop) -> None:
    customer = shop.customer()
    job = customer.queue("casanova at dawn", model="text-to-video")
    shop.fail(customer, job)
    answer = customer.settled(job)
    assert answer.status_code in (422, 500)
    assert answer.json()["credits_refunded"] is True
    assert "casanova" not in answer.text
    again = customer.post("retrieve", **job)
    assert (again.status_code, again.json()) == (answer.status_code, answer.json())
    until("the price is back", lambda: balance(customer) == "5")
    assert "casanova" not in shop.server.log.read_text()


def test_the_books(shop: Shop) -> None:
    customer = shop.customer()
    customer.video(customer.queue(model="text-to-video"))
    with shop.server.database() as database:
        row = database.execute(
            "SELECT sum(price_micros) FROM generations WHERE state = 'completed'"
        ).fetchone()
    assert row is not None
    assert_books(shop.server.home, usd_text(int(row[0])))
