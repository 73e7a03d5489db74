"""Refused prompts: the list of terms, and what a plug-in says."""

from importlib.metadata import EntryPoint

import pytest

from squero.domain import generation, policy
from squero.domain.policy import PolicyError, RefusedTerms
from squero.domain.video_request import VideoRequest
from squero.errors import ContentRefused

pytestmark = pytest.mark.anyio


class Picky:
    """A policy that wants no fog."""

    async def refuses(self, prompt: str, negative_prompt: str) -> bool:
        return "fog" not in negative_prompt


class TestTerms:
    TERMS = RefusedTerms(["gondola race", "ﬁre", "Straße", "", "  "])

    @pytest.mark.parametrize(
        "prompt",
        [
            "a gondola race",
            "A GONDOLA\n  RACE!",
            "gondola-race",
            "the Ｇｏｎｄｏｌａ race",
            "fire",
            "a ﬁre.",
            "STRASSE",
            "a gon\u200bdola race",
            "gondola\u2060 \ufeffrace",
            "\u00adgon\u200c\u200ddola race",
            "fi\ufe0fre",
            "f\u034fire",
        ],
    )
    async def test_refused(self, prompt):
        assert await self.TERMS.refuses(prompt, "")

    @pytest.mark.parametrize(
        "prompt", ["gondola races", "race gondola", "fires", "wildfire", "…", "fi\u200b re"]
    )
    async def test_taken(self, prompt):
        assert not await self.TERMS.refuses(prompt, "fire")


class TestLoad:
    def test_nothing(self):
        assert policy.load(None) == ()

    async def test_a_file(self, tmp_path):
        file = tmp_path / "terms"
        file.write_text("# not these\n\nfog\n")
        (terms,) = policy.load(file)
        assert await terms.refuses("in the fog", "")
        assert not await terms.refuses("not these", "")

    @pytest.mark.parametrize("content", [None, b"\xff"])
    def test_a_file_that_cannot_be(self, tmp_path, content):
        file = tmp_path / "terms"
        if content:
            file.write_bytes(content)
        with pytest.raises(PolicyError, match="terms"):
            policy.load(file)

    async def test_a_plug_in(self, monkeypatch):
        point = EntryPoint("picky", f"{__name__}:Picky", policy.GROUP)
        monkeypatch.setattr(EntryPoint, "load", lambda _: Picky)
        monkeypatch.setattr(policy, "entry_points", lambda group: [point])
        with pytest.raises(ContentRefused):
            await policy.check(policy.load(None), "a lagoon", "")
        await policy.check(policy.load(None), "a lagoon", "fog")

    def test_a_plug_in_that_is_broken(self, monkeypatch):
        point = EntryPoint("broken", "squero.nowhere:Nothing", policy.GROUP)
        monkeypatch.setattr(policy, "entry_points", lambda group: [point])
        with pytest.raises(PolicyError, match="broken"):
            policy.load(None)


class TestQueue:
    @pytest.fixture
    def settings(self, settings, tmp_path):
        file = tmp_path / "terms"
        file.write_text("lagoon\n")
        return settings.model_copy(update={"refused_terms_file": file})

    async def test_of_a_refused_prompt_leaves_nothing(self, yard, play, tenant):
        before = await play.world()
        with pytest.raises(ContentRefused):
            await play.queue(tenant, "k")
        assert await play.world() == before
        asked = VideoRequest("motion-text-to-video", "a canal", "5s")
        assert await generation.queue(yard, tenant.caller, asked, "k")
