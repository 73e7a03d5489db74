"""The commands on a home's records, on a real database."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from squero.cli import admin

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose database is the test's."""
    monkeypatch.setenv("SQUERO_DATABASE_URL", database_url)
    return tmp_path / "home"


def refusal(capsys: Captured) -> str:
    found = capsys.readouterr()
    assert found.out == ""
    return found.err


class TestCreateKey:
    def test_key_alone_on_standard_output(self, home: Path, capsys: Captured) -> None:
        admin.create_key(home, None, "admin", "mine", None)
        found = capsys.readouterr()
        assert re.fullmatch(r"SQUERO_ADMIN_KEY_\S+\n", found.out)
        assert "unmetered" in found.err

    def test_credit_opens_and_tops_up(
        self, home: Path, database_url: str, capsys: Captured
    ) -> None:
        admin.create_key(home, "marina", "inference", "", "2.5")
        admin.create_key(home, "marina", "inference", "", "0.000001")
        assert "Account marina (prepaid)." in capsys.readouterr().err
        with psycopg.connect(database_url) as database:
            rows = database.execute("SELECT available_micros, held_micros FROM balances").fetchall()
        assert rows == [(2_500_001, 0)]

    def test_credit_for_an_unmetered_account(self, home: Path, capsys: Captured) -> None:
        admin.create_key(home, "marina", "inference", "", None)
        capsys.readouterr()
        with pytest.raises(SystemExit, match="1"):
            admin.create_key(home, "marina", "inference", "", "1")
        assert "marina" in refusal(capsys)

    @pytest.mark.parametrize(
        "credit", ["", "much", "-1", "0", "0.0000001", "nan", "Infinity", "1e30", "1e999999999"]
    )
    def test_credit_that_is_none(self, home: Path, capsys: Captured, credit: str) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.create_key(home, None, "inference", "", credit)
        assert "--credit" in refusal(capsys)

    def test_type_that_is_none(self, home: Path, capsys: Captured) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.create_key(home, None, "master", "", None)
        assert "inference or admin" in refusal(capsys)

    @pytest.mark.parametrize(
        ("name", "words"),
        [("--account", ("\udcff", "inference", "")), ("--description", (None, "admin", "\udcff"))],
    )
    def test_text_that_is_no_text(
        self, home: Path, capsys: Captured, name: str, words: tuple[str, str, str]
    ) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.create_key(home, *words, None)
        assert f"{name} is not UTF-8" in refusal(capsys)


class TestCredit:
    def test_adds(self, home: Path, database_url: str, capsys: Captured) -> None:
        admin.create_key(home, "marina", "inference", "", "2.5")
        capsys.readouterr()
        admin.add_credit(home, "marina", "0.25")
        assert "Added 0.25 USD to marina." in capsys.readouterr().err
        with psycopg.connect(database_url) as database:
            rows = database.execute("SELECT available_micros FROM balances").fetchall()
            transfers = database.execute("SELECT sum(amount_micros) FROM transfers").fetchall()
        assert rows == transfers == [(2_750_000,)]

    def test_for_nobody(self, home: Path, capsys: Captured) -> None:
        with pytest.raises(SystemExit, match="1"):
            admin.add_credit(home, "marina", "1")
        assert "There is no account marina." in refusal(capsys)

    def test_for_an_unmetered_account(
        self, home: Path, database_url: str, capsys: Captured
    ) -> None:
        admin.create_key(home, "marina", "inference", "", None)
        capsys.readouterr()
        with pytest.raises(SystemExit, match="1"):
            admin.add_credit(home, "marina", "1")
        assert "marina is unmetered" in refusal(capsys)
        with psycopg.connect(database_url) as database:
            assert database.execute("SELECT count(*) FROM transfers").fetchall() == [(0,)]

    @pytest.mark.parametrize(
        "usd", ["", "much", "-1", "0", "0.0000001", "nan", "-Infinity", "1e30", "1000000001"]
    )
    def test_of_nothing(self, home: Path, capsys: Captured, usd: str) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.add_credit(home, "marina", usd)
        assert refusal(capsys).startswith("USD")

    def test_name_that_is_no_text(self, home: Path, capsys: Captured) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.add_credit(home, "\udcff", "1")
        assert "ACCOUNT is not UTF-8" in refusal(capsys)


