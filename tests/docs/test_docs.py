"""The docs are true: what they name exists, and what exists is named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from starlette.routing import Mount, Route

from squero import errors
from squero.cli import app
from squero.domain.model import Constraints
from squero.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "examples" / "README.md", *DOCS.rglob("*.md")])
TERMS = """
    attempt|capture|day key|generation|hold|house|lane|lease|release|scratch|seal|share|Shot|spool
    |stand-in|strike|stratum|transfer|virtual time|yard
"""


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_links_lead_somewhere(page: Path) -> None:
    text = _prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        aim = (page.parent / name).resolve() if name else page
        assert aim.exists(), target
        assert not anchor or anchor in _anchors(aim), target


def test_named_files_exist(page: Path) -> None:
    folders = "squero|tests|docs|examples|benchmarks|requirements"
    for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_named_targets_exist(page: Path) -> None:
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)`", page.read_text())) <= there


def test_named_commands_exist(page: Path) -> None:
    there = dict(_commands())
    words = {path.split()[0] for path in there}
    for line in re.findall(r"(?:\.venv/bin/|[`(]|^)squero ([a-z][^`)\n]*)", page.read_text(), re.M):
        named = line.split()
        if named[0] not in words:
            pytest.fail(f"squero {line}")
        path = named[0] if named[0] in there else " ".join(named[:2])
        assert path in there, line
        for option in re.findall(r"(?<!\S)(--[a-z-]+)", line):
            assert option in there[path], line


def test_every_setting_is_documented() -> None:
    rows = _rows(DOCS / "settings.md", r"`SQUERO_(\w+)`")
    for name, setting in Settings.model_fields.items():
        assert name.upper() in rows
        default = rows[name.upper()][0]
        if isinstance(setting.default, int):
            assert default == f"`{setting.default}`"
    own = {"API_KEY", "SERVER", "WORKER_TOKEN"}
    assert rows.keys() == {name.upper() for name in Settings.model_fields} | own


def test_every_constraint_is_documented() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for name in Constraints.model_fields:
        assert re.search(rf"\b{name}\b", text), name
    rows = _rows(DOCS / "engines.md", r"`(reference_image_\w+)`")
    limits = {name for name in Constraints.model_fields if name.startswith("reference_image_")}
    assert rows.keys() == limits


def test_every_error_is_documented() -> None:
    rows = _rows(DOCS / "errors.md", r"`(\w+)`")
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.Refused)
    }
    assert rows.keys() == classes.keys()
    for name, kind in classes.items():
        assert rows[name][:2] == [str(kind.status), kind.message]


def test_every_command_is_documented() -> None:
    rows = _rows(DOCS / "commands.md", r"`squero ([a-z ]+)`")
    commands = dict(_commands())
    assert rows.keys() == commands.keys()
    for path, options in commands.items():
        assert set(re.findall(r"`(--[a-z-]+)`", rows[path][1])) == options, path


def test_every_call_of_a_worker_is_documented() -> None:
    from squero.api.routes import routes

    named = set(re.findall(r"`(?:GET|POST|PUT) (\S+)`", (DOCS / "workers.md").read_text()))
    mounts = [route for route in routes(None) if isinstance(route, Mount)]  # type: ignore[arg-type]
    (mount,) = (mount for mount in mounts if mount.path == "/worker/v1")
    paths = {route.path for route in mount.routes if isinstance(route, Route)}
    assert named == {mount.path + re.sub(r":\w+}", "}", path) for path in paths}


def test_the_glossary_has_its_words_in_order() -> None:
    terms = re.findall(r"^\*\*(.+)\*\* – ", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)
    assert set(re.split(r"\s*\|\s*", TERMS.strip())) <= set(terms)


def test_decisions_are_one_page_each_and_listed() -> None:
    index = (DOCS / "decisions" / "README.md").read_text()
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(numbers) == len(set(numbers))
    for page in pages:
        text = page.read_text()
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "What it costs"], page.name
        assert text.startswith(f"# {page.name[:4]}: ")
        assert f"({page.name})" in index, page.name
        assert len(text.splitlines()) < 60


def test_the_readme_is_one_screen_and_reaches_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 80
    assert "Not affiliated" in text
    for page in DOCS.glob("*.md"):
        assert f"(docs/{page.name})" in text, page.name
    assert (DOCS / "frame.jpg").stat().st_size <= 150_000


def _prose(page: Path) -> str:
    """The page without its code."""
    fenced = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", "code", fenced)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _rows(page: Path, first: str) -> dict[str, list[str]]:
    """The rows of the page's tables whose first cell is like this, by what it captures."""
    found = {}
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if match := re.fullmatch(first, cells[0]):
            found[match[1]] = cells[1:]
    return found


def _commands() -> Iterator[tuple[str, set[str]]]:
    """Every command's words, and its options."""

    def walk(group: object, path: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
        for name, command in getattr(group, "commands", {}).items():
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))
            else:
                options = {option for one in command.params for option in one.opts}
                long = {option for option in options if option.startswith("--")}
                yield " ".join((*path, name)), long

    return walk(typer.main.get_command(app), ())
