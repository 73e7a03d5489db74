"""The embedded PostgreSQL, with real servers, real kills and, as root, a real stranger."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from squero.store import embedded, programs
from squero.store.embedded import Cluster, EmbeddedError, start

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

STARTER = """
import sys, pathlib
from squero.store.embedded import start
print(start(pathlib.Path(sys.argv[1])).pid, flush=True)
sys.stdin.read()
"""

LEAVER = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
{STARTER}
"""

STRANGER = """
import os, sys, psycopg
os.setgroups([]), os.setgid(12345), os.setuid(12345)
try:
    psycopg.connect(sys.argv[1])
except psycopg.OperationalError as error:
    print(error)
else:
    print("let in")
"""


def make_folder() -> Path:
    """A folder with a path short enough for a socket, unlike `tmp_path`."""
    return Path(tempfile.mkdtemp(prefix="sq", dir="/tmp"))


@pytest.fixture
def empty() -> Iterator[Path]:
    """A home that is not there yet."""
    folder = make_folder()
    yield folder / "home"
    end_servers(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A home whose server was made once, for making one takes most of a test's time."""
    folder = make_folder()
    start(folder / "home").stop()
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture
def home(made: Path) -> Iterator[Path]:
    """That home with its server stopped; a test may start and kill it, but not spoil it."""
    yield made
    end_servers(made.parent)


@pytest.fixture
def spare(tmp_path: Path, made: Path) -> Iterator[Path]:
    """A copy of that home, to spoil, with a path too long for a socket."""
    home = tmp_path / ("it's, long " + "x" * 100) / "home"
    shutil.copytree(made, home)
    yield home
    end_servers(tmp_path)
    shutil.rmtree(home)


def end_servers(folder: Path) -> None:
    """Ends what a failed test may have left running."""
    for data in folder.rglob("home/postgres"):
        if embedded._is_alive(data):
            with suppress(OSError, ValueError):
                os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)


def ask(cluster: Cluster, sql: str) -> object:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        row = connection.execute(sql).fetchone()
        return row and row[0]


def run(cluster: Cluster, sql: str) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(sql)


def runs(home: Path) -> bool:
    return embedded._is_alive(home / "postgres")


def kill_server(cluster: Cluster) -> None:
    """Kills the postmaster as the kernel would; its children notice and end."""
    os.kill(cluster.pid, signal.SIGKILL)


