"""The commands on a home's records, on a real database."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from squero.cli import admin

ROOT = Path(__file__).parents[2]

Captured = pytest.CaptureFixture[str]
Run = Callable[..., tuple[str, str]]


def refusal(capsys: Captured) -> str:
    found = capsys.readouterr()
    assert found.out == ""
    return found.err


class TestWorkers:
    @pytest.mark.parametrize(
        ("name", "words"), [("NAME", ("\udcff", "default")), ("--lane", ("barge", "\udcff"))]
    )
    def test_text_that_is_no_text(
        self, records: Path, capsys: Captured, name: str, words: tuple[str, str]
    ) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.create_worker(records, *words)
        assert f"{name} is not UTF-8" in refusal(capsys)

    def test_create_list_revoke(self, records: Path, capsys: Captured) -> None:
        admin.create_worker(records, "barge", "default")
        made = capsys.readouterr()
        assert re.fullmatch(r"SQUERO_WORKER_\S+\n", made.out)
        worker_id = made.err.partition("(")[2].partition(")")[0]

        admin.list_workers(records)
        listed = capsys.readouterr().out
        assert "barge" in listed
        assert "in force" in listed
        assert made.out.strip() not in listed

        admin.revoke_worker(records, worker_id)
        admin.list_workers(records)
        assert "revoked" in capsys.readouterr().out
        with pytest.raises(SystemExit, match="1"):
            admin.revoke_worker(records, worker_id)
        assert "squero workers list" in refusal(capsys)

    def test_an_id_that_is_none(self, records: Path, capsys: Captured) -> None:
        with pytest.raises(SystemExit, match="2"):
            admin.revoke_worker(records, "barge")
        assert "squero workers list" in refusal(capsys)


class TestLedger:
    def test_in_order(self, squero: Run) -> None:
        squero("accounts", "create", "marina", "--prepaid", "1")
        out, _ = squero("ledger", "check")
        assert out.startswith("1 balances, 1 transfers: 0 USD earned, 0 USD held.\n")
        assert out.endswith("The books are in order.\n")

    def test_by_currency(self, squero: Run, database_url: str) -> None:
        squero("accounts", "create", "marina", "--prepaid", "1")
        squero("credit", "marina", "2", "--bundled")
        with psycopg.connect(database_url) as database:
            database.execute(
                "INSERT INTO transfers"
                " (id, account_id, currency, from_book, to_book, amount_micros)"
                " SELECT money, id, money, 'funding', 'revenue', micros"
                " FROM accounts, (VALUES ('USD', 30000), ('BUNDLED_CREDITS', 4)) t (money, micros)"
            )
        out, _ = squero("ledger", "check")
        assert out.splitlines()[0] == (
            "2 balances, 4 transfers: 0.000004 BUNDLED_CREDITS earned, 0 BUNDLED_CREDITS held,"
            " 0.03 USD earned, 0 USD held."
        )

    def test_a_balance_that_does_not_add_up(self, squero: Run, database_url: str) -> None:
        squero("accounts", "create", "marina", "--prepaid", "1")
        with psycopg.connect(database_url) as database:
            database.execute("UPDATE balances SET available_micros = available_micros + 1")
        out, _ = squero("ledger", "check", status=1)
        assert "Account marina: 1.000001 USD available and 0 held" in out
        assert "in order" not in out

    def test_a_balance_of_diem_is_named_by_its_epoch(self, squero: Run, database_url: str) -> None:
        squero("accounts", "create", "marina", "--prepaid", "1")
        with psycopg.connect(database_url) as database:
            database.execute(
                "INSERT INTO balances (account_id, currency, epoch, available_micros)"
                " SELECT id, 'DIEM', '2030-01-31', 1 FROM accounts"
            )
        out, _ = squero("ledger", "check", status=1)
        assert "Account marina: 0.000001 DIEM of 2030-01-31 available" in out

    def test_a_balance_that_is_missing(self, squero: Run, database_url: str) -> None:
        squero("accounts", "create", "marina", "--prepaid", "5")
        with psycopg.connect(database_url) as database:
            database.execute("DELETE FROM balances")
        out, _ = squero("ledger", "check", status=1)
        assert out.splitlines()[0] == (
            "Account marina: no balance of USD, but its transfers add up to 5 and 0."
        )

    def test_money_of_no_job(self, squero: Run, database_url: str) -> None:
        squero("accounts", "create", "marina", "--prepaid", "1")
        queue_id = uuid4()
        with psycopg.connect(database_url) as database:
            database.execute(
                "INSERT INTO transfers"
                " (id, account_id, currency, from_book, to_book, amount_micros, queue_id)"
                " SELECT 'hold:' || %(id)s, id, 'USD', 'available', 'held', 30000, %(id)s"
                " FROM accounts",
                {"id": queue_id},
            )
            database.execute("UPDATE balances SET available_micros = 970000, held_micros = 30000")
        out, _ = squero("ledger", "check", status=1)
        assert out.splitlines()[0] == (
            f"Job {queue_id} (unknown): it has money, but there is no such job."
        )

    @pytest.mark.parametrize(
        ("tamper", "said"),
        [
            (
                "UPDATE spending SET lifetime_micros = 5 WHERE currency = 'DIEM'",
                "counts 0.000005 DIEM spent in its lifetime",
            ),
            (
                "UPDATE spending SET day_micros = 5 WHERE currency = 'USD'",
                "counts 0.000005 USD spent in its latest day",
            ),
            (
                "UPDATE spending SET month_micros = 5 WHERE currency = 'USD'",
                "counts 0.000005 USD spent in its latest month",
            ),
            ("DELETE FROM spending WHERE currency = 'DIEM'", "no count of DIEM spent"),
        ],
    )
    def test_a_key_whose_spending_does_not_add_up(
        self, squero: Run, database_url: str, tamper: LiteralString, said: str
    ) -> None:
        key = squero("keys", "create", "--account", "marina")[0].strip()
        with psycopg.connect(database_url) as database:
            database.execute(tamper)
        out, _ = squero("ledger", "check", status=1)
        assert out.splitlines()[0] == (
            f"Account marina, key …{key[-6:]}: {said}, but its holds add up to 0."
        )


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

    def test_a_price_that_upstreams_make(self, tmp_path: Path, capsys: Captured) -> None:
        (tmp_path / "models").mkdir()
        text = (ROOT / "examples" / "engine" / "models" / "waves.toml").read_text()
        head, tail = text.split("[usd_per_second]")
        asked = "[upstream_price]\nmargin_percent = 20\n" + tail[tail.index("[") :]
        (tmp_path / "models" / "mine.toml").write_text(head + asked)
        admin.list_models(tmp_path)
        assert "upstreams'" in capsys.readouterr().out

    def test_a_broken_entry(self, tmp_path: Path, capsys: Captured) -> None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "mine.toml").write_text("id = ")
        with pytest.raises(SystemExit, match="1"):
            admin.list_models(tmp_path)
        assert "mine.toml" in refusal(capsys)
