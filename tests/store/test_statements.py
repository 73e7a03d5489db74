"""Every statement has a name and a use, and SQL has no other home."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from psycopg import _queries

import squero
from squero.store.statements import statement

ROOT = Path(squero.__file__).parent
NAMED = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
REFERENCE = re.compile(r"[a-z]+\.[a-z_]+")
NOUNS = {path.stem for path in (ROOT / "store" / "sql").glob("*.sql")}
SQL_TEXT = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE"
    r"|ALTER\s+TABLE|DROP\s+TABLE|pg_notify|pg_advisory)\b",
    re.DOTALL,
)


def strings(path):
    """The string literals of a module, docstrings left out."""
    tree = ast.parse(path.read_text("utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]


def modules():
    return sorted(ROOT.rglob("*.py"))


def defined():
    return [
        f"{path.stem}.{name}"
        for path in sorted((ROOT / "store" / "sql").glob("*.sql"))
        for name in NAMED.findall(path.read_text("utf-8"))
    ]


def used():
    return {
        text
        for path in modules()
        for text in strings(path)
        if REFERENCE.fullmatch(text) and text.split(".")[0] in NOUNS
    }


class TestStatements:
    def test_every_one_is_used_and_there(self):
        assert used() == set(defined())

    def test_no_name_twice(self):
        assert [name for name, count in Counter(defined()).items() if count > 1] == []

    @pytest.mark.parametrize("name", defined())
    def test_is_one_statement(self, name):
        body = statement(name)
        assert body.count(";") == 1
        assert body.endswith(";")

    @pytest.mark.parametrize("name", defined())
    def test_is_parsed_once(self, name):
        assert len(statement(name)) <= _queries.MAX_CACHED_STATEMENT_LENGTH
        assert "--" not in statement(name)

    @pytest.mark.parametrize("name", ["generations.nothing", "session.name"])
    def test_an_unknown_name(self, name):
        with pytest.raises(KeyError):
            statement(name)


class TestHome:
    @pytest.mark.parametrize(
        "path",
        [path for path in modules() if "store" not in path.relative_to(ROOT).parts],
        ids=lambda path: path.relative_to(ROOT).as_posix(),
    )
    def test_no_sql_outside_the_store(self, path):
        assert [text for text in strings(path) if SQL_TEXT.search(text)] == []

    @pytest.mark.parametrize(
        "text", ["SELECT 1 FROM x", "insert", "DELETE FROM x", "UPDATE a SET b = 1"]
    )
    def test_the_lint_finds_some(self, text):
        assert bool(SQL_TEXT.search(text)) == (text != "insert")
