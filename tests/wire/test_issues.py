"""Error bodies, as the API's clients parse them."""

import pytest
from pydantic import BaseModel, ConfigDict

from squero.errors import InvalidRequest, Issue
from squero.wire.issues import body, parse
from squero.wire.video import QueueVideoRequest


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str


def issues_of(fields, kind=Closed):
    with pytest.raises(InvalidRequest) as refused:
        parse(kind, fields)
    return refused.value.issues


class TestIssues:
    def test_missing(self):
        (issue,) = issues_of({})
        assert issue == Issue(("text",), "Field is required", "invalid_type", None, "undefined")

    @pytest.mark.parametrize(
        ("value", "received"),
        [
            (1, "number"),
            (1.5, "number"),
            (True, "boolean"),
            (None, "null"),
            ([], "array"),
            ({}, "object"),
        ],
    )
    def test_wrong_type(self, value, received):
        (issue,) = issues_of({"text": value})
        assert issue.message == f"Expected string, received {received}"
        assert (issue.expected, issue.received) == ("string", received)

    def test_unknown_keys_are_one_issue_and_cut_short(self):
        (issue,) = issues_of({"text": "", **{f"{n}" * 200: 1 for n in range(20)}})
        assert issue.code == "unrecognized_keys"
        assert issue.path == ()
        assert len(issue.message) == len("Unrecognized key(s) in object: ") + 100

    def test_a_value_that_fits_no_type_is_one_issue(self):
        asked = {"model": "m", "prompt": "p", "duration": "5s", "image_url": 5}
        (issue,) = issues_of(asked, QueueVideoRequest)
        assert issue.message == "Expected string, received number"


class TestBody:
    def test_tree_and_list(self):
        found = body([Issue(("a", 1), "Wrong", "custom"), Issue((), "Closed", "unrecognized_keys")])
        assert found == {
            "details": {
                "_errors": ["Closed"],
                "a": {"_errors": [], "1": {"_errors": ["Wrong"]}},
            },
            "issues": [
                {"code": "custom", "message": "Wrong", "path": ["a", 1]},
                {"code": "unrecognized_keys", "message": "Closed", "path": []},
            ],
        }

    @pytest.mark.parametrize("path", [("_errors",), ("a", "_errors"), ("_errors", 0)])
    def test_a_key_that_is_named_as_our_own(self, path):
        assert body([Issue(path, "Wrong")])["issues"][0]["path"] == list(path)
