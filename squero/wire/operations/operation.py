"""The record of a call, and what the records of several tags name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

QUEUE_ID: Final = "3f0c8f8e-2f5e-4c5e-9d0a-6b1d8e7a4c21"
KEY_ID: Final = "e28e82dc-9df2-4b47-b726-d0a222ef2ab5"
TEXT_MODEL: Final = "motion-text-to-video"
BALANCES: Final = ("x-venice-balance-usd", "x-venice-balance-diem")
LIMITS: Final = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: its bodies by the names of their wire models, its headers, its refusals."""

    id: str
    tag: str
    summary: str
    description: str
    answered: str
    """What a 200 says."""
    refusals: tuple[str, ...]
    answer: str = ""
    answer_schema: Mapping[str, Any] | None = None
    answer_example: Any = None
    with_key: bool = True
    request: str = ""
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    parameters: tuple[Mapping[str, Any], ...] = ()
    more_content: Mapping[str, Any] = field(default_factory=dict)
    more_responses: Mapping[str, Any] = field(default_factory=dict)


def parameter(place: str, name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """One of a call's parameters, which it can do without."""
    return {"name": name, "in": place, "description": text, "required": False, "schema": schema}
