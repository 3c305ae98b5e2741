"""The papers' tables with this installation's numbers next to the published ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from everypose.core.decoder_names import Decoder
from everypose.data.discovery.layouts import Layout, find_data
from everypose.errors import EveryposeError
from everypose.evaluation.box_source import GROUND_TRUTH, BoxSource, model_sha256
from everypose.evaluation.evaluate import evaluate_model
from everypose.evaluation.options import EvaluationOptions
from everypose.evaluation.report.published import Published
from everypose.evaluation.report.record import OWN_DECODER, Record
from everypose.inference.loading import load
from everypose.models.locate import bundled, resolve
from everypose.studies.paper_tables import PaperTable, Weights, decoders_of, weights_of

NO_BOXES, ANNOTATED = "none", "ground truth"
PIXELS = ("EPE",)
"""Numbers in pixels; all others are shares, printed in percent."""
HIDDEN_LABELS = (("coco", "test-dev"),)
"""Splits whose annotations are not published."""


@dataclass(frozen=True)
class Resources:
    """What is there to run models with.

    Attributes:
        data: folder of the data sets; None if there is none.
        models: folder of models, each in a folder or file of its catalog name; None if there is none.
        records: folder of records, which are written, and read instead of running the same weights on the same boxes.
        boxes: ``DATASET-SPLIT`` to a file of detections.
        extra: more models to run on the data of each table.
        run: whether what has no record is run.
        flip: whether to average with the mirror image.
        device: cpu, cuda or cuda:N.
        quiet: show no progress bar.

    >>> Resources(data=None, models=None, records=Path("records")).flip
    True
    """

    data: Path | None
    models: Path | None
    records: Path
    boxes: Mapping[str, Path] = field(default_factory=dict)
    extra: Sequence[str] = ()
    run: bool = True
    flip: bool = True
    device: str = "cpu"
    quiet: bool = False


@dataclass(frozen=True)
class Row:
    """One published result with this installation's, or another model's on the same data.

    Attributes:
        published: the printed numbers; of another model or decoder, its data and boxes.
        record: this installation's; None if the row could not be run.
        reason: why not.
        failed: whether running it was tried and failed.
        extra: whether it is another model, or another decoder.

    >>> from everypose.evaluation.report.published import published
    >>> Row(published("coco", "val")[0], reason="no weights").failed
    False
    """

    published: Published
    record: Record | None = None
    reason: str = ""
    failed: bool = False
    extra: bool = False


class _NotRunError(Exception):
    """A row cannot be run here; the message says why."""


def reproduce(table: PaperTable, resources: Resources) -> list[Row]:
    """Run what can be run of a table's results, or read its records.

    Rows that cannot be run remain, with the reason.

    Args:
        table: one of ``paper_tables()``.
        resources: data, models and records.

    >>> from everypose.studies.paper_tables import paper_tables
    >>> rows = reproduce(paper_tables()[0], Resources(data=None, models=None, records=Path("records")))
    >>> len(rows) > 0, all(row.record is None for row in rows)  # nothing to run
    (True, True)
    """
    rows = []
    for result in table.results():
        decoders = decoders_of(result)
        rows.append(_row(result, resources, None if decoders is None else decoders.published))
        if decoders is not None and weights_of(result) is not None:
            second = result.model_copy(update={"numbers": {}, "note": f"decoder {decoders.trained}"})
            rows.append(replace(_row(second, resources, decoders.trained), extra=True))
    return rows + _extra_rows(table, resources)


def _row(result: Published, resources: Resources, decoder: Decoder | None) -> Row:
    """The row of a published result, decoded by its model's own decoder or by another one."""
    try:
        return Row(result, _record(result, resources, decoder))
    except _NotRunError as reason:
        return Row(result, reason=str(reason))
    except EveryposeError as error:
        return Row(result, reason=str(error), failed=True)


