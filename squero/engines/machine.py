"""What this machine has that a model may need: GPUs with their memory, and main memory."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from squero.engines import memory
from squero.needs import Needs

GB = 1_000_000_000
SMI_SECONDS = 10.0
"""A driver that nothing keeps awake takes some seconds to answer."""
RESULT_BYTES = 4 << 30
"""A result lies in memory until it is sent, and counts as the engine's."""

_SLICE = re.compile(r"\bMIG \S*?\.(\d+)gb\S*\s.*UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that CUDA may use, or a MIG slice of one, which has no number of its own."""

    index: int | None
    uuid: str
    vram_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """The GPUs and the memory that a process started now may use."""

    gpus: tuple[Gpu, ...]
    ram_bytes: int

    @property
    def words(self) -> str:
        """What there is, for people."""
        sizes = ", ".join(f"{gpu.vram_bytes / GB:.1f} GB" for gpu in self.gpus)
        gpus = f"GPUs of {sizes}" if sizes else "no GPU that CUDA sees"
        return f"{gpus}; {self.ram_bytes / GB:.1f} GB of RAM"

    def lacks(self, needs: Needs) -> str | None:
        """What a model with these needs does not find here, in a sentence; None: nothing."""
        wanted = needs.gpus or int(needs.vram_gb > 0)
        large = sum(gpu.vram_bytes >= needs.vram_gb * GB for gpu in self.gpus)
        if large < wanted:
            size = f" of {needs.vram_gb:g} GB" if needs.vram_gb else ""
            count = "a GPU" if wanted == 1 else f"{wanted} GPUs"
            there = {0: "are none", 1: "is 1"}.get(large, f"are {large}")
            return f"It needs {count}{size} and there {there}"
        if self.ram_bytes < needs.ram_gb * GB:
            return f"It needs {needs.ram_gb:g} GB of RAM and there are {self.ram_bytes / GB:.1f}"
        return None

    def most_bytes(self, needs: Needs) -> int | None:
        """The most main memory that an engine may take here; None when it declares nothing.

        What it declares is what it needs, not where it stops: half as much again, and a result.
        """
        if not needs.ram_gb:
            return None
        return min(int(1.5 * needs.ram_gb * GB) + RESULT_BYTES, self.ram_bytes * 15 // 16)


def look() -> Machine:
    """What there is, as `nvidia-smi` and the kernel tell it; takes a second, and blocks."""
    ram_bytes = _ram_bytes()
    gpus, named = tuple(_gpus(ram_bytes)), os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        slices = _slices() if gpus and "MIG-" in named else ()
        gpus = tuple(_named(named, [*gpus, *slices]))
    return Machine(gpus, ram_bytes)


def vram_bytes(pid: int) -> int:
    """What a process holds of GPUs' memory; 0 where the driver does not tell."""
    found = 0
    for line in _smi("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"):
        match [cell.strip() for cell in line.split(",")]:
            case [held_by, mib] if held_by == str(pid) and mib.isdecimal():
                found += int(mib) << 20
    return found


def peak_bytes(pid: int) -> int:
    """The most of main memory that a process has ever held; elsewhere than on Linux, holds now."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with suppress(psutil.Error):
        held: int = psutil.Process(pid).memory_info().rss
        return held
    return 0


def _gpus(ram_bytes: int) -> Iterator[Gpu]:
    for line in _smi("--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"):
        match [cell.strip() for cell in line.split(",")]:
            case [index, uuid, mib] if index.isdecimal():
                # One that shares the machine's memory has no number here.
                vram_bytes = int(mib) << 20 if mib.isdecimal() else ram_bytes
                yield Gpu(int(index), uuid, vram_bytes)


def _slices() -> Iterator[Gpu]:
    for line in _smi("-L"):
        if found := _SLICE.search(line):
            yield Gpu(None, found[2], int(found[1]) * GB)


def _named(names: str, gpus: Sequence[Gpu]) -> Iterator[Gpu]:
    """Those of CUDA_VISIBLE_DEVICES: by number, or by what their UUIDs begin with."""
    for name in (part.strip() for part in names.split(",")):
        is_uuid = name.startswith(("GPU-", "MIG-"))
        found = [
            gpu for gpu in gpus if name == str(gpu.index) or (is_uuid and gpu.uuid.startswith(name))
        ]
        if len(found) != 1:
            return  # CUDA does not look behind a name that it does not know, either
        yield found[0]


def _smi(*words: str) -> list[str]:
    """The lines of `nvidia-smi`; none where it is missing or fails."""
    try:
        told = subprocess.run(
            ("nvidia-smi", *words),  # noqa: S607 - the driver's, wherever its package puts it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SMI_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return told.stdout.decode(errors="replace").splitlines()


def _ram_bytes() -> int:
    total: int = psutil.virtual_memory().total
    return min([total, *_limits()])


def _limits() -> Iterator[int]:
    """What control groups allow: the one that this process is in, and those above it."""
    group = memory.own_group()
    for folder in () if group is None else (group, *group.parents):
        if folder.is_relative_to(memory.GROUPS):
            with suppress(OSError, ValueError):  # there is no file, or "max" in it
                yield int((folder / "memory.max").read_text())
