"""The rules that hurt when they are broken, as lints: SQL, money, wire models, and file sizes."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

SQUERO = Path(__file__).parents[2] / "squero"

STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|DELETE\s+FROM\s|UPDATE\s+\w+\s+SET\s|WITH\s+\w+\s+AS\s*\()"
)
MODELS_ELSEWHERE = {"domain/model.py", "settings.py"}
"""The catalogue's entry and the settings: data of the operator's, not of the API."""
MONEY = ("money.py", "domain/pricing.py", "domain/ledger.py", "domain/accounts.py")
FUNCTION_LINES = 60


def test_sql_lives_in_the_store_alone() -> None:
    assert [
        f"{name}:{node.lineno}"
        for name, tree in _trees()
        if not name.startswith("store/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and STATEMENT.match(node.value)
    ] == []


def test_no_float_touches_money() -> None:
    found = []
    for name in MONEY:
        code = io.StringIO((SQUERO / name).read_text())
        for token in tokenize.generate_tokens(code.readline):
            constant = token.type == tokenize.NUMBER and re.search(r"[.eE]", token.string)
            if constant and not token.string.startswith("0x"):
                found.append(f"{name}:{token.start[0]}")
        tree = ast.parse((SQUERO / name).read_text())
        found += [f"{name}:{call.lineno}" for call in _calls(tree, {"float", "round"})]
    assert found == []


def test_models_of_the_api_live_in_wire_alone() -> None:
    assert [
        f"{name}: {node.name}"
        for name, tree in _trees()
        if not name.startswith("wire/") and name not in MODELS_ELSEWHERE
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any("BaseModel" in ast.unparse(base) for base in node.bases)
    ] == []


def test_no_function_is_longer_than_a_screen() -> None:
    assert [
        f"{name}: {node.name}"
        for name, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ] == []


def test_every_module_says_what_lives_in_it() -> None:
    assert [name for name, tree in _trees() if not ast.get_docstring(tree)] == []


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SQUERO.rglob("*.py")):
        yield path.relative_to(SQUERO).as_posix(), ast.parse(path.read_text())


def _calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node
