"""Frames drawn ahead of the encoder, on threads of their own, and handed on in order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from squero.engines.motion.planes import Planes
from squero.shot import Shot

AHEAD = 4
"""How many frames are under way at once, the one that is being encoded among them."""

Draw = Callable[[int, Planes], None]
"""Fills the planes with the frame of this number."""


@contextmanager
def developed(draw: Draw, shot: Shot, threads: int) -> Iterator[Iterator[Planes]]:
    """Every frame of the shot; its planes are drawn over once the next one is asked for.

    What `draw` raises comes with its frame's turn. With one thread the frames are drawn in order.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="draw")
    try:
        yield _frames(pool, draw, shot)
    finally:
        pool.shutdown(cancel_futures=True)


def _frames(pool: ThreadPoolExecutor, draw: Draw, shot: Shot) -> Iterator[Planes]:
    under_way: deque[tuple[Planes, Future[None]]] = deque()
    for number in range(min(AHEAD, shot.frames)):
        planes = Planes.blank(shot.width, shot.height)
        under_way.append((planes, pool.submit(draw, number, planes)))
    for number in range(AHEAD, shot.frames + AHEAD):
        planes, drawing = under_way.popleft()
        drawing.result()
        yield planes
        if number < shot.frames:
            under_way.append((planes, pool.submit(draw, number, planes)))
