"""How fast the engine `diffusers` draws: `python -m benchmarks.engines [--tiny] [NAME…]`.

Full-size models with random weights, which are as fast as real ones: seconds a step and a clip,
and the most memory on the GPU, for the plain pipeline and for the engine with each set of options.
Needs a GPU and the extra; with `--tiny` a tiny model shows that it runs.
"""

import argparse
import gc
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import torch
from rich.console import Console

from benchmarks.report import Cell, Report
from benchmarks.wan import PROMPT, SUBJECTS, TINY, Subject, made
from squero.engines import Tell
from squero.engines.diffusers import Diffusers
from squero.engines.diffusers.loading import device, quieten
from squero.engines.diffusers.steps import DENOISING, stepping

TOKENS = 512
DTYPE = {"default": "bfloat16", "vae": "float32"}
"""As the models' own cards have it, for the plain pipeline as for the engine."""
COLUMNS = ("model", "options", "s a step", "s beside", "s a clip", "peak GB")

Draw = Callable[[Tell], None]


COMPILED = {"compile": True, "dtype": "bfloat16"}
CASES: Mapping[str, Mapping[str, Any]] = {
    "as it comes": {},
    "cuDNN's attention": {"attention": "_native_cudnn"},
    "compiled": {"compile": True},
    "and all in bfloat16": COMPILED,
    "and multiplied in 8 bits": COMPILED | {"fp8": "compute"},
    "weights in 8 bits": {"fp8": True},
    "tiled": {"dtype": "bfloat16", "vae_tiling": True},
    "offload: model": {"dtype": "bfloat16", "offload": "model"},
    "offload: group": {"dtype": "bfloat16", "offload": "group"},
}
TINY_CASES = {name: CASES[name] for name in ("as it comes", "weights in 8 bits")}


@dataclass
class Watch:
    """When a render tells of its steps; the GPU is waited for, which is behind what it was told."""

    told: list[float] = field(default_factory=list)

    def __call__(self, share: float, note: str | None = None) -> None:
        if share <= DENOISING:
            wait()
            self.told.append(time.monotonic())

    @property
    def step(self) -> float:
        """Seconds a step, without the first, in which things are made ready."""
        return median(b - a for a, b in zip(self.told[1:-1], self.told[2:], strict=True))


@dataclass(frozen=True)
class Bench:
    """What measures one subject."""

    subject: Subject
    steps: int
    """How many are drawn of each clip."""
    seconds: float
    """After how many a case is broken off; 0 for never."""
    folder: Path

    def rows(self, cases: Mapping[str, Mapping[str, Any]]) -> Iterator[Sequence[Cell]]:
        """That of the plain pipeline, then those of the engine with each set of options."""
        yield self._row("the plain pipeline", self.plain)
        for words, options in cases.items():
            yield self._row(words, partial(self.engine, options))

    def _row(self, words: str, ready: Callable[[], Draw]) -> Sequence[Cell]:
        """That of what `ready` gives; of a failure its name."""
        figures: Sequence[Cell]
        try:
            with within(self.seconds):
                figures = self.measured(ready())
        except Exception as wrong:
            print(f"{words}: {wrong!r}"[:2000], file=sys.stderr, flush=True)
            figures = (type(wrong).__name__, "", "", "")
        gc.collect()
        torch.compiler.reset()
        torch.cuda.empty_cache()
        return (self.subject.words, words, *figures)

    def measured(self, draw: Draw) -> tuple[float, ...]:
        """Seconds a step, beside the steps and a whole clip, and gigabytes at the most."""
        torch.cuda.empty_cache()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        draw(lambda share, note=None: None)  # the first compiles, and fills what is kept
        watch, began = Watch(), time.monotonic()
        draw(watch)
        wait()
        beside = time.monotonic() - began - watch.step * self.steps
        peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
        return watch.step, beside, self.subject.steps * watch.step + beside, peak

    def plain(self) -> Callable[[Tell], None]:
        """What the library's own page says, without us but for the bar."""
        dtypes = {name: getattr(torch, one) for name, one in DTYPE.items()}
        pipeline = diffusers.WanPipeline.from_pretrained(self.folder, dtype=dtypes).to(device())

        def draw(tell: Tell) -> None:
            pipeline.progress_bar = stepping(tell)
            pipeline(
                PROMPT,
                width=self.subject.width,
                height=self.subject.height,
                num_frames=self.subject.frames,
                num_inference_steps=self.steps,
                max_sequence_length=TOKENS,
            )

        return draw

    def engine(self, options: Mapping[str, Any]) -> Callable[[Tell], None]:
        """The engine with these options, loaded."""
        engine = Diffusers(
            folder=str(self.folder),
            pipeline="WanPipeline",
            fps=self.subject.pace,
            call={"num_inference_steps": self.steps, "max_sequence_length": TOKENS},
            **{"dtype": DTYPE} | options,
        )
        engine.load()

        def draw(tell: Tell) -> None:
            engine.render(self.subject.shot, self.folder / "out.mp4", tell)()

        return draw


def wait() -> None:
    """Wait for the GPU, which is behind what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises TimeoutError when what is inside takes longer; 0 is for ever."""

    def late(*_: object) -> None:
        raise TimeoutError("too slow to be measured")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Measure what there is to measure, or say that there is nothing."""
    asked = arguments()
    console = Console(width=120)
    if not asked.tiny and not torch.cuda.is_available():
        console.print("There is no GPU that torch can use here: nothing was measured.")
        return
    quieten()
    report = Report(f"engines: random weights, {machine()}", COLUMNS)
    for subject in [TINY] if asked.tiny else [SUBJECTS[name] for name in asked.names or SUBJECTS]:
        with tempfile.TemporaryDirectory(prefix="squero-bench-") as folder, made(subject):
            (Path(folder) / "model_index.json").write_text("{}")
            bench = Bench(subject, asked.steps, asked.seconds, Path(folder))
            for row in bench.rows(TINY_CASES if asked.tiny else CASES):
                report.add(*row)
                console.print(*row, highlight=False)
                if asked.json:
                    asked.json.write_text(json.dumps(report.record(), indent=1))
    report.show(console)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser("python -m benchmarks.engines", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUBJECTS))
    parser.add_argument("--tiny", action="store_true", help="only show that it runs")
    parser.add_argument("--steps", type=int, default=6, help="how many are drawn of each clip (6)")
    parser.add_argument(
        "--seconds", type=float, default=0, help="break off a slower set of options"
    )
    parser.add_argument(
        "--json", type=Path, help="also write the figures to this file, as they come"
    )
    asked = parser.parse_args()
    if asked.steps < 2:
        parser.error("the first step is not measured: it takes two")
    if unknown := set(asked.names) - SUBJECTS.keys():
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    return asked


def machine() -> str:
    """The card and the libraries."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{card}, torch {torch.__version__}, diffusers {diffusers.__version__}"


if __name__ == "__main__":
    main()
