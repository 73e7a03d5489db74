"""A rank besides the first: `python -m squero.engines.diffusers.follower PARENT RANK STORE`.

Draws what rank 0 draws, as the options say that come first on standard input. A bad input and a
stop come to all ranks alike; whatever else goes wrong ends this process, and with it all of them.
"""

import os
import queue
import resource
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from squero.engines.child import limit, place, quieten, take_pipes
from squero.engines.diffusers import Diffusers
from squero.engines.diffusers.options import Unready
from squero.engines.messages import COMMAND_BYTES, Command, Load, Render, decode_command
from squero.lifeline import die_with_parent
from squero.shot import BadInput, Stopped

REPORT_SECONDS = 5.0
"""How long rank 0 may take to tell of the same failure, such as too little memory, itself."""


def main() -> None:
    """Follow until the parent goes."""
    die_with_parent(int(sys.argv[1]))
    os.umask(0o077)
    limit(resource.RLIMIT_CORE, 0)
    quieten()
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    pipe, _ = take_pipes()
    threading.Thread(target=_listen, args=(pipe, commands), daemon=True).start()
    try:
        _follow(commands, int(sys.argv[2]), Path(sys.argv[3]))
    except BaseException as error:
        # At loading nobody has written anything yet that would have to be kept.
        words = str(error) if isinstance(error, Unready) else place(error)
        print(words, file=sys.stderr, flush=True)  # noqa: T201
        time.sleep(REPORT_SECONDS)
    finally:
        os._exit(1)


def _follow(commands: "queue.SimpleQueue[Command]", rank: int, store: Path) -> None:
    engine: Diffusers | None = None
    while True:
        match commands.get():
            case Load() as command:
                engine = Diffusers(**command.options)
                engine.follow(rank, store)
            case Render() as command if engine is not None:
                try:
                    engine.draw(command.shot)
                except (BadInput, Stopped):
                    continue


def _listen(pipe: BinaryIO, commands: "queue.SimpleQueue[Command]") -> None:
    try:
        while line := pipe.readline(COMMAND_BYTES + 1):
            commands.put(decode_command(line))
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
