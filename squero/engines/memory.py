"""Who dies when memory runs out: the engine, before PostgreSQL, the API and its own worker.

A limit on address space would not do: CUDA reserves far more of that than it ever uses. So an
engine's process is the kernel's first choice, and where a control group is delegated to us, it is
held to what its catalogue entry declares. This needs systemd's `Delegate=` with
`DelegateSubgroup=`: a group that holds processes cannot have limited groups in it.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
OWN_SCORE = Path("/proc/self/oom_score_adj")
WORST_SCORE = 1000


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one engine's process and of what that starts."""

    folder: Path

    @property
    def overflowed(self) -> bool:
        """Whether the kernel has killed in it because it was full."""
        with suppress(OSError):
            lines = (self.folder / "memory.events").read_text().splitlines()
            return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)
        return False

    def close(self) -> None:
        """Remove it once its processes are gone; systemd removes what is left with the unit."""
        with suppress(OSError):
            self.folder.rmdir()


def volunteer() -> None:
    """Let the kernel end this process first, with all that it starts, when memory runs out."""
    with suppress(OSError):
        OWN_SCORE.write_text(str(WORST_SCORE))


def enclose(pid: int, most_bytes: int) -> Group | None:
    """Hold a process that has done nothing yet to so much main memory; None where nothing can.

    Raises OSError where something should.
    """
    unit = delegated()
    if unit is None:
        return None
    group = Group(unit / f"engine-{pid}")
    try:
        (unit / "cgroup.subtree_control").write_text("+memory")
        group.folder.mkdir()
        (group.folder / "memory.max").write_text(str(most_bytes))
        (group.folder / "memory.oom.group").write_text("1")
        (group.folder / "cgroup.procs").write_text(str(pid))
    except OSError:
        group.close()
        raise
    return group


def delegated() -> Path | None:
    """The group in which we may make others: our unit's, if we are in a subgroup of it."""
    own = own_group()
    unit = GROUPS if own is None else own.parent
    if unit.suffix not in (".service", ".scope") or not os.access(unit / "cgroup.procs", os.W_OK):
        return None
    with suppress(OSError):
        if "memory" in (unit / "cgroup.controllers").read_text().split():
            return unit
    return None


def own_group() -> Path | None:
    """The control group that this process is in; None where there is no version 2 of them."""
    with suppress(OSError):
        for line in OWN_GROUP.read_text().splitlines():
            if line.startswith("0::/"):
                return GROUPS / line.removeprefix("0::/")
    return None
