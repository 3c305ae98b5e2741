"""The page: every target and whether it was met, then each section's tables with where and how they were measured."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.performance.record import Record, Table

COMMAND = "python -m benchmarks"
TRIED = Path(__file__).with_name("tried.md")
VERDICTS = {True: "**met**", False: "not met", None: "not measured"}
SMOKE = "smoke run"

HEAD = f"""# Performance

Written by `{COMMAND}`. Numbers are medians, with quartiles in brackets. The compared forms alternate, so other work
on the machine slows all of them alike, and ratios are taken within each round. On other machines seconds will differ,
ratios less. "Literal" is a method as its paper describes it, in eager torch, one image at a time. Weights are random
where only time is measured.
"""


def render(titles: Mapping[str, str], records: Mapping[str, Record]) -> str:
    """Return the page as Markdown; sections without a record say so."""
    places = {_place(record) for record in records.values()}
    shared = places.pop() if len(places) == 1 else None
    parts = [HEAD, *([f"Everything was measured on {shared}.\n"] if shared else [])]
    parts += ["## Targets\n", _table(_targets(titles, records))]
    for name, title in titles.items():
        parts.append(f"## {title}\n")
        if name in records:
            parts.append(_section(records[name], with_place=shared is None))
        else:
            parts.append(f"Not measured: `{COMMAND} --only {name}`.\n")
    parts += ["## What was tried\n", TRIED.read_text(encoding="utf-8")]
    return "\n".join(parts)


def _targets(titles: Mapping[str, str], records: Mapping[str, Record]) -> Table:
    rows = [
        (titles[name], target.goal, target.found, SMOKE if record.quick else VERDICTS[target.met])
        for name, record in records.items()
        for target in record.findings.targets
    ]
    return Table(("section", "target", "found", ""), rows)


def _section(record: Record, with_place: bool) -> str:
    found = record.findings
    parts = [_origin(record) + (f" On {_place(record)}." if with_place else "") + "\n"]
    parts += [_table(table) for table in found.tables]
    parts += [f"![{Path(name).stem.replace('_', ' ')}](pictures/{name})\n" for name in found.pictures]
    if found.notes:
        parts.append("\n".join(f"- {note}" for note in found.notes) + "\n")
    return "\n".join(parts)


def _origin(record: Record) -> str:
    smoke = "**A smoke run: tiny networks, one round; these numbers say nothing about speed.** " if record.quick else ""
    return (
        f"{smoke}`{record.command}`, {record.date}; {record.seconds:.0f} s, during which other processes used "
        f"{record.others:.1f} cores."
    )


def _place(record: Record) -> str:
    return f"{record.machine}; {record.versions}"


def _table(table: Table) -> str:
    lines = [f"{table.caption}:\n"] if table.caption else []
    lines.append(f"| {' | '.join(table.header)} |")
    lines.append("|" + "---|" * len(table.header))
    lines += [f"| {' | '.join(row)} |" for row in table.rows]
    return "\n".join(lines) + "\n"
