"""A look at an entry before anything is loaded: libraries, class, folder, and what is promised."""

from collections.abc import Iterator, Mapping

from squero.engines.diffusers.arguments import Abilities
from squero.engines.diffusers.folder import Folder
from squero.engines.diffusers.options import Options, Unready
from squero.engines.diffusers.promises import broken
from squero.engines.diffusers.source import Source, absent, source_of


def missing(options: Options, constraints: Mapping[str, object]) -> str | None:
    """The first thing that keeps the engine from loading, or that it is wrongly said to do."""
    try:
        return next(_missing(options, constraints), None)
    except Unready as wrong:
        return str(wrong)


def _missing(options: Options, constraints: Mapping[str, object]) -> Iterator[str]:
    if library := absent():
        yield f"{library} is missing: install squero[diffusers]"
    if (source := source_of(options.pipeline)) is None:
        yield f"options.pipeline: diffusers has no pipeline {options.pipeline}"
        return
    folder = Folder(options.folder)
    yield from (
        f"options.folder: {options.pipeline} needs a {part}"
        for part in folder.without(source.parts)
    )
    yield from (f"options.folder: {words}" for words in folder.lacks())
    yield from lacking_loras(options)
    yield from _strange_words(options, source)
    if constraints and source.takes:
        able = Abilities.by(source.takes, folder.index, folder.looks)
        for words in broken(able, constraints):
            yield f"constraints.{words} ({options.pipeline} with the weights of options.folder)"


def lacking_loras(options: Options) -> Iterator[str]:
    """The files of weights to add that are not there."""
    for number, lora in enumerate(options.loras):
        if not lora.file.is_file():
            yield f"options.loras.{number}.file: there is no {lora.file}"


def _strange_words(options: Options, source: Source) -> Iterator[str]:
    for word in sorted(options.call.keys() - source.takes if source.takes else ()):
        yield f"options.call.{word}: {options.pipeline} has no such word"
