"""What the settings make of the motion engine; how each is read is tested where it is used."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from squero.app import load_catalog
from squero.engines import find
from squero.engines.motion import Motion
from squero.settings import Settings


def options(settings: Settings) -> dict[str, dict[str, object]]:
    """Those of the models that the motion engine serves, by id."""
    models = load_catalog(settings).models.values()
    return {model.id: dict(model.options) for model in models if model.engine == "motion"}


class TestInstantMotion:
    def test_serves_every_model_of_motion(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SQUERO_INSTANT_MOTION", "true")
        found = options(Settings(home=tmp_path))
        assert len(found) > 90
        assert all(one == {"instant": True} for one in found.values())

    def test_by_default_serves_those_that_say_so(self, tmp_path: Path) -> None:
        instant = {model for model, one in options(Settings(home=tmp_path)).items() if one}
        kinds = ("image", "text", "video")
        assert instant == {f"motion-instant-{kind}-to-video" for kind in kinds}


class TestFonts:
    def test_are_handed_to_the_engine_from_wherever_it_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "fonts").mkdir()
        monkeypatch.chdir(tmp_path)
        found = options(Settings(home=tmp_path, fonts=Path("fonts")))
        assert found["motion-text-to-video"] == {"fonts": str(tmp_path / "fonts")}
        assert isinstance(find("motion", found["motion-instant-text-to-video"]), Motion)

    def test_must_be_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="fonts"):
            Settings(home=tmp_path, fonts=tmp_path / "none")
