"""Clips: how large the frames of one are."""

import pytest

from squero.domain.clip import Clip, frame_size


class TestFrameSize:
    @pytest.mark.parametrize(
        ("resolution", "ratio", "size"),
        [
            ("480p", "16:9", (848, 480)),
            ("768P", "9:16", (768, 1366)),
            ("580p", "1:1", (580, 580)),
            ("720p", "4:3", (960, 720)),
            ("720p", "3:4", (720, 960)),
            ("1080p", "21:9", (2520, 1080)),
            ("720p", "9:21", (720, 1680)),
            ("720p", "3:2", (1080, 720)),
            ("720p", "4:5", (720, 900)),
            ("480p", "2:3", (480, 720)),
            ("4k", "16:9", (3840, 2160)),
        ],
    )
    def test_of_a_ratio(self, resolution, ratio, size):
        assert frame_size(Clip(5, resolution, ratio, False), None) == size

    @pytest.mark.parametrize(
        ("source", "size"),
        [(None, (1280, 720)), ((400, 300), (1280, 720)), ((300, 400), (720, 1280)), ((9, 9), None)],
    )
    def test_as_what_it_starts_from(self, source, size):
        assert frame_size(Clip(5, "720p", None, False), source) == (size or (720, 720))
