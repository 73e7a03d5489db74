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
from typing import NamedTuple

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


class Protection(NamedTuple):
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


class Confinement:
    """What a process gives up, worked out beforehand by the one that forks it.

    What a forked child need not work out, look up or allocate it need not touch either, and every
    page that it touches is copied for it. Of the kernel's walls it puts up those that are named;
    "bubblewrap" among them says that it was started inside. The memory counts on top of what this
    process has now.
    """

    def __init__(self, *, memory_bytes: int, file_bytes: int, walls: Collection[str]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._limits = {
            resource.RLIMIT_AS: _mapped_bytes() + memory_bytes,
            resource.RLIMIT_FSIZE: file_bytes,
            resource.RLIMIT_NOFILE: 64,
            resource.RLIMIT_NPROC: 0,
            resource.RLIMIT_CORE: 0,
        }
        self._landlock, self._rules = 0, b""
        if "landlock" in walls:
            self._landlock, self._rules = _landlock_rules(self._libc)
        self._filter = _Filter(seccomp_program(platform.machine())) if "seccomp" in walls else None
        self._enclosed = "bubblewrap" in walls

    def enter(self, *, parent: int, cpu_seconds: int) -> Protection:
        """Gives all of it up; the process has one thread and has imported all it needs.

        From here on it dies with its parent.
        """
        for limit, value in (*self._limits.items(), (resource.RLIMIT_CPU, cpu_seconds)):
            _limit(limit, value)
        if sys.platform != "linux":
            return Protection(True, False, os.geteuid() != 0, 0, False, False)
        libc = self._libc
        _become_nobody()
        # After the change of user, which would undo it; a parent that died before that is seen
        # below.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        no_new_privileges = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        landlock = self._landlock if self._rules and _close_filesystem(libc, self._rules) else 0
        seccomp = self._filter is not None and self._filter.install(libc)
        unprivileged = os.geteuid() != 0
        return Protection(True, no_new_privileges, unprivileged, landlock, seccomp, self._enclosed)


def hide() -> None:
    """Keeps other processes of this user from reading and steering this one; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _limit(limit: int, value: int) -> None:
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


def _landlock_rules(libc: ctypes.CDLL) -> tuple[int, bytes]:
    """The kernel's version of Landlock, and what to forbid: every access by path.

    From later versions on TCP and signals outwards as well.
    """
    version = _landlock_version(libc)
    if version < 1:
        return 0, b""
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    return version, struct.pack("=QQQ", files, network, scoped)[:size]


def _close_filesystem(libc: ctypes.CDLL, rules: bytes) -> bool:
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset < 0:
        return False
    done = libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return bool(done == 0)


class _Filter:
    """A seccomp program as the kernel takes it."""

    def __init__(self, program: bytes | None) -> None:
        self._code = ctypes.create_string_buffer(program or b"", len(program or b""))
        self._header = struct.pack("@HP", len(self._code) // 8, ctypes.addressof(self._code))

    def install(self, libc: ctypes.CDLL) -> bool:
        """Whether the kernel refuses calls off the list from now on; it takes no empty program."""
        mode = _SECCOMP_MODE_FILTER
        return bool(libc.prctl(_PR_SET_SECCOMP, mode, self._header, 0, 0) == 0)


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
