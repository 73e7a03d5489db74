from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squero.engines.diffusers.fitting import Course, Grid


def pipeline(patch: Any, **factors: int) -> SimpleNamespace:
    config = SimpleNamespace(patch_size=patch)
    return SimpleNamespace(transformer=SimpleNamespace(config=config), **factors)


class TestGrid:
    @pytest.mark.parametrize(
        ("parts", "grid"),
        [
            (
                pipeline((1, 2, 2), vae_scale_factor_spatial=8, vae_scale_factor_temporal=4),
                Grid(16, 16, 4),
            ),
            (
                pipeline((1, 2, 2), vae_scale_factor_spatial=16, vae_scale_factor_temporal=4),
                Grid(32, 32, 4),
            ),
            (
                pipeline(1, vae_spatial_compression_ratio=32, vae_temporal_compression_ratio=8),
                Grid(32, 32, 8),
            ),
            (
                pipeline([1, 3, 1], vae_scale_factor_spatial=8, vae_scale_factor_temporal=4),
                Grid(16, 48, 4),
            ),
        ],
        ids=["wan", "wan 5b", "ltx-2", "uneven"],
    )
    def test_of_a_pipeline(self, parts: SimpleNamespace, grid: Grid) -> None:
        assert Grid.of(parts) == grid

    def test_of_the_second_expert_alone(self) -> None:
        parts = pipeline(2, vae_scale_factor_spatial=8, vae_scale_factor_temporal=4)
        parts.transformer, parts.transformer_2 = None, parts.transformer
        assert Grid.of(parts) == Grid(16, 16, 4)

    def test_size_and_length(self) -> None:
        grid = Grid(16, 32, 4)
        assert grid.size(1920, 1080) == (1920, 1088)
        assert [grid.length(frames) for frames in (1, 2, 5, 80, 81, 120)] == [1, 5, 5, 81, 81, 121]


class TestCourse:
    def test_at_the_models_own_pace(self) -> None:
        course = Course(120, 24, 24)
        assert course.drawn == 120
        assert list(course.places()) == [(number, 0.0) for number in range(120)]

    def test_of_a_slower_model(self) -> None:
        course = Course(120, 24, 16)
        assert course.drawn == 81
        assert list(course.places())[:4] == [
            (0, 0.0),
            (0, pytest.approx(2 / 3)),
            (1, pytest.approx(1 / 3)),
            (2, 0.0),
        ]

    @given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 60))
    def test_all_that_is_needed_is_drawn_and_no_more(
        self, frames: int, fps: int, pace: int
    ) -> None:
        course = Course(frames, fps, pace)
        places = list(course.places())
        assert len(places) == frames
        reached = max(before + bool(onwards) for before, onwards in places)
        assert reached == course.drawn - 1
        for (before, rest), (later, onwards) in pairwise(places):
            assert later + onwards - before - rest == pytest.approx(pace / fps)
