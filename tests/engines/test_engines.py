from pathlib import Path

import pytest

from squero.engines import Engine, build, find, reference
from squero.engines.motion import Motion


def test_find_makes_the_shipped_engine_with_its_options() -> None:
    engine = find("motion", {"threads": 1})
    assert isinstance(engine, Motion)
    assert isinstance(engine, Engine)


def test_reference_sees_a_third_partys_engine(plugin: Path) -> None:
    assert reference("obedient") == "squero_fakes:Obedient"


def test_reference_of_an_unknown_name() -> None:
    with pytest.raises(LookupError, match="'nowhere'"):
        reference("nowhere")


def test_reference_declared_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rival = tmp_path / "rival-1.0.dist-info"
    rival.mkdir()
    (rival / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (rival / "entry_points.txt").write_text("[squero.engines]\nmotion = rival:Motion\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LookupError, match="Several"):
        reference("motion")


def test_build_refuses_what_is_no_engine() -> None:
    with pytest.raises(TypeError, match="not an engine"):
        build("types:SimpleNamespace", {})
