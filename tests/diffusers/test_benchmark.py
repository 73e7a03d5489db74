"""The benchmark of engines runs, at a tiny size, and its models are as the library reads them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

import torch
from diffusers import WanPipeline

from benchmarks.engines import DTYPE, Watch, within
from benchmarks.wan import TINY, made

pytestmark = [
    pytest.mark.engines,
    pytest.mark.bench,
    pytest.mark.filterwarnings("default"),
    pytest.mark.timeout(300),
]

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks.engines`."""
    command = [sys.executable, "-m", "benchmarks.engines", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


def test_engines_stand_beside_the_plain_pipeline(tmp_path: Path) -> None:
    ended = run("--tiny", "--steps", 2, "--json", tmp_path / "figures.json")
    assert ended.returncode == 0, ended.stderr
    record = json.loads((tmp_path / "figures.json").read_text())
    names = [row[1] for row in record["rows"]]
    assert names == ["the plain pipeline", "as it comes", "weights in 8 bits"]
    for row in record["rows"]:
        step, beside, clip = row[2:5]
        assert step > 0
        assert clip == pytest.approx(TINY.steps * step + beside)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_engines_without_a_gpu_say_so() -> None:
    ended = run()
    assert (ended.returncode, "no GPU that torch can use" in ended.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"), [(["--steps", 1], "it takes two"), (["9b"], "no model is called 9b")]
)
def test_engines_refuse(words: list[object], said: str) -> None:
    ended = run(*words)
    assert (ended.returncode, said in ended.stderr) == (2, True)


def test_engines_measure_types_that_the_library_would_read(tmp_path: Path) -> None:
    dtypes = {name: getattr(torch, one) for name, one in DTYPE.items()}
    TINY.make().save_pretrained(tmp_path)
    read = WanPipeline.from_pretrained(tmp_path, dtype=dtypes)
    with made(TINY):
        random = WanPipeline.from_pretrained(tmp_path, dtype=dtypes)
    assert types(random) == types(read)
    assert types(read)["transformer", "blocks.0.norm2.weight"] == torch.float32


def types(pipeline: Any) -> dict[tuple[str, str], torch.dtype]:
    return {
        (name, where): weight.dtype
        for name in ("text_encoder", "transformer", "vae")
        for where, weight in getattr(pipeline, name).named_parameters()
    }


def test_engines_first_step_does_not_count() -> None:
    assert Watch([0.0, 9.0, 10.0, 12.0, 13.0]).step == 1.0


def test_engines_are_broken_off() -> None:
    with pytest.raises(TimeoutError, match="too slow"), within(0.01):
        while True:
            pass
