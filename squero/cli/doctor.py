"""`squero doctor`: what works here and what does not, one line each with the mend."""

import asyncio
import os
import platform
import resource
import shutil
import time
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
from psycopg import AsyncConnection
from psycopg import Error as DatabaseError
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr, ValidationError

from squero import bubblewrap
from squero.app import load_catalog
from squero.cli import doctor_engines as engines
from squero.cli.findings import Finding, Grade
from squero.confine import Protection
from squero.domain.catalog import CatalogError
from squero.media import look
from squero.media.keyring import SecretRefused, load_secret
from squero.sandbox import Sandbox, SandboxDied
from squero.settings import Settings
from squero.store import programs
from squero.store.db import Tx
from squero.store.migrate import pending

PORT = 8800
ROOM_BYTES = 2 << 30
DAY_SECONDS = 86_400
OPEN_FILES = 8192
ANSWER_SECONDS = 2.0


def run(home: Path | None) -> None:
    """Look at everything and print what was found; SystemExit 1 when something needed is broken."""
    found = asyncio.run(examine(home))
    for finding in found:
        print(finding.line)
    broken = [finding.subject for finding in found if finding.grade == "broken"]
    if broken:
        print(f"Broken: {', '.join(broken)}.")
        raise SystemExit(1)
    print("Squero works here.")


async def examine(home: Path | None) -> list[Finding]:
    """Every finding, in the order in which a start would meet it."""
    try:
        settings = Settings() if home is None else Settings(home=home)
    except (ValidationError, ValueError, OSError) as wrong:
        found = [_python(), _unusable(wrong), await _sandbox(), engines.probe(), engines.room()]
        return [*found, engines.equipment(), engines.limits(), _files(), _clock()]
    return [
        _python(),
        *await asyncio.gather(
            asyncio.to_thread(_home, settings),
            asyncio.to_thread(_secret, settings),
            asyncio.to_thread(_programs, settings),
            _database(settings),
            _sandbox(),
            asyncio.to_thread(engines.probe),
            asyncio.to_thread(engines.room),
            asyncio.to_thread(engines.equipment),
            asyncio.to_thread(engines.limits),
            asyncio.to_thread(_catalog, settings),
            _server(),
        ),
        *await engines.models(settings),
        _proxies(settings),
        _files(),
        _clock(),
    ]


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.machine()}")


def _unusable(wrong: Exception) -> Finding:
    says = str(wrong).splitlines()[0]
    if isinstance(wrong, ValidationError):
        says = "; ".join(
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in wrong.errors()
        )
    return Finding("settings", "broken", says, "docs/settings.md lists them all.")


def _home(settings: Settings) -> Finding:
    home = settings.home
    place = home
    while not place.exists() and place != place.parent:
        place = place.parent
    other = "choose another with --home or SQUERO_HOME."
    if not place.is_dir():
        return Finding("home", "broken", f"{place} is no folder.", other)
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("home", "broken", f"{place} may not be written by this user.", other)
    if place == home and home.stat().st_mode & 0o077:
        mode = home.stat().st_mode & 0o777
        return Finding("home", "note", f"{home} is open to others ({mode:o}).", f"chmod 700 {home}")
    free = shutil.disk_usage(place).free
    says = f"{home}, {free / 1e9:.1f} GB free"
    if free < ROOM_BYTES:
        return Finding("home", "note", says, "a full disk stops the database: make room.")
    return Finding("home", "ok", says if place == home else f"{says}, made at the first start")


def _secret(settings: Settings) -> Finding:
    path = settings.secret_path
    with suppress(PermissionError):
        if not path.exists() and settings.secret_file is None:
            return Finding("secret", "ok", "made at the first start")
    try:
        load_secret(path, create=False)
    except (SecretRefused, OSError) as refused:
        mend = "restore it from a backup, or nothing that it sealed opens again."
        return Finding("secret", "broken", f"{refused}.", mend)
    return Finding("secret", "ok", str(path))


def _programs(settings: Settings) -> Finding:
    if settings.database_url is not None:
        return Finding("postgresql", "ok", "not needed: SQUERO_DATABASE_URL is set")
    try:
        identity = programs.choose_identity(settings.home / "postgres")
        version = programs.run_program(identity, ("postgres", "--version")).stdout.strip()
    except (programs.EmbeddedError, OSError) as error:
        return Finding("postgresql", "broken", str(error))
    kind = identity.launch.split(":")[0]
    whom = {"self": "as this user", "namespace": "in a user namespace of this user"}
    return Finding("postgresql", "ok", f"{version}, {whom.get(kind, f'as uid {identity.uid}')}")