def _extra_rows(table: PaperTable, resources: Resources) -> list[Row]:
    """Other models on each split of a table, single-stage ones without boxes and top-down ones with boxes."""
    splits: dict[tuple[str, str, str], Published] = {}
    for result in table.results():
        splits.setdefault((result.dataset, result.split, result.boxes), result)
    rows = []
    for model in resources.extra:
        needs_boxes = load(model).config.is_top_down
        for result in splits.values():
            if needs_boxes != (result.boxes != NO_BOXES):
                continue
            weights = Weights(Path(model).stem)
            named = result.model_copy(update={"model": weights.name, "input_size": "", "numbers": {}, "note": ""})
            try:
                rows.append(Row(named, _run(named, weights, resolve(model).path, resources), extra=True))
            except _NotRunError as reason:
                rows.append(Row(named, reason=str(reason), extra=True))
            except EveryposeError as error:
                rows.append(Row(named, reason=str(error), failed=True, extra=True))
    return rows


def _record(result: Published, resources: Resources, decoder: Decoder | None) -> Record:
    """The record of a published result's model, read or made.

    Raises:
        _NotRunError: if something that it needs is missing.
        EveryposeError: if running it fails.
    """
    weights = weights_of(result)
    if weights is None:
        raise _NotRunError("no such model in everypose")
    return _run(result, weights, _find(weights, resources.models), resources, decoder=decoder)


def _run(
    result: Published, weights: Weights, model: Path | None, resources: Resources, *, decoder: Decoder | None = None
) -> Record:
    """The record of weights on the data of a result; errors as ``_record``.

    Args:
        result: names data and boxes.
        weights: what is run.
        model: where they are; None if they are not there.
        resources: data and records.
        decoder: replaces the model's own.
    """
    if (result.dataset, result.split) in HIDDEN_LABELS:
        raise _NotRunError("annotations are not public")
    words = [weights.name, result.dataset, result.split, _boxes_word(result), decoder, "flip" if resources.flip else ""]
    path = resources.records / f"{'-'.join(word for word in words if word)}.json"
    if path.is_file():
        record = Record.read(path)
        if _is_of(record, model, resources.boxes.get(f"{result.dataset}-{result.split}")):
            return record
    if model is None:
        raise _NotRunError(f"no weights: {weights.name} in --models")
    boxes = _boxes(result, resources.boxes)
    layout = _layout(result, resources.data)
    if not resources.run:
        raise _NotRunError("not run yet")
    options = EvaluationOptions(
        boxes=boxes,
        flip=resources.flip,
        device=resources.device,
        skeleton=weights.skeleton,
        decoder=decoder,
        quiet=resources.quiet,
    )
    names: dict[str, str | bool] = {"dataset": result.dataset, "split": result.split}
    record = evaluate_model(str(model), layout, options, protocol=names).record
    record.write(path)
    return record


def _is_of(record: Record, model: Path | None, detections: Path | None) -> bool:
    """Whether a record is of these weights and, with a detector's boxes, of these detections; None is any."""
    if model is not None and record.model_sha256 not in (None, model_sha256(resolve(model).path)):
        return False
    boxes = record.protocol.boxes
    if detections is None or boxes in (NO_BOXES, ANNOTATED):
        return True
    return boxes == BoxSource(str(detections)).describe(default="")


def _boxes_word(result: Published) -> str:
    return {NO_BOXES: "single", ANNOTATED: "annotated"}.get(result.boxes, "detected")


def _find(weights: Weights, models: Path | None) -> Path | None:
    """A model's folder or file; None if it is not there."""
    for path in (models / weights.name, models / f"{weights.name}.onnx") if models is not None else ():
        if path.exists():
            return path
    return None if weights.bundled is None else bundled(weights.bundled)


