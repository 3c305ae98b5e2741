"""``everypose evaluate`` and ``everypose compare``: scores with their protocol, and scores side by side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from everypose.cli.evaluation_options import (
    BoxOptions,
    DataOptions,
    FamilyOption,
    RunOptions,
    SizeOption,
    parse_protocol_fields,
)
from everypose.cli.option_groups import expand_options
from everypose.core.decoder_names import Decoder
from everypose.errors import UsageError
from everypose.evaluation.metrics.metric import Metric

if TYPE_CHECKING:
    from everypose.evaluation.evaluate import Evaluation

Similarity = Literal["box", "oks"]


@expand_options
def evaluate(
    run: RunOptions,
    data: DataOptions,
    boxes: BoxOptions,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A name of 'everypose models', a folder, a file or a hub id."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Instead of MODEL: a COCO results file, scored against --annotations."),
    ] = None,
    metric: Annotated[
        Metric | None, typer.Option(help="Default: the one that the data set is published with; else coco.")
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            help="With --predictions: a known skeleton or a TOML file. Default: what the annotations say. "
            "With a MODEL of several data sets: which of them. Default: its first."
        ),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE",
            help="For the record: dataset, split; with --predictions also boxes, flip, input_size, nms. Repeatable.",
        ),
    ] = None,
    size: SizeOption = None,
    family: FamilyOption = None,
    decoder: Annotated[
        Decoder | None,
        typer.Option(
            help="How a top-down model's heatmaps become keypoints, with crops of that convention (classic or UDP). "
            "Default: the model's own; an exported file has no other."
        ),
    ] = None,
    tracking: Annotated[
        bool,
        typer.Option(
            "--tracking",
            help="Score identities in videos: --annotations is MOT or PoseTrack18 ground truth (a file or a folder), "
            "--predictions MOT text or a JSON list with track_id (a file, or a folder with one for each sequence).",
        ),
    ] = False,
    similarity: Annotated[
        Similarity | None,
        typer.Option(help="With --tracking: box IoU or OKS. [default: box for MOT, oks for PoseTrack18]"),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report page (HTML).")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the record (JSON), for 'compare'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Score a model on a data set, or a results file against its annotations.

    Numbers are printed with their protocol; OKS metrics also by occlusion, size and number of labeled keypoints. A
    top-down model predicts in the boxes of --boxes or of --detector. Results with a file_name are matched to images
    by it, others by image_id.

    Example: everypose evaluate boir-lite --data data/coco --split val -o lite.json --report lite.html

    Example: everypose evaluate --tracking --annotations MOT16/train --predictions out/tracks
    """
    from everypose.core.files import refuse_to_replace

    for written in (out, report):
        refuse_to_replace(written, predictions, data.annotations)
    if tracking:
        values = {"MODEL": model, "--metric": metric, "--state": state, "--report": report, "--sigmas": run.sigmas}
        _require_no_model_options(run, data, boxes, size=size, family=family, decoder=decoder, others=values)
        _evaluate_tracking(
            predictions, data, similarity=similarity, skeleton=skeleton, out=out, as_json=as_json, quiet=run.quiet
        )
        return
    if similarity is not None:
        raise UsageError("--similarity is for --tracking")
    if (model is None) == (predictions is None):
        raise UsageError("give either MODEL with --data and --split, or --predictions with --annotations")
    if model is not None:
        from everypose.evaluation.evaluate import evaluate_model

        layout, names = data.find()
        names |= parse_protocol_fields(state or [], ("dataset", "split"))
        source = boxes.source(boxes.box_threshold)
        options = run.evaluation(source, metric=metric, size=size, skeleton=skeleton, family=family, decoder=decoder)
        evaluation = evaluate_model(model, layout, options, protocol=names)
    else:
        assert predictions is not None
        _require_no_model_options(run, data, boxes, size=size, family=family, decoder=decoder)
        evaluation = _of_predictions(predictions, data, run, metric=metric, skeleton=skeleton, state=state)
    if out is not None:
        evaluation.record.write(out)
    if report is not None:
        from everypose.evaluation.report.html_page import write_report

        write_report(report, evaluation)
    _print(evaluation, as_json=as_json, quiet=run.quiet)


