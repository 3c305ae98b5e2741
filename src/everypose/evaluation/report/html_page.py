"""A report of one evaluation: a single HTML file with tables, precision-recall curves and the worst images."""

import base64
from html import escape
from pathlib import Path

from everypose.core.files import write_text
from everypose.evaluation.evaluate import Evaluation
from everypose.evaluation.report.curves import precision_recall_svg
from everypose.evaluation.report.record import IN_PIXELS, KEYPOINT_COLUMNS, KeypointRow, Record, protocol_rows
from everypose.evaluation.report.tables import percent
from everypose.evaluation.report.worst import WorstImage, worst_images
from everypose.evaluation.scores import Scores

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;margin:.5rem 0}
td,th{padding:.2rem .7rem;border-bottom:1px solid #d8dee4;text-align:right}
td:first-child,th:first-child{text-align:left}th{font-weight:600}.note{color:#57606a}.scroll{overflow-x:auto}
figure{margin:1rem 0}figure img{max-width:100%;height:auto}figcaption{color:#57606a}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}td,th{border-color:#30363d}
.note,figcaption{color:#9198a1}}
"""


def write_report(path: Path, evaluation: Evaluation, *, worst_count: int = 12) -> None:
    """Write the report as one HTML file.

    Args:
        path: the file.
        evaluation: what to report.
        worst_count: how many of the worst images are shown, if the images' folder is known.

    Raises:
        EveryposeError: if an image cannot be read or the file cannot be written.

    >>> import json
    >>> from everypose.evaluation.evaluate import evaluate_predictions
    >>> category = {"id": 1, "name": "point", "keypoints": ["nose"]}
    >>> person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10], "area": 100}
    >>> content = {"images": [{"id": 1}], "annotations": [person], "categories": [category]}
    >>> _ = Path("truth.json").write_text(json.dumps(content))
    >>> detection = {"image_id": 1, "category_id": 1, "keypoints": [4, 5, 0.9], "score": 0.9}
    >>> _ = Path("poses.json").write_text(json.dumps([detection]))
    >>> evaluation = evaluate_predictions(Path("poses.json"), Path("truth.json"), sigmas=(0.1,))
    >>> write_report(Path("report.html"), evaluation)
    >>> "Numbers" in Path("report.html").read_text()
    True
    """
    worst = worst_images(evaluation, worst_count)
    write_text(path, page(evaluation.record, evaluation.scores, worst))


def page(record: Record, scores: Scores, worst: list[WorstImage]) -> str:
    """The report as HTML that loads nothing from elsewhere.

    >>> from everypose.evaluation.report.record import Protocol
    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}})
    >>> html = page(record, Scores("coco", record.numbers, images=114, people=315), worst=[])
    >>> "46.1" in html, "<script" in html
    (True, False)
    """
    title = f"{record.model} on {record.protocol.dataset} {record.protocol.split}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="note">{escape(note)}</p>' for note in record.notes),
        "<h2>Numbers</h2>",
        *(_numbers(part, numbers) for part, numbers in _with_joined_categories(record.numbers)),
        "<h2>Protocol</h2>",
        _table(("", ""), [[name, value] for name, value in protocol_rows(record)]),
    ]
    if scores.precision is not None:
        parts += ["<h2>Precision and recall</h2>", precision_recall_svg(scores.precision)]
    for kind, rows in record.classes.items():
        cells = [[row.name, str(row.people), percent(row.ap), percent(row.ap50), percent(row.ar)] for row in rows]
        parts += [f"<h2>By {escape(kind)}</h2>", _table(("class", "people", "AP", "AP50", "AR"), cells)]
    if record.classes:
        parts.append(
            '<p class="note">People outside a class are ignored: their keypoints are hidden, and a detection within'
            " their doubled box is neither right nor wrong. Other false detections count in every class.</p>"
        )
    if record.keypoints:
        parts += ["<h2>Keypoints of matched people</h2>", _keypoints(record.keypoints)]
    if worst:
        parts.append("<h2>Worst images: ground truth left, predictions right</h2>")
        parts += [_figure(image) for image in worst]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _with_joined_categories(numbers: dict[str, dict[str, float | None]]) -> list[tuple[str, dict[str, float | None]]]:
    """Numbers by part; parts with a single number (AP of each species) as columns of one row."""
    single = {part: next(iter(row.values())) for part, row in numbers.items() if len(row) == 1}
    rows = [(part, row) for part, row in numbers.items() if len(row) > 1]
    return [*rows, ("AP by category", single)] if single else rows


def _numbers(part: str, numbers: dict[str, float | None]) -> str:
    cells = [
        f"{value:.2f} px" if name == IN_PIXELS and value is not None else percent(value)
        for name, value in numbers.items()
    ]
    heading = f"<h3>{escape(part)}</h3>" if part else ""
    return heading + _table(tuple(numbers), [cells])


def _keypoints(rows: list[KeypointRow]) -> str:
    cells = [[row.keypoint, str(row.labeled), *row.cells()] for row in rows]
    explanation = (
        '<p class="note">By keypoint similarity (one keypoint\'s term of OKS): good from 0.85, jitter from 0.5;'
        " otherwise inversion (the same person's other side) or swap (another person) if one of these has 0.5; else"
        " miss. Percent of matched people's labeled keypoints; \u201cnot found\u201d counts keypoints of people"
        " without a match.</p>"
    )
    return _table(("keypoint", "labeled", *KEYPOINT_COLUMNS), cells) + explanation


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def _figure(image: WorstImage) -> str:
    data = base64.b64encode(image.jpeg).decode()
    return (
        f'<figure><img alt="{escape(image.file_name)}: ground truth and predictions"'
        f' src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(image.caption)}</figcaption></figure>"
    )
