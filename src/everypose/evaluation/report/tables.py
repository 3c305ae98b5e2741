"""Rich tables of scores."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def percent(value: float | None) -> str:
    """A share as percent with one decimal; a dash if there was nothing to measure (None or -1).

    >>> percent(0.4567), percent(None)
    ('45.7', '–')
    """
    return "–" if value is None or value < 0 else f"{100 * value:.1f}"


def numbers_table(title: str, rows: Mapping[str, Mapping[str, float | None]], *, first_column: str = "") -> "Table":
    """A rich table with a row for each name and a column for each number, in percent.

    Args:
        title: above the table.
        rows: row name to the numbers by column name; without a first column if all names are empty.
        first_column: heading of the row names.

    >>> table = numbers_table("OKS", {"body": {"AP": 0.461, "AR": 0.5}, "feet": {"AP": 0.3, "AR": None}})
    >>> [column.header for column in table.columns], table.row_count
    (['', 'AP', 'AR'], 2)
    """
    from rich.markup import escape
    from rich.table import Table

    columns = list(dict.fromkeys(name for numbers in rows.values() for name in numbers))
    table = Table(title=escape(title), title_justify="left")
    if any(rows):
        table.add_column(first_column)
    for column in columns:
        table.add_column(escape(column), justify="right")
    for name, numbers in rows.items():
        cells = [percent(numbers.get(column)) for column in columns]
        table.add_row(*([escape(name)] if any(rows) else []), *cells)
    return table
