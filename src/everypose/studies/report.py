"""The result of a study: a table and a figure, as Markdown, JSON and an image file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import everypose
from everypose.core.files import write_bytes, write_json, write_text
from everypose.evaluation.report.record import shown

Cell = Callable[[Any], str]
"""Formats a value of the table."""


@dataclass(frozen=True)
class Study:
    """The result of a study.

    Attributes:
        name: stem of its files.
        title: one line.
        columns: column names of the table and the format of their values.
        rows: the table; values as measured, shares and not percent.
        picture: content of an image file.
        suffix: of the image file.
        facts: models and protocol: what one must know to compare the numbers.
        notes: what else a reader must know.

    >>> study = Study(name="s", title="A study", columns={"n": str}, rows=[{"n": 1}], picture=b"")
    >>> print(study.table())
    | n |
    |---|
    | 1 |
    """

    name: str
    title: str
    columns: Mapping[str, Cell]
    rows: list[dict[str, Any]]
    picture: bytes
    suffix: str = ".svg"
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The table as Markdown."""
        head = "| " + " | ".join(self.columns) + " |"
        rule = "|" + "|".join("---" for _ in self.columns) + "|"
        rows = ["| " + " | ".join(form(row[name]) for name, form in self.columns.items()) + " |" for row in self.rows]
        return "\n".join([head, rule, *rows])

    def markdown(self) -> str:
        """The table, the figure, the facts and the notes as Markdown."""
        facts = [f"- {name.replace('_', ' ')}: {shown(value)}" for name, value in self.facts.items()]
        notes = [f"- {note}" for note in self.notes]
        parts = [f"# {self.title}", self.table(), f"![{self.title}]({self.name}{self.suffix})"]
        parts += ["\n".join(lines) for lines in (facts, notes) if lines]
        return "\n\n".join(parts) + "\n"

    def content(self) -> dict[str, Any]:
        """The table, the facts and the notes as JSON values."""
        return {
            "format": "everypose study 1",
            "everypose": everypose.__version__,
            "study": self.name,
            "facts": self.facts,
            "rows": self.rows,
            "notes": self.notes,
        }

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.md, NAME.json and the figure.

        Returns:
            The paths of the three files.

        Raises:
            EveryposeError: if they cannot be written.
        """
        page, data, picture = (folder / f"{self.name}{suffix}" for suffix in (".md", ".json", self.suffix))
        write_bytes(picture, self.picture)
        write_json(data, self.content(), indent=1)
        write_text(page, self.markdown())
        return [page, data, picture]


def difference(first: float | None, second: float | None) -> float | None:
    """``first`` minus ``second``; None if one of them is missing.

    >>> difference(0.75, 0.5), difference(0.75, None)
    (0.25, None)
    """
    return None if first is None or second is None else first - second


def signed_percent(value: float | None) -> str:
    """A difference of shares in percentage points with its sign; a dash for None.

    >>> signed_percent(0.0123), signed_percent(None)
    ('+1.2', '–')
    """
    return "–" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0
