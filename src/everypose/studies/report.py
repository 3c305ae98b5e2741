"""A study's outcome: a table and a picture, as Markdown, JSON and an image file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import everypose
from everypose.core.files import write_bytes, write_json, write_text
from everypose.evaluation.report.record import shown

Cell = Callable[[Any], str]
"""How a value is shown in the table."""


@dataclass(frozen=True)
class Study:
    """What came of a study.

    Attributes:
        name: what its files are called.
        title: one line.
        columns: the table's columns, and how their values are shown.
        rows: the table; values as they were measured, shares and not percent.
        picture: the content of an image file, and ``suffix`` its kind.
        facts: models and protocol, whatever one must know to compare the numbers.
        notes: what else a reader must know.
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
        """The table in Markdown."""
        head = "| " + " | ".join(self.columns) + " |"
        rule = "|" + "|".join("---" for _ in self.columns) + "|"
        rows = ["| " + " | ".join(show(row[name]) for name, show in self.columns.items()) + " |" for row in self.rows]
        return "\n".join([head, rule, *rows])

    def markdown(self) -> str:
        """A page with everything."""
        facts = [f"- {name.replace('_', ' ')}: {shown(value)}" for name, value in self.facts.items()]
        notes = [f"- {note}" for note in self.notes]
        parts = [f"# {self.title}", self.table(), f"![{self.title}]({self.name}{self.suffix})"]
        parts += ["\n".join(lines) for lines in (facts, notes) if lines]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.md, NAME.json and the picture; returns where they are.

        Raises:
            EveryposeError: when they cannot be written.
        """
        page, data, picture = (folder / f"{self.name}{suffix}" for suffix in (".md", ".json", self.suffix))
        content = {
            "format": "everypose study 1",
            "everypose": everypose.__version__,
            "study": self.name,
            "facts": self.facts,
            "rows": self.rows,
            "notes": self.notes,
        }
        write_bytes(picture, self.picture)
        write_json(data, content, indent=1)
        write_text(page, self.markdown())
        return [page, data, picture]


def difference(first: float | None, second: float | None) -> float | None:
    """``first`` minus ``second``; None where one of them is missing."""
    return None if first is None or second is None else first - second


def signed_percent(value: float | None) -> str:
    """A difference of shares in percent points with its sign; a dash where there is none."""
    return "–" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"  # + 0.0, so that nothing is not -0.0
