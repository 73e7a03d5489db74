"""What these tests stand on: both PostgreSQLs."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session", params=["wheel", pytest.param("system", marks=pytest.mark.system)])
def cluster(request: pytest.FixtureRequest, start_cluster: Callable[[str], str]) -> str:
    """The wheel's PostgreSQL, and the one on PATH where there is one."""
    return start_cluster(request.param)
