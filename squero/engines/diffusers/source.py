"""What a class of diffusers is made of and takes, read in its source: importing it takes torch."""

import ast
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("torch", "diffusers", "transformers", "accelerate")
"""What the extra `squero[diffusers]` brings, by the names that are imported."""


@dataclass(frozen=True, slots=True)
class Source:
    """A pipeline's class, as it is written."""

    takes: frozenset[str]
    """The names of its call's arguments."""
    parts: frozenset[str]
    """The components that it cannot be made without."""


def absent() -> str | None:
    """The first of the libraries that is not installed."""
    return next((name for name in LIBRARIES if find_spec(name) is None), None)


@lru_cache(maxsize=64)
def source_of(name: str) -> Source | None:
    """The pipeline's class of this name; None where the installed diffusers has none."""
    written = _class(name)
    if written is None:
        return None
    made, called = _function(written, "__init__"), _function(written, "__call__")
    parts = frozenset(_required(made)) - _optional(written) if made else frozenset[str]()
    # One that inherits its call is taken, and what it does not do is found when it is loaded.
    return Source(frozenset(_arguments(called)) if called else frozenset(), parts)


def _class(name: str) -> ast.ClassDef | None:
    spec = find_spec("diffusers")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(root, "pipelines").rglob("pipeline_*.py")):
            text = path.read_text("utf-8")
            if f"\nclass {name}(" in text:
                return _named(ast.parse(text), name)
    return None


def _named(module: ast.Module, name: str) -> ast.ClassDef | None:
    classes = (one for one in module.body if isinstance(one, ast.ClassDef))
    return next((one for one in classes if one.name == name), None)


def _function(written: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    functions = (one for one in written.body if isinstance(one, ast.FunctionDef))
    return next((one for one in functions if one.name == name), None)


def _arguments(function: ast.FunctionDef) -> list[str]:
    given = function.args
    return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)][1:]


def _required(function: ast.FunctionDef) -> list[str]:
    given = function.args
    named = [one.arg for one in (*given.posonlyargs, *given.args)]
    free = [
        one.arg for one, usual in zip(given.kwonlyargs, given.kw_defaults, strict=True) if not usual
    ]
    return [*named[1 : len(named) - len(given.defaults)], *free]


def _optional(written: ast.ClassDef) -> set[str]:
    for line in written.body:
        match line:
            case ast.Assign(targets=[ast.Name(id="_optional_components")], value=value):
                return set(ast.literal_eval(value))
    return set()
