"""The public names, as a list in this folder: who changes one changes the list, and so sees what users lose.

``python tests/test_public_names.py`` writes ``public_names.txt``.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.main import get_command

import everypose
from everypose.cli.main import app

LIST = Path(__file__).with_name("public_names.txt")


def python_names() -> Iterator[str]:
    """The names of ``everypose``, the public members of classes, and the parameters of what can be called."""
    for name in sorted(everypose.__all__):
        value = getattr(everypose, name)
        yield f"everypose.{name}{_parameters(value) if callable(value) else ''}"
        if inspect.isclass(value):
            for member in sorted(vars(value)):
                if not member.startswith("_"):
                    yield f"everypose.{name}.{member}{_parameters(getattr(value, member))}"


def _parameters(value: object) -> str:
    """The parameters by name, as ``(model, *, device)``; nothing for what cannot be called."""
    if not callable(value):
        return ""
    parts, keyword_only = [], False
    for parameter in inspect.signature(value).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        parts.append(stars + parameter.name)
    return f"({', '.join(parts)})"


def command_names() -> Iterator[str]:
    """Each command with its arguments and options."""
    command = get_command(app)
    yield from _of_command(command, typer.Context(command, info_name="everypose"))


def _of_command(command, context) -> Iterator[str]:
    yield " ".join([context.command_path, *_parameters_of(command)])
    for name in sorted(getattr(command, "commands", {})):
        sub = command.commands[name]
        yield from _of_command(sub, typer.Context(sub, info_name=name, parent=context))


def _parameters_of(command) -> list[str]:
    arguments = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
    options = ["|".join([*p.opts, *p.secondary_opts]) for p in command.params if p.param_type_name == "option"]
    return arguments + sorted(options)


def current() -> str:
    return "\n".join([*python_names(), *command_names()]) + "\n"


def test_public_names_are_those_of_the_list():
    assert current().splitlines() == LIST.read_text(encoding="utf-8").splitlines(), (
        "public names changed: if that is meant, note it in CHANGELOG.md and run python tests/test_public_names.py"
    )


if __name__ == "__main__":
    LIST.write_text(current(), encoding="utf-8")
