"""Writing tables as TOML."""

import re
from collections.abc import Mapping
from typing import Any

from everypose.core.settings import NONE
from everypose.core.toml_values import toml_value


def to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Return a table of JSON types as TOML, plain values first; None becomes "none".

    >>> print(to_toml({"name": "a", "optim": {"lr": 0.1}}), end="")
    name = "a"
    <BLANKLINE>
    [optim]
    lr = 0.1
    """
    lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    text = "\n".join(lines) + "\n"
    for key, value in table.items():
        if isinstance(value, dict):
            text += f"\n[{prefix}{_key(key)}]\n" + to_toml(value, f"{prefix}{_key(key)}.")
    return text


def _key(key: str) -> str:
    """Quote a key if it must be, such as the prefix of a parameter's name, which holds a dot."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return toml_value(NONE if value is None else value)