class TestWorkers:
    @pytest.mark.parametrize(
        ("name", "words"), [("NAME", ("\udcff", "default")), ("--lane", ("barge", "\udcff"))]
    )
    def test_text_that_is_no_text(
        self, home: Path, capsys: Captured, name: str, words: tuple[str, str]
    ) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.create_worker(home, *words)
        assert f"{name} is not UTF-8" in refusal(capsys)

    def test_create_list_revoke(self, home: Path, capsys: Captured) -> None:
        admin.create_worker(home, "barge", "default")
        made = capsys.readouterr()
        assert re.fullmatch(r"SQUERO_WORKER_\S+\n", made.out)
        worker_id = made.err.partition("(")[2].partition(")")[0]

        admin.list_workers(home)
        listed = capsys.readouterr().out
        assert "barge" in listed
        assert "in force" in listed
        assert made.out.strip() not in listed

        admin.revoke_worker(home, worker_id)
        admin.list_workers(home)
        assert "revoked" in capsys.readouterr().out
        with pytest.raises(SystemExit, match="1"):
            admin.revoke_worker(home, worker_id)
        assert "squero workers list" in refusal(capsys)

    def test_an_id_that_is_none(self, home: Path, capsys: Captured) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.revoke_worker(home, "barge")
        assert "squero workers list" in refusal(capsys)


class TestLedger:
    def test_in_order(self, home: Path, capsys: Captured) -> None:
        admin.create_key(home, "marina", "inference", "", "1")
        capsys.readouterr()
        admin.check_ledger(home)
        said = capsys.readouterr().out
        assert "0 USD earned, 0 USD held" in said
        assert said.endswith("The books are in order.\n")

    def test_a_balance_that_does_not_add_up(
        self, home: Path, database_url: str, capsys: Captured
    ) -> None:
        admin.create_key(home, "marina", "inference", "", "1")
        capsys.readouterr()
        with psycopg.connect(database_url) as database:
            database.execute("UPDATE balances SET available_micros = available_micros + 1")
        with pytest.raises(SystemExit, match="1"):
            admin.check_ledger(home)
        said = capsys.readouterr().out
        assert "Account marina: 1.000001 USD available" in said
        assert "in order" not in said


class TestDatabase:
    @pytest.fixture
    def empty_url(self, cluster: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """A database without the schema, gone with the session's cluster."""
        name = f"empty_{database_url.partition('dbname=')[2].split()[0]}"
        with psycopg.connect(cluster, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = make_conninfo(cluster, dbname=name)
        monkeypatch.setenv("SQUERO_DATABASE_URL", url)
        return url

    def test_migrate(self, empty_url: str, tmp_path: Path, capsys: Captured) -> None:
        with pytest.raises(SystemExit, match="1"):
            admin.list_workers(tmp_path)
        assert "squero migrate" in refusal(capsys)
        admin.migrate(tmp_path)
        assert "Applied" in capsys.readouterr().err
        admin.migrate(tmp_path)
        assert "up to date" in capsys.readouterr().err
        admin.list_workers(tmp_path)

    @pytest.mark.parametrize("command", [admin.migrate, admin.list_workers, admin.check_ledger])
    def test_away(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: Captured,
        command: Callable[[Path], None],
    ) -> None:
        monkeypatch.setenv("SQUERO_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/squero")
        with pytest.raises(SystemExit, match="1"):
            command(tmp_path)
        said = refusal(capsys)
        assert "does not answer" in said
        assert "hunter2" not in said


class TestModels:
    def test_lists_what_ships(self, tmp_path: Path, capsys: Captured) -> None:
        admin.list_models(tmp_path)
        said = capsys.readouterr().out
        assert "motion-image-to-video" in said
        assert "0.02" in said

    def test_a_broken_entry(self, tmp_path: Path, capsys: Captured) -> None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "mine.toml").write_text("id = ")
        with pytest.raises(SystemExit, match="1"):
            admin.list_models(tmp_path)
        assert "mine.toml" in refusal(capsys)
