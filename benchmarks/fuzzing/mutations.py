"""Mutations of files: of their bytes, and of the values inside JSON and TOML."""

import copy
import json
import math
import random
from collections.abc import Callable
from typing import Any

HOSTILE: tuple[Callable[[], Any], ...] = (
    lambda: math.nan,
    lambda: math.inf,
    lambda: -math.inf,
    lambda: 10**400,
    lambda: -(2**63) - 1,
    lambda: 2**53,
    lambda: 1e308,
    lambda: 1e60,
    lambda: -3e12,
    lambda: -1,
    lambda: 0,
    lambda: 0.5,
    lambda: True,
    lambda: None,
    lambda: "",
    lambda: "0",
    lambda: "[red]text[/red]\n\x1b[31m\ud800",
    lambda: "../../etc/passwd",
    lambda: "x" * 5000,
    list,
    lambda: [[]],
    lambda: [1, 2, 3],
    lambda: ["a"] * 4,
    dict,
    lambda: {"id": {}},
    lambda: _nested(150),
)
"""Values that JSON allows and no field expects."""
_MARKS = (
    *(bytes.fromhex(mark) for mark in ("ffd8", "ffd9", "ffffffff", "00000000", "7fffffff", "49454e44")),
    b"{",
    b"]",
)
_WORDS = (b"nan", b"-inf", b"1e999", b"9" * 400, b"text", b"", b"[" * 60, b"{", b"-1", b"0", b"1.5", b"true", b"''")


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change, remove, repeat, insert or cut one to eight stretches of a file."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.randrange(len(result) + 1)
        length = rng.choice((1, 1, 2, 4, 16, 256))
        match rng.randrange(7):
            case 0 if place < len(result):
                result[place] ^= 1 << rng.randrange(8)
            case 1:
                result[place : place + length] = rng.randbytes(length)
            case 2:
                del result[place : place + length]
            case 3:
                result[place:place] = result[place : place + length]
            case 4:
                result[place:place] = rng.choice(_MARKS)
            case 5:
                result[place : place + 4] = rng.choice(_MARKS)
            case _:
                if rng.random() < 0.3:
                    del result[place:]
    return bytes(result)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """Insert hostile values into a JSON text, or remove keys and items, at one to three places."""
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _mutated(value, rng)
    return json.dumps(value).encode()


def mutate_text(content: bytes, rng: random.Random) -> bytes:
    """Replace words and lines of a text, or mutate its bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    words = content.split(b" ")
    for _ in range(rng.choice((1, 2, 3))):
        words[rng.randrange(len(words))] = rng.choice(_WORDS)
    return b" ".join(words)


def _mutated(value: Any, rng: random.Random) -> Any:
    """The value with one random place changed."""
    if isinstance(value, dict | list) and value and rng.random() < 0.93:
        changed = copy.copy(value)
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.08:
            del changed[key]
        else:
            changed[key] = _mutated(value[key], rng)
        return changed
    return rng.choice(HOSTILE)()


def _nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value
