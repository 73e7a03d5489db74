"""The doctor: what it finds in good homes and in broken ones, and that it changes neither."""

import importlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from squero import sandbox
from squero.cli import doctor_engines
from squero.cli.findings import Finding
from squero.confine import Protection
from squero.store import embedded
from squero.store.migrate import migrate

# In `squero.cli` this name is the command.
doctor = importlib.import_module("squero.cli.doctor")

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of nobody's, a probe that renders nothing, and a port that nobody listens on."""
    for name in ("SQUERO_HOME", "SQUERO_DATABASE_URL", "SQUERO_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor_engines, "PROBE", "")
    monkeypatch.setattr(doctor, "PORT", _free_port())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Something that is not Squero on the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(doctor, "PORT", listener.getsockname()[1])

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    thread.join()
    listener.close()


async def test_a_home_that_is_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    found = await _examine(tmp_path / "none")
    assert [finding for finding in found.values() if finding.grade == "broken"] == []
    assert found["engines"].says.endswith("`motion` renders")
    assert "made at the first start" in found["home"].says
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("hard", "grade"), [(4_096, "note"), (20_000, "ok"), (-1, "ok")])
async def test_open_files(
    home: Path, monkeypatch: pytest.MonkeyPatch, hard: int, grade: str
) -> None:
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (1_024, hard))
    found = doctor._files()
    most = "no limit" if hard == -1 else f"{hard:,}"
    assert (found.subject, found.grade) == ("open files", grade)
    assert found.says.startswith(f"1,024 here, which `squero serve` raises to {most}")
    assert ("LimitNOFILE" in found.mend) == (grade == "note")


async def test_a_database_that_runs(home: Path) -> None:
    cluster = embedded.start(home)
    try:
        bare = (await _examine(home))["database"]
        await migrate(cluster.url)
        ready = (await _examine(home))["database"]
    finally:
        cluster.stop()
    assert (bare.grade, bare.mend) == ("note", "squero migrate")
    assert (ready.grade, ready.says) == ("ok", "running, and its schema is up to date")
    assert (await _examine(home))["database"].says == "not running"


async def test_a_database_that_does_not_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUERO_DATABASE_URL", f"postgresql://u:hush@127.0.0.1:{_free_port()}/x")
    found = await _examine(home)
    assert found["database"].grade == "broken"
    assert found["postgresql"].says.startswith("not needed")
    assert not any("hush" in finding.line for finding in found.values())


async def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = await _examine(tmp_path / "file")
    assert found["home"].grade == "broken"
    assert "--home" in found["home"].mend


async def test_a_secret_that_is_open_to_others(home: Path) -> None:
    (home / "secret").write_bytes(bytes(32))
    (home / "secret").chmod(0o644)
    secret = (await _examine(home))["secret"]
    assert secret.grade == "broken"
    assert "chmod 600" in secret.says


async def test_settings_that_cannot_be_read(home: Path) -> None:
    (home / "squero.toml").write_text("lease_seconds = [")
    found = await _examine(home)
    assert found["settings"].grade == "broken"
    assert found["sandbox"].grade != "broken"


async def test_settings_that_cannot_be(home: Path) -> None:
    (home / "squero.toml").write_text("lease_seconds = 0\n")
    settings = (await _examine(home))["settings"]
    assert settings.grade == "broken"
    assert "lease_seconds" in settings.says


@pytest.mark.parametrize(
    ("change", "grade", "says"),
    [
        (("[constraints]", "[constrains]"), "broken", "own.toml"),
        (('engine = "motion"', 'engine = "moon"'), "ok", "models"),
    ],
)
async def test_an_entry_that_does_not_do(
    home: Path, change: tuple[str, str], grade: str, says: str
) -> None:
    shipped = Path(doctor.__file__).parents[1] / "models" / "motion-text-to-video.toml"
    (home / "models").mkdir()
    (home / "models" / "own.toml").write_text(shipped.read_text().replace(*change))
    catalogue = (await _examine(home))["catalogue"]
    assert catalogue.grade == grade
    assert says in catalogue.says


