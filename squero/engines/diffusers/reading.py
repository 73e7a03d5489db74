"""How much of a prompt a model reads: pipelines cut the rest off, and here it is refused."""

from collections.abc import Callable
from typing import Any

from squero.shot import BadInput

WHOLE = {"truncation": False, "padding": False, "max_length": None, "return_tensors": None}
"""What makes a tokenizer give all of a text."""


class Reader:
    """A tokenizer as its pipeline calls it; raises BadInput where it would cut a text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *texts: Any, **asked: Any) -> Any:
        """Its tokens."""
        return self._read(self._tokenizer, texts, asked)

    def apply_chat_template(self, *texts: Any, **asked: Any) -> Any:
        """Those of a text in its frame."""
        return self._read(self._tokenizer.apply_chat_template, texts, asked)

    def _read(self, read: Callable[..., Any], texts: tuple[Any, ...], asked: dict[str, Any]) -> Any:
        if asked.get("truncation"):
            most = asked.get("max_length") or self._tokenizer.model_max_length
            whole = read(*texts, **asked | WHOLE)["input_ids"]
            longest = max(map(len, whole if whole and isinstance(whole[0], list) else [whole]))
            if longest > most:
                raise BadInput(f"A prompt of {longest} tokens; this model reads {most} at most")
        return read(*texts, **asked)


def read_whole(pipeline: Any) -> None:
    """Have every tokenizer of a pipeline refuse what it would cut."""
    for name in pipeline.config:
        if name.startswith("tokenizer") and getattr(pipeline, name, None) is not None:
            # Not as a component, of which a pipeline keeps books.
            pipeline.__dict__[name] = Reader(getattr(pipeline, name))
