"""`squero engines`: what is installed, what of the catalogue loads on this machine, and a trial.

Neither a server nor a database is needed: the home's catalogue is read, and no more.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from squero.app import load_catalog
from squero.cli.base import configure_logs, load_settings, refuse, say
from squero.cli.records import cell, show
from squero.domain.catalog import Catalog, CatalogError
from squero.domain.model import Model
from squero.engines import GROUP, machine
from squero.engines.check import Entry, unloadable
from squero.engines.host import Host
from squero.engines.scratch import scratch
from squero.errors import ModelNotFound
from squero.shot import RenderError

CHECK_SECONDS = 60.0
"""For one entry; a machine that is new to torch takes half of it to import it."""
INTERRUPTED = 130
NAMED = 3
GB = machine.GB


@dataclass(frozen=True, slots=True)
class Held:
    """What a loaded engine took: time, and the memory that it held at most and that of GPUs."""

    seconds: float
    peak_bytes: int
    vram_bytes: int

    @property
    def words(self) -> str:
        """As it is printed."""
        vram = f" and {self.vram_bytes / GB:.1f} GB of GPU memory" if self.vram_bytes else ""
        return f"loaded in {self.seconds:.1f} s, with {self.peak_bytes / GB:.1f} GB of RAM{vram}"


def run(home: Path | None, model_id: str | None) -> None:
    """List the engines, or load the one of this model; SystemExit 1 when it cannot be loaded."""
    try:
        catalog = load_catalog(load_settings(home))
    except CatalogError as error:
        refuse(str(error))
    try:
        if model_id is None:
            list_all(catalog)
        else:
            load(catalog.find(model_id))
    except ModelNotFound as unknown:
        refuse(unknown.message, 2)
    except KeyboardInterrupt:
        say("Stopped.")
        raise SystemExit(INTERRUPTED) from None


def list_all(catalog: Catalog) -> None:
    """Show every engine, the models that it serves, and whether they can be loaded here."""
    models = catalog.models.values()
    wrong = asyncio.run(unloadable([entry(model) for model in models], timeout=CHECK_SECONDS))
    installed, served = _packages(), dict[tuple[str, str], list[str]]()
    for model in models:
        why = wrong.get(model.id)
        here = f"no: {why}" if why else "yes"
        served.setdefault((model.engine, here), []).append(model.id)
    for name in installed.keys() - {engine for engine, _ in served}:
        served[name, "–"] = []
    table = Table("engine", "package", "models", "can be loaded here", box=None)
    for (engine, here), ids in sorted(served.items()):
        package = installed.get(engine, "not installed")
        table.add_row(cell(engine), cell(package), cell(_few(ids)), cell(here))
    show(table)
    say(f"This machine: {machine.look().words}.")


def load(model: Model) -> None:
    """Load a model's engine in a child of its own, say what that took, and end the child."""
    try:
        with _waiting(f"Loading {model.id}"):
            configure_logs()  # inside: what waits moves out of the way of what is logged
            held = asyncio.run(_load(model))
    except RenderError as failed:
        refuse(f"{model.id}: {failed}.")
    print(f"{model.id}: {held.words}")


def entry(model: Model) -> Entry:
    """What of a catalogue's entry decides whether a machine can load it."""
    return {
        "id": model.id,
        "engine": model.engine,
        "options": dict(model.options),
        "constraints": model.constraints.model_dump(mode="json"),
        "needs": asdict(model.needs),
    }


async def _load(model: Model) -> Held:
    why = (await unloadable([entry(model)], timeout=CHECK_SECONDS)).get(model.id)
    if why:
        refuse(f"{model.id}: {why}.")
    with scratch() as folder:
        most_bytes = machine.look().most_bytes(model.needs)
        host = Host(model.engine, model.options, folder, most_bytes=most_bytes)
        began = time.monotonic()
        try:
            await host.load()
            seconds, pid = time.monotonic() - began, host.pid or 0
            vram_bytes = await asyncio.to_thread(machine.vram_bytes, pid)
            return Held(seconds, machine.peak_bytes(pid), vram_bytes)
        finally:
            await host.aclose()


@contextlib.contextmanager
def _waiting(what: str) -> Iterator[None]:
    console = Console(stderr=True)
    if not console.is_terminal:
        say(what)
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        bar.add_task(what, total=None)
        yield


def _packages() -> Mapping[str, str]:
    """By engine, the packages that declare it and their versions."""
    found: dict[str, set[str]] = {}
    for point in entry_points(group=GROUP):
        if point.dist is not None:
            found.setdefault(point.name, set()).add(f"{point.dist.name} {point.dist.version}")
    return {name: ", ".join(sorted(packages)) for name, packages in found.items()}


def _few(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"{', '.join(ids[:NAMED])}{more}" or "–"
