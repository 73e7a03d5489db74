"""`squero accounts` and `squero credit`, on a real database."""

from collections.abc import Callable

import psycopg
import pytest

Run = Callable[..., tuple[str, str]]
Refused = Callable[..., str]

NO_AMOUNTS = ["", "much", "0.0000001", "nan", "Infinity", "1e30", "1e999999999", "1000000001"]


@pytest.fixture
def rows(database_url: str) -> Callable[[str], list[tuple[object, ...]]]:
    """What the database says."""

    def ask(query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(database_url) as connection:
            return connection.execute(query.encode()).fetchall()

    return ask


Rows = Callable[[str], list[tuple[object, ...]]]


class TestCreate:
    def test_unmetered_without_a_choice(self, squero: Run, rows: Rows) -> None:
        assert squero("accounts", "create", "lab") == ("", "New account lab (unmetered).\n")
        squero("accounts", "create", "den", "--unmetered")
        assert rows("SELECT billing FROM accounts") == [("unmetered",)] * 2

    def test_prepaid_with_its_first_credit(self, squero: Run, rows: Rows) -> None:
        _, said = squero("accounts", "create", "marina", "--prepaid", "2.5")
        assert said == "New account marina (prepaid, 2.5 USD).\n"
        assert rows("SELECT billing, available_micros FROM accounts, balances") == [
            ("prepaid", 2_500_000)
        ]

    def test_prepaid_with_nothing(self, squero: Run, rows: Rows) -> None:
        squero("accounts", "create", "marina", "--prepaid", "0")
        assert rows("SELECT billing, available_micros FROM accounts, balances") == [("prepaid", 0)]
        assert rows("SELECT 1 FROM transfers") == []

    def test_postpaid_with_its_line(self, squero: Run, rows: Rows) -> None:
        _, said = squero("accounts", "create", "acme", "--postpaid", "50")
        assert said == "New account acme (postpaid, a line of 50 USD).\n"
        assert rows("SELECT from_book, amount_micros FROM transfers") == [("line", 50_000_000)]

    def test_a_name_that_is_taken(self, squero: Run, refused: Refused, rows: Rows) -> None:
        squero("accounts", "create", "marina", "--prepaid", "1")
        said = refused("accounts", "create", "marina", "--prepaid", "1")
        assert said == "There is an account marina already: choose another name.\n"
        assert rows("SELECT available_micros FROM balances") == [(1_000_000,)]

    def test_two_ways_to_pay(self, refused: Refused, rows: Rows) -> None:
        for ways in (("--prepaid", "1", "--unmetered"), ("--prepaid", "1", "--postpaid", "1")):
            assert "Choose one" in refused("accounts", "create", "marina", *ways, status=2)
        assert rows("SELECT 1 FROM accounts") == []

    @pytest.mark.parametrize(
        ("way", "usd"), [*(("--prepaid", usd) for usd in NO_AMOUNTS), ("--postpaid", "-1")]
    )
    def test_an_amount_that_is_none(self, refused: Refused, way: str, usd: str) -> None:
        assert refused("accounts", "create", "marina", way, usd, status=2).startswith(way)

    @pytest.mark.parametrize(("name", "word"), [("", "empty"), ("\udcff", "not UTF-8")])
    def test_a_name_that_is_none(self, refused: Refused, name: str, word: str) -> None:
        assert word in refused("accounts", "create", name, status=2)


class TestList:
    def test_terms_and_balances(self, squero: Run) -> None:
        squero("accounts", "create", "marina", "--prepaid", "2.5")
        squero("accounts", "create", "acme", "--postpaid", "50")
        squero("accounts", "create", "lab")
        squero("accounts", "tier", "marina", "partner")
        squero("accounts", "weight", "marina", "5")
        squero("accounts", "cap", "marina", "2")
        squero("accounts", "diem", "marina", "1.5")
        squero("credit", "marina", "0.25", "--bundled")
        squero("credit", "acme", "5")
        squero("keys", "create", "--account", "marina")
        heading, *lines = [line.split() for line in squero("accounts", "list")[0].splitlines()]
        assert " ".join(heading) == (
            "account billing tier weight cap USD line bundled DIEM today DIEM a day held keys"
        )
        assert [" ".join(line) for line in lines] == [
            "acme postpaid paid 1 none 55 50 0 0 0 0 0",
            "lab unmetered paid 1 none unmetered none 0 0 0 0 0",
            "marina prepaid partner 5 2 2.5 none 0.25 1.5 1.5 0 1",
        ]

    def test_of_nobody(self, squero: Run) -> None:
        assert squero("accounts", "list")[0].split()[:2] == ["account", "billing"]

    def test_a_name_gives_no_orders(self, squero: Run) -> None:
        squero("accounts", "create", "[bold]\x1b[31m[/]")
        assert "[bold]\ufffd[31m[/]" in squero("accounts", "list")[0]


class TestTerms:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("tier", "m", "partner"), "m has the rate limits of the tier partner."),
            (("weight", "m", "1000"), "m weighs 1000."),
            (("cap", "m", "3"), "m renders at most 3 at once in a lane."),
            (("cap", "m", "none"), "m renders any number at once in a lane."),
            (("diem", "m", "0"), "Each UTC day that has not begun for m begins with 0 DIEM."),
        ],
    )
    def test_says_what_holds_now(self, squero: Run, words: tuple[str, ...], said: str) -> None:
        squero("accounts", "create", "m", "--prepaid", "0")
        assert squero("accounts", *words) == ("", f"{said}\n")

    def test_each_leaves_the_others(self, squero: Run, rows: Rows) -> None:
        squero("accounts", "create", "m", "--prepaid", "0")
        for verb, value in (("weight", "5"), ("cap", "2"), ("tier", "partner"), ("diem", "1")):
            squero("accounts", verb, "m", value)
        terms = rows("SELECT weight, cap, tier, diem_micros FROM accounts")
        assert terms == [(5, 2, "partner", 1_000_000)]
        squero("accounts", "cap", "m", "none")
        assert rows("SELECT weight, cap FROM accounts") == [(5, None)]

    @pytest.mark.parametrize(
        ("verb", "value"),
        [
            ("tier", "gold"),
            ("weight", "0"),
            ("weight", "1001"),
            ("weight", "much"),
            ("cap", "0"),
            ("cap", "1.5"),
            ("cap", "9999999999"),
            ("cap", "\u0663"),
            ("cap", "None"),
            ("line", "much"),
            ("diem", "0.0000001"),
        ],
    )
    def test_a_value_that_is_none(self, refused: Refused, verb: str, value: str) -> None:
        assert "There is no account" not in refused("accounts", verb, "m", value, status=2)

    @pytest.mark.parametrize("verb", ["tier", "weight", "cap", "line", "diem"])
    def test_of_nobody(self, refused: Refused, verb: str) -> None:
        said = refused("accounts", verb, "marina", "paid" if verb == "tier" else "1")
        assert said == "There is no account marina: `squero accounts list` shows them all.\n"

    @pytest.mark.parametrize("verb", ["tier", "weight", "cap", "line", "diem"])
    def test_a_name_that_is_no_text(self, refused: Refused, verb: str) -> None:
        value = "paid" if verb == "tier" else "1"
        assert "NAME is not UTF-8" in refused("accounts", verb, "\udcff", value, status=2)

    def test_an_unmetered_account_needs_no_diem(
        self, squero: Run, refused: Refused, rows: Rows
    ) -> None:
        squero("accounts", "create", "lab")
        assert "lab is unmetered" in refused("accounts", "diem", "lab", "1")
        assert rows("SELECT diem_micros FROM accounts") == [(0,)]


