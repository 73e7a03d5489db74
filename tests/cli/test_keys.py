"""`squero keys`, on a real database."""

import re
from collections.abc import Callable

import psycopg
import pytest

Run = Callable[..., tuple[str, str]]
Refused = Callable[..., str]


class TestCreate:
    def test_key_alone_on_standard_output(self, squero: Run) -> None:
        out, said = squero("keys", "create", "--type", "admin", "--description", "mine")
        assert re.fullmatch(r"SQUERO_ADMIN_KEY_\S+\n", out)
        assert "unmetered" in said

    def test_the_prefix_that_is_set(self, squero: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SQUERO_KEY_PREFIX", "YARD_")
        assert squero("keys", "create")[0].startswith("YARD_INFERENCE_KEY_")

    def test_credit_opens_and_tops_up(self, squero: Run, database_url: str) -> None:
        squero("keys", "create", "--account", "marina", "--credit", "2.5")
        _, said = squero("keys", "create", "--account", "marina", "--credit", "0.000001")
        assert "Account marina (prepaid)." in said
        with psycopg.connect(database_url) as database:
            rows = database.execute("SELECT available_micros, held_micros FROM balances").fetchall()
        assert rows == [(2_500_001, 0)]

    def test_credit_for_an_unmetered_account(self, squero: Run, refused: Refused) -> None:
        squero("keys", "create", "--account", "marina")
        assert "marina" in refused("keys", "create", "--account", "marina", "--credit", "1")

    @pytest.mark.parametrize(
        "credit", ["", "much", "-1", "0", "0.0000001", "nan", "Infinity", "1e30", "1e999999999"]
    )
    def test_credit_that_is_none(self, refused: Refused, credit: str) -> None:
        assert "--credit" in refused("keys", "create", "--credit", credit, status=2)

    def test_type_that_is_none(self, refused: Refused) -> None:
        said = refused("keys", "create", "--type", "master", status=2)
        assert "inference or admin" in said

    @pytest.mark.parametrize("name", ["--account", "--description"])
    def test_text_that_is_no_text(self, refused: Refused, name: str) -> None:
        assert f"{name} is not UTF-8" in refused("keys", "create", name, "\udcff", status=2)


class TestList:
    def test_everything_but_the_key(self, squero: Run) -> None:
        key = squero("keys", "create", "--account", "marina", "--description", "the app")[0].strip()
        out, _ = squero("keys", "list")
        heading, line = out.splitlines()
        assert re.split(r"\s{2,}", heading.strip()) == [
            *("id", "account", "type", "last six", "description"),
            *("created", "last used", "expires", "state"),
        ]
        found = re.split(r"\s{2,}", line.strip())
        assert re.fullmatch(r"[0-9a-f-]{36}", found[0])
        assert found[1:5] == ["marina", "inference", key[-6:], "the app"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", found[5])
        assert found[6:] == ["never", "never", "in force"]
        assert key not in out
        assert key[:-6] not in out

    def test_by_account_the_oldest_first(self, squero: Run) -> None:
        for account, description in (("b", "one"), ("a", "two"), ("b", "three")):
            squero("keys", "create", "--account", account, "--description", description)
        lines = squero("keys", "list")[0].splitlines()[1:]
        assert [line.split()[4] for line in lines] == ["two", "one", "three"]

    def test_times_are_utc_wherever_the_database_is(self, squero: Run, database_url: str) -> None:
        squero("keys", "create")
        with psycopg.connect(database_url, autocommit=True) as database:
            name = database.info.dbname
            database.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'".encode())
            database.execute(
                "UPDATE keys SET last_used_at = '2030-01-31 23:50+00',"
                " expires_at = '2030-02-01 00:00+00'"
            )
        out, _ = squero("keys", "list")
        assert "2030-01-31 23:50:00 UTC  2030-02-01 00:00:00 UTC  in force" in out

    def test_expired(self, squero: Run, database_url: str) -> None:
        squero("keys", "create")
        with psycopg.connect(database_url) as database:
            database.execute("UPDATE keys SET expires_at = squero_now()")
        assert squero("keys", "list")[0].rstrip().endswith("expired")

    def test_a_description_gives_no_orders(self, squero: Run) -> None:
        squero("keys", "create", "--description", "[red]\x1b]0;x\x07\u202e[/]")
        assert "[red]\ufffd]0;x\ufffd\ufffd[/]" in squero("keys", "list")[0]


class TestRevoke:
    def test_once(self, squero: Run, refused: Refused) -> None:
        squero("keys", "create", "--description", "one")
        squero("keys", "create", "--description", "two")
        lines = squero("keys", "list")[0].splitlines()[1:]
        (key_id,) = (line.split()[0] for line in lines if "one" in line)
        assert squero("keys", "revoke", key_id) == ("", "Revoked.\n")
        lines = squero("keys", "list")[0].splitlines()[1:]
        states = {line.split()[4]: re.split(r"\s{2,}", line.strip())[-1] for line in lines}
        assert states == {"one": "revoked", "two": "in force"}
        assert "squero keys list" in refused("keys", "revoke", key_id)

    def test_is_refused_by_the_server(self, squero: Run, database_url: str) -> None:
        squero("keys", "create")
        key_id = squero("keys", "list")[0].splitlines()[1].split()[0]
        squero("keys", "revoke", key_id)
        with psycopg.connect(database_url) as database:
            rows = database.execute("SELECT revoked_at <= squero_now() FROM keys").fetchall()
        assert rows == [(True,)]

    def test_an_unknown_one(self, refused: Refused) -> None:
        said = refused("keys", "revoke", "00000000-0000-4000-8000-000000000000")
        assert "squero keys list" in said

    def test_an_id_that_is_none(self, refused: Refused) -> None:
        assert "squero keys list" in refused("keys", "revoke", "mine", status=2)
