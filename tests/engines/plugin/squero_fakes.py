"""Engines that misbehave, declared the way a third party's package declares its own."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from squero.engines import Rest, Tell
from squero.shot import BadInput, OutOfMemory, Shot, UpstreamFailed


class Obedient:
    """Writes the process id as its video; the prompt says what goes wrong on the way."""

    def __init__(self, mark: str = "", *, network: bool = False) -> None:
        self.mark = mark
        self.network = network
        self.loads = 0

    def load(self) -> None:
        self.loads += 1

    def render(self, shot: Shot, out: Path, tell: Tell) -> Rest | None:
        print("a print of the engine")
        tell(0.5)
        rest = getattr(self, shot.prompt.split()[0])(shot, tell)

        def write() -> None:
            if rest:
                rest()
            out.write_text(f"{os.getpid()} {self.loads} {self.mark}")

        if rest:
            return write
        write()
        return None

    def succeed(self, shot: Shot, tell: Tell) -> None:
        pass

    def hold(self, shot: Shot, tell: Tell) -> None:
        # Until somebody writes into the pipe, whose path is in the prompt.
        time.sleep(0.11)  # the child tells ten times a second
        tell(0.99)
        Path(shot.prompt.split()[1]).read_text()

    def die_after(self, shot: Shot, tell: Tell) -> None:
        self.hold(shot, tell)
        self.die(shot, tell)

    def paint(self, shot: Shot, tell: Tell) -> Rest:
        # The rest waits until somebody writes into the pipe, whose path is in the prompt.
        pipe = Path(shot.prompt.split()[1])

        def rest() -> None:
            getattr(self, pipe.read_text())(shot, tell)

        return rest

    def die(self, shot: Shot, tell: Tell) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def leave(self, shot: Shot, tell: Tell) -> None:
        sys.exit(3)

    def hang(self, shot: Shot, tell: Tell) -> None:
        threading.Event().wait()

    def clutch(self, shot: Shot, tell: Tell) -> None:
        # Holds the interpreter's lock, so that no thread of the child can do anything.
        ctypes.PyDLL(None).sleep(60)

    def wait(self, shot: Shot, tell: Tell) -> None:
        while True:
            tell(0.6)
            time.sleep(0.01)

    def strides(self, shot: Shot, tell: Tell) -> None:
        for share in (0.6, 0.7):
            time.sleep(0.6)
            tell(share)

    def stride(self, shot: Shot, tell: Tell) -> None:
        while True:
            time.sleep(0.6)
            tell(0.6)

    def refuse(self, shot: Shot, tell: Tell) -> None:
        raise BadInput("The image shows no gondola")

    def falter(self, shot: Shot, tell: Tell) -> None:
        raise UpstreamFailed("The upstream is away")

    def note(self, shot: Shot, tell: Tell) -> None:
        tell(0.6, f"{shot.key} after {shot.note}")

    def note_and_falter(self, shot: Shot, tell: Tell) -> None:
        self.note(shot, tell)
        self.falter(shot, tell)

    def note_and_wait(self, shot: Shot, tell: Tell) -> None:
        self.note(shot, tell)
        self.wait(shot, tell)

    def ramble(self, shot: Shot, tell: Tell) -> None:
        tell(0.6, "x" * 1025)

    def dial(self, shot: Shot, tell: Tell) -> None:
        for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
            try:
                socket.socket(family).close()
                self.mark += f"{family.name} "
            except PermissionError:
                pass

    def settle(self, note: str) -> None:
        if "fail" in note:
            raise ValueError(note)
        if Path("settling").exists():
            Path("settling").read_text()  # a pipe: until somebody writes into it
        with Path("settled").open("a") as file:
            file.write(f"{note}\n")

    def price(self, shot: Shot) -> int | None:
        getattr(self, shot.prompt or "succeed")(shot, lambda share, note=None: None)
        return 1000 * shot.frames if shot.audio else None

    def swell(self, shot: Shot, tell: Tell) -> None:
        raise MemoryError(shot.prompt)

    def starve(self, shot: Shot, tell: Tell) -> None:
        raise OutOfMemory(shot.prompt)

    def blurt(self, shot: Shot, tell: Tell) -> None:
        print(f"about to render {shot.prompt}", file=sys.stderr)
        thread = threading.Thread(target=self.fail, args=(shot, tell))
        thread.start()
        thread.join()
        self.fail(shot, tell)

    def fail(self, shot: Shot, tell: Tell) -> None:
        raise ValueError(shot.prompt)

    def garble(self, shot: Shot, tell: Tell) -> None:
        cells = (cell.cell_contents for cell in tell.__closure__ or ())
        pipe = next(cell._reports for cell in cells if hasattr(cell, "_reports"))
        os.write(pipe, shot.prompt.split(maxsplit=1)[1].encode() + b"\n")

    def look(self, shot: Shot, tell: Tell) -> None:
        self.mark = " ".join(
            [
                Path("/proc/self/cmdline").read_text().replace("\0", " "),
                " ".join(os.environ),
                f"cwd={Path.cwd()} tmp={os.environ['TMPDIR']} umask={os.umask(0o077):o}",
            ]
        )


class Broken:
    """Does not load."""

    def __init__(self, *, large: bool = False) -> None:
        self.large = large

    def load(self) -> None:
        if self.large:
            raise MemoryError
        raise RuntimeError("weights of a secret model")

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        raise AssertionError


class Dear(Broken):
    """Would tell prices, but does not load."""

    def price(self, shot: Shot) -> int:
        raise AssertionError


class Paced:
    """Draws as long as it is told, and codes in its rest; notes in a diary when it was busy."""

    def __init__(self, diary: str, seconds: float) -> None:
        self.diary = Path(diary)
        self.seconds = seconds

    def load(self) -> None:
        from squero.engines.motion import Motion

        self.coder = Motion(instant=True)
        self.coder.load()

    def render(self, shot: Shot, out: Path, tell: Tell) -> Rest:
        began = time.monotonic()
        while (share := (time.monotonic() - began) / self.seconds) < 1:
            tell(share)
            time.sleep(self.seconds / 50)
        with self.diary.open("a") as file:
            file.write(f"{began} {time.monotonic()}\n")
        return lambda: self.coder.render(shot, out, tell)


class Mortal:
    """Draws as `motion` does; its process dies at a moment, once, where `mark` says so.

    At a word that is the name of a report it dies as soon as that may have gone out.
    """

    def __init__(self, moment: str, mark: str) -> None:
        # What every other engine of this module can do without.
        from squero.engines.motion import Motion

        self.motion = Motion(instant=True)
        self.moment = moment
        self.mark = Path(mark)

    def at(self, moment: str, *, soon: bool = False) -> None:
        if moment != self.moment or not self.mark.exists():
            return
        self.mark.unlink()
        if not soon:
            os.kill(os.getpid(), signal.SIGKILL)
        # The default of this signal is to end the process, whatever it does then.
        signal.setitimer(signal.ITIMER_REAL, 0.005)

    def load(self) -> None:
        self.at("load")
        self.motion.load()
        self.at("loaded", soon=True)

    def render(self, shot: Shot, out: Path, tell: Tell) -> Rest | None:
        self.at("render")
        tell(0.1)
        self.at("progress")
        tell(0.2, "noted")
        self.at("note")
        if self.moment == "failed" and self.mark.exists():
            self.at("failed", soon=True)
            raise UpstreamFailed
        try:
            while self.moment in ("stop", "cancelled"):
                tell(0.3)
                time.sleep(0.01)
        finally:
            self.at("stop")
            self.at("cancelled", soon=True)
        if self.moment in ("drawn", "rest"):
            self.at("drawn", soon=True)
            return lambda: self.rest(shot, out)
        self.write(shot, out)
        return None

    def rest(self, shot: Shot, out: Path) -> None:
        self.at("rest")
        self.write(shot, out)

    def write(self, shot: Shot, out: Path) -> None:
        self.motion.render(shot, out, lambda share, note=None: None)
        self.at("done", soon=True)

    def settle(self, note: str) -> None:
        self.at("settle")
        self.at("settled", soon=True)

    def price(self, shot: Shot) -> int:
        self.at("price")
        self.at("priced", soon=True)
        return 50_000
