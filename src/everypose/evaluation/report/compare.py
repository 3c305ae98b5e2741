"""Records side by side, and beside the published numbers."""

from typing import TYPE_CHECKING, Any

from everypose.errors import UsageError
from everypose.evaluation.report.published import Published, published
from everypose.evaluation.report.record import NOT_STATED, Record, differences, require_same_protocol
from everypose.evaluation.report.tables import percent

if TYPE_CHECKING:
    from rich.table import Table


def compare_records(records: list[Record], anyway: bool = False) -> dict[str, Any]:
    """What ``everypose compare --json`` prints: each record's numbers, what differs, and published results.

    Args:
        records: at least two.
        anyway: compare different protocols, too; the differences are part of the answer.

    Raises:
        UsageError: for one record only, and for different protocols without ``anyway``.
    """
    if len(records) < 2:
        raise UsageError("compare needs two records or more (made by 'everypose evaluate -o')")
    for other in records[1:]:
        if not anyway:
            require_same_protocol(records[0], other)
    return {
        "records": [{"model": r.model, "protocol": r.protocol.model_dump(), "numbers": r.numbers} for r in records],
        "differences": [differences(records[0].protocol, other.protocol) for other in records[1:]],
        "published": [entry.model_dump() for entry in beside(records)],
    }


def beside(records: list[Record]) -> list[Published]:
    """Published results on the records' data sets and splits, those with the first record's boxes first."""
    splits = dict.fromkeys((r.protocol.dataset, r.protocol.split) for r in records)
    found = [entry for dataset, split in splits if dataset != NOT_STATED for entry in published(dataset, split)]
    return sorted(found, key=lambda entry: entry.boxes != records[0].protocol.boxes)


def comparison_tables(records: list[Record]) -> list["Table"]:
    """A table for each part with a column for each record, and one of published results."""
    from rich.table import Table

    tables = []
    for part in dict.fromkeys(part for record in records for part in record.numbers):
        table = Table(title=part or None, title_justify="left")
        table.add_column("percent", no_wrap=True)
        for record in records:
            table.add_column(record.model, justify="right")
        for name in dict.fromkeys(name for record in records for name in record.numbers.get(part, {})):
            table.add_row(name, *(_shown(name, record.numbers.get(part, {}).get(name)) for record in records))
        tables.append(table)
    if found := beside(records):
        tables.append(_published_table(found))
    return tables


def _published_table(found: list[Published]) -> "Table":
    """Published results, their sources as numbered lines below."""
    from rich.table import Table

    sources = list(dict.fromkeys(entry.source for entry in found))
    notes = list(dict.fromkeys(entry.note for entry in found if entry.note))
    names = list(dict.fromkeys(name for entry in found for name in entry.numbers))
    caption = "\n".join([*(f"{i}: {source}" for i, source in enumerate(sources, start=1)), *(f"* {n}" for n in notes)])
    table = Table(title="published", title_justify="left", caption=caption, caption_justify="left", box=None)
    for column in ("model", "boxes"):
        table.add_column(column, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("source")
    for entry in found:
        model = f"{entry.model} {entry.input_size}".strip() + ("*" if entry.note else "")
        cells = (_published(name, entry.numbers.get(name)) for name in names)
        table.add_row(model, entry.boxes, *cells, str(sources.index(entry.source) + 1))
    return table


def _published(name: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if name == "EPE" else f"{value:.1f}"


def _shown(name: str, value: float | None) -> str:
    return f"{value:.2f}" if name == "EPE" and value is not None else percent(value)
