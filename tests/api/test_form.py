"""A form becomes the JSON that says the same, however it is cut."""

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squero.api.form import Form
from squero.errors import InvalidRequest

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def spelled(texts, data):
    """A form with these texts and one file, as a client writes it."""
    parts = [
        b'--b7c1\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name, text)
        for name, text in texts.items()
    ]
    head = (
        b'--b7c1\r\nContent-Type: image/png\r\ncontent-disposition: form-data; name="file";'
        b' filename="a;\\"b\\".png"\r\n\r\n'
    )
    return b"".join(parts) + head + data + b"\r\n--b7c1--\r\n"


def read(body, cuts=()):
    form = Form(b"b7c1", ("file",))
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    pieces = (body[start:end] for start, end in pairwise(places))
    return json.loads(b"".join(map(form.feed, pieces)) + form.finish())


class TestForm:
    @settings(max_examples=200, deadline=None)
    @given(
        texts=st.lists(WORDS, max_size=4),
        data=st.binary(max_size=300),
        cuts=st.lists(st.integers(0, 2000), max_size=20),
    )
    def test_however_it_is_cut(self, texts, data, cuts):
        fields = {f"f{number}": text for number, text in enumerate(texts)}
        body = spelled({name.encode(): text.encode() for name, text in fields.items()}, data)
        url = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
        assert read(body, cuts) == fields | {"file": url}

    def test_byte_by_byte(self):
        body = spelled({b"prompt": b"\r\n--b7c\r\n--b7c0"}, b"\r\n--b7c" * 9)
        found = read(body, range(len(body)))
        assert found["prompt"] == "\r\n--b7c\r\n--b7c0"
        assert base64.b64decode(found["file"].partition(",")[2]) == b"\r\n--b7c" * 9

    def test_of_nothing_is_an_empty_object(self):
        assert read(b"--b7c1--\r\n") == {}

    def test_what_follows_its_end_is_not_told(self):
        assert read(spelled({}, b"") + b"x" * 1000) == read(spelled({}, b""))

    @settings(max_examples=200, deadline=None)
    @given(body=st.binary(max_size=200))
    def test_of_anything_is_json_or_refused(self, body):
        for begun in (
            body,
            b"--b7c1\r\n" + body,
            spelled({b"a": body}, body)[: -len(body) or None],
        ):
            try:
                found = read(begun)
            except InvalidRequest as refused:
                assert refused.issues
            else:
                assert isinstance(found, dict)

    def test_tells_no_log_what_it_stumbles_over(self, caplog):
        with pytest.raises(InvalidRequest):
            read(b"--b7c1\r\nsecret lagoon: x\r\n\r\n")
        assert caplog.records == []