def _boxes(result: Published, files: Mapping[str, Path]) -> BoxSource:
    """The boxes of a published result."""
    if result.boxes == NO_BOXES:
        return BoxSource()
    if result.boxes == ANNOTATED:
        return BoxSource(GROUND_TRUTH)
    name = f"{result.dataset}-{result.split}"
    if name not in files:
        raise _NotRunError(f"no boxes of {result.boxes}: --boxes {name}=FILE")
    return BoxSource(str(files[name]))


def _layout(result: Published, data: Path | None) -> Layout:
    """The annotated split of a published result."""
    if data is None:
        raise _NotRunError("no data: give --data")
    try:
        return find_data(data, result.split, result.dataset)
    except EveryposeError as error:
        raise _NotRunError(f"no data: {result.dataset} {result.split} in {data}") from error


def table_markdown(table: PaperTable, rows: Sequence[Row]) -> str:
    """A table as Markdown: published numbers, below them this installation's or why there are none.

    Args:
        table: the paper's.
        rows: of ``reproduce``.

    >>> from everypose.studies.paper_tables import paper_tables
    >>> table = paper_tables()[0]
    >>> text = table_markdown(table, reproduce(table, Resources(data=None, models=None, records=Path("records"))))
    >>> text.startswith(f"## {table.title}")
    True
    """
    head = [f"## {table.title}", f"{table.paper}. {table.protocol[0].upper()}{table.protocol[1:]}."]
    if table.rows:
        names = list(table.rows[0])
        lines = [[str(row[name]) for name in names] for row in table.rows]
        return "\n\n".join([*head, _markdown(names, lines), f"As printed; on your data: `{table.command}`."])
    numbers = list(dict.fromkeys(name for row in rows for name in row.published.numbers))
    lines = []
    for row in rows:
        result = row.published
        model = f"{result.model} {result.input_size}".strip() + (f" ({result.note})" if result.note else "")
        where = f"{result.dataset} {result.split}"
        printed = [_printed(name, result.numbers.get(name)) for name in numbers]
        remark = "" if row.extra else "published"
        if row.record is None:
            remark += f"{'; ' if remark else ''}not run: {row.reason}"
        if not (row.extra and row.record is not None):
            lines.append([model, where, result.boxes, *printed, remark])
        if row.record is not None:
            lines.append([row.record.model, where, row.record.protocol.boxes, *_own(row.record, numbers), _size(row)])
    return "\n\n".join([*head, _markdown(["model", "data", "boxes", *numbers, "remark"], lines)])


def table_content(table: PaperTable, rows: Sequence[Row]) -> dict[str, Any]:
    """A table as JSON values.

    Args:
        table: the paper's.
        rows: of ``reproduce``.

    >>> from everypose.studies.paper_tables import paper_tables
    >>> sorted(table_content(paper_tables()[0], []))
    ['paper', 'protocol', 'results', 'rows', 'table']
    """
    return {
        "table": table.name,
        "paper": table.paper,
        "protocol": table.protocol,
        "rows": [dict(row) for row in table.rows],
        "results": [
            {
                "published": row.published.model_dump(mode="json"),
                "record": None if row.record is None else row.record.model_dump(mode="json"),
                "not_run": row.reason or None,
            }
            for row in rows
        ],
    }


def _own(record: Record, numbers: Sequence[str]) -> list[str]:
    """A record's numbers as a paper prints them."""
    values = next(iter(record.numbers.values()), {})
    found = {name: value for name, value in values.items() if value is not None and value >= 0}
    return [_printed(name, found[name] * (1 if name in PIXELS else 100)) if name in found else "" for name in numbers]


def _printed(name: str, value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if name in PIXELS else f"{value:.1f}"


def _size(row: Row) -> str:
    assert row.record is not None
    protocol = row.record.protocol
    decoder = "" if protocol.decoder == OWN_DECODER else f", decoder {protocol.decoder}"
    flip = "yes" if protocol.flip else "no"
    return f"here: {protocol.images:,} images, {protocol.persons:,} people, flip {flip}{decoder}"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
