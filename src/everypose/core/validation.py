"""Validation errors of files and requests, described in one line: the field, what it must be, what it is."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from everypose.core.counted import counted
from everypose.errors import EveryposeError, in_one_line

Model = TypeVar("Model", bound=BaseModel)
MOST_CHARACTERS = 60
"""Longer values are cut in messages."""
_TABLE = "must be a table of named fields"
_LIST = "must be a list"
_TEXT = "must be text"
_NUMBER = "must be a number"
_WHOLE_NUMBER = "must be a whole number"
_PHRASES = {
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "dataclass_type": _TABLE,
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "is_instance_of": _TABLE,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "named_tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "iterable_type": _LIST,
    "string_type": _TEXT,
    "string_unicode": "must be valid Unicode text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "none_required": "must be null",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "must match the regular expression {pattern}",
}
"""What a value must be, by pydantic's kind of problem."""


def validated(model: type[Model], values: object, label: str) -> Model:
    """Return the values of a file as a model.

    Args:
        model: the class.
        values: of the file.
        label: what the message begins with; it names the file.

    Raises:
        EveryposeError: if a field is missing, unknown or has a value that it cannot have; the message names the first.

    Example:
        >>> class Window(BaseModel):
        ...     size: int
        >>> validated(Window, {"size": "big"}, "a.json is not a window")
        Traceback (most recent call last):
        ...
        everypose.errors.EveryposeError: a.json is not a window: size must be a whole number, not "big"
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise EveryposeError(f"{label}: {explain(error, model)}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first problem of a validation: the field, what it must be, and what it is.

    Args:
        error: of pydantic.
        model: the class that was validated.

    Example:
        >>> class Window(BaseModel, extra="forbid"):
        ...     size: int = 3
        >>> try:
        ...     Window.model_validate({"sise": 5})
        ... except ValidationError as error:
        ...     print(explain(error, Window))
        there is no field sise; did you mean size?
    """
    return explain_problem(first_problem(error), model)


def first_problem(error: ValidationError) -> ErrorDetails:
    """Return the first problem, or an unknown field where a missing one is first: its name may be misspelled.

    Example:
        >>> class Window(BaseModel, extra="forbid"):
        ...     size: int
        >>> try:
        ...     Window.model_validate({"sise": 5})
        ... except ValidationError as error:
        ...     print(first_problem(error)["type"])
        extra_forbidden
    """
    first, *others = error.errors(include_url=False)
    if first["type"] != "missing":
        return first
    unknown = (one for one in others if one["type"] == "extra_forbidden" and one["loc"][:-1] == first["loc"][:-1])
    return next(unknown, first)


