"""By what a server knows its own workers again."""

import stat
from pathlib import Path

import pytest

from squero.cli.crew import server_id


def test_is_drawn_once_for_each_home(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = server_id(tmp_path)
    assert server_id(tmp_path) == first
    assert server_id(tmp_path / "other") != first
    assert [stat.S_IMODE((tmp_path / "server").stat().st_mode), len(list(tmp_path.iterdir()))] == [
        0o600,
        2,
    ]


@pytest.mark.parametrize("left", ["", "nothing"])
def test_is_drawn_again_when_it_was_spoiled(tmp_path: Path, left: str) -> None:
    (tmp_path / "server").write_text(left)
    drawn = server_id(tmp_path)
    assert server_id(tmp_path) == drawn
