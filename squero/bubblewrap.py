"""Bubblewrap: what encloses the sandbox where the kernel cannot filter system calls.

Whatever runs inside has namespaces of its own: a network without the machine's, its own processes,
and of the files only what Python loads, which it cannot change.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

PROGRAM = "bwrap"
MEND = f"on Linux install bubblewrap (`{PROGRAM}` on PATH, and allowed to make namespaces)"

_PROBE = "import squero.zygote"
_PROBE_SECONDS = 20.0
_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf")


def command(environment: Mapping[str, str]) -> list[str]:
    """The words before Python's that enclose it; none where bubblewrap is missing or fails."""
    program = shutil.which(PROGRAM)
    if program is None:
        return []
    words = [program, *_options()]
    try:
        done = subprocess.run(
            [*words, sys.executable, "-P", "-c", _PROBE],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            cwd="/",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return words if done.returncode == 0 else []


def _options() -> Iterator[str]:
    yield from ("--die-with-parent", "--new-session", "--unshare-net", "--unshare-pid")
    yield from ("--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    if os.geteuid() == 0:
        # Without a namespace for users, in which root could not become nobody.
        yield from ("--cap-drop", "ALL")
        for kept in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"):
            yield from ("--cap-add", kept)
    else:
        yield "--unshare-user"
    for path in _SYSTEM:
        yield from ("--ro-bind-try", path, path)
    for path in _outermost(_python()):
        yield from ("--ro-bind", path, path)
    yield from ("--proc", "/proc", "--remount-ro", "/", "--chdir", "/")


def _python() -> Iterator[Path]:
    """What Python loads: itself, its libraries, Squero, and what else can be imported."""
    yield from (Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable))
    yield Path(__file__).parent
    for entry in sys.path:
        if entry:
            yield from _importable(Path(entry).absolute())


def _importable(entry: Path) -> Iterator[Path]:
    """Of a folder in `sys.path` what can be imported; a home may lie beside it."""
    with suppress(OSError):
        if entry.is_file():
            yield entry
            return
        for path in entry.iterdir():
            package = os.access(path / "__init__.py", os.R_OK)
            if package or path.suffix in (".py", ".so", ".libs"):
                yield path


def _outermost(paths: Iterable[Path]) -> list[str]:
    """These paths and where their links lead, without those inside another or the system's."""
    named = {path for path in paths if os.access(path, os.R_OK)}
    wanted = sorted(named | {path.resolve() for path in named})
    chosen = [Path("/usr")]
    for path in wanted:
        if path != Path("/") and not any(path.is_relative_to(outer) for outer in chosen):
            chosen.append(path)
    return [str(path) for path in chosen[1:]]
