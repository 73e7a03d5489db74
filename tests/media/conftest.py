"""A real sandbox, as a server starts it."""

from collections.abc import AsyncIterator

import pytest

from squero.media.look import PICTURES, RECORDINGS
from squero.sandbox import Sandbox


@pytest.fixture(scope="module")
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """What looks into media."""
    sandbox = Sandbox(PICTURES + RECORDINGS)
    await sandbox.start()
    yield sandbox
    await sandbox.aclose()
