"""What `squero doctor` says of engines: whether they work, and what to put where for a model."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from squero.app import load_catalog
from squero.cli.engines import CHECK_SECONDS, entry
from squero.cli.findings import Finding
from squero.domain import catalog
from squero.domain.catalog import CatalogError
from squero.domain.model import Model
from squero.engines import GROUP, machine, memory
from squero.engines.check import unloadable
from squero.engines.process import environment
from squero.engines.scratch import default_parent
from squero.settings import Settings

OURS = "motion"
MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written to
PROBE_SECONDS = 20.0

PROBE = """
import sys, tempfile
from pathlib import Path
from squero.engines import find
from squero.shot import Shot
with tempfile.TemporaryDirectory() as folder:
    out = Path(folder, "probe.mp4")
    engine = find("motion", {})
    engine.load()
    engine.render(Shot("probe", 64, 64, 2, 24, 1), out, lambda share: None)
    print(out.stat().st_size)
"""
"""A render in a process of its own: nothing that serves imports an engine."""


def probe() -> Finding:
    """Whether the engine that always works does so here, in a process of its own."""
    names = sorted({point.name for point in entry_points(group=GROUP)})
    with tempfile.TemporaryDirectory(prefix="squero-doctor-") as folder:
        try:
            done = subprocess.run(
                (sys.executable, "-P", "-c", PROBE),
                capture_output=True,
                text=True,
                timeout=PROBE_SECONDS,
                env=environment(Path(folder)),
                check=False,
            )
        except subprocess.TimeoutExpired:
            says = f"`motion` renders nothing in {PROBE_SECONDS:.0f} s."
            return Finding("engines", "broken", says, "is this machine overloaded?")
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return Finding("engines", "broken", f"`motion` does not render: {why}", "install anew.")
    return Finding("engines", "ok", f"{', '.join(names)}; `motion` renders")


def room() -> Finding:
    """Where a render keeps its files, and whether there is room."""
    parent = default_parent()
    free = shutil.disk_usage(parent).free / 1e9
    if parent == MEMORY:
        return Finding("scratch", "ok", f"{parent}, {free:.1f} GB free")
    says = f"{MEMORY} has no room: workers keep a render's files in {parent} while it lasts."
    return Finding("scratch", "note", says, f"give {MEMORY} 1 GiB or more (docker: --shm-size=1g).")


def equipment() -> Finding:
    """What a model may need of this machine."""
    return Finding("machine", "ok", machine.look().words)


def limits() -> Finding:
    """What happens when an engine takes more memory than there is."""
    unit = memory.delegated()
    if unit is not None:
        says = f"one that declares `needs.ram_gb` is held to it, by a control group in {unit.name}"
        return Finding("engines' memory", "ok", says)
    says = "no control group is delegated: when memory runs out, the kernel ends an engine first."
    mend = "to hold each to its own, see docs/workers.md."
    return Finding("engines' memory", "ok", says, mend)


async def models(settings: Settings) -> list[Finding]:
    """For each model of another engine than ours, whether this machine can load it.

    Never "broken": a worker elsewhere may be the one that serves it.
    """
    try:
        listed = await asyncio.to_thread(load_catalog, settings)
    except (CatalogError, OSError):
        return []  # the catalogue has a finding of its own
    others = [model for model in listed.models.values() if model.engine != OURS]
    wrong = await unloadable([entry(model) for model in others], timeout=CHECK_SECONDS)
    files = catalog.files(settings.home / "models")
    return [_model(model, wrong.get(model.id), files.get(model.id)) for model in others]


def _model(model: Model, wrong: str | None, file: Path | None) -> Finding:
    subject = f"model {model.id}"
    if wrong is None:
        return Finding(subject, "ok", f"`{model.engine}` can load it here")
    where = f"here or in {file}" if file else "here"
    mend = f"put that right {where}, or leave it to a worker on a machine that can load it."
    return Finding(subject, "note", f"{wrong}.", mend)
