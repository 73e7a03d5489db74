"""`squero serve` where it cannot: one sentence that says what to do, and no traceback."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

WITHOUT_WALLS = """
import squero.sandbox
from squero.cli import main
squero.sandbox.kernel_walls = frozenset
main()
"""
"""Squero on a kernel without seccomp and Landlock."""


def command(home: Path, *words: str, program: tuple[str, ...] = ("-m", "squero")) -> list[str]:
    return [sys.executable, *program, "serve", "--port", "0", "--home", str(home), *words]


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SQUERO_")}


def refused(home: Path, *words: str, **env: str) -> tuple[int, str]:
    """The status and the words of a server that does not start."""
    done = subprocess.run(
        command(home, *words),
        env=clean_environment() | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_as_many_open_files_as_may_be() -> None:
    program = """
import importlib, resource
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
importlib.import_module("squero.cli.serve").raise_open_files()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_second_server_on_a_home(tmp_path: Path) -> None:
    with (tmp_path / "serve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = refused(tmp_path)
    assert code == 1
    assert f"Another `squero serve` runs on {tmp_path}" in said


def test_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(tmp_path, "--port", str(port))
    assert code == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in said
    assert "--port" in said
    assert not (tmp_path / "postgres").exists()


def test_host_of_somebody_else(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "--host", "192.0.2.1")
    assert code == 1
    assert "--host" in said


@pytest.mark.parametrize(
    ("text", "word"),
    [("lease_seconds = ", "squero.toml"), ("lease_seconds = 0", "lease_seconds"), ("x = 1", "x")],
    ids=["broken", "out of range", "unknown"],
)
def test_settings_that_cannot_be(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "squero.toml").write_text(text)
    code, said = refused(tmp_path)
    assert code == 2
    assert word in said


def test_a_setting_of_the_environment(tmp_path: Path) -> None:
    code, said = refused(tmp_path, SQUERO_RETENTION_HOURS="for ever")
    assert code == 2
    assert "retention_hours" in said
    assert "for ever" not in said


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "squero.test"])
def test_development_for_others(tmp_path: Path, host: str) -> None:
    code, said = refused(tmp_path, "--dev", "--host", host)
    assert code == 1
    assert "--dev" in said
    assert host in said
    assert not (tmp_path / "serve.lock").exists()


def test_terms_that_are_not_there(tmp_path: Path, database_url: str) -> None:
    terms = str(tmp_path / "terms")
    code, said = refused(
        tmp_path, SQUERO_DATABASE_URL=database_url, SQUERO_REFUSED_TERMS_FILE=terms
    )
    assert code == 1
    assert terms in said


@pytest.mark.parametrize("hosts", ["https://a.test", "1.2.3"])
def test_allowed_hosts_that_are_none(tmp_path: Path, database_url: str, hosts: str) -> None:
    code, said = refused(tmp_path, SQUERO_DATABASE_URL=database_url, SQUERO_ALLOWED_HOSTS=hosts)
    assert code in (1, 2)
    assert "allowed_hosts" in said


def test_home_that_is_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    code, said = refused(home)
    assert code == 1
    assert str(home) in said
    assert "SQUERO_HOME" in said


def test_home_in_a_folder_of_somebody_else(tmp_path: Path) -> None:
    code, said = refused(Path("/proc/nobody/squero"))
    assert code == 1
    assert "SQUERO_HOME" in said


def test_home_that_others_may_change(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    code, said = refused(home)
    assert code == 1
    assert "chmod o-w" in said


def test_broken_model(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.toml").write_text("id = 1")
    code, said = refused(tmp_path, SQUERO_DATABASE_URL=database_url)
    assert code == 1
    assert "mine.toml" in said


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://squero:hunter2@127.0.0.1:1/squero", "does not answer"),
        ("postgres//hunter2", "is not a PostgreSQL URL"),
    ],
    ids=["away", "nonsense"],
)
def test_database_that_is_not_there(tmp_path: Path, url: str, word: str) -> None:
    code, said = refused(tmp_path, SQUERO_DATABASE_URL=url)
    assert code == 1
    assert word in said
    assert "hunter2" not in said


def start_without_walls(folder: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    """A server on a kernel without seccomp and Landlock, where bubblewrap does not work either."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (programs / "bwrap").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        command(folder / "home", *words, program=("-c", WITHOUT_WALLS)),
        env=clean_environment() | env | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_others_without_a_sandbox(tmp_path: Path) -> None:
    server = start_without_walls(tmp_path, "--host", "0.0.0.0")
    out, said = server.communicate(timeout=60)
    assert server.returncode == 1
    assert out == ""
    assert said.startswith("NO SANDBOX: ")
    assert "install bubblewrap" in said
    assert "0.0.0.0" in said
    assert "--host" in said
    assert len(said.splitlines()) == 1
    assert session(server.pid) == []
    assert (tmp_path / "home" / "postgres").exists()
    assert not (tmp_path / "home" / "postgres" / "postmaster.pid").exists()


def test_this_machine_without_a_sandbox(tmp_path: Path, database_url: str) -> None:
    server = start_without_walls(tmp_path, "--workers", "0", SQUERO_DATABASE_URL=database_url)
    assert server.stdout is not None
    assert "Squero is listening on http://127.0.0.1:" in server.stdout.readline()
    server.send_signal(signal.SIGTERM)
    _, said = server.communicate(timeout=60)
    assert server.returncode == 0
    assert said.startswith("NO SANDBOX: ")
    assert "install bubblewrap" in said
    assert session(server.pid) == []


def session(leader: int) -> list[int]:
    """The processes of this session that are left after a second at most."""
    until = time.monotonic() + 1
    while found := [pid for pid in processes() if session_of(pid) == leader]:
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    return found


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
