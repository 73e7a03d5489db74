"""The accelerator does not wait: how long an engine idles between two queued jobs."""

import base64
import io
import os
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from .conftest import ROOT, Customer, Server, Start

pytestmark = pytest.mark.acceptance

JOBS = 12
IDLE_SECONDS = 0.05
ENTRY = """
id = "paced"
name = "Paced"
description = "Draws for half a second, and codes beside the next."
created = 1
engine = "paced"
options = { diary = "DIARY", seconds = 0.5 }

[constraints]
model_type = "image-to-video"
durations = ["5s"]
resolutions = ["480p"]
aspect_ratios = []
audio = true
audio_configurable = true

[usd_per_second]
480p = "1"

[render_seconds_per_second]
480p = 0.1
"""


@pytest.fixture
def picture() -> str:
    """As a data URL."""
    file = io.BytesIO()
    Image.effect_noise((400, 300), 80).convert("RGB").save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def test_of_a_warm_model(start: Start, tmp_path: Path, picture: str) -> None:
    """At most 50 ms (p50), though each has an input to fetch and a result to deliver."""
    home, diary = tmp_path / "home", tmp_path / "diary"
    (home / "models").mkdir(0o700, parents=True)
    home.chmod(0o700)
    (home / "models" / "paced.toml").write_text(ENTRY.replace("DIARY", str(diary)))
    fakes = ROOT / "tests" / "engines" / "plugin"
    server = start(Server, home, env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(fakes)])})
    customer = Customer(server.await_ready())
    jobs = [customer.queue(model="paced", image_url=picture) for _ in range(JOBS)]
    for job in jobs:
        customer.video(job)
    busy = [tuple(map(float, line.split())) for line in diary.read_text().splitlines()]
    assert len(busy) == JOBS
    idle = [begins - ended for (_, ended), (begins, _) in pairwise(busy)]
    assert min(idle) >= 0
    assert statistics.median(idle) <= IDLE_SECONDS, [round(one, 3) for one in idle]
