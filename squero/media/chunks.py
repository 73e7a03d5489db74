"""Memory for chunks on their way: used again while it is warm, and shared by who wants the same.

Fresh memory costs several times what opening a chunk into it does, and what one reader has just
sent is still in the processor's cache for the next.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from threading import Lock
from typing import TypeAlias

Source: TypeAlias = tuple[bytes, bytes]
"""A sealed object by its key and its header: whoever names both may read it."""

LIMIT_BUFFERS = 32


class Chunks:
    """Buffers of one size, of which so many are kept at most.

    What was opened into one is found again by other readers of the same object for as long as
    nobody needs the memory. A reader that is alone leaves nothing to be found: it gets the same
    warm buffer every time.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._lock = Lock()
        self._readers = Counter[Source]()
        self._blank: list[bytearray] = []
        self._opened: dict[tuple[Source, bytes], tuple[bytearray, int]] = {}
        """By object and nonce, with the bytes that count; used longest ago first."""

    def enter(self, source: Source) -> None:
        """One reader more of this object."""
        with self._lock:
            self._readers[source] += 1

    def leave(self, source: Source) -> None:
        """One reader less; after the last nothing of the object is found any more."""
        with self._lock:
            self._readers[source] -= 1
            if not self._readers[source]:
                del self._readers[source]
                for place in [one for one in self._opened if one[0] == source]:
                    self._blank.append(self._opened.pop(place)[0])

    def take(self, length: int) -> memoryview:
        """A view of so many bytes which nobody else has a view of; what they hold is left over."""
        return self.take_some(1)[0][:length]

    def take_some(self, most: int) -> Sequence[memoryview]:
        """Such views of whole buffers, up to so many: one, or more where the limit has room."""
        with self._lock:
            # The last one used is the warmest.
            free = list(islice(filter(_is_free, reversed(self._blank)), most))
            while len(free) < most and (buffer := self._room()) is not None:
                self._blank.append(buffer)
                free.append(buffer)
            if not free:
                self._let_go()
                free.append(bytearray(self._length))
                self._blank += free
            return [memoryview(buffer) for buffer in free]

    def keep(self, source: Source, nonce: bytes, view: memoryview) -> None:
        """This taken view now holds this chunk, opened: from here on nobody may change it."""
        with self._lock:
            buffer = view.obj
            if self._readers[source] > 1 and isinstance(buffer, bytearray):
                # Not by `remove`, which would compare what all of them hold.
                others = [one for one in self._blank if one is not buffer]
                # One that was let go meanwhile would come on top of the limit.
                if len(others) < len(self._blank):
                    self._blank = others
                    self._opened[source, nonce] = buffer, len(view)

    def find(self, source: Source, nonce: bytes) -> memoryview | None:
        """The chunk, if another reader has opened it a moment ago."""
        with self._lock:
            found = self._opened.pop((source, nonce), None)
            if found is None:
                return None
            # Put in anew, it is the last that goes.
            self._opened[source, nonce] = found
            return memoryview(found[0])[: found[1]].toreadonly()

    def _room(self) -> bytearray | None:
        """A buffer more: a new one, or the one found longest ago of which nobody has a view."""
        if len(self._blank) + len(self._opened) < LIMIT_BUFFERS:
            return bytearray(self._length)
        for place, (buffer, _) in self._opened.items():
            if _is_free(buffer):
                del self._opened[place]
                return buffer
        return None

    def _let_go(self) -> None:
        """Keeps one buffer less: it is in use, and lives as long as its views do."""
        if self._blank:
            del self._blank[0]
        else:
            del self._opened[next(iter(self._opened))]


def _is_free(buffer: bytearray) -> bool:
    try:
        buffer.pop()  # refused for as long as there is a view
    except BufferError:
        return False
    buffer.append(0)
    return True
