"""Base64 read quickly means what the standard library says it means."""

from binascii import a2b_base64, b2a_base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from squero.api.base64 import decoded

ALPHABET = b'ABCXYZabcxyz0189+/=-_"\\\n\t \x00\xff'


def _strictly(text: bytes) -> bytes | None:
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def _decoded(text: bytes) -> bytes | None:
    try:
        return decoded(text)
    except ValueError:
        return None


@given(st.binary(max_size=200))
def test_what_was_spelled_is_read(data: bytes) -> None:
    assert decoded(b2a_base64(data, newline=False)) == data


@given(st.lists(st.sampled_from([bytes([mark]) for mark in ALPHABET]), max_size=12).map(b"".join))
@example(b"QUJ=")
@example(b"QQ")
@example(b"Q===")
@example(b"QUJDRA==QUJD")
@example(b"\\u0041AA")
@example(b"-_-_")
def test_anything_else_means_what_it_means_to_the_standard_library(text: bytes) -> None:
    assert _decoded(text) == _strictly(text)


@pytest.mark.parametrize("mark", [b"-", b"_", b'"', b"\\", b"\n", b" ", b"\xc3\xa9", b"\x00"])
def test_a_foreign_mark_is_refused(mark: bytes) -> None:
    text = b"QUJD" + mark + b"A" * (4 - len(mark)) if len(mark) < 4 else mark
    with pytest.raises(ValueError):
        decoded(text)
