"""The child process in which an engine lives: `python -m squero.engines.child PARENT_PID`.

Reads commands from standard input, writes reports to what was its standard output, and dies with
its parent. What an engine says about a customer's prompt never leaves it, except in a `BadInput`.
"""

import os
import queue
import resource
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from squero.engines import Engine, Prices, Rest, Settles, build, memory, network
from squero.engines.messages import (
    COMMAND_BYTES,
    WORDS,
    Command,
    Done,
    Drawn,
    Failed,
    Load,
    Loaded,
    Price,
    Priced,
    Progress,
    Render,
    Report,
    Settle,
    Settled,
    Stop,
    decode_command,
    encode,
)
from squero.lifeline import die_with_parent
from squero.shot import BadInput, OutOfMemory, Stopped, UpstreamFailed, is_note

RESULT_BYTES = 4 << 30
TELL_SECONDS = 0.1


def take_pipes() -> tuple[BinaryIO, int]:
    """The pipe of commands and that of reports, moved to where no print and no read finds them."""
    commands = os.fdopen(os.dup(0), "rb")
    reports = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, reports


def place(error: BaseException) -> str:
    """The type of an error and the line that raised it, without its text."""
    return _place(type(error), error.__traceback__)


def _place(kind: type[BaseException], trace: TracebackType | None) -> str:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return kind.__name__
    code = trace.tb_frame.f_code
    return f"{kind.__name__} at {Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}"


def failure(number: int, error: BaseException) -> Failed:
    """How an error of the engine is told; only a BadInput speaks in its own words."""
    match error:
        case BadInput():
            return Failed(number, BadInput.kind, str(error)[:WORDS])
        case Stopped():
            return Failed(number, Stopped.kind, "")
        case UpstreamFailed():
            kind = UpstreamFailed.kind
        case MemoryError() | OutOfMemory():
            kind = OutOfMemory.kind
        case _:
            # torch has an error of its own by this name, and this process need not have torch.
            kind = OutOfMemory.kind if type(error).__name__ == "OutOfMemoryError" else "crash"
    return Failed(number, kind, place(error)[:WORDS])


class Child:
    """One engine, and the renders it is asked for, one after the other."""

    def __init__(self, commands: BinaryIO, reports: int) -> None:
        self._commands = commands
        self._reports = reports
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._stopped: set[int] = set()
        self._told: dict[int, float] = {}
        self._engine: Engine | None = None
        self._resting: threading.Thread | None = None

    def run(self) -> None:
        """Obey commands until the parent closes the pipe."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            match self._inbox.get():
                case Load() as command:
                    self._engine = self._load(command)
                case Render() as command:
                    if self._engine is None:
                        raise RuntimeError("A render before the engine was loaded")
                    self._render(self._engine, command)
                case Settle() as command:
                    self._settle(command)
                case Price() as command:
                    self._price(command)

    def _listen(self) -> None:
        # Standing in the pipe's end is the second line for dying with the parent.
        try:
            while line := self._commands.readline(COMMAND_BYTES + 1):
                command = decode_command(line)
                if isinstance(command, Stop):
                    self._stopped.add(command.number)
                elif isinstance(command, Settle) and self._engine is not None:
                    threading.Thread(target=self._settle, args=(command,)).start()
                else:
                    self._inbox.put(command)
        finally:
            os._exit(1)

    def _report(self, report: Report) -> None:
        try:
            os.write(self._reports, encode(report))
        except OSError:
            os._exit(1)

    def _load(self, command: Load) -> Engine | None:
        try:
            engine = build(command.engine, command.options)
            if not getattr(engine, "network", False):
                network.close()
            if not command.prices_alone or isinstance(engine, Prices):
                engine.load()
        except BaseException as error:
            self._report(failure(0, error))
            return None
        # Only now: loading may fetch weights, which are larger than any video.
        limit(resource.RLIMIT_FSIZE, RESULT_BYTES)
        self._report(Loaded())
        return engine

    def _render(self, engine: Engine, command: Render) -> None:
        began = time.monotonic()
        try:
            rest = engine.render(
                command.shot,
                command.out,
                lambda share, note=None: self._tell(command, share, note),
            )
        except BaseException as error:
            self._end(failure(command.number, error))
            return
        if rest is None:
            self._finish(command, began)
        else:
            self._leave(command, began, rest)

    def _leave(self, command: Render, began: float, rest: Rest) -> None:
        """Let what is left of the render go on beside the next one."""
        if self._resting is not None:
            self._resting.join()  # the pictures of two shots at once are enough
        self._report(Drawn(command.number))
        self._resting = threading.Thread(target=self._finish, args=(command, began, rest))
        self._resting.start()

    def _finish(self, command: Render, began: float, rest: Rest | None = None) -> None:
        try:
            if rest is not None:
                rest()
            if not command.out.is_file():
                raise FileNotFoundError
        except BaseException as error:
            self._end(failure(command.number, error))
        else:
            self._end(Done(command.number, time.monotonic() - began, peak_bytes()))

    def _end(self, report: Done | Failed) -> None:
        self._told.pop(report.number, None)
        self._stopped.discard(report.number)
        self._report(report)

    def _tell(self, command: Render, share: float, note: str | None) -> None:
        if note is not None and not is_note(note):
            raise ValueError("The note is too long, or has characters that cannot be printed")
        now, stopped = time.monotonic(), command.number in self._stopped
        is_due = not stopped and now - self._told.get(command.number, 0.0) >= TELL_SECONDS
        # A note goes out whatever comes next: somebody may have been paid for what it names.
        if is_due or note is not None:
            self._told[command.number] = now
            self._report(Progress(command.number, min(max(share, 0.0), 1.0), note))
        if stopped:
            raise Stopped("Stopped by the parent")

    def _settle(self, command: Settle) -> None:
        engine: object = self._engine
        try:
            if isinstance(engine, Settles):
                engine.settle(command.note)
        except Exception as error:
            print(place(error), file=sys.stderr)  # noqa: T201
        self._report(Settled(command.number))

    def _price(self, command: Price) -> None:
        engine: object = self._engine
        try:
            micros = engine.price(command.shot) if isinstance(engine, Prices) else None
        except Exception as error:
            self._report(failure(command.number, error))
        else:
            self._report(Priced(command.number, micros))


def limit(what: int, most: int) -> None:
    """Lower a limit of this process, never raise it."""
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, hard))


def peak_bytes() -> int:
    """The most memory this process has ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def quieten() -> None:
    """Let no error that nobody catches print its text, which may hold the prompt."""
    sys.excepthook = lambda kind, _error, trace: print(_place(kind, trace), file=sys.stderr)  # noqa: T201
    threading.excepthook = lambda args: print(  # noqa: T201
        _place(args.exc_type, args.exc_traceback), file=sys.stderr
    )


def main() -> None:
    """Serve one engine until the parent goes."""
    die_with_parent(int(sys.argv[1]))
    memory.volunteer()
    os.umask(0o077)
    limit(resource.RLIMIT_CORE, 0)
    quieten()
    Child(*take_pipes()).run()


if __name__ == "__main__":
    main()
