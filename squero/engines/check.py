"""Whether this machine can load what a catalogue asks for, found out without loading it.

`python -m squero.engines.check` reads entries as a list of JSON from standard input, makes the
engine of each, and writes a line for each in turn: its id, and null or why it cannot be loaded.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from squero.engines import GROUP, Checks, build, machine, reference
from squero.engines.child import take_pipes
from squero.engines.process import environment
from squero.lifeline import die_with_parent
from squero.needs import Needs
from squero.shot import RenderError

WORDS = 300
"""The longest sentence, in characters."""

Entry = Mapping[str, Any]
"""What of a catalogue's entry matters here: id, engine, options, constraints, needs."""


async def unloadable(entries: Sequence[Entry], *, timeout: float) -> dict[str, str]:
    """By id, why this machine cannot load an entry; one that it can load is not in there.

    All are tried in one process, with the keys of upstreams in another. The process is killed when
    one entry takes longer than `timeout` seconds; whatever an engine does to it, the entries that
    come later are tried in a new one.
    """
    found: dict[str, str] = {}
    for remote in (False, True):
        waiting = [entry for entry in entries if ("upstreams" in entry["options"]) == remote]
        while waiting:
            answers, end = await _asked(waiting, timeout, upstreams=remote)
            told = zip(waiting, [*answers, end], strict=False)
            found |= {str(entry["id"]): why for entry, why in told if why}
            waiting = waiting[len(answers) + 1 :]
    return found


async def _asked(
    entries: Sequence[Entry], timeout: float, *, upstreams: bool
) -> tuple[list[str | None], str]:
    """What a new process answers for the first of these, and why it does not for the next."""
    folder = Path(tempfile.gettempdir())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "squero.engines.check", str(os.getpid())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env=environment(folder, upstreams=upstreams),
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers: list[str | None] = []
    try:
        process.stdin.write(json.dumps(list(entries)).encode())
        process.stdin.close()
        while len(answers) < len(entries):
            line = await asyncio.wait_for(process.stdout.readline(), timeout)
            if not line:
                return answers, f"The engine's process ended ({await _ending(process)})"
            answers.append(_answer(line, entries[len(answers)]))
    except TimeoutError:
        return answers, f"Not known after {timeout:g} s"
    except ValueError:
        return answers, "The engine's process broke the protocol"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return answers, ""


async def _ending(process: asyncio.subprocess.Process) -> str:
    code = await process.wait()
    return f"signal {-code}" if code < 0 else f"status {code}"


def _answer(line: bytes, entry: Entry) -> str | None:
    match json.loads(line):
        case [id, None | str() as why] if id == entry["id"]:
            return None if why is None else why[:WORDS]
    raise ValueError("Not an answer")


def obstacle(entry: Entry) -> str | None:
    """Why this very process could not load an entry, in a sentence; None: as far as can be told."""
    name = entry["engine"]
    try:
        ref = reference(name)
    except LookupError as unknown:
        return str(unknown)
    try:
        engine = build(ref, entry["options"])
        needs = Needs(**entry.get("needs", {}))
        lacks = None if needs == Needs() else _machine().lacks(needs)
        if lacks is None and isinstance(engine, Checks):
            return engine.missing(entry.get("constraints"))
    except ModuleNotFoundError as missing:
        return f"{missing.name} is missing: install {_provider(name)}"
    # Whatever an engine raises, the entries after it are to be answered.
    except BaseException as error:
        return _words(error)
    return lacks


@cache
def _machine() -> machine.Machine:
    return machine.look()


def _provider(name: str) -> str:
    """What pip is to install for this engine: its package, with the extra of its name."""
    for point in entry_points(group=GROUP, name=name):
        if point.dist is not None:
            extras = point.dist.metadata.get_all("Provides-Extra") or ()
            return f"{point.dist.name}[{name}]" if name in extras else f"{point.dist.name} anew"
    return "it"


def _words(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    own = " ".join(str(error).split())
    if own and isinstance(error, TypeError | ValueError | RenderError):
        return own
    return f"{type(error).__name__}: {own}".removesuffix(": ")


def main() -> None:
    """Answer for every entry on standard input."""
    if len(sys.argv) > 1:
        die_with_parent(int(sys.argv[1]))
    commands, reports = take_pipes()
    for entry in json.load(commands):
        why = obstacle(entry)
        line = json.dumps([entry["id"], None if why is None else str(why)[:WORDS]])
        os.write(reports, line.encode() + b"\n")


if __name__ == "__main__":
    main()
