"""A shared house that is cleared for each test."""

import pytest

from squero.api.house import House
from squero.domain.yard import Yard


@pytest.fixture
def house(cleared: House) -> House:
    return cleared


@pytest.fixture
def yard(house: House) -> Yard:
    return house.yard
