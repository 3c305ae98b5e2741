"""Groups of options that several commands share: a dataclass with one field for each option."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast, get_type_hints

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def expand_options(command: Callable[Parameters, Result]) -> Callable[..., Result]:
    """Give a command one option for each field of the dataclasses among its parameters.

    Typer reads the options of a command from its signature. A parameter whose type is a dataclass with
    ``Annotated[..., typer.Option(...)]`` fields is replaced there by these fields; the command itself receives an
    instance of the dataclass.

    >>> @dataclasses.dataclass
    ... class Size:
    ...     width: int = 4
    ...     height: int = 3
    >>> @expand_options
    ... def area(size: Size, scale: int = 1) -> int:
    ...     return scale * size.width * size.height
    >>> area(width=2, scale=5), list(inspect.signature(area).parameters)
    (30, ['width', 'height', 'scale'])
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            groups[name] = hint
            parameters += _parameters(hint)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))

    @functools.wraps(command)
    def expanded(**values: Any) -> Result:
        built = {
            name: group(**{field.name: values.pop(field.name) for field in _fields(group) if field.name in values})
            for name, group in groups.items()
        }
        # The parameters of the command are those of the signature below, with the groups in place of their fields.
        return cast(Callable[..., Result], command)(**built, **values)

    signature = inspect.Signature(parameters, return_annotation=hints.get("return", inspect.Signature.empty))
    expanded.__signature__ = signature  # type: ignore[attr-defined]
    # Typer also reads annotations directly, which functools.wraps has copied from the command.
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del expanded.__wrapped__
    return expanded


def _fields(group: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(group)


def _parameters(group: type) -> list[inspect.Parameter]:
    """The fields of a dataclass as keyword-only parameters; a field without default is required."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])
        for field in _fields(group)
        for default in (inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,)
    ]
