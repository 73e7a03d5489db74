"""The catalogue: the entries that ship, what they cost and measure, and files that cannot be."""

from pathlib import Path

import pytest

from squero.domain import catalog, video_request
from squero.domain.catalog import CatalogError
from squero.domain.clip import Clip, frame_size
from squero.domain.model import SIZES
from squero.domain.pricing import price_micros
from squero.domain.video_request import VideoRequest
from squero.needs import Needs

MODELS = catalog.load(Path(catalog.__file__).parents[1] / "models").models
STAND_INS = [one for one in MODELS.values() if one.id.split("-")[0] != "motion"]

ENTRY = """
id = "mine"
name = "Mine"
description = "d"
created = 1
engine = "motion"
usd_per_second = { 720p = "0.02" }
render_seconds_per_second = { 720p = 1 }
[constraints]
model_type = "text-to-video"
durations = ["5s"]
resolutions = ["720p"]
aspect_ratios = []
audio = true
audio_configurable = false
"""


PICTURED = ENTRY.replace("text-to-video", "image-to-video")
LIMITS = """
reference_image_min_short_side_pixels = 300
reference_image_min_aspect_ratio = 0.4
reference_image_max_aspect_ratio = 2
"""

RATES = 'usd_per_second = { 720p = "0.02" }'


@pytest.fixture
def entries(tmp_path):
    """The catalogue of a file with this text."""

    def load(text):
        (tmp_path / "mine.toml").write_text(text)
        return catalog.load(tmp_path).models

    return load


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.id)
class TestShipped:
    def test_is_quoted_and_has_a_frame_of_even_sides(self, model):
        listed = model.constraints
        for resolution in listed.resolutions or (None,):
            for ratio in (None, *listed.aspect_ratios):
                asked = VideoRequest(model.id, "p", listed.durations[0], "", resolution, ratio)
                clip = video_request.clip(model, asked)
                assert price_micros(model, clip) > 0
                for source in (None, (1000, 1500), (700, 699)):
                    width, height = frame_size(clip, source)
                    assert width % 2 == height % 2 == 0
                    assert min(width, height) == SIZES[clip.resolution][1]

    def test_takes_everything_that_it_lists(self, model):
        listed = model.constraints
        media = dict.fromkeys(model.needed, "https://a.test/")
        for duration in listed.durations:
            asked = VideoRequest(model.id, "p", duration, media=media)
            assert video_request.check(model, asked).frames == int(duration[:-1]) * 24
        for resolution in listed.resolutions:
            asked = VideoRequest(model.id, "p", listed.durations[-1], "", resolution, media=media)
            assert video_request.check(model, asked).resolution == resolution


@pytest.mark.parametrize("model", STAND_INS, ids=lambda model: model.id)
def test_a_stand_in_says_so(model):
    assert model.name.endswith(" (stand-in)")
    assert "A stand-in: Squero's motion engine renders" in model.description
    assert model.engine == "motion"


def test_a_known_price_is_the_hosted_one_in_cents():
    model = MODELS["minimax-h3-text-to-video"]
    clips = [Clip(seconds, "2K", "16:9", True) for seconds in (5, 15)]
    assert [round(price_micros(model, clip), -4) for clip in clips] == [810_000, 2_440_000]


def test_the_hosted_models_whose_inputs_we_can_honour_are_here():
    assert "runway-gen4-aleph" in MODELS
    assert {"pixverse-c1-transition", "pixverse-v5.6-transition"} <= MODELS.keys()
    seedance = MODELS["seedance-1-5-pro-image-to-video-basic"]
    assert seedance.constraints.prompt_character_limit == 3500
    assert _picture_limits(seedance) == (300, 0.4, 2.5)
    assert {model.id for model in MODELS.values() if model.constraints.limits_pictures} == {
        seedance.id
    }


def _picture_limits(model):
    listed = model.constraints
    return (
        listed.reference_image_min_short_side_pixels,
        listed.reference_image_min_aspect_ratio,
        listed.reference_image_max_aspect_ratio,
    )