@pytest.mark.parametrize(
    ("engine", "grade", "says"),
    [
        ("moon", "note", "No installed package declares an engine 'moon': install one that does."),
        ("diffusers", "note", "options.folder: Field required."),
        ("fine", "ok", "`fine` can load it here"),
    ],
)
async def test_a_model_of_another_engine(
    home: Path, monkeypatch: pytest.MonkeyPatch, engine: str, grade: str, says: str
) -> None:
    (home / "package-1.0.dist-info").mkdir()
    declared = "[squero.engines]\nfine = squero.engines.motion:Motion\n"
    (home / "package-1.0.dist-info" / "entry_points.txt").write_text(declared)
    monkeypatch.syspath_prepend(str(home))
    shipped = Path(doctor.__file__).parents[1] / "models" / "motion-text-to-video.toml"
    text = shipped.read_text().replace('engine = "motion"', f'engine = "{engine}"')
    (home / "models").mkdir()
    (home / "models" / "own.toml").write_text(text)
    model = (await _examine(home))["model motion-text-to-video"]
    assert (model.grade, model.says) == (grade, says)
    assert (f"right here or in {home / 'models' / 'own.toml'}, or" in model.mend) == (grade != "ok")


async def test_a_machine_without_walls(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "kernel_walls", frozenset)
    monkeypatch.setenv("PATH", str(home))
    found = (await _examine(home))["sandbox"]
    assert found.grade == "note"
    assert found.says.startswith("Nothing encloses")
    assert "limits" in found.says
    assert "seccomp" not in found.says
    assert "install bubblewrap" in found.mend
    assert "loopback alone" in found.mend


@pytest.mark.parametrize(
    ("protection", "grade", "says"),
    [
        (Protection(True, True, True, 7, True, False), "ok", "seccomp, Landlock 7, limits"),
        (Protection(True, True, True, 4, False, True), "ok", "bubblewrap, Landlock 4, limits"),
        (Protection(True, True, True, 0, True, False), "note", "lacks Landlock (Linux 5.13"),
        (Protection(True, True, False, 7, True, False), "note", "lacks an unprivileged user"),
    ],
    ids=["all", "bubblewrap", "no landlock", "root"],
)
def test_walls_that_there_are(protection: Protection, grade: str, says: str) -> None:
    found = doctor._protection(protection)
    assert found.grade == grade
    assert says in found.says


async def test_an_engine_that_dies(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_engines, "PROBE", "raise SystemExit('no codec')")
    engines = (await _examine(home))["engines"]
    assert (engines.grade, engines.says) == ("broken", "`motion` does not render: no codec")


async def test_a_proxy_that_nobody_named(home: Path) -> None:
    proxies = (await _examine(home))["proxies"]
    assert proxies.grade == "ok"
    assert "all callers without a key share its address" in proxies.says
    assert "SQUERO_TRUSTED_PROXIES" in proxies.mend


async def test_a_proxy_that_is_trusted(home: Path) -> None:
    (home / "squero.toml").write_text('trusted_proxies = ["10.0.0.0/8", "::1"]\n')
    proxies = (await _examine(home))["proxies"]
    assert proxies.grade == "ok"
    assert "10.0.0.0/8, ::1/128" in proxies.says


async def test_a_port_that_is_taken(home: Path, stranger: None) -> None:
    server = (await _examine(home))["server"]
    assert server.grade == "note"
    assert "--port" in server.mend


def test_run_ends_with_1_when_something_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        doctor.run(tmp_path / "file")
    assert ended.value.code == 1
    assert "\nBroken: home" in capsys.readouterr().out


async def _examine(home: Path) -> dict[str, Finding]:
    return {finding.subject: finding for finding in await doctor.examine(home)}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