async def _database(settings: Settings) -> Finding:
    """Looks without starting it: that is what `squero serve` is for."""
    own = settings.database_url is None
    named = settings.database_url or SecretStr(_own_url(settings.home))
    url = named.get_secret_value()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            missing = await pending(url)
            apart = 0 if missing else await _days_apart(url)
    except (DatabaseError, OSError) as error:
        if own:
            made = (settings.home / "postgres").exists()
            return Finding("database", "ok", "not running" if made else "made at the first start")
        mend = f"start it, or correct SQUERO_DATABASE_URL ({type(error).__name__})."
        return Finding("database", "broken", "It does not answer.", mend)
    if missing:
        grade: Grade = "note" if own else "broken"
        return Finding("database", grade, f"It lacks migrations {missing}.", "squero migrate")
    if apart > 1:
        mend = "set both clocks by NTP; leases and expiry go by the database's."
        return Finding("database", "note", f"Its clock is {apart} days off ours.", mend)
    return Finding("database", "ok", "running, and its schema is up to date")


def _own_url(home: Path) -> str:
    record = home / "postgres.run.path"
    sockets = record.read_text() if os.access(record, os.R_OK) else str(home / "postgres.run")
    return make_conninfo(host=sockets, port=5432, user="squero", dbname="squero")


async def _days_apart(url: str) -> int:
    async with await AsyncConnection.connect(url) as connection:
        theirs: date = await Tx(connection).value("session.today")
    return abs((theirs - datetime.now(UTC).date()).days)


def _proxies(settings: Settings) -> Finding:
    if settings.trusted_proxies:
        named = ", ".join(map(str, settings.trusted_proxies))
        return Finding("proxies", "ok", f"X-Forwarded-For is believed from {named}")
    says = "none is trusted: behind one, all callers without a key share its address, and the limit"
    mend = "set SQUERO_TRUSTED_PROXIES if there is one."
    return Finding("proxies", "ok", f"{says} on failed requests.", mend)


def _clock() -> Finding:
    made = Path(__file__).stat().st_mtime
    if time.time() < made - DAY_SECONDS:
        says = f"It says {datetime.now(UTC):%Y-%m-%d}, before Squero was installed."
        return Finding("clock", "note", says, "set it by NTP; keys and day keys expire by it.")
    return Finding("clock", "ok", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")


async def _sandbox() -> Finding:
    sandbox = Sandbox(look.RECORDINGS)
    try:
        found = await sandbox.protection()
    except (SandboxDied, OSError) as died:
        mend = "customers' pictures cannot be taken; look for limits on processes or memory."
        return Finding("sandbox", "broken", f"It does not start ({died}).", mend)
    finally:
        await sandbox.aclose()
    return _protection(found)


def _protection(found: Protection) -> Finding:
    walls = {"seccomp": found.seccomp, "bubblewrap": found.bubblewrap}
    more = {
        f"Landlock {found.landlock or '(Linux 5.13 or later)'}": found.landlock,
        "limits on memory and time": found.limits,
        "no-new-privileges": found.no_new_privileges,
        "an unprivileged user": found.unprivileged,
    }
    there = ", ".join(name for name, stands in (walls | more).items() if stands)
    lacks = ", ".join(name for name, stands in more.items() if not stands)
    if not found.encloses:
        says = f"Nothing encloses what decodes customers' media. There is {there}."
        mend = f"{bubblewrap.MEND}; until then `squero serve` serves loopback alone."
        return Finding("sandbox", "note", says, mend)
    if lacks:
        mend = "customers' media are decoded with what there is: prefer a machine that has them."
        return Finding("sandbox", "note", f"{there}; this machine lacks {lacks}.", mend)
    return Finding("sandbox", "ok", there)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "no limit" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    says = f"{soft:,} here, which `squero serve` raises to {most}; a connection takes one"
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        mend = f"raise the hard limit to {OPEN_FILES:,} (systemd: LimitNOFILE)."
        return Finding("open files", "note", f"{says}.", mend)
    return Finding("open files", "ok", says)


def _catalog(settings: Settings) -> Finding:
    try:
        models = load_catalog(settings).models
    except (CatalogError, OSError) as wrong:
        return Finding("catalogue", "broken", f"{wrong}.", "correct or remove this file.")
    return Finding("catalogue", "ok", f"{len(models)} models")


async def _server() -> Finding:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS) as client:
            body = (await client.get(f"http://127.0.0.1:{PORT}/health")).json()
        return Finding("server", "ok", f"Squero answers on port {PORT}: {body['status']}")
    except (httpx.ConnectError, OSError):
        return Finding("server", "ok", f"port {PORT} is free")
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        mend = "stop it, or choose another with `squero serve --port`."
        return Finding("server", "note", f"Something else listens on port {PORT}.", mend)
