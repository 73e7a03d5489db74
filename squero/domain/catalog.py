"""The catalogue: which models there are.

A TOML file in `squero/models` holds one entry, or several as `[[models]]` with `[defaults]` that
they share; a file in the home's `models` folder adds some or replaces those with its ids.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from squero.domain.clip import clips
from squero.domain.model import Model
from squero.errors import ModelNotFound

LIMIT_ASKED = 500
"""Clips of a model whose prices are asked for, every few minutes."""

EngineOptions = Mapping[str, Mapping[str, object]]
"""By the name of an engine, what it is made with."""


class CatalogError(Exception):
    """An entry that cannot be used; the message names the file and the line's key."""


class Catalog:
    """Every model by its id."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models = {model.id: model for model in models}

    def find(self, model_id: str) -> Model:
        """The model of this id; raises ModelNotFound, with the nearest id there is."""
        if model_id in self.models:
            return self.models[model_id]
        near = difflib.get_close_matches(model_id[:100], self.models, n=1, cutoff=0.3)
        hint = f" Did you mean: {near[0]}?" if near else ""
        raise ModelNotFound(f"Specified model not found: {model_id[:100]}.{hint}")


def load(*folders: Path, options: EngineOptions = MappingProxyType({})) -> Catalog:
    """The catalogue of these folders, later ones winning; raises CatalogError.

    An engine's `options` are those of every model that it serves, but for what an entry says.
    """
    models: dict[str, Model] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            models |= {model.id: model for model in _entries(path)}
    return Catalog(_equipped(model, options) for model in models.values())


def files(folder: Path) -> dict[str, Path]:
    """By model, the file with the entry that `load` takes from this folder; raises CatalogError."""
    return {model.id: path for path in sorted(folder.glob("*.toml")) for model in _entries(path)}


def _equipped(model: Model, options: EngineOptions) -> Model:
    given = options.get(model.engine, {})
    return model.model_copy(update={"options": {**given, **model.options}})


def _entries(path: Path) -> Iterator[Model]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise CatalogError(f"{path}: {broken}") from broken
    if "models" not in table:
        yield _entry(path, table)
        return
    if strange := table.keys() - {"defaults", "models"}:
        raise CatalogError(f"{path}: {sorted(strange)} beside defaults and models")
    for entry in table["models"]:
        yield _entry(path, table.get("defaults", {}) | entry)


def _entry(path: Path, table: Mapping[str, Any]) -> Model:
    name = f"{path}: {table.get('id', '')}".rstrip(": ")
    try:
        model = Model.model_validate(table)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CatalogError(f"{name}: {where}: {first['msg']}") from wrong
    _check_price(name, model)
    if missing := set(model.rendered) - set(model.render_seconds_per_second):
        raise CatalogError(f"{name}: render_seconds_per_second: none for {sorted(missing)}")
    if model.starts_from == "video_url" and not model.constraints.video_input:
        raise CatalogError(f"{name}: model_type video needs video_input")
    if model.constraints.end_image and model.starts_from != "image_url":
        raise CatalogError(f"{name}: end_image needs model_type image-to-video")
    _check_picture_limits(name, model)
    return model


def _check_picture_limits(name: str, model: Model) -> None:
    listed = model.constraints
    if listed.limits_pictures and model.starts_from != "image_url":
        raise CatalogError(f"{name}: reference_image limits need model_type image-to-video")
    least = listed.reference_image_min_aspect_ratio
    most = listed.reference_image_max_aspect_ratio
    if least is not None and most is not None and least > most:
        raise CatalogError(f"{name}: reference_image_min_aspect_ratio: more than the max, {most}")


def _check_price(name: str, model: Model) -> None:
    if model.upstream_price is None:
        if missing := set(model.rendered) - set(model.usd_per_second):
            raise CatalogError(f"{name}: usd_per_second: none for {sorted(missing)}")
    elif model.usd_per_second:
        raise CatalogError(f"{name}: upstream_price: there is usd_per_second too; one alone counts")
    elif sum(1 for _ in clips(model)) > LIMIT_ASKED:
        raise CatalogError(f"{name}: upstream_price: more than {LIMIT_ASKED} clips to ask for")
