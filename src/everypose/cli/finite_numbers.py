"""Options that are numbers must be finite: "nan" and "inf" are numbers to Python, but no size, time or score."""

import math

import typer
from typer.core import TyperCommand

from everypose.errors import UsageError


class FiniteCommand(TyperCommand):
    """A command that refuses options that are NaN or infinite.

    >>> app = typer.Typer()
    >>> @app.command(cls=FiniteCommand)
    ... def track(fps: float = 30.0) -> None:
    ...     print(fps)
    >>> app(["--fps", "inf"], standalone_mode=False)
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: --fps inf: give a finite number
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the arguments, and check the numbers among them."""
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            value = ctx.params.get(parameter.name or "")
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{parameter.opts[0]} {value}: give a finite number")
        return rest


def require_finite_numbers(app: typer.Typer) -> None:
    """Make all commands of an application, and of the groups in it, a :class:`FiniteCommand`.

    >>> app = typer.Typer()
    >>> track = app.command("track")(print)
    >>> require_finite_numbers(app)
    >>> app.registered_commands[0].cls.__name__
    'FiniteCommand'
    """
    for command in app.registered_commands:
        command.cls = FiniteCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            require_finite_numbers(group.typer_instance)
