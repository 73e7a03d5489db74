"""What schemathesis makes of our OpenAPI document: requests that fit it, and that do not quite."""

from collections import Counter
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.acceptance.conftest import Server

from .conftest import SEED, SOAK, Say

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.timeout(0),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning"),
]

CASES = 2000


class Tally:
    """What was asked and answered."""

    def __init__(self, server: Server) -> None:
        self.statuses: Counter[int] = Counter()
        # It may make every call: those about keys and bills end at the gate without.
        self._key = server.key("--type", "admin", "--credit", "0.20")
        self._url = f"{server.url}/api/v1"
        self._session = requests.Session()

    def ask(self, case: Any) -> None:
        """Send one case; fails when the server fails."""
        headers = {"Authorization": f"Bearer {self._key}"}
        answer = case.call(base_url=self._url, session=self._session, headers=headers, timeout=30)
        self.statuses[answer.status_code] += 1
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.text}"
        assert answer.status_code in (200, 206) or "error" in answer.json()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()


def hammer(tally: Tally, operation: Any, mode: GenerationMode, cases: int) -> None:
    """Ask that many cases of one call."""

    @seed(SEED)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        tally.ask(data.draw(operation.as_strategy(generation_mode=mode)))

    ask()


def test_nothing_makes_it_fail(server: Server, say: Say) -> None:
    told = httpx.get(f"{server.url}/doc/api/swagger.yaml").text
    schema = schemathesis.openapi.from_file(told)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 5
    tally = Tally(server)
    each = 1 + CASES * SOAK // len(operations)
    try:
        for operation in operations:
            with_body = bool(operation.body)
            bad = each * 2 // 3 if with_body else each // 3
            hammer(tally, operation, GenerationMode.POSITIVE, each - bad)
            hammer(tally, operation, GenerationMode.NEGATIVE, bad)
        # A space of few members is soon exhausted: the rest goes to the call with the most.
        queue = next(one for one in operations if one.path == "/video/queue")
        while tally.statuses.total() < CASES * SOAK:
            hammer(tally, queue, GenerationMode.POSITIVE, CASES * SOAK - tally.statuses.total())
    finally:
        tally.close()
    say(f"{tally.statuses.total()} requests: {dict(sorted(tally.statuses.items()))}")
    assert tally.statuses[200] and tally.statuses[400]
    # Some bring a key that they made up; most are to come past the gate.
    assert tally.statuses[401] < CASES * SOAK / 3
