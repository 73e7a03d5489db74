"""Becomes another program: `launch.py [--detach] IDENTITY PROGRAM ARGUMENT…`.

Run by path in an interpreter of its own, because a threaded process must not fork into Python.
It imports nothing but the standard library, so that it starts in a few milliseconds.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000


def enter_namespace(uid: int, gid: int) -> None:
    """Appears as `uid` and `gid` in a new user namespace; outside it nothing changes.

    Files made from here on belong to the caller as before. Raises OSError where the kernel or
    the container forbids it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    maps = {"uid_map": f"{uid} {os.geteuid()} 1", "gid_map": f"{gid} {os.getegid()} 1"}
    if not hasattr(libc, "unshare") or libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "this machine allows no user namespace")
    for name, text in {"setgroups": "deny", **maps}.items():
        Path("/proc/self", name).write_text(text)


def become(identity: str) -> None:
    """Takes on `self`, `namespace:UID:GID` or `user:UID:GID`; raises OSError when refused."""
    kind, *numbers = identity.split(":")
    if kind == "namespace":
        enter_namespace(*map(int, numbers))
    elif kind == "user":
        uid, gid = map(int, numbers)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def detach() -> None:
    """Goes on as an orphan in a session of its own: no terminal and no process group reach it."""
    if os.fork():
        os._exit(0)
    os.setsid()


def main(words: list[str]) -> None:
    """Never returns: this process is the program afterwards, or has ended with a reason."""
    detached = words[0] == "--detach"
    identity, program, *arguments = words[1:] if detached else words
    try:
        become(identity)
        if detached:
            detach()
        os.execv(program, [program, *arguments])  # noqa: S606
    except OSError as error:
        sys.exit(f"{program} cannot be started as {identity}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
