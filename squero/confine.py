"""What a process gives up, for good, before it touches a customer's bytes.

Afterwards it can compute, use memory and the descriptors that it holds, and nothing else: no file
can be opened, no socket made, no program or thread started, no other process signalled. Where the
kernel has no filter for system calls, `squero.bubblewrap` encloses the process instead.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Collection
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1

_NOBODY = 65534

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_ALLOWED = {
    # name: (x86-64, aarch64)
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "shutdown": (48, 210),
    "exit": (60, 93),
    "fcntl": (72, 25),
    "ftruncate": (77, 46),
    "gettimeofday": (96, 169),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "newfstatat": (262, 79),
    "ppoll": (271, 73),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}


@dataclass(frozen=True, slots=True)
class Protection:
    """Which protections are in force in a process."""

    limits: bool
    """Memory, processor time, file size and descriptors are limited."""
    no_new_privileges: bool
    unprivileged: bool
    """It does not run as root."""
    landlock: int
    """The version of Landlock that closes the filesystem; 0 where the kernel has none."""
    seccomp: bool
    """System calls outside a short list are refused."""
    bubblewrap: bool
    """It sees a network, processes and files that are not this machine's."""

    @property
    def encloses(self) -> bool:
        """Whether a decoder that a stranger took over would find no files and no network."""
        return self.seccomp or self.bubblewrap


def kernel_walls() -> frozenset[str]:
    """Which of "landlock" and "seccomp" this kernel has for us; asking changes nothing."""
    if sys.platform != "linux":
        return frozenset()
    libc = ctypes.CDLL(None, use_errno=True)
    walls = {"landlock"} if _landlock_version(libc) > 0 else set()
    # A filter at no address: only a kernel that has filters goes to look there.
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, None, 0, 0)
    if ctypes.get_errno() == errno.EFAULT and platform.machine() in _AUDIT_ARCH:
        walls.add("seccomp")
    return frozenset(walls)


def confine(
    *,
    parent: int,
    memory_bytes: int,
    cpu_seconds: int,
    file_bytes: int,
    walls: Collection[str],
) -> Protection:
    """Gives up everything that this process can; it has one thread and has imported all it needs.

    The memory counts on top of what the process has now. Of the kernel's walls it puts up those
    that are named; "bubblewrap" among them says that it was started inside. From here on it dies
    with its parent.
    """
    _limit(memory_bytes, cpu_seconds, file_bytes)
    if sys.platform != "linux":
        return Protection(True, False, os.geteuid() != 0, 0, False, False)
    libc = ctypes.CDLL(None, use_errno=True)
    _become_nobody()
    # After the change of user, which would undo it; a parent that died before that is seen below.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    hide()
    no_new_privileges = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    landlock = _close_filesystem(libc) if "landlock" in walls else 0
    seccomp = "seccomp" in walls and _filter_calls(libc)
    unprivileged = os.geteuid() != 0
    enclosed = "bubblewrap" in walls
    return Protection(True, no_new_privileges, unprivileged, landlock, seccomp, enclosed)


def hide() -> None:
    """Keeps other processes of this user from reading and steering this one; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _limit(memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    limits = {
        resource.RLIMIT_AS: _mapped_bytes() + memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def _mapped_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 31


def _become_nobody() -> None:
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except OSError:
            return  # a user namespace that has no nobody; Protection tells


def _landlock_version(libc: ctypes.CDLL) -> int:
    no_size = ctypes.c_size_t(0)
    return int(
        libc.syscall(_LANDLOCK_CREATE_RULESET, None, no_size, _LANDLOCK_CREATE_RULESET_VERSION)
    )


def _close_filesystem(libc: ctypes.CDLL) -> int:
    """Forbids every access by path; from later versions on TCP and signals outwards as well."""
    version = _landlock_version(libc)
    if version < 1:
        return 0
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = struct.pack("=QQQ", files, network, scoped)[:size]
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return 0
    done = libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return version if done == 0 else 0


def _filter_calls(libc: ctypes.CDLL) -> bool:
    program = seccomp_program(platform.machine())
    if program is None:
        return False
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) == 0)


def seccomp_program(machine: str) -> bytes | None:
    """The filter as classic BPF: a foreign architecture kills, a call off the list gets EPERM.

    None for a machine whose calls are not known here.
    """
    if machine not in _AUDIT_ARCH:
        return None
    column = 0 if machine == "x86_64" else 1
    numbers = [both[column] for both in _ALLOWED.values() if both[column] is not None]
    load, equal, answer = 0x20, 0x15, 0x06
    kill, refuse, allow = 0x8000_0000, 0x0005_0000 | 1, 0x7FFF_0000
    program = [(load, 0, 0, 4), (equal, 1, 0, _AUDIT_ARCH[machine]), (answer, 0, 0, kill)]
    program.append((load, 0, 0, 0))
    for index, number in enumerate(numbers):
        program.append((equal, len(numbers) - index, 0, number or 0))
    program += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    return b"".join(struct.pack("=HBBI", *line) for line in program)
