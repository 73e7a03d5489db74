"""The settings of limits and of the motion engine: where they come from, and what is refused."""

import importlib.util
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from squero.app import load_catalog
from squero.engines import find
from squero.engines.motion import Motion
from squero.settings import Settings

DOCS = Path(__file__).parents[1] / "docs" / "settings.md"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Reads them anew: `settings("[tiers.paid]…", SQUERO_X="…")`."""

    def read(toml="", **environment):
        (tmp_path / "squero.toml").write_text(toml)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Settings(home=tmp_path)

    return read


class TestTiers:
    def test_keep_what_is_not_named(self, settings):
        tiers = settings("[tiers.paid]\nvideo_queue = 5\n[tiers.partner]\nimage = 7\n").tiers
        assert (tiers.paid.video_queue, tiers.paid.video_retrieve) == (5, 120)
        assert (tiers.partner.image, tiers.partner.audio, tiers.partner.text_s) == (7, 120, 150)

    def test_are_named_one_by_one_in_the_environment(self, settings):
        toml = "[tiers.paid]\nvideo_queue = 5\nvideo_retrieve = 6\n"
        tiers = settings(toml, SQUERO_TIERS__PAID__VIDEO_QUEUE="77").tiers
        assert (tiers.paid.video_queue, tiers.paid.video_retrieve) == (77, 6)

    @pytest.mark.parametrize(
        "toml",
        ["[tiers.gold]\nvideo_queue = 5", "[tiers.paid]\nvideo = 5", "[tiers.paid]\nimage = 0"],
    )
    def test_that_cannot_be(self, settings, toml):
        with pytest.raises(ValidationError, match="tiers"):
            settings(toml)

    def test_have_the_defaults_that_the_docs_show(self, settings):
        shown = DOCS.read_text().split("```toml\n", 1)[1].split("```", 1)[0]
        assert tomllib.loads(shown)["tiers"] == settings().tiers.model_dump()


class TestLimitsUrl:
    @pytest.fixture
    def installed(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)

    @pytest.mark.usefixtures("installed")
    def test_is_a_secret(self, settings):
        found = settings(SQUERO_LIMITS_URL="rediss://:hush@redis.test/0")
        assert "hush" not in repr(found)
        assert found.limits_url.get_secret_value() == "rediss://:hush@redis.test/0"

    @pytest.mark.usefixtures("installed")
    @pytest.mark.parametrize(
        "url",
        [
            *("memcached://m", "async+redis://r", "redis://", "redis:///0", "r:6379", ""),
            *("redis://:hush@r:port", "redis://:hush@[::1", "redis://:hush@r:99999"),
        ],
    )
    def test_of_something_else(self, settings, url):
        with pytest.raises(ValidationError, match="redis://"):
            settings(SQUERO_LIMITS_URL=url)

    def test_without_the_client(self, settings, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ValidationError, match=r"squero\[redis\]"):
            settings(SQUERO_LIMITS_URL="redis://redis.test")


class TestTrustedProxies:
    def test_have_commas_between_or_are_a_list(self, settings):
        networks = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
        assert settings('trusted_proxies = ["10.0.0.0/8", "::1"]').trusted_proxies == networks
        found = settings(SQUERO_TRUSTED_PROXIES="10.0.0.0/8, ::1").trusted_proxies
        assert found == networks

    @pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.test", "10.0.0.0/33", "*"])
    def test_that_are_no_networks(self, settings, text):
        with pytest.raises(ValidationError, match="trusted_proxies"):
            settings(SQUERO_TRUSTED_PROXIES=text)


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
