"""Memory for chunks on their way: used again while it is warm, and shared by who wants the same.

Fresh memory costs several times what opening a chunk into it does, and what one reader has just
sent is still in the processor's cache for the next.
"""

from collections import Counter
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

    @property
    def crowded(self) -> bool:
        """Whether all the memory that is kept is in use: more of it would be fresh."""
        with self._lock:
            return len(self._blank) + len(self._opened) >= LIMIT_BUFFERS and not any(
                map(_is_free, [*self._blank, *(buffer for buffer, _ in self._opened.values())])
            )

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
        with self._lock:
            return memoryview(self._free())[:length]

    def keep(self, source: Source, nonce: bytes, view: memoryview) -> None:
        """This taken view now holds this chunk, opened: from here on nobody may change it."""
        with self._lock:
            buffer = view.obj
            if self._readers[source] > 1 and isinstance(buffer, bytearray):
                # Not by `remove`, which would compare what all of them hold.
                self._blank = [one for one in self._blank if one is not buffer]
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

    def _free(self) -> bytearray:
        """A buffer without a view: the last one used, a new one, the one found longest ago."""
        for buffer in reversed(self._blank):
            if _is_free(buffer):
                return buffer
        if len(self._blank) + len(self._opened) >= LIMIT_BUFFERS:
            self._forget()
        if not (self._blank and _is_free(self._blank[-1])):
            self._blank.append(bytearray(self._length))
        return self._blank[-1]

    def _forget(self) -> None:
        """Makes room for one buffer: blanks what was found longest ago, or lets go of one in use,
        which lives as long as its views do."""
        for place, (buffer, _) in self._opened.items():
            if _is_free(buffer):
                del self._opened[place]
                self._blank.append(buffer)
                return
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
