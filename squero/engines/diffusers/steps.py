"""The progress bar of a pipeline, which every pipeline has, as the way to tell and to stop."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from squero.engines import Tell

DENOISING = 0.96
"""The share of a render that its steps are; decoding tells nothing, and coding is its rest."""


class Steps:
    """What a pipeline takes for its bar; each update tells, which raises when it is to stop."""

    def __init__(self, tell: Tell, steps: Iterable[Any] | None, total: int | None) -> None:
        self._tell = tell
        self._steps = list(steps) if steps is not None else []
        self._total = total or len(self._steps) or 1
        self._done = 0

    def __enter__(self) -> Self:
        self._tell(0.0)
        return self

    def __exit__(self, *ending: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        for step in self._steps:
            yield step
            self.update()

    def update(self, steps: int = 1) -> None:
        """So many more steps are done."""
        self._done += steps
        self._tell(DENOISING * min(1.0, self._done / self._total))

    def set_postfix(self, *_words: object, **_more: object) -> None:
        """What a bar would show beside it is shown nowhere."""

    set_description = set_postfix


def stepping(tell: Tell) -> Callable[..., Steps]:
    """What to put in the place of a pipeline's `progress_bar`."""

    def progress_bar(iterable: Iterable[Any] | None = None, total: int | None = None) -> Steps:
        return Steps(tell, iterable, total)

    return progress_bar
