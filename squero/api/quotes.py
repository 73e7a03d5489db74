"""Quotes of late, known by the very bytes that asked for them."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from starlette.responses import Response

from squero.api.head import Header

_MOST = 512


class Quote(NamedTuple):
    """An answer, and the headers that its request gets beside those of any other."""

    answer: Response
    headers: Sequence[Header]


class Quotes:
    """What quote calls were told of models whose prices are in the catalogue, which stays as it is.

    Whoever asks for a quote may send the prompt with it, and that is kept nowhere.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Quote] = OrderedDict()

    def find(self, asked: bytes) -> Quote | None:
        """What these bytes were told."""
        return self._known.get(asked)

    def keep(self, asked: bytes, quote: Quote) -> None:
        """From now on these bytes are told the same; the oldest go when there are too many."""
        if b"prompt" in asked:
            return
        self._known[asked] = quote
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
