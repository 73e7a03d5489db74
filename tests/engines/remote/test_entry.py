"""The entry in docs/remote.md is one that can be used."""

import re
import textwrap
from pathlib import Path

from squero.domain.catalog import load
from squero.engines.remote.upstream import read

PAGE = Path(__file__).parents[3] / "docs" / "remote.md"


def test_is_sound(tmp_path: Path) -> None:
    block = re.search(r"^ *```toml\n(.*?)^ *```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    (tmp_path / "far.toml").write_text(textwrap.dedent(block[1]))
    model = load(tmp_path).find("wan-far")
    upstreams = read(model.options["upstreams"])  # type: ignore[arg-type]
    assert [(one.name, one.weight, one.limit) for one in upstreams] == [
        ("rack-1", 2, 4),
        ("rack-2", 1, None),
    ]
    assert upstreams[1].variable in PAGE.read_text()
