"""`squero` under cProfile: `python -m benchmarks.profiled FILE ARGUMENT…`.

The clock is the CPU time of the thread that serves, so that neighbours on the machine do not count.
"""

import cProfile
import sys
import time

from squero.cli import main


def run(file: str, arguments: list[str]) -> None:
    """Run the command, and write what it spent its time on when it ends."""
    sys.argv = ["squero", *arguments]
    profile = cProfile.Profile(time.thread_time)
    try:
        profile.runcall(main)
    finally:
        profile.dump_stats(file)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
