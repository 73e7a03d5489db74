"""A PostgreSQL of Squero's own, out of a wheel: started, shared by all of a home, stopped.

Three locks tell the truth that process ids cannot: `postgres.start.lock` gives one process at a
time the turn to start or stop, `postgres.lock` is held shared by everyone who uses the server, and
the lock on the data folder itself is held by PostgreSQL for as long as any process of it lives.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import stat
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from squero.store.datafolder import configure, make_data, opened, path_inside
from squero.store.programs import EmbeddedError, Identity, choose_identity, detach_program

__all__ = ["Cluster", "EmbeddedError", "start"]

SOCKET_FILE = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 103
"""The shortest limit on a Unix socket's path that a system of ours has (macOS; Linux: 107)."""
LOG_BYTES = 1_000_000
STOP_SECONDS = 60.0
POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.5


class Cluster:
    """A running server and our share in it, from `start` to `stop`."""

    def __init__(self, home: Path, sockets: Path, lock: int) -> None:
        self.home = home
        self.url = _conninfo(sockets)
        """A libpq connection string of the database `squero`; it holds no secret."""
        self.pid = _postmaster_pid(home, sockets)
        """The process id of the postmaster when we joined it."""
        self._lock: int | None = lock

    def stop(self) -> None:
        """Gives up our share; the last one to do so stops the server. Twice does nothing more."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            with _turn(self.home, time.monotonic() + STOP_SECONDS):
                if _try_lock(lock, fcntl.LOCK_EX):
                    _shut_down(self.home)
        finally:
            os.close(lock)


def start(home: Path, *, wait_seconds: float = 600.0) -> Cluster:
    """Joins the server of this home, or makes and starts it; blocks until it answers.

    A start after a crash takes as long as recovery takes, up to `wait_seconds`. The server
    outlives a caller that is killed; the next one joins it. One that is interrupted while it waits
    stops the server unless others share it. Raises EmbeddedError.
    """
    deadline = time.monotonic() + wait_seconds
    home = _make_home(home)
    with _turn(home, deadline) as turn:
        lock = _open_lock(home / "postgres.lock")
        try:
            _try_lock(lock, fcntl.LOCK_SH)
            identity = choose_identity(home / "postgres")
            make_data(home, identity, turn)
            sockets = _make_sockets(home, identity)
            _trim_log(home)
            _await_answer(home, sockets, identity, deadline)
            return Cluster(home, sockets, lock)
        except EmbeddedError:
            os.close(lock)
            raise
        except BaseException:
            _withdraw(home, lock)
            raise


def _conninfo(sockets: Path) -> str:
    return make_conninfo(host=str(sockets), port=5432, user="squero", dbname="squero")


# Locks


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _try_lock(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _turn(home: Path, deadline: float) -> Iterator[int]:
    """Our turn to start or stop the server of this home; gives the lock's descriptor."""
    lock = _open_lock(home / "postgres.start.lock")
    try:
        while not _try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Another process is busy starting PostgreSQL in {home}.")
            time.sleep(POLL_SECONDS)
        yield lock
    finally:
        os.close(lock)


def _is_alive(data: Path) -> bool:
    """Whether any process of this data folder's server lives, the postmaster or an orphan."""
    with opened(data) as lock:
        return not _try_lock(lock, fcntl.LOCK_SH)


# The home


def _make_home(home: Path) -> Path:
    """The absolute home, made if it is missing; refuses one that other users could change."""
    with suppress(FileExistsError):
        home.mkdir(mode=0o700, parents=True)
    home = home.resolve()
    status = home.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise EmbeddedError(f"{home} belongs to another user (uid {status.st_uid}): run as that.")
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise EmbeddedError(f"Every user may write to {home}: chmod o-w it, or choose another.")
    return home


# The socket's folder


