"""The folder of PostgreSQL's data: made whole or not at all, and told who may connect."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from squero.store.programs import MAJOR, EmbeddedError, Identity, run_program

# Only LOG and worse is logged, and tersely: the messages and details of errors quote customers'
# values, and the client that caused an error hears of it anyway.
SETTINGS = """\
# Written anew at every start; a setting of yours belongs into ALTER SYSTEM.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 128MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
log_line_prefix = '%m [%p] '
log_min_messages = log
log_error_verbosity = terse
log_min_error_statement = panic
log_statement = none
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_checkpoints = off
log_autovacuum_min_duration = -1
"""


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of the folder, to lock, sync or hand on; raises OSError for a link."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)


def make_data(home: Path, identity: Identity, turn: int) -> None:
    """The data folder, whole or not at all: made beside its place and renamed into it.

    What is half made by a killed start is swept here; the turn's lock, which its orphans inherit,
    keeps us out until they have ended.
    """
    data = home / "postgres"
    for leftover in home.glob("postgres.init-*"):
        shutil.rmtree(leftover)
    if data.exists():
        return _check_version(data)
    folder = Path(tempfile.mkdtemp(prefix="postgres.init-", dir=home))
    os.chown(folder, identity.uid, identity.gid)
    problem = _initialise(folder, identity, turn)
    if problem:
        shutil.rmtree(folder)
        raise EmbeddedError(f"PostgreSQL's data cannot be made in {home}: {problem}")
    folder.rename(data)
    _sync(home)


def _initialise(folder: Path, identity: Identity, turn: int) -> str:
    """Fills an empty folder with a server's data, role and database; gives what went wrong."""
    encoding = "--encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
    options = (*encoding.split(), "--auth=reject", "--username=postgres", "--no-instructions")
    sql = "CREATE ROLE squero LOGIN CREATEDB;\nCREATE DATABASE squero OWNER squero;\n"
    with opened(folder) as handle:
        seen, keep = path_inside(folder, handle, identity), (turn, handle)
        done = run_program(identity, ("initdb", *options, f"--pgdata={seen}"), keep=keep)
        if done.returncode == 0:
            single = ("postgres", "--single", "-D", seen, "-c", "exit_on_error=on", "postgres")
            done = run_program(identity, single, sql=sql, keep=keep)
    return done.stderr.strip() if done.returncode else ""


def path_inside(folder: Path, handle: int, identity: Identity) -> str:
    """The folder's path for the server: another user gets in by the descriptor it inherits.

    So a home that only we may enter stays as closed as it is.
    """
    return f"/proc/self/fd/{handle}" if identity.foreign else str(folder)


def _sync(folder: Path) -> None:
    with opened(folder) as handle:
        os.fsync(handle)


def _check_version(data: Path) -> None:
    version = data / "PG_VERSION"
    found = version.read_text().strip() if version.exists() else "unknown"
    if found != MAJOR:
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {found}, and this Squero brings PostgreSQL {MAJOR}. "
            f"Start a PostgreSQL {found} on that folder, save the database with `pg_dump squero`, "
            "move the folder away, start Squero once for a new one, stop it, and restore the dump."
        )


def configure(data: Path, sockets: Path, identity: Identity) -> None:
    """Writes who may connect and how the server runs: over our socket, by us alone."""
    mapped = "".join(f'squero "{identity.caller}" {role}\n' for role in ("squero", "postgres"))
    files = {
        "postgresql.conf": SETTINGS.format(sockets=sockets),
        "pg_hba.conf": "local all all peer map=squero\n",
        "pg_ident.conf": mapped,
    }
    for name, text in files.items():
        (data / name).unlink(missing_ok=True)
        handle = os.open(data / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            os.fchown(handle, identity.uid, identity.gid)
            file.write(text)
