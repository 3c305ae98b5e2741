from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from everypose.cli.option_groups import expand_options


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width", "-w", min=1, help="In pixels.")] = 4
    height: Annotated[int | None, typer.Option(help="Default: the width.")] = None


@dataclass(frozen=True)
class Box(Size):
    left: Annotated[int, typer.Option(help="Of the box.")] = 0


@pytest.fixture
def app():
    app: Any = typer.Typer()
    received = []

    @app.command()
    @expand_options
    def show(size: Size, name: Annotated[str, typer.Argument()], quiet: bool = False) -> None:
        """Show a size."""
        received.append((size, name, quiet))

    @app.command()
    @expand_options
    def box(box: Box) -> None:
        """Show a box."""
        received.append(box)

    app.received = received
    return app


def test_fields_are_options_and_the_command_gets_the_group(app):
    done = CliRunner().invoke(app, ["show", "a", "-w", "7", "--quiet"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["show", "b"])
    assert app.received == [(Size(7), "a", True), (Size(), "b", False)]


def test_a_group_inherits_the_options_of_another(app):
    assert CliRunner().invoke(app, ["box", "--left", "3", "--height", "2"]).exit_code == 0
    assert app.received == [Box(4, 2, 3)]


def test_help_and_checks_are_those_of_the_fields(app):
    shown = CliRunner().invoke(app, ["show", "--help"]).output
    assert "Show a size." in shown
    assert "In pixels." in shown
    assert CliRunner().invoke(app, ["show", "a", "-w", "0"]).exit_code == 2


@pytest.mark.parametrize("command", [("bulk", "plan"), ("bulk", "run", "-o", "out")])
def test_a_field_without_default_is_a_required_argument(everypose, command):
    done = everypose(*command)
    assert done.code == 2
    assert "SOURCE" in done.err
    assert "_MISSING_TYPE" not in everypose("bulk", command[1], "--help").out