def compare(
    records: Annotated[
        list[Path],
        typer.Argument(metavar="RECORD", help="Records of 'everypose evaluate -o'; with --pictures, models instead."),
    ],
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run models on --images and write the largest disagreements to this folder."),
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option(help="With --pictures: a photo, a folder or a glob; may be repeated.")
    ] = None,
    most: Annotated[int, typer.Option(help="With --pictures: the most pictures.", min=1)] = 12,
    anyway: Annotated[bool, typer.Option("--anyway", help="Compare records of different protocols as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare evaluations with each other and with the published numbers of their data set.

    Records of different protocols are refused, with the differences, unless --anyway is given.

    With --pictures, any number of models run on the same photos; those on which they disagree most are drawn.

    Example: everypose compare a.json b.json

    Example: everypose compare boir-lite mipnet-lite --images photos --pictures out
    """
    if pictures is not None:
        from everypose.cli.compare_pictures import compare_pictures

        if anyway:
            raise UsageError("--anyway is for records, not for --pictures")
        compare_pictures([str(record) for record in records], images or [], pictures, most=most, as_json=as_json)
        return
    if images:
        raise UsageError("--images is for --pictures DIR")
    from everypose.evaluation.report.compare import compare_records, comparison_tables
    from everypose.evaluation.report.record import Record

    read = [Record.read(path) for path in records]
    compared = compare_records(read, anyway=anyway)
    if as_json:
        print(json.dumps(compared.model_dump(mode="json")))
        return
    from rich.console import Console

    console = Console()
    for other, found in zip(read[1:], compared.differences, strict=True):
        for difference in found:
            console.print(f"{read[0].model} and {other.model} differ in {difference}", markup=False)
    for table in comparison_tables(read):
        console.print(table)


def _evaluate_tracking(
    predictions: Path | None,
    data: DataOptions,
    *,
    similarity: "Similarity | None",
    skeleton: str | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score identities in videos and print the scores."""
    from everypose.evaluation.tracking.evaluate import evaluate_tracking
    from everypose.skeleton.skeleton import Skeleton

    if predictions is None or data.annotations is None:
        raise UsageError("--tracking needs --annotations, the ground truth, and --predictions, the tracking results")
    evaluation = evaluate_tracking(
        data.annotations,
        predictions,
        similarity=similarity,
        skeleton=None if skeleton is None else Skeleton.find(skeleton),
        quiet=quiet,
    )
    if out is not None:
        evaluation.write(out)
    if as_json:
        print(evaluation.to_json())
    elif not quiet:
        from rich.console import Console

        console = Console()
        for table in evaluation.tables():
            console.print(table)


def _require_no_model_options(
    run: RunOptions,
    data: DataOptions,
    boxes: BoxOptions,
    *,
    size: int | None,
    family: str | None,
    decoder: Decoder | None,
    others: Mapping[str, object] | None = None,
) -> None:
    """Refuse options that say how a model is run: given predictions were made before."""
    values: dict[str, object] = {
        "--data": data.data,
        "--split": data.split,
        "--dataset": data.dataset,
        "--boxes": boxes.boxes,
        "--detector": boxes.detector,
        "--box-threshold": boxes.box_threshold,
        "--flip": run.flip or None,
        "--device": None if run.device == RunOptions.device else run.device,
        "--size": size,
        "--family": family,
        "--decoder": decoder,
        "--batch": run.batch,
        **(others or {}),
    }
    if given := [option for option, value in values.items() if value is not None]:
        if others is not None:
            raise UsageError(f"{', '.join(given)}: not with --tracking, which scores given results")
        raise UsageError(
            f"{', '.join(given)}: only with MODEL; say how predictions were made by --state boxes=..., "
            "--state flip=... and --state input_size=..."
        )


def _of_predictions(
    predictions: Path,
    data: DataOptions,
    run: RunOptions,
    *,
    metric: Metric | None,
    skeleton: str | None,
    state: list[str] | None,
) -> "Evaluation":
    from everypose.evaluation.evaluate import evaluate_predictions
    from everypose.skeleton.skeleton import Skeleton

    if data.annotations is None:
        raise UsageError("--predictions needs --annotations, the file to score them against")
    return evaluate_predictions(
        predictions,
        data.annotations,
        image_root=data.images,
        metric=metric,
        skeleton=None if skeleton is None else Skeleton.find(skeleton),
        sigmas=run.sigma_values(),
        protocol=parse_protocol_fields(state or []),
    )


def _print(evaluation: "Evaluation", *, as_json: bool, quiet: bool) -> None:
    """Print the record, as JSON or as tables."""
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
