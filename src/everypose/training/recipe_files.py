"""Reading recipes from TOML files.

A recipe is a bundled name (``boir-w32-coco``) or a path. It may build on one other recipe with ``extends``, and
``--set optim.lr=1e-4`` overrides single fields.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from everypose.errors import UsageError, first_line
from everypose.training.recipe import Recipe, parse_recipe

RECIPE_FILE = "recipe.toml"
"""The name of the recipe in a run's folder."""

_FORMERLY_WRITTEN: dict[str, dict[str, object]] = {
    "boir": {"losses.contrastive": 1.0},
    "cid": {"losses.bbox": 0.25, "losses.bbox_mask": 0.25, "losses.background": "both", "losses.offset": 0.0},
    "": {"crops.others": "released"},
}
"""Fields of other families that run folders of version 0.1 hold, by family ("" for all but MIPNet), with the default
that they were written with: without effect, they are skipped."""

_FORMER_NAMES = (
    ("start", "reinitialise", "reinitialize"),  # British spelling
    ("data", "mask_unlabelled", "mask_unlabeled"),  # British spelling
)
"""Section, former name and name of fields that were renamed: recipes of version 0.1 have the former ones."""


def recipe_names() -> list[str]:
    """Return the names of the bundled recipes, sorted.

    >>> "boir-lite" in recipe_names()
    True
    """
    return sorted(_bundled_recipes())


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: a bundled name or the path of a TOML file.
        overrides: ``section.field=value`` with the value in TOML syntax; a bare word is text.

    Raises:
        UsageError: if there is no such recipe, it is not TOML, a field is unknown, or a value is of the wrong type or
            out of range.

    >>> load_recipe("boir-small", ["optim.lr=1e-4"]).optim.lr
    0.0001
    """
    table, label = read_table(source, overrides)
    return parse_recipe(table, label)


def read_table(source: str | Path, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], str]:
    """Read a recipe's table before validation, with what it extends and the overrides, and its name for messages.

    >>> table, name = read_table("boir-small")
    >>> table["model"]["family"], name
    ('boir', 'recipe boir-small')
    """
    table, label = _read_file(source)
    parent = table.pop("extends", None)
    if parent is not None:
        if not isinstance(parent, str):
            raise UsageError(f"{label}: extends must be the name or path of one recipe")
        relative = Path(source).parent / parent if _is_path(str(source)) and _is_path(parent) else parent
        base, base_label = _read_file(relative)
        if "extends" in base:
            raise UsageError(f"{label} extends {base_label}, which extends another recipe: one level is the most")
        table = _merged(base, table)
    _drop_formerly_written(table)
    for override in overrides:
        _override(table, override)
    return table, label


def _bundled_recipes() -> dict[str, Traversable]:
    """Return the bundled recipe files by name, from the folders of all families."""
    families = (resources.files("everypose.training") / "recipes").iterdir()
    files = (file for family in families if family.is_dir() for file in family.iterdir())
    return {file.name.removesuffix(".toml"): file for file in files if file.name.endswith(".toml")}


def _is_path(source: str) -> bool:
    return source.endswith(".toml") or "/" in source


def _read_file(source: str | Path) -> tuple[dict[str, Any], str]:
    """Read the table of one file, and its name for messages."""
    text = str(source)
    try:
        if _is_path(text):
            content, label = Path(source).read_bytes(), text
        else:
            bundled = _bundled_recipes()
            if text not in bundled:
                near = difflib.get_close_matches(text, bundled, 3, 0.4) or sorted(bundled)
                raise UsageError(f"no recipe is called {text!r}; near it: {', '.join(near)} (a file ends in .toml)")
            content, label = bundled[text].read_bytes(), text
        return _renamed(tomllib.loads(content.decode())), f"recipe {label}"
    except OSError as error:
        raise UsageError(f"cannot read the recipe {text}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of tomllib and of decoding
        raise UsageError(f"recipe {text} is not valid TOML: {first_line(error)}") from error


def _renamed(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table with the present names of renamed fields."""
    for section, former, name in _FORMER_NAMES:
        values = table.get(section)
        if isinstance(values, dict) and former in values:
            values.setdefault(name, values.pop(former))
    return table


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, table by table; arrays are replaced, not joined."""
    result = dict(base)
    for key, value in over.items():
        both_tables = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merged(base[key], value) if both_tables else value
    return result


def _drop_formerly_written(table: dict[str, Any]) -> None:
    """Remove, in place, fields of other families with their default, as version 0.1 wrote them into run folders."""
    model = table.get("model")
    family = str(model.get("family")) if isinstance(model, dict) else ""
    fields = _FORMERLY_WRITTEN.get(family, {}) | (_FORMERLY_WRITTEN[""] if family != "mipnet" else {})
    for dotted, default in fields.items():
        section, _, field = dotted.partition(".")
        values = table.get(section)
        if isinstance(values, dict) and values.get(field) == default:
            del values[field]


def _override(table: dict[str, Any], override: str) -> None:
    """Apply one ``section.field=value`` to the table, in place."""
    dotted, equals, text = override.partition("=")
    path = [part.strip() for part in dotted.split(".")]
    if not equals or not all(path):
        raise UsageError(f"--set {override}: write it as section.field=value, such as optim.lr=1e-4")
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError) as error:
        if text[:1] in ('"', "'", "[", "{") or "\n" in text:
            raise UsageError(f"--set {override}: the value is not valid TOML: {first_line(error)}") from error
        value = text
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {override}: {part} is not a section")
    table[path[-1]] = value