def explain_problem(problem: ErrorDetails, model: type[BaseModel] | None = None) -> str:
    """Describe one problem of a validation in one line.

    Args:
        problem: of pydantic.
        model: the class that was validated; None if it is not known, then tags of unions stay in the field's name.

    Example:
        >>> explain_problem({"type": "missing", "loc": ("model", "family"), "msg": "", "input": {}})
        'model.family is missing'
    """
    where = place_of(problem, model)
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "missing" and isinstance(problem["loc"][-1], int):
        return in_one_line(f"{where.rpartition('.')[0]} has too few entries: {_shown(problem['input'])}")
    if kind == "missing":
        return in_one_line(f"{where} is missing")
    if kind == "extra_forbidden":
        return in_one_line(f"there is no field {where}{nearest_field(where, model)}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return in_one_line(_explain_choice(where, context))
    if kind in ("value_error", "assertion_error"):
        return in_one_line(_explain_own(where, str(context.get("error", "")), problem["input"]))
    if kind == "json_invalid":
        return in_one_line(f"{where or 'the content'} is not valid JSON: {context.get('error', '')}")
    return in_one_line(f"{where or 'the content'} {_must(kind, context)}, not {_shown(problem['input'])}")


def place_of(problem: ErrorDetails, model: type[BaseModel] | None) -> str:
    """Return the dotted name of a problem's field, without the tags that pydantic puts after unions.

    Example:
        >>> place_of({"type": "missing", "loc": ("skeleton", "name"), "msg": "", "input": {}}, None)
        'skeleton.name'
    """
    location = [part for part in problem["loc"] if part != "[key]"]
    if model is None:
        return ".".join(map(str, location))
    kinds: list[object] = [model]
    parts = []
    for number, part in enumerate(location, 1):
        inner = [annotation for kind in kinds for annotation in _fields(kind).get(str(part), ())]
        is_unknown_field = number == len(location) and problem["type"] == "extra_forbidden"
        if inner:
            kinds = [one for annotation in inner for one in _flat(annotation)]
        elif not (is_unknown_field or isinstance(part, int) or any(get_origin(kind) is dict for kind in kinds)):
            continue
        parts.append(str(part))
    return ".".join(parts)


def nearest_field(where: str, model: type[BaseModel] | None) -> str:
    """Return a hint at the field that an unknown one is most similar to, or an empty text.

    Example:
        >>> class Window(BaseModel):
        ...     size: int
        >>> nearest_field("sise", Window)
        '; did you mean size?'
    """
    known = () if model is None else field_names(model)
    where = re.sub(r"\.\d+", "", where)  # the fields of a list's entries are listed once
    parent, _, name = where.rpartition(".")
    same = [field for field in known if field.rpartition(".")[2] == name]
    if near := difflib.get_close_matches(where, same, 1, 0.0):
        return f"; did you mean {near[0]}?"
    siblings = {field.rpartition(".")[2]: field for field in known if field.rpartition(".")[0] == parent}
    near = difflib.get_close_matches(name, siblings, 1)
    return f"; did you mean {siblings[near[0]]}?" if near else ""


@cache
def field_names(model: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """Return the dotted names of all fields of a model and of the models in them.

    Example:
        >>> class Window(BaseModel):
        ...     size: int
        >>> field_names(Window, "window.")
        ('window.size',)
    """
    names: list[str] = []
    for name, field in model.model_fields.items():
        names.append(prefix + name)
        for kind in _flat(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names += field_names(kind, f"{prefix}{name}.")
    return tuple(dict.fromkeys(names))


def _flat(annotation: object) -> Iterator[object]:
    """Yield an annotation and those inside of it: of unions, lists, tuples and tables."""
    yield annotation
    for inner in get_args(annotation):
        yield from _flat(inner)


def _fields(kind: object) -> Mapping[str, Sequence[object]]:
    """Return the annotations of the fields of a model or a named tuple; empty for other types."""
    if not isinstance(kind, type):
        return {}
    if issubclass(kind, BaseModel):
        return {name: (field.annotation,) for name, field in kind.model_fields.items()}
    return dict.fromkeys(getattr(kind, "_fields", ()), (object,))


def _must(kind: str, context: Mapping[str, Any]) -> str:
    """Say what a value must be."""
    if kind in _PHRASES:
        return _PHRASES[kind].format_map({name: _limit(value) for name, value in context.items()})
    is_text = kind.startswith("string_")
    for limit, words in (("min_length", "at least"), ("max_length", "at most")):
        if limit in context:
            nouns = ("character", "characters") if is_text else ("entry", "entries")
            return f"must have {words} {counted(context[limit], *nouns)}"
    return "must be another kind of value"


def _limit(value: object) -> object:
    """Return a limit as people write it: 0 instead of 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _explain_choice(where: str, context: Mapping[str, Any]) -> str:
    """Describe a field that selects one of several kinds of settings, and is missing or names none of them."""
    name = str(context.get("discriminator", "")).strip("'")
    field = f"{where}.{name}" if where else name
    if "tag" not in context:
        return f"{field} is missing"
    tag = str(context["tag"])
    known = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    near = difflib.get_close_matches(tag, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"{field} cannot be {_shown(tag)}; {hint}"


def _explain_own(where: str, message: str, value: object) -> str:
    """Describe what one of everypose's own checks of a field or a whole table says."""
    if not where:
        return message
    name = where.rpartition(".")[2]
    if message.startswith(f"{name} must "):
        message = message.removeprefix(f"{name} ")
    if message.startswith("must "):
        shown = _shown(value)
        return f"{where} {message}" if message.endswith(f", not {shown}") else f"{where} {message}, not {shown}"
    return f"{where}: {message}"


def _shown(value: object) -> str:
    """Return a value for a message: at most `MOST_CHARACTERS`, and tables and long lists by their size."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple) and len(value) > MOST_CHARACTERS:
        return f"a list of {len(value)} entries"
    try:
        text = json.dumps(value, ensure_ascii=False, default=lambda other: f"a {type(other).__name__}")
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, thousands of digits, nested too deeply
        return "a value of excessive size"
    text = text.encode("utf-8", "backslashreplace").decode()  # single surrogates cannot be sent to a client
    if len(text) <= MOST_CHARACTERS:
        return text
    if isinstance(value, list | tuple):
        return f"a list of {counted(len(value), 'entry', 'entries')}"
    return f"{text[:MOST_CHARACTERS]}..."
