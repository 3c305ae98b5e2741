"""Comparison of records with each other and with published results."""

from typing import TYPE_CHECKING

from pydantic import BaseModel

from everypose.errors import UsageError
from everypose.evaluation.report.published import Published, published
from everypose.evaluation.report.record import (
    IN_PIXELS,
    NOT_STATED,
    Protocol,
    Record,
    differences,
    require_same_protocol,
)
from everypose.evaluation.report.tables import percent

if TYPE_CHECKING:
    from rich.table import Table


class ComparedRecord(BaseModel):
    """One record of a comparison: its model, protocol and numbers.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> ComparedRecord(model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}}).model
    'boir-lite'
    """

    model: str
    protocol: Protocol
    numbers: dict[str, dict[str, float | None]]


class RecordComparison(BaseModel):
    """What ``everypose compare --json`` prints.

    Attributes:
        records: model, protocol and numbers of each record.
        differences: for each record after the first, how its protocol differs from the first record's.
        published: published results on the same data sets and splits.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}})
    >>> sorted(compare_records([record, record]).model_dump())
    ['differences', 'published', 'records']
    """

    records: list[ComparedRecord]
    differences: list[list[str]]
    published: list[Published]


def compare_records(records: list[Record], *, anyway: bool = False) -> RecordComparison:
    """Compare the numbers of records that have the same protocol.

    Args:
        records: at least two.
        anyway: compare different protocols as well; the differences are part of the answer.

    Raises:
        UsageError: if there is one record only, or protocols differ without ``anyway``.

    >>> from everypose.evaluation.report.record import Protocol
    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}})
    >>> comparison = compare_records([record, record.model_copy(update={"model": "mipnet-lite"})])
    >>> [one.model for one in comparison.records]
    ['boir-lite', 'mipnet-lite']
    """
    if len(records) < 2:
        raise UsageError("compare needs two records or more (made by 'everypose evaluate -o')")
    for other in records[1:]:
        if not anyway:
            require_same_protocol(records[0], other)
    return RecordComparison(
        records=[ComparedRecord(model=r.model, protocol=r.protocol, numbers=r.numbers) for r in records],
        differences=[differences(records[0].protocol, other.protocol) for other in records[1:]],
        published=_published_results(records),
    )


def _published_results(records: list[Record]) -> list[Published]:
    """Published results on the records' data sets and splits, those with the first record's boxes first."""
    splits = dict.fromkeys((r.protocol.dataset, r.protocol.split) for r in records)
    found = [entry for dataset, split in splits if dataset != NOT_STATED for entry in published(dataset, split)]
    return sorted(found, key=lambda entry: entry.boxes != records[0].protocol.boxes)


def comparison_tables(records: list[Record]) -> list["Table"]:
    """Rich tables: one for each part with a column for each record, and one of published results.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}})
    >>> [table] = comparison_tables([record, record])
    >>> [column.header for column in table.columns]
    ['percent', 'boir-lite', 'boir-lite']
    """
    from rich.markup import escape
    from rich.table import Table

    tables = []
    for part in dict.fromkeys(part for record in records for part in record.numbers):
        table = Table(title=escape(part) or None, title_justify="left")
        table.add_column("percent", no_wrap=True)
        for record in records:
            table.add_column(escape(record.model), justify="right")
        for name in dict.fromkeys(name for record in records for name in record.numbers.get(part, {})):
            table.add_row(escape(name), *(_number(name, record.numbers.get(part, {}).get(name)) for record in records))
        tables.append(table)
    if found := _published_results(records):
        tables.append(_published_table(found))
    return tables


def _published_table(found: list[Published]) -> "Table":
    """Published results, with their sources as numbered lines below the table."""
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
        cells = (_published_number(name, entry.numbers.get(name)) for name in names)
        table.add_row(model, entry.boxes, *cells, str(sources.index(entry.source) + 1))
    return table


def _published_number(name: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if name == IN_PIXELS else f"{value:.1f}"


def _number(name: str, value: float | None) -> str:
    return f"{value:.2f}" if name == IN_PIXELS and value is not None else percent(value)