def starter(home: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that has started, or joined, the server of a home; and the server's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    return process, int(process.stdout.readline())


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestStart:
    def test_makes_a_server(self, empty: Path) -> None:
        cluster = start(empty)
        assert ask(cluster, "SELECT current_database()") == "squero"
        assert ask(cluster, "SHOW server_encoding") == "UTF8"
        assert ask(cluster, "SHOW timezone") == "UTC"
        assert ask(cluster, "SHOW fsync") == "on"
        assert ask(cluster, "SHOW listen_addresses") == ""
        assert ask(cluster, "SELECT lower('ÄÖ') || ('a' < 'B')") == "äöfalse"
        assert ask(cluster, "SELECT rolsuper FROM pg_roles WHERE rolname = 'squero'") is False
        cluster.stop()
        assert not runs(empty)

    def test_keeps_data(self, home: Path) -> None:
        first = start(home)
        run(first, "CREATE TABLE kept AS SELECT 7 AS n")
        first.stop()
        second = start(home)
        assert ask(second, "SELECT n FROM kept") == 7
        assert second.pid != first.pid
        second.stop()

    def test_after_a_kill_while_writing(self, home: Path) -> None:
        cluster = start(home)
        run(cluster, "CREATE TABLE written (n int)")
        acknowledged, enough = [-1], threading.Event()

        def write() -> None:
            with suppress(psycopg.OperationalError), psycopg.connect(cluster.url) as connection:
                for number in range(1_000_000):
                    connection.execute("INSERT INTO written VALUES (%s)", [number])
                    connection.commit()
                    acknowledged[0] = number
                    if number == 50:
                        enough.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert enough.wait(30)
        kill_server(cluster)
        again = start(home)
        writer.join(30)
        assert again.pid != cluster.pid
        assert ask(again, "SELECT count(*) FROM written") in (
            acknowledged[0] + 1,
            acknowledged[0] + 2,
        )
        cluster.stop()
        again.stop()
        assert not runs(home)

    def test_beside_a_reused_pid(self, home: Path) -> None:
        cluster = start(home)
        stale = (home / "postgres" / "postmaster.pid").read_text().splitlines()
        kill_server(cluster)
        stale[0] = str(os.getpid())
        (home / "postgres" / "postmaster.pid").write_text("\n".join(stale) + "\n")
        again = start(home)
        assert ask(again, "SELECT 1") == 1
        cluster.stop()
        again.stop()

    def test_after_a_kill_while_making(self, empty: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(empty)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        while not list(empty.glob("postgres.init-*/PG_VERSION")):
            assert process.poll() is None
        process.kill()
        process.communicate()
        assert not (empty / "postgres").exists()
        cluster = start(empty)
        assert ask(cluster, "SELECT 1") == 1
        assert not list(empty.glob("postgres.init-*"))
        cluster.stop()

    def test_in_a_long_and_odd_home(self, spare: Path) -> None:
        cluster = start(spare)
        sockets = Path((spare / "postgres.run.path").read_text())
        assert sockets.parent == Path("/tmp")
        assert mode(sockets) == 0o700
        joined = start(spare)
        assert (joined.pid, joined.url) == (cluster.pid, cluster.url)
        assert ask(joined, "SELECT 1") == 1
        cluster.stop()
        joined.stop()
        assert not sockets.exists()

    def test_never_trusts_a_planted_socket_folder(self, spare: Path, tmp_path: Path) -> None:
        planted = tmp_path / "planted"
        planted.mkdir(mode=0o755)
        (spare / "postgres.run.path").write_text(str(planted))
        cluster = start(spare)
        assert str(planted) not in cluster.url
        cluster.stop()
        assert planted.exists()

    def test_never_uses_a_socket_folder_that_others_enter(self, home: Path) -> None:
        (home / "postgres.run").mkdir(mode=0o755)
        cluster = start(home)
        assert "/tmp/squero-" in cluster.url
        cluster.stop()
        assert mode(home / "postgres.run") == 0o755
        (home / "postgres.run").rmdir()


class TestSharing:
    def test_several_starters(self, home: Path) -> None:
        with ThreadPoolExecutor(4) as threads:
            clusters = list(threads.map(start, [home] * 4))
        assert len({cluster.pid for cluster in clusters}) == 1
        for cluster in clusters[1:]:
            cluster.stop()
        assert ask(clusters[0], "SELECT 1") == 1
        clusters[0].stop()
        assert not runs(home)

    def test_the_last_process_stops_it(self, home: Path) -> None:
        process, pid = starter(home)
        ours = start(home)
        assert ours.pid == pid
        ours.stop()
        ours.stop()
        assert runs(home)
        last = start(home)
        kill_group(process)
        last.stop()
        assert not runs(home)
        assert not (home / "postgres.run").exists()

    def test_outlives_a_killed_starter(self, home: Path) -> None:
        process, pid = starter(home)
        kill_group(process)
        assert runs(home)
        cluster = start(home)
        assert cluster.pid == pid
        assert ask(cluster, "SELECT 1") == 1
        cluster.stop()
        assert not runs(home)

    def test_starter_and_server_killed(self, home: Path) -> None:
        process, pid = starter(home)
        kill_group(process)
        os.kill(pid, signal.SIGKILL)
        cluster = start(home)
        assert cluster.pid != pid
        assert ask(cluster, "SELECT 1") == 1
        cluster.stop()

    def test_stop_breaks_open_transactions(self, home: Path) -> None:
        cluster = start(home)
        with psycopg.connect(cluster.url) as connection:
            connection.execute("SELECT 1")
            cluster.stop()
            assert not runs(home)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")


class TestInterrupted:
    """A start that Ctrl-C ends, from the moment the server's process is there."""

    def interrupted(self, home: Path, how: signal.Signals) -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", LEAVER, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not (home / "postgres" / "postmaster.pid").exists():
            assert process.poll() is None
        os.kill(process.pid, how)
        said, _ = process.communicate()
        assert said == b"", "it was interrupted too late to say anything of the start"
        return process.returncode

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_leaves_no_server(self, home: Path, how: signal.Signals) -> None:
        self.interrupted(home, how)
        assert not runs(home)
        assert not (home / "postgres.run").exists()
        start(home).stop()

    def test_before_the_server_shows_itself(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*arguments: object, **options: object) -> None:
            programs.detach_program(*arguments, **options)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        monkeypatch.setattr(embedded, "detach_program", interrupt)
        with pytest.raises(KeyboardInterrupt):
            start(home)
        assert not runs(home)

    def test_a_server_that_others_share_lives_on(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = start(home)

        def interrupt(url: str) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(embedded.psycopg, "connect", interrupt)
            start(home)
        assert ask(first, "SELECT 1") == 1
        first.stop()
        assert not runs(home)


class TestRefusals:
    def test_data_of_another_version(self, empty: Path) -> None:
        (empty / "postgres").mkdir(parents=True)
        (empty / "postgres" / "PG_VERSION").write_text("16\n")
        with pytest.raises(EmbeddedError, match=r"PostgreSQL 16.*brings PostgreSQL 18.*pg_dump"):
            start(empty)

    def test_damaged_data_fails_at_once_with_the_log(self, spare: Path) -> None:
        (spare / "postgres" / "global" / "pg_control").unlink()
        with pytest.raises(EmbeddedError, match=r"(?s)ended while starting.*pg_control"):
            start(spare)
        assert not (spare / "postgres.run.path").exists()

    def test_a_socket_that_is_gone(self, spare: Path) -> None:
        cluster = start(spare)
        sockets = Path((spare / "postgres.run.path").read_text())
        sockets.rename(sockets.with_suffix(".gone"))
        with pytest.raises(EmbeddedError, match="socket is gone"):
            start(spare)
        sockets.with_suffix(".gone").rename(sockets)
        cluster.stop()

    def test_wait_ends(self, home: Path) -> None:
        process, _ = starter(home)
        with embedded._turn(home, 0), pytest.raises(EmbeddedError, match="busy"):
            start(home, wait_seconds=0.1)
        kill_group(process)
        start(home).stop()

    def test_a_home_that_all_may_write(self, empty: Path) -> None:
        empty.mkdir()
        empty.chmod(0o777)
        with pytest.raises(EmbeddedError, match="chmod o-w"):
            start(empty)

    def test_no_identity(self, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lost = programs.Identity("namespace:-1:1", os.geteuid(), os.getegid(), "daemon")
        monkeypatch.setattr(programs, "_candidates", lambda: iter([lost]))
        with pytest.raises(EmbeddedError, match=r"cannot run here.*SQUERO_DATABASE_URL"):
            start(empty)

    @as_root
    def test_home_of_another_user(self, empty: Path) -> None:
        empty.mkdir()
        os.chown(empty, 12345, 12345)
        with pytest.raises(EmbeddedError, match="uid 12345"):
            start(empty)


class TestPrivacy:
    def test_modes(self, empty: Path) -> None:
        home = empty
        home.mkdir()
        home.chmod(0o755)
        home.parent.chmod(0o711)
        cluster = start(home)
        assert mode(home) == 0o755
        assert mode(home.parent) == 0o711
        found = {path.name: mode(path) for path in home.iterdir()}
        folders = {"postgres": 0o700, "postgres.run": 0o700}
        files = {"postgres.lock": 0o600, "postgres.start.lock": 0o600, "postgres.log": 0o600}
        assert found == folders | files
        assert all(mode(path) & 0o077 == 0 for path in (home / "postgres").rglob("*"))
        assert mode(home / "postgres.run" / embedded.SOCKET_FILE) == 0o700
        cluster.stop()

    @as_root
    def test_stranger_is_refused_even_behind_open_doors(self, empty: Path) -> None:
        cluster = start(empty)
        sockets = empty / "postgres.run"
        assert "Permission denied" in self.try_as_stranger(cluster)
        for path in (empty.parent, empty, sockets):
            path.chmod(0o755)
        (sockets / embedded.SOCKET_FILE).chmod(0o777)
        assert 'authentication failed for user "squero"' in self.try_as_stranger(cluster)
        assert ask(cluster, "SELECT 1") == 1
        cluster.stop()

    def try_as_stranger(self, cluster: Cluster) -> str:
        command = [sys.executable, "-c", STRANGER, cluster.url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @as_root
    def test_as_daemon_where_namespaces_are_forbidden(
        self, empty: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, daemon = programs._candidates()
        monkeypatch.setattr(programs, "_candidates", lambda: iter([daemon]))
        cluster = start(empty)
        assert mode(empty) == 0o700
        assert (empty / "postgres").stat().st_uid == daemon.uid
        assert Path(f"/proc/{cluster.pid}").stat().st_uid == daemon.uid
        assert ask(cluster, "SELECT current_user") == "squero"
        sockets = Path((empty / "postgres.run.path").read_text())
        sockets.chmod(0o755)
        (sockets / embedded.SOCKET_FILE).chmod(0o777)
        assert 'authentication failed for user "squero"' in self.try_as_stranger(cluster)
        sockets.chmod(0o700)
        kill_server(cluster)
        again = start(empty)
        assert ask(again, "SELECT 1") == 1
        cluster.stop()
        again.stop()
        assert not sockets.exists()

    def test_logs_no_values(self, home: Path) -> None:
        cluster = start(home)
        run(cluster, "CREATE TABLE prompts (text text PRIMARY KEY)")
        run(cluster, "INSERT INTO prompts VALUES ('sesame-1')")
        for sql in (
            "INSERT INTO prompts VALUES ('sesame-1')",
            "SELECT 'sesame-2'::int",
            "SELECT 'sesame-3' FROM nowhere",
            "SELECT 'sesame-4', pg_terminate_backend(pg_backend_pid())",
        ):
            with pytest.raises(psycopg.Error):
                run(cluster, sql)
        with pytest.raises(psycopg.Error), psycopg.connect(cluster.url) as connection:
            backend = connection.info.backend_pid
            threading.Timer(0.1, self.kill_backend, [home, backend]).start()
            connection.execute("SELECT 'sesame-5', pg_sleep(60)")
        again = start(home)
        cluster.stop()
        again.stop()
        log = (home / "postgres.log").read_text()
        assert "was terminated by signal 9" in log
        assert "sesame" not in log

    def kill_backend(self, home: Path, backend: int) -> None:
        os.kill(backend, signal.SIGKILL)

    def test_gives_the_server_nothing_of_ours(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SQUERO_SECRET", "sesame")
        cluster = start(home)
        process = Path("/proc", str(cluster.pid))
        if process.exists():
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            assert b"sesame" not in told
            assert os.getsid(cluster.pid) == cluster.pid
        cluster.stop()


class TestLog:
    def test_is_trimmed_under_a_running_server(self, home: Path) -> None:
        cluster = start(home)
        with (home / "postgres.log").open("a") as log:
            log.write("x" * embedded.LOG_BYTES)
        joined = start(home)
        assert (home / "postgres.log").stat().st_size < embedded.LOG_BYTES
        assert (home / "postgres.log.1").stat().st_size > embedded.LOG_BYTES
        assert mode(home / "postgres.log.1") == 0o600
        cluster.stop()
        joined.stop()
        assert "database system is shut down" in (home / "postgres.log").read_text()
