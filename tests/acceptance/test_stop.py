"""Stopping and restarting the real process: what is asked for, and what happens to the database."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from squero.store import embedded

from .conftest import (
    Customer,
    Server,
    Start,
    assert_books,
    environment,
    family,
    is_gone,
    probe,
    until,
    worker,
)

pytestmark = pytest.mark.kill


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "postmaster.pid").read_text().split()[0])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_hands_back_what_it_renders(start: Start, tmp_path: Path, how: signal.Signals) -> None:
    """As systemd stops one process, and as Ctrl-C does a terminal's whole foreground group."""
    server = start(Server, tmp_path / "home").await_ready()
    customer = Customer(server)
    job = customer.queue()
    until("it renders", lambda: server.said("rendering"))
    processes = [*family(server.pid), postmaster(server.home)]
    if how == signal.SIGINT:
        os.killpg(server.pid, how)
    else:
        server.popen.send_signal(how)
    assert server.popen.wait(40) == 0
    assert server.said("handed back")
    assert [pid for pid in processes if not is_gone(pid)] == []
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "KeyboardInterrupt" not in log

    cluster = embedded.start(server.home)
    with psycopg.connect(cluster.url) as database:
        row = database.execute(
            "SELECT state, attempt, strikes, lost_leases FROM generations"
        ).fetchone()
    cluster.stop()
    assert row == ("queued", 1, 0, 0)

    again = start(Server, server.home)
    assert probe(Customer(again, customer.key).video(job))["frames"] == 120
    assert_books(server.home, "0.05")


def test_finishes_a_download(start: Start, tmp_path: Path) -> None:
    server = start(Server, tmp_path / "home")
    customer = Customer(server)
    job = customer.queue(resolution="720p")
    video = customer.video(job)
    place = urlsplit(server.url)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect((place.hostname, place.port))
        body = httpx.Request("POST", server.url, json=job).content
        line.sendall(
            b"POST /api/v1/video/retrieve HTTP/1.1\r\nhost: squero\r\nconnection: close\r\n"
            b"content-type: application/json\r\nauthorization: Bearer %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (customer.key.encode(), len(body), body)
        )
        got = line.recv(4096)
        server.popen.send_signal(signal.SIGTERM)
        until("no new connection is taken", lambda: refuses(place.hostname, place.port))
        assert server.popen.poll() is None
        while piece := line.recv(65536):
            got += piece
    assert got.partition(b"\r\n\r\n")[2] == video
    assert server.popen.wait(40) == 0


def refuses(host: str | None, port: int | None) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_starts_its_dead_database_again(start: Start, tmp_path: Path) -> None:
    server = start(Server, tmp_path / "home").await_ready()
    customer = Customer(server)
    job = customer.queue()
    until("it renders", lambda: server.said("rendering"))
    dead = postmaster(server.home)
    os.kill(dead, signal.SIGKILL)
    until("it is seen", lambda: server.said("PostgreSQL ended; starting it again"))

    def settles() -> bool:
        answer = customer.post("retrieve", **job)
        assert answer.status_code in (200, 503), answer.text
        return bool(answer.headers["content-type"] == "video/mp4")

    until("the job is done", settles)
    assert len(server.said("rendering")) == 1
    assert postmaster(server.home) != dead
    server.await_ready()
    assert_books(server.home, "0.05")
    assert server.end() == 0


def test_a_remote_worker_outlives_the_server(start: Start, tmp_path: Path) -> None:
    """It renders on while the server is away, and brings the result when it is back."""
    home = tmp_path / "home"
    server = start(Server, home, "--workers", "0")
    customer = Customer(server)
    port = urlsplit(server.url).port
    _, token = server.worker_token("remote")
    remote = start(worker, server, token, tmp_path)
    job = customer.queue()
    until("it renders", lambda: remote.said("rendering"))
    os.killpg(server.pid, signal.SIGKILL)
    server.popen.wait()

    again = start(Server, home, "--workers", "0", "--port", str(port))
    assert probe(Customer(again, customer.key).video(job))["frames"] == 120
    assert len(remote.said("rendering")) == 1
    assert remote.end() == 0
    assert_books(home, "0.05")


def started(home: Path, *words: str) -> subprocess.Popen[bytes]:
    """A command that has launched the database of this home, and has not got to its work yet."""
    command = subprocess.Popen(
        [sys.executable, "-m", "squero", *words, "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    record = home / "postgres" / "postmaster.pid"
    while not record.exists():
        assert command.poll() is None
    return command


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "words", [("serve", "--port", "0"), ("workers", "list")], ids=["serve", "short"]
)
def test_while_it_starts(tmp_path: Path, how: signal.Signals, words: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    embedded.start(home).stop()
    command = started(home, *words)
    command.send_signal(how)
    _, said = command.communicate(timeout=40)
    assert command.returncode == 0 if words[0] == "serve" else command.returncode != 0
    assert b"Traceback" not in said
    assert not embedded._is_alive(home / "postgres")


def test_a_slow_upload(start: Start, tmp_path: Path) -> None:
    """It is ended in a moment, and nothing of it is in the log."""
    server = start(Server, tmp_path / "home", "--workers", "0")
    customer = Customer(server)
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(
            b"POST /api/v1/video/queue HTTP/1.1\r\nhost: squero\r\n"
            b"content-type: application/json\r\nauthorization: Bearer %b\r\n"
            b'content-length: 1000\r\nexpect: 100-continue\r\n\r\n{"model":' % customer.key.encode()
        )
        assert b" 100 " in line.recv(4096)
        began = time.monotonic()
        server.popen.send_signal(signal.SIGTERM)
        answer = line.recv(4096)
        assert server.popen.wait(40) == 0
        assert time.monotonic() - began < 8
    assert b" 503 " in answer
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "Cancel" not in log


def test_no_token_of_a_killed_server_stays_in_force(
    start: Start, tmp_path: Path, database_url: str
) -> None:
    home, env = tmp_path / "home", {"SQUERO_DATABASE_URL": database_url}
    for _ in range(3):
        server = start(Server, home, env=env).await_ready()
        for pid in family(server.pid):
            os.kill(pid, signal.SIGKILL)
        server.popen.wait()
    server = start(Server, home, env=env).await_ready()
    with psycopg.connect(database_url) as database:
        rows = database.execute("SELECT name, revoked_at IS NULL FROM workers").fetchall()
    assert rows == [("own 0", True)]
    assert server.end() == 0