class TestLine:
    def test_is_all_of_it(self, squero: Run, rows: Rows) -> None:
        squero("accounts", "create", "acme", "--postpaid", "50")
        assert squero("accounts", "line", "acme", "20")[1] == "acme has a credit line of 20 USD.\n"
        assert rows("SELECT available_micros FROM balances") == [(20_000_000,)]
        squero("accounts", "line", "acme", "0")
        assert rows("SELECT available_micros FROM balances") == [(0,)]
        squero("ledger", "check")

    def test_below_what_is_spent(self, squero: Run, refused: Refused, database_url: str) -> None:
        squero("accounts", "create", "acme", "--postpaid", "50")
        with psycopg.connect(database_url) as database:
            database.execute("UPDATE balances SET available_micros = 10, held_micros = 49999990")
        said = refused("accounts", "line", "acme", "49")
        assert said == (
            "Account acme has spent or holds more of its credit line: choose a larger one.\n"
        )

    @pytest.mark.parametrize(("way", "words"), [("prepaid", ("--prepaid", "1")), ("unmetered", ())])
    def test_of_one_that_has_none(
        self, squero: Run, refused: Refused, way: str, words: tuple[str, ...]
    ) -> None:
        squero("accounts", "create", "m", *words)
        assert refused("accounts", "line", "m", "1") == (
            f"Account m is {way}: it has no credit line.\n"
        )


class TestCredit:
    def test_adds(self, squero: Run, rows: Rows) -> None:
        squero("accounts", "create", "marina", "--prepaid", "2.5")
        assert squero("credit", "marina", "0.25") == ("", "Added 0.25 USD to marina.\n")
        assert rows("SELECT available_micros FROM balances") == [(2_750_000,)]
        assert rows("SELECT sum(amount_micros) FROM transfers") == [(2_750_000,)]

    def test_adds_bundled_credits(self, squero: Run, rows: Rows) -> None:
        squero("accounts", "create", "acme", "--postpaid", "1")
        said = squero("credit", "acme", "3", "--bundled")[1]
        assert said == "Added 3 bundled credits to acme.\n"
        balances = rows("SELECT currency, available_micros FROM balances ORDER BY currency")
        assert balances == [("BUNDLED_CREDITS", 3_000_000), ("USD", 1_000_000)]

    def test_for_nobody(self, refused: Refused) -> None:
        assert refused("credit", "marina", "1").startswith("There is no account marina: ")

    @pytest.mark.parametrize("bundled", [(), ("--bundled",)])
    def test_for_an_unmetered_account(
        self, squero: Run, refused: Refused, rows: Rows, bundled: tuple[str, ...]
    ) -> None:
        squero("accounts", "create", "marina")
        assert "marina is unmetered" in refused("credit", "marina", "1", *bundled)
        assert rows("SELECT count(*) FROM transfers") == [(0,)]

    @pytest.mark.parametrize("usd", [*NO_AMOUNTS, "0"])
    def test_of_nothing(self, refused: Refused, usd: str) -> None:
        assert refused("credit", "marina", usd, status=2).startswith("USD")

    def test_name_that_is_no_text(self, refused: Refused) -> None:
        assert "ACCOUNT is not UTF-8" in refused("credit", "\udcff", "1", status=2)
