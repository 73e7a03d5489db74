"""No network for an engine that needs none: its process is refused the Internet's sockets.

A filter of system calls, kept by every thread and process that is started afterwards. Pipes and
sockets of the machine's own go on working; where the kernel has no filters, nothing changes.
"""

import ctypes
import platform
import struct
import sys

_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The architecture as filters know it, and the number of the call `socket`."""
_IO_URING_SETUP = 425
_FOREIGN_FROM = 0x4000_0000  # the calls of another ABI on the same machine
_INET, _INET6 = 2, 10
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF_0000, 0x0005_0000 | 13, 0x0005_0000 | 38


def close() -> bool:
    """Refuse this process the network from now on; whether the kernel does."""
    program = filter_program(platform.machine())
    if sys.platform != "linux" or program is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) == 0)


def filter_program(machine: str) -> bytes | None:
    """The filter as classic BPF; None for a machine whose calls are not known here."""
    if machine not in _MACHINES:
        return None
    architecture, socket = _MACHINES[machine]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),
        (equal, 0, 8, architecture),
        (load, 0, 0, 0),
        (at_least, 6, 0, _FOREIGN_FROM),
        (equal, 6, 0, _IO_URING_SETUP),  # by which a socket could be made past this filter
        (equal, 0, 3, socket),
        (load, 0, 0, 16),
        (equal, 2, 0, _INET),
        (equal, 1, 0, _INET6),
        (answer, 0, 0, _ALLOW),
        (answer, 0, 0, _REFUSE),
        (answer, 0, 0, _UNKNOWN),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in program)
