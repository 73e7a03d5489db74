import pytest

from squero.engines.privacy import VEIL, Confidences


@pytest.fixture
def confidences() -> Confidences:
    confidences = Confidences()
    confidences.keep("A gondola, at dusk — 威尼斯的黄昏", "blur")
    return confidences


class TestVeil:
    @pytest.mark.parametrize(
        "line",
        [
            "ValueError: A GONDOLA, AT DUSK",
            "cannot tokenize 'gondola,'",
            "got 威尼斯的黄昏",
            ascii("失败: 威尼斯的黄昏"),
            "no blur",
        ],
    )
    def test_what_resembles_a_text(self, confidences: Confidences, line: str) -> None:
        assert confidences.veil(line) == VEIL

    @pytest.mark.parametrize("line", ["", "loading weights", "step 3 of 20"])
    def test_lets_other_lines_pass(self, confidences: Confidences, line: str) -> None:
        assert confidences.veil(line) == line

    def test_remembers_the_shot_before(self, confidences: Confidences) -> None:
        confidences.keep("something else", "")
        assert confidences.veil("a gondola") == VEIL
        confidences.keep("", "")
        assert confidences.veil("a gondola") == "a gondola"