def _make_sockets(home: Path, identity: Identity) -> Path:
    """A folder that only the server's user enters: in the home, or below /tmp if that is long.

    (Or if the server runs as another user, who cannot enter the home.) A folder below /tmp is
    remembered in the home, and trusted only while it is still the server's alone.
    """
    found = _find_sockets(home)
    if _is_private(found, identity):
        return found
    if _is_alive(home / "postgres"):
        raise EmbeddedError(f"PostgreSQL runs in {home}, but its socket is gone: end it first.")
    inside, record = home / "postgres.run", home / "postgres.run.path"
    record.unlink(missing_ok=True)
    if not identity.foreign and _suits_libpq(inside) and not inside.exists():
        inside.mkdir(mode=0o700)
        return inside
    folder = Path(tempfile.mkdtemp(prefix="squero-", dir="/tmp"))
    os.chown(folder, identity.uid, identity.gid)
    with os.fdopen(os.open(record, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(str(folder))
    return folder


def _find_sockets(home: Path) -> Path:
    record = home / "postgres.run.path"
    return Path(record.read_text()) if record.exists() else home / "postgres.run"


def _suits_libpq(sockets: Path) -> bool:
    # Commas, quotes and a leading @ mean something in a connection string or postgresql.conf.
    short = len(bytes(sockets / SOCKET_FILE)) <= SOCKET_PATH_BYTES
    return short and bool(re.fullmatch(r"[\w./+-]+", str(sockets), re.ASCII))


def _is_private(folder: Path, identity: Identity) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    mode = stat.S_IMODE(status.st_mode) & 0o777
    return stat.S_ISDIR(status.st_mode) and status.st_uid == identity.uid and mode == 0o700


# Running


def _await_answer(home: Path, sockets: Path, identity: Identity, deadline: float) -> None:
    """Returns once the server lets us in; launches it if none lives, fails if that one dies."""
    url, launched, pause = _conninfo(sockets), False, POLL_SECONDS
    while True:
        if not _is_alive(home / "postgres"):
            if launched:
                _sweep_sockets(home)
                raise EmbeddedError(f"PostgreSQL ended while starting:\n{_log_tail(home)}")
            _launch(home, sockets, identity)
            launched = True
        if pq.PGconn.ping(url.encode()) == pq.Ping.OK:
            break
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL does not answer yet:\n{_log_tail(home)}")
        time.sleep(pause)
        pause = min(1.1 * pause, LONGEST_POLL_SECONDS)
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        raise EmbeddedError(f"PostgreSQL runs in {home}, but refuses us: {error}") from error


def _launch(home: Path, sockets: Path, identity: Identity) -> None:
    """Starts the server as nobody's child; it inherits, and so keeps, the data folder's lock."""
    data = home / "postgres"
    _drop_stale_pid(data, sockets)
    configure(data, sockets, identity)
    log = os.open(_log_path(home), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        with opened(data) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            words = ("postgres", "-D", path_inside(data, lock, identity))
            detach_program(identity, words, log=log, keep=(lock,))
    finally:
        os.close(log)


def _drop_stale_pid(data: Path, sockets: Path) -> None:
    """Removes pid files whose process has ended unreaped, or is by now another one.

    PostgreSQL would take either for a running server. A real one, started by hand, stands in the
    data folder and is left to PostgreSQL's own check, like any process we may not look into.
    """
    with suppress(OSError, ValueError):
        process = Path("/proc") / (data / "postmaster.pid").read_text().splitlines()[0]
        if process.exists() and _stands_in(process) != data:
            _empty(sockets)
            (data / "postmaster.pid").unlink()


def _stands_in(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except FileNotFoundError:
        return None


def _empty(sockets: Path) -> None:
    for leftover in (SOCKET_FILE, f"{SOCKET_FILE}.lock"):
        (sockets / leftover).unlink(missing_ok=True)


def _postmaster_pid(home: Path, sockets: Path) -> int:
    """The process that listens, from the kernel where it tells; raises OSError if none does."""
    if not hasattr(socket, "SO_PEERCRED"):
        return int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(STOP_SECONDS)
        line.connect(str(sockets / SOCKET_FILE))
        return int(
            struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        )


def _starting_pid(home: Path) -> int:
    """The process that is about to listen, or 0: a pid file may be older, or of another machine."""
    data = home / "postgres"
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        return pid if _stands_in(Path(f"/proc/{pid}")) == data else 0
    except (OSError, ValueError, IndexError):
        return 0


def _shut_down(home: Path) -> None:
    """Stops the server: open transactions are rolled back; after a minute, without a checkpoint.

    Raises EmbeddedError when it lives on even then.
    """
    for how in (signal.SIGINT, signal.SIGQUIT):
        told, deadline = False, time.monotonic() + STOP_SECONDS
        while _is_alive(home / "postgres") and time.monotonic() < deadline:
            # One that has only just been launched cannot be told yet.
            told = told or _tell(home, how)
            time.sleep(POLL_SECONDS)
        if not _is_alive(home / "postgres"):
            return _sweep_sockets(home)
    raise EmbeddedError(f"PostgreSQL in {home} does not stop.")


def _tell(home: Path, how: signal.Signals) -> bool:
    """Sends the postmaster a signal; whether there is one to send it to."""
    try:
        pid = _postmaster_pid(home, _find_sockets(home))
    except (OSError, ValueError, IndexError):
        pid = _starting_pid(home)
    # 0: it runs in a container that shares our home, and dies with that; or it is not there yet.
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, how)
    return bool(pid)


def _withdraw(home: Path, lock: int) -> None:
    """Gives up a start that was interrupted; a server that nobody shares goes with it."""
    try:
        with suppress(FileNotFoundError):  # the data folder was not made yet
            if _try_lock(lock, fcntl.LOCK_EX) and _is_alive(home / "postgres"):
                _shut_down(home)
    finally:
        os.close(lock)


def _sweep_sockets(home: Path) -> None:
    """Removes the socket's folder, with what a killed server may have left in it."""
    sockets = _find_sockets(home)
    _empty(sockets)
    with suppress(FileNotFoundError):
        sockets.rmdir()
    (home / "postgres.run.path").unlink(missing_ok=True)


# The log


def _log_path(home: Path) -> Path:
    return home / "postgres.log"


def _trim_log(home: Path) -> None:
    """Keeps one older log; the file is emptied in place, for a running server appends to it."""
    log = _log_path(home)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        older = os.open(home / "postgres.log.1", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(older, "wb") as copy, log.open("r+b") as file:
            shutil.copyfileobj(file, copy)
            file.truncate(0)


def _log_tail(home: Path) -> str:
    log = _log_path(home)
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""
