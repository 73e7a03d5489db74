"""A tiny model of every family, bought from the real process."""

import io
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.acceptance.conftest import Customer, Server, probe, until

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

import diffusers

from . import tiny
from .test_families import FAMILIES

pytestmark = [
    pytest.mark.engines,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("default"),
]

MODELS = {
    "wan-2.1": FAMILIES["wan 2.1"],
    "wan-2.1-image": FAMILIES["wan 2.1, image"],
    "wan-2.2-5b": FAMILIES["wan 2.2 5b"],
    "wan-2.2-5b-image": FAMILIES["wan 2.2 5b, image"],
    "wan-2.2-a14b": FAMILIES["wan 2.2 a14b"],
    "wan-2.2-a14b-image": replace(FAMILIES["wan 2.2 a14b, ends"], media=("image",)),
    "ltx-2": FAMILIES["ltx-2"],
    "hunyuan-1.5": FAMILIES["hunyuan 1.5"],
    "cogvideox": FAMILIES["cogvideox"],
}
# The pace keeps the work of a processor small; the clip has its 24 frames a second all the same.
ENTRY = """
id = "{name}"
name = "{name}"
description = "Random weights."
created = 1764547200
engine = "diffusers"
usd_per_second = {{ 360p = "0.01" }}
render_seconds_per_second = {{ 360p = 60 }}
[options]
folder = "{folder}"
pipeline = "{pipeline}"
fps = {fps}
[options.call]
num_inference_steps = 1
{call}
[constraints]
model_type = "{type}"
durations = ["1s"]
resolutions = ["360p"]
aspect_ratios = ["1:1"]
audio = {audio}
audio_configurable = false
"""


# CogVideoX's tiny model reads no more than 16 tokens.
WANTED = {"prompt": "a gondola", "negative_prompt": "blurred"}
WANTED |= {"duration": "1s", "resolution": "360p", "aspect_ratio": "1:1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    models = folder / "home" / "models"
    models.mkdir(parents=True, mode=0o700)
    for name, family in MODELS.items():
        made = getattr(diffusers, family.pipeline)(**tiny.seeded(family.parts))
        made.save_pretrained(folder / name)
        words = {"name": name, "folder": folder / name, "pipeline": family.pipeline, "fps": 8}
        words |= {"type": f"{family.media[0] if family.media else 'text'}-to-video"}
        words |= {"audio": str(family.audio).lower()}
        call = family.call or {}
        words |= {"call": "\n".join(f"{word} = {value}" for word, value in call.items())}
        entry = ENTRY.format(**words)
        tomllib.loads(entry)
        (models / f"{name}.toml").write_text(entry)
    broken = ENTRY.format(**words | {"name": "broken", "fps": 0})
    (models / "broken.toml").write_text(broken)
    folder.joinpath("home").chmod(0o700)
    started = Server(folder / "home")
    try:
        yield started.await_ready()
        assert started.end() == 0
    finally:
        started.close()


def settled(customer: Customer, job: dict[str, Any]) -> httpx.Response:
    def over() -> httpx.Response | None:
        answer = customer.post("retrieve", **job)
        is_video = answer.headers["content-type"] == "video/mp4"
        return answer if is_video or answer.json().get("status") != "PROCESSING" else None

    answer: httpx.Response = until("the job is over", over, seconds=300)
    return answer


def picture() -> str:
    """A data URL of a small picture."""
    data = io.BytesIO()
    Image.effect_noise((360, 360), 50).convert("RGB").save(data, "JPEG")
    return f"data:image/jpeg;base64,{b64encode(data.getvalue()).decode()}"


@pytest.mark.parametrize("name", MODELS)
def test_a_video(server: Server, name: str) -> None:
    customer = Customer(server)
    wanted = WANTED | {"model": name}
    if MODELS[name].media:
        wanted |= {"image_url": picture()}
    answer = settled(customer, customer.queue(**wanted))
    assert answer.headers["content-type"] == "video/mp4", answer.text
    assert probe(answer.content) == {
        "codec": "h264",
        "size": (360, 360),
        "fps": 24,
        "seconds": pytest.approx(1, abs=0.05),
        "sound": ["aac"] if MODELS[name].audio else [],
        "frames": 24,
        "faststart": True,
    }


def test_a_wrong_option_is_named_in_the_log(server: Server) -> None:
    assert Customer(server).post("queue", **WANTED, model="broken").status_code == 503
    assert "options.fps" in server.log.read_text()
