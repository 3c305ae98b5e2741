"""Reading and writing the small part of YAML that Ultralytics' data set files use; everypose has no YAML library."""

import json
import re
from typing import Any

from everypose.errors import EveryposeError

_DEEPEST = 500
"""The most brackets of one value."""
_QUOTED = r"""(?<!\\)"(?:[^"\\]|\\.)*"|'[^']*'"""
_KEY = re.compile(rf"(?P<key>{_QUOTED}|[^\s:#\[\]{{}},-][^:#\[\]{{}},]*?)\s*:(?:\s+(?P<rest>.*))?$")


def parse(text: str, where: str) -> dict[str, Any]:
    r"""Parse top-level keys with scalars, block texts, lists, and maps one level deep, in block or flow style.

    Raises:
        EveryposeError: if a line is something else; the message names the first one.

    >>> parse("names: {0: person}\nkpt_shape: [17, 3]\n", "data.yaml")["kpt_shape"]
    [17, 3]
    """
    result: dict[str, Any] = {}
    lines = [line for line in (_without_comment(line) for line in text.splitlines()) if line.strip()]
    position = 0
    while position < len(lines):
        line = lines[position]
        match = _KEY.match(line)
        if line[:1].isspace() or match is None:
            if line.strip() in ("---", "..."):
                position += 1
                continue
            raise EveryposeError(f"{where} is not a data set YAML that can be read: {line.strip()[:80]!r}")
        block = []
        position += 1
        while position < len(lines) and (lines[position][:1].isspace() or lines[position][:1] in "-]}"):
            block.append(lines[position].strip())
            position += 1
        rest = match["rest"] or ""
        is_text = re.fullmatch(r"[|>][-+\d]*", rest) is not None
        key = match["key"] if (quoted := _unquoted(match["key"])) is None else quoted
        result[key] = "\n".join(block) if is_text else _value(rest, block, where)
    return result


def dump(values: dict[str, Any]) -> str:
    """Top-level keys; lists in flow style, maps as blocks of ``key: value``.

    >>> print(dump({"train": "images/train", "kpt_shape": [17, 3]}), end="")
    train: images/train
    kpt_shape: [17, 3]
    """
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{key}:", *(f"  {inner}: {_flow(item)}" for inner, item in value.items())]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """JSON's scalars and lists are YAML's; plain words need no quotes."""
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and _scalar(value) == value:
        return value
    return json.dumps(value)


_WORDS = {"null": None, "true": True, "false": False, "yes": True, "no": False, "on": True, "off": False, "~": None}


def _value(rest: str, block: list[str], where: str) -> Any:
    text = " ".join([rest, *block]).strip() if rest else ""
    if text:
        return _flow_value(text, where)
    if block and block[0].startswith("-"):
        return [_flow_value(item.removeprefix("-").strip(), where) for item in block]
    return _block_map(block, where)


def _block_map(block: list[str], where: str) -> dict[Any, Any] | None:
    """``0: person`` lines, or ``0:`` lines each followed by ``- item`` lines; None for an empty block."""
    result: dict[Any, Any] = {}
    key: Any = None
    for line in block:
        match = _KEY.match(line)
        if line.startswith("-") and key is not None:
            result[key] = [*(result[key] or []), _flow_value(line.removeprefix("-").strip(), where)]
        elif match is not None:
            key = _scalar(match["key"])
            result[key] = _flow_value(match["rest"], where) if match["rest"] else None
        else:
            raise EveryposeError(f"{where} is not a data set YAML that can be read: {line[:80]!r}")
    return result or None


def _flow_value(text: str, where: str) -> Any:
    """A scalar, ``[a, b]`` or ``{k: v}``, nested at will."""
    if text.count("[") + text.count("{") > _DEEPEST:
        raise EveryposeError(f"{where} is not a data set YAML that can be read: {text[:80]!r} has too many brackets")
    value, rest = _take(text.strip(), where)
    if rest.strip():
        raise EveryposeError(f"{where} is not a data set YAML that can be read: {text[:80]!r}")
    return value


def _take(text: str, where: str) -> tuple[Any, str]:
    """The value at the start of ``text``, and what follows it."""
    if text[:1] not in ("[", "{"):
        match = re.match(rf"({_QUOTED}|[^\[\]{{}}]*)", text)
        return _scalar(match[0].strip() if match else ""), text[match.end() :] if match else ""
    closing = {"[": "]", "{": "}"}[text[0]]
    items: list[Any] = []
    pairs: dict[Any, Any] = {}
    rest = text[1:].lstrip()
    while rest[:1] != closing:
        if not rest:
            raise EveryposeError(f"{where} is not a data set YAML that can be read: {text[:80]!r} has no end")
        before = rest
        if closing == "}":
            key, _, rest = rest.partition(":")
            pairs[_scalar(key.strip())], rest = _take_item(rest.lstrip(), where)
        else:
            item, rest = _take_item(rest, where)
            items.append(item)
        rest = rest.lstrip().removeprefix(",").lstrip()
        if rest == before:  # a bracket of the other kind
            raise EveryposeError(f"{where} is not a data set YAML that can be read: {text[:80]!r} has no {closing!r}")
    return (pairs if closing == "}" else items), rest[1:]


def _take_item(text: str, where: str) -> tuple[Any, str]:
    """An item of a flow list or map: it ends at a comma or bracket."""
    if text[:1] in ("[", "{"):
        return _take(text, where)
    match = re.match(rf"\s*({_QUOTED}|[^,\[\]{{}}]*)", text)
    return (_scalar(match[1].strip()), text[match.end() :]) if match else (None, "")


def _scalar(text: str) -> Any:
    if (quoted := _unquoted(text)) is not None:
        return quoted
    if text.lower() in ("", *_WORDS):
        return _WORDS.get(text.lower())
    if re.fullmatch(r"[-+]?\d{1,18}", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _unquoted(text: str) -> str | None:
    """The content of a text in quotes; None for one without. In double quotes, escapes are those of JSON."""
    if text[:1] not in ("'", '"'):
        return None
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def _without_comment(line: str) -> str:
    """The line up to a ``#`` that begins a comment; one inside quotes does not."""
    match = re.match(rf"((?:{_QUOTED}|(?!\s#|^#).)*)", line)
    return match[0].rstrip() if match else line
