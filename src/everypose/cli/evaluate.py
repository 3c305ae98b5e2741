"""``everypose evaluate`` and ``everypose compare``: scores with their protocol, and scores side by side."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from everypose.cli.evaluation_options import (
    BatchOption,
    BoxesOption,
    BoxThresholdOption,
    DataChoice,
    DataOption,
    DatasetOption,
    DetectorOption,
    DeviceOption,
    FlipOption,
    QuietOption,
    SigmasOption,
    SizeOption,
    SplitOption,
    box_source,
    sigmas_of,
)
from everypose.errors import UsageError

if TYPE_CHECKING:
    from everypose.evaluation.evaluate import Evaluation

MetricName = Literal["coco", "crowdpose", "wholebody", "pckh", "hand"]


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A name of 'everypose models', a folder, a file or a hub id."),
    ] = None,
    data: DataOption = None,
    split: SplitOption = None,
    dataset: DatasetOption = None,
    predictions: Annotated[Path | None, typer.Option(help="Instead of MODEL: a COCO results file.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="The annotation file, for --predictions or a MODEL.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder of its images; for --predictions, only for the report.")
    ] = None,
    boxes: BoxesOption = None,
    detector: DetectorOption = None,
    box_threshold: BoxThresholdOption = None,
    metric: Annotated[MetricName | None, typer.Option(help="Default: the data set's own; coco for others.")] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            help="With --predictions: a known skeleton or a TOML file. Default: what the annotations say. "
            "With a MODEL of several data sets: which of them. Default: its first."
        ),
    ] = None,
    sigmas: SigmasOption = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE",
            help="For the record: dataset, split; with --predictions also boxes, flip, input_size, nms. Repeatable.",
        ),
    ] = None,
    flip: FlipOption = False,
    device: DeviceOption = "cpu",
    size: SizeOption = None,
    batch: BatchOption = None,
    report: Annotated[Path | None, typer.Option(help="Write a report page (HTML).")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the record (JSON), for 'compare'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Score a model on a data set, or a results file against its annotations.

    Numbers come with their protocol. OKS metrics also come by occlusion, size and number of labels. A top-down model
    looks at one box after the other: those of --boxes or of --detector.

    Example: everypose evaluate boir-lite --data data/coco --split val -o lite.json --report lite.html
    """
    if (model is None) == (predictions is None):
        raise UsageError("give either MODEL with --data and --split, or --predictions with --annotations")
    if model is not None:
        from everypose.evaluation.evaluate import evaluate_model, parse_stated

        named = parse_stated(state or [], ("dataset", "split"))
        layout, stated = DataChoice(data, split, dataset, annotations, images).find()
        evaluation = evaluate_model(
            model,
            layout,
            {**stated, **named},
            metric=metric,
            sigmas=sigmas_of(sigmas),
            flip=flip,
            device=device,
            size=size,
            batch_size=batch,
            boxes=box_source(boxes, detector, box_threshold),
            skeleton=skeleton,
            quiet=quiet,
        )
    else:
        assert predictions is not None
        _require_none(
            {
                "--data": data,
                "--split": split,
                "--dataset": dataset,
                "--boxes": boxes,
                "--detector": detector,
                "--box-threshold": box_threshold,
                "--flip": flip or None,
                "--device": device if device != "cpu" else None,
                "--size": size,
                "--batch": batch,
            }
        )
        evaluation = _of_predictions(predictions, annotations, images, metric, skeleton, sigmas, state)
    if out is not None:
        evaluation.record.write(out)
    if report is not None:
        from everypose.evaluation.report.html_page import write_report

        write_report(report, evaluation)
    _show(evaluation, as_json, quiet)


def compare(
    records: Annotated[list[Path], typer.Argument(metavar="RECORD", help="Records of 'everypose evaluate -o'.")],
    anyway: Annotated[bool, typer.Option("--anyway", help="Compare different protocols, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Put evaluations side by side, and next to the published numbers of their data set.

    Records of different protocols are refused, with what differs, unless --anyway is given.

    Example: everypose compare a.json b.json
    """
    from everypose.evaluation.report.compare import compare_records, comparison_tables
    from everypose.evaluation.report.record import Record

    read = [Record.read(path) for path in records]
    compared = compare_records(read, anyway)
    if as_json:
        print(json.dumps(compared))
        return
    from rich.console import Console

    console = Console()
    for other, found in zip(read[1:], compared["differences"], strict=True):
        for difference in found:
            console.print(f"{read[0].model} and {other.model} differ in {difference}", markup=False)
    for table in comparison_tables(read):
        console.print(table)


def _require_none(of_models: dict[str, object]) -> None:
    """Refuse what says how a model is to be run: predictions were made before."""
    if given := [option for option, value in of_models.items() if value is not None]:
        raise UsageError(
            f"{', '.join(given)}: only with MODEL; say how predictions were made by --state boxes=..., "
            "--state flip=... and --state input_size=..."
        )


def _of_predictions(
    predictions: Path,
    annotations: Path | None,
    images: Path | None,
    metric: MetricName | None,
    skeleton: str | None,
    sigmas: str | None,
    state: list[str] | None,
) -> "Evaluation":
    from everypose.evaluation.evaluate import STATABLE, evaluate_predictions, parse_stated
    from everypose.skeleton.skeleton import Skeleton

    if annotations is None:
        raise UsageError("--predictions needs --annotations, the file to score them against")
    return evaluate_predictions(
        predictions,
        annotations,
        image_root=images,
        metric=metric,
        skeleton=None if skeleton is None else Skeleton.find(skeleton),
        sigmas=sigmas_of(sigmas),
        stated=parse_stated(state or [], STATABLE),
    )


def _show(evaluation: "Evaluation", as_json: bool, quiet: bool) -> None:
    """The record on standard output, as JSON or as tables."""
    record = evaluation.record
    if as_json:
        print(json.dumps(record.model_dump(mode="json")))
        return
    if quiet:
        return
    from rich.console import Console

    console = Console()
    for table in record.tables():
        console.print(table)
    for note in record.notes:
        console.print(f"note: {note}", markup=False)
