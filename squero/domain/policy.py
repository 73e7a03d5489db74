"""Which prompts are refused: policies that are asked before anything is queued.

A list of refused terms comes with Squero. Others come through the entry-point group
`squero.policies`: each names something that, called without arguments, gives a Policy.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from squero.errors import ContentRefused

GROUP = "squero.policies"

_WORD = re.compile(r"\w+")
# What is not a format character (Cf) and yet not to be seen: joiners, fillers, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)


class Policy(Protocol):
    """What decides about prompts; when it raises, the call fails and nothing is queued."""

    async def refuses(self, prompt: str, negative_prompt: str) -> bool:
        """Whether a job with these prompts must not be made."""


class PolicyError(Exception):
    """A list or a plug-in that cannot be used; the message names it."""


class RefusedTerms:
    """Refuses a prompt with one of these terms in it: whole words, whatever their case
    and whatever invisible stands in them.

    What a negative prompt names is not wanted in the picture, so it is not looked at.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        spelled = (_words(term) for term in terms)
        self._terms = frozenset(words for words in spelled if words)
        self._lengths = sorted({len(words) for words in self._terms})

    async def refuses(self, prompt: str, negative_prompt: str) -> bool:
        """Whether one of the terms stands in the prompt, word for word."""
        words = _words(prompt)
        return any(
            words[start : start + length] in self._terms
            for length in self._lengths
            for start in range(len(words) - length + 1)
        )


def load(terms_file: Path | None) -> tuple[Policy, ...]:
    """The policies of this server; raises PolicyError.

    The file holds a term a line; empty lines and those that begin with # do not count.
    """
    policies: list[Policy] = []
    if terms_file is not None:
        policies.append(RefusedTerms(_lines(terms_file)))
    for point in entry_points(group=GROUP):
        try:
            policies.append(point.load()())
        except Exception as broken:
            raise PolicyError(f"The policy {point.name}: {type(broken).__name__}") from broken
    return tuple(policies)


async def check(policies: Sequence[Policy], prompt: str, negative_prompt: str) -> None:
    """Raises ContentRefused when one of the policies refuses."""
    for policy in policies:
        if await policy.refuses(prompt, negative_prompt):
            raise ContentRefused


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as broken:
        why = getattr(broken, "strerror", None) or "it is not UTF-8"
        raise PolicyError(f"The refused terms in {path} cannot be read: {why}") from broken
    return [line for line in lines if not line.lstrip().startswith("#")]


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold() if text.isascii() else _folded(text)))


def _folded(text: str) -> str:
    """Alike for texts that a reader cannot tell apart by case, width or what is not to be seen."""
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
    return unicodedata.normalize("NFKC", seen)
