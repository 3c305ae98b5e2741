"""Gain by occlusion (MIPNet, Table 1): AP by the largest IoU of a person's box with another person's."""

from typing import Any

from everypose.errors import UsageError
from everypose.evaluation.report.record import ClassRow, Record, differences
from everypose.evaluation.report.tables import percent
from everypose.studies.chart import line_chart
from everypose.studies.report import Cell, Study, difference, signed_percent
from everypose.studies.subject import distinct

KIND = "occlusion"


def study_occlusion(record: Record, against: Record) -> Study:
    """Compare two evaluations class by class.

    Args:
        record: of the model.
        against: of the baseline, on the same images.

    Raises:
        UsageError: if their data differ, or the metric has no classes by occlusion.

    >>> from everypose.evaluation.report.record import Protocol
    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> numbers = {"": {"AP": 0.46, "AR": 0.6}}
    >>> classes = {"occlusion": [ClassRow(name="above 0.5", people=174, ap=0.44, ap50=0.7, ar=0.6)]}
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers=numbers, classes=classes)
    >>> study = study_occlusion(record, record.model_copy(update={"model": "mipnet-lite"}))
    >>> study.rows[0]["people"]
    174
    """
    if record.protocol.annotations != against.protocol.annotations:
        raise UsageError(f"{record.model} and {against.model} were measured on different data")
    names = distinct([record.model, against.model])
    rows = [
        _row(row.name, row.people, names, ap=(row.ap, other.ap), ar=(row.ar, other.ar))
        for row, other in zip(_occlusion_rows(record), _occlusion_rows(against), strict=True)
    ]
    whole, other = record.numbers[""], against.numbers[""]
    all_people = _row(
        "all people", record.protocol.persons, names, ap=(whole["AP"], other["AP"]), ar=(whole["AR"], other["AR"])
    )
    columns: dict[str, Cell] = {"IoU": str, "people": "{:,}".format}
    for number in ("AP", "AR"):
        columns |= {**{f"{number} {name}": percent for name in names}, f"{number} gain": signed_percent}
    return Study(
        name="occlusion",
        title="AP by occlusion, the largest IoU with another person's box",
        columns=columns,
        rows=[*rows, all_people],
        picture=line_chart(
            "largest IoU with another person's box",
            "AP, percent",
            places=[row["IoU"] for row in rows],
            lines={
                name: [None if row[f"AP {name}"] is None else 100 * row[f"AP {name}"] for row in rows] for name in names
            },
        ),
        facts={f"weights of {name}": each.model_sha256 for name, each in zip(names, (record, against), strict=True)}
        | record.protocol.model_dump(),
        notes=[
            "people outside a class are ignored, but other false detections count in every class: AP of a rare class is"
            " low by construction, so compare the gain",
            *record.notes,
            *(f"{names[0]} and {names[1]} differ in {each}" for each in differences(record.protocol, against.protocol)),
        ],
    )


def _occlusion_rows(record: Record) -> list[ClassRow]:
    """The record's classes by occlusion.

    Raises:
        UsageError: if its metric has none.
    """
    for kind, rows in record.classes.items():
        if kind.startswith(KIND):
            return rows
    raise UsageError(f"the {record.protocol.metric} metric is not one of OKS, which this study needs")


def _row(
    name: str,
    people: int,
    models: list[str],
    *,
    ap: tuple[float | None, float | None],
    ar: tuple[float | None, float | None],
) -> dict[str, Any]:
    """The table's row for one class."""
    row: dict[str, Any] = {"IoU": name, "people": people}
    for number, values in (("AP", ap), ("AR", ar)):
        row |= {f"{number} {model}": value for model, value in zip(models, values, strict=True)}
        row[f"{number} gain"] = difference(*values)
    return row
