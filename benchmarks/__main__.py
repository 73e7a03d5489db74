"""`python -m benchmarks [NAME…]`: run them, print their tables, end with 1 if a goal was missed."""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import claim, http, queue, remote, render, sealing, uploads
from benchmarks.report import Report
from benchmarks.stage import Stage
from squero.store import embedded

BENCHMARKS = {
    "claim": claim.run,
    "queue": queue.run,
    "http": http.run,
    "sealing": sealing.run,
    "render": render.run,
    "uploads": uploads.run,
    "remote": remote.run,
}


def main() -> int:
    """Run what the command line names; all of it when it names nothing."""
    asked = _arguments()
    # PostgreSQL would outlive a run that just ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=120)
    console.print(_machine(), highlight=False)
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="squero-bench-") as folder:
        cluster = embedded.start(Path(folder) / "cluster")
        stage = Stage(cluster.url, cluster.pid, Path(folder), asked.tiny, asked.profile)
        try:
            for name in asked.names or BENCHMARKS:
                began = time.monotonic()
                reports[name] = asyncio.run(BENCHMARKS[name](stage))
                reports[name].show(console)
                console.print(f"{name} took {time.monotonic() - began:.0f} s\n", style="dim")
        finally:
            cluster.stop()
    if asked.json:
        record = {name: report.record() for name, report in reports.items()}
        asked.json.write_text(json.dumps({"machine": _machine(), "benchmarks": record}, indent=1))
    return 0 if asked.tiny or all(report.passed for report in reports.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--tiny", action="store_true", help="only show that they run; judge nothing"
    )
    parser.add_argument("--profile", type=Path, help="cProfile `squero serve` into this file")
    asked = parser.parse_args()
    if unknown := set(asked.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    return asked


def _machine() -> str:
    """The machine, as far as it bears on the figures."""
    usable, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    words = [line for line in _cpuinfo() if line.startswith("model name")]
    model = words[0].partition(":")[2].strip() if words else platform.machine()
    python = platform.python_version()
    return f"{usable} cores of {model}, Python {python}, load {load:.1f} before the run"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
