"""The bodies in OpenAI's shape: what a client may send, and what it reads of an error."""

import inspect

import pytest

from squero import errors
from squero.errors import InvalidRequest, Issue, Refused
from squero.media.spool import DataUrl
from squero.wire.facade import CreateVideoRequest, VideoAnswer, error_body
from squero.wire.issues import parse

KINDS = {
    "invalid_request_error",
    "insufficient_quota",
    "permission_error",
    "rate_limit_error",
    "server_error",
}
URL = "https://a.test/lagoon.png"


def wrong(fields):
    """Where the first thing is that is wrong, and what."""
    with pytest.raises(InvalidRequest) as refused:
        parse(CreateVideoRequest, fields)
    found = refused.value.issues[0]
    return found.path, found.message


class TestCreateVideoRequest:
    def test_needs_no_more_than_a_prompt(self):
        asked = parse(CreateVideoRequest, {"prompt": "p"})
        assert (asked.model, asked.seconds, asked.size, asked.picture) == (None,) * 4

    @pytest.mark.parametrize(
        "reference",
        [
            {"input_reference": URL},
            {"input_reference": {"image_url": URL}},
            {"input_reference[image_url]": URL},
        ],
    )
    def test_picture_however_it_is_named(self, reference):
        assert parse(CreateVideoRequest, {"prompt": "p"} | reference).picture == URL

    def test_picture_of_a_form(self):
        file = DataUrl("application/octet-stream", None)
        assert parse(CreateVideoRequest, {"prompt": "p", "input_reference": file}).picture is file

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({}, ("prompt",)),
            ({"prompt": "p", "input_reference": None, "seconds": None}, ("seconds",)),
            ({"prompt": "p", "input_reference": []}, ("input_reference",)),
            (
                {"prompt": "p", "input_reference": {"image_url": URL, "file_id": "f"}},
                ("input_reference", "file_id"),
            ),
            (
                {"prompt": "p", "input_reference": URL, "input_reference[image_url]": URL},
                (),
            ),
            (
                {"prompt": "p", "input_reference[image_url][x]": URL},
                ("input_reference", "image_url"),
            ),
            ({"prompt": "p", "size": 720}, ("size",)),
        ],
    )
    def test_refuses(self, fields, path):
        assert wrong(fields)[0] == path


class TestErrorBody:
    @pytest.mark.parametrize(
        "refused",
        [kind for _, kind in inspect.getmembers(errors, inspect.isclass)],
        ids=lambda kind: kind.__name__,
    )
    def test_of_every_error(self, refused):
        if not issubclass(refused, Refused):
            return
        error = refused([]) if refused is InvalidRequest else refused()
        (told,) = error_body(error).values()
        assert set(told) == {"message", "type", "param", "code"}
        assert told["type"] in KINDS
        assert (told["type"] == "server_error") == (refused.status >= 500)
        assert told["message"] == error.message

    @pytest.mark.parametrize(
        ("path", "param"),
        [
            (("duration",), "seconds"),
            (("aspect_ratio",), "size"),
            (("image_url",), "input_reference"),
            (("input_reference", "image_url"), "input_reference.image_url"),
            (("prompt",), "prompt"),
        ],
    )
    def test_names_fields_as_they_were_sent(self, path, param):
        (told,) = error_body(InvalidRequest([Issue(path, "No"), Issue(("x",), "Nor")])).values()
        assert (told["param"], told["message"]) == (param, f"{param}: No")

    def test_of_the_whole_has_no_field(self):
        (told,) = error_body(InvalidRequest([Issue((), "No")])).values()
        assert (told["param"], told["message"]) == (None, "No")


def test_a_job_has_the_fields_of_the_client_and_no_more():
    from openai.types import Video

    assert set(VideoAnswer.model_fields) == set(Video.model_fields)
