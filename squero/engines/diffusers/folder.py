"""A folder of weights, looked at without reading a weight: is it whole, and of which model."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from squero.engines.diffusers.options import Unready

INDEX = "model_index.json"
LIMIT_BYTES = 16 << 20
"""A larger description is none; that of a thousand files of weights has 10 MB."""


class Folder:
    """What `save_pretrained` wrote."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def index(self) -> Mapping[str, Any]:
        """What the folder says of the pipeline; raises Unready."""
        if not (self._path / INDEX).is_file():
            raise Unready(f"options.folder: no {INDEX} in {self._path}")
        return _table(self._path / INDEX)

    @property
    def looks(self) -> Mapping[str, Any]:
        """How the transformer is built: the first of two experts, or the second alone."""
        named = next((name for name in ("transformer", "transformer_2") if name in self._parts), "")
        path = self._path / named / "config.json"
        return _table(path) if named and path.is_file() else {}

    def lacks(self) -> Iterator[str]:
        """What is named in the folder and not there."""
        for name in self._parts:
            part = self._path / name
            if not part.is_dir():
                yield f"no {name} in {self._path}"
            elif (part / "config.json").is_file():
                yield from _lacking_weights(part)

    def without(self, parts: frozenset[str]) -> Iterator[str]:
        """Those of the components that the folder does not name."""
        return (name for name in sorted(parts) if name not in self.index)

    @property
    def _parts(self) -> list[str]:
        return [name for name, of in self.index.items() if is_part(of)]


def is_part(value: object) -> bool:
    """Whether an entry of a pipeline's index names a component: its library and its class."""
    match value:
        case [str(), str()]:
            return True
        case _:
            return False


def _lacking_weights(part: Path) -> Iterator[str]:
    for index in part.glob("*.safetensors.index.json"):
        files = sorted(set(_table(index).get("weight_map", {}).values()))
        yield from (f"no {file} in {part}" for file in files if not (part / file).is_file())
        return
    if not any(part.glob("*.safetensors")):
        yield f"no safetensors in {part}"


def _table(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise Unready(f"options.folder: {path} is too large")
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as wrong:
        raise Unready(f"options.folder: {path} cannot be read ({type(wrong).__name__})") from None
    if not isinstance(table, dict):
        raise Unready(f"options.folder: {path} is no table")
    return table