class TestLoad:
    def test_of_one_entry(self, entries):
        assert entries(ENTRY)["mine"].rendered == ("720p",)

    def test_of_several_with_defaults(self, entries):
        shared = 'description = "d"\ncreated = 1\nengine = "motion"\n'
        rates = 'usd_per_second = {720p="1"}\nrender_seconds_per_second = {720p=1}\n'
        limits = ENTRY.split("[constraints]")[1]
        one = '[[models]]\nid="{0}"\nname="{0}"\n{1}[models.constraints]{2}'
        text = f"[defaults]\n{shared}" + "".join(one.format(n, rates, limits) for n in "ab")
        assert [model.description for model in entries(text).values()] == ["d", "d"]

    def test_of_a_later_folder_replaces(self, tmp_path):
        for name, text in (("a", ENTRY), ("b", ENTRY.replace('"Mine"', '"Other"'))):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x.toml").write_text(text)
        found = catalog.load(tmp_path / "a", tmp_path / "b", tmp_path / "none")
        assert found.find("mine").name == "Other"

    def test_an_engine_has_its_options_but_for_what_the_entry_says(self, entries, tmp_path):
        entries(ENTRY.replace('engine = "motion"', 'engine = "motion"\noptions = { threads = 1 }'))
        given = {"motion": {"threads": 4, "instant": True}, "other": {"a": 1}}
        found = catalog.load(tmp_path, options=given).find("mine")
        assert found.options == {"threads": 1, "instant": True}
        assert catalog.load(tmp_path).find("mine").options == {"threads": 1}

    def test_what_a_model_needs(self, entries):
        plain = entries(ENTRY)["mine"]
        assert (plain.needs, plain.keep_warm, plain.on_oom) == (Needs(), False, {})
        more = """needs = { gpus = 2, vram_gb = 24, ram_gb = 64.5 }
            keep_warm = true
            on_oom = { offload = "model", call = { steps = 4 } }"""
        able = entries(ENTRY.replace("created = 1", f"created = 1\n{more}"))["mine"]
        assert able.needs == Needs(gpus=2, vram_gb=24, ram_gb=64.5)
        assert able.keep_warm
        assert able.on_oom == {"offload": "model", "call": {"steps": 4}}

    def test_limits_of_pictures(self, entries):
        plain = entries(PICTURED)["mine"]
        assert _picture_limits(plain) == (None, None, None)
        assert not [name for name in plain.constraints.model_dump() if "reference" in name]
        limited = entries(PICTURED + LIMITS)["mine"]
        assert _picture_limits(limited) == (300, 0.4, 2.0)
        one = entries(f"{PICTURED}reference_image_max_aspect_ratio = 2.5")["mine"]
        assert one.constraints.model_dump()["reference_image_max_aspect_ratio"] == 2.5
        square = entries(PICTURED + LIMITS.replace("0.4", "2.0"))["mine"]
        assert _picture_limits(square) == (300, 2.0, 2.0)

    @pytest.mark.parametrize("limit", LIMITS.split("\n")[1:-1])
    def test_limits_of_pictures_need_pictures(self, entries, limit):
        with pytest.raises(CatalogError, match=r"limits need model_type image-to-video"):
            entries(ENTRY + limit)

    @pytest.mark.parametrize(
        ("old", "new", "name"),
        [
            ("300", "0", "min_short_side_pixels"),
            ("300", "300.5", "min_short_side_pixels"),
            ("300", '"300"', "min_short_side_pixels"),
            ("0.4", "0", "min_aspect_ratio"),
            ("0.4", "-1", "min_aspect_ratio"),
            ("0.4", "nan", "min_aspect_ratio"),
            ("0.4", '"0.4"', "min_aspect_ratio"),
            ("0.4", "2.1", "min_aspect_ratio"),
            ("= 2\n", "= inf\n", "max_aspect_ratio"),
            ("= 2\n", "= true\n", "max_aspect_ratio"),
        ],
    )
    def test_limits_of_pictures_that_are_none(self, entries, old, new, name):
        with pytest.raises(CatalogError, match=f"mine.*reference_image_{name}: "):
            entries(PICTURED + LIMITS.replace(old, new))

    def test_with_more_clips_than_can_be_asked_for(self, entries):
        durations = ", ".join(f'"{seconds}s"' for seconds in range(1, 252))
        asked = ENTRY.replace(RATES, "upstream_price = { margin_percent = 5 }")
        asked = asked.replace("configurable = false", "configurable = true")
        with pytest.raises(CatalogError, match=r"upstream_price: more than 500 clips"):
            entries(asked.replace('["5s"]', f"[{durations}]"))

    @pytest.mark.parametrize(
        ("old", "new", "word"),
        [
            ('"mine"', '"a b"', "id"),
            ('["5s"]', "[]", "durations"),
            ('["5s"]', '["5"]', "durations"),
            ('["720p"]', '["721p"]', "resolutions"),
            ('["720p"]', '["480p"]', "480p"),
            ('["720p"]', '["720p"]\nother = 1', "other"),
            ('"text-to-video"', '"video"', "video_input"),
            ("audio = true", "audio = true\nend_image = true", "end_image"),
            ('"0.02"', '"-1"', "usd_per_second"),
            (RATES, "", "usd_per_second"),
            (RATES, f"{RATES}\nupstream_price = {{ margin_percent = 5 }}", "upstream_price"),
            (RATES, "upstream_price = { margin_percent = -1 }", "upstream_price.margin_percent"),
            (RATES, "upstream_price = { margin_percent = 1.5 }", "upstream_price.margin_percent"),
            (RATES, "upstream_price = {}", "upstream_price.margin_percent"),
            (RATES, "upstream_price = { margin_percent = 1, x = 1 }", "upstream_price.x"),
            ("created = 1", "created = ", "mine.toml"),
            ("created = 1", "[[models]]", "beside"),
            ("created = 1", "created = 1\nneeds = { tpus = 1 }", "needs.tpus"),
            ("created = 1", "created = 1\nneeds = { gpus = -1 }", "needs.gpus"),
            ("created = 1", "created = 1\nneeds = { gpus = 1.5 }", "needs.gpus"),
            ("created = 1", "created = 1\nneeds = { vram_gb = inf }", "needs.vram_gb"),
            ("created = 1", "created = 1\nkeep_warm = 3", "keep_warm"),
            ("created = 1", "created = 1\non_oom = []", "on_oom"),
        ],
    )
    def test_refuses(self, entries, old, new, word):
        with pytest.raises(CatalogError) as told:
            entries(ENTRY.replace(old, new))
        assert word in str(told.value)
        assert "mine.toml" in str(told.value)
