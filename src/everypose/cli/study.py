"""``everypose study``: the papers' studies on any data set given."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.cli.evaluation_options import (
    AnnotationsOption,
    BatchOption,
    BoxesOption,
    BoxThresholdOption,
    DataChoice,
    DataOption,
    DatasetOption,
    DetectorOption,
    DeviceOption,
    FlipOption,
    ImagesOption,
    QuietOption,
    SigmasOption,
    SplitOption,
    box_source,
    sigmas_of,
)
from everypose.errors import MissingDependencyError

if TYPE_CHECKING:
    from everypose.studies.report import Study

study_app = typer.Typer(
    help="Repeat the papers' studies on a data set of your own choice.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A top-down model: a folder, a file or a hub id.")]
FolderArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A MIPNet: a folder or an authors' checkpoint.")]
AgainstOption = Annotated[str, typer.Option("--against", metavar="BASELINE", help="The model to compare with.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="The folder for table (.md, .json) and picture.")]
OUT = Path("everypose-study")


@study_app.command()
def boxes(
    model: ModelArgument,
    against: Annotated[str | None, typer.Option(help="Another model, in the same boxes.")] = None,
    data: DataOption = None,
    split: SplitOption = None,
    dataset: DatasetOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    boxes: BoxesOption = None,
    detector: DetectorOption = None,
    thresholds: Annotated[
        str | None, typer.Option(metavar="0,0.1,...", help="Default: 0 to 0.9 in steps of 0.1.")
    ] = None,
    sigmas: SigmasOption = None,
    flip: FlipOption = False,
    device: DeviceOption = "cpu",
    batch: BatchOption = None,
    out: OutOption = OUT,
    quiet: QuietOption = False,
) -> None:
    """AP against the detector's confidence threshold, 0 to 0.9 (MIPNet, Fig. 5).

    Each crop goes through the network once. Single-stage models and YOLOX want thresholds of their own: people whom
    the former find seldom score above 0.3, and the latter gives thousands of boxes at 0.

    Example: everypose study boxes mipnet --against hrnet --data data/ochuman --split val --boxes detections.json
    """
    from everypose.evaluation.evaluate import open_model
    from everypose.studies.boxes import THRESHOLDS, parse_thresholds, study_boxes

    levels = THRESHOLDS if thresholds is None else parse_thresholds(thresholds)
    layout, _ = DataChoice(data, split, dataset, annotations, images).find()
    source = box_source(boxes, detector, levels[0])
    opened = [
        open_model(each, layout, sigmas=sigmas_of(sigmas), flip=flip, device=device, batch_size=batch, boxes=source)
        for each in ([model] if against is None else [model, against])
    ]
    _finish(study_boxes(opened, levels, quiet), out, quiet)


@study_app.command()
def occlusion(
    model: ModelArgument,
    against: AgainstOption,
    data: DataOption = None,
    split: SplitOption = None,
    dataset: DatasetOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    boxes: BoxesOption = None,
    detector: DetectorOption = None,
    box_threshold: BoxThresholdOption = None,
    sigmas: SigmasOption = None,
    flip: FlipOption = False,
    device: DeviceOption = "cpu",
    batch: BatchOption = None,
    out: OutOption = OUT,
    quiet: QuietOption = False,
) -> None:
    """AP and its gain by occlusion, the largest IoU of a person's box with another person's (MIPNet, Table 1).

    Example: everypose study occlusion mipnet --against hrnet --data data/ochuman --split val --boxes truth
    """
    from everypose.evaluation.evaluate import evaluate_model
    from everypose.studies.occlusion import study_occlusion

    layout, stated = DataChoice(data, split, dataset, annotations, images).find()
    source = box_source(boxes, detector, box_threshold)
    record, other = (
        evaluate_model(
            each,
            layout,
            stated,
            sigmas=sigmas_of(sigmas),
            flip=flip,
            device=device,
            batch_size=batch,
            boxes=source,
            quiet=quiet,
        ).record
        for each in (model, against)
    )
    _finish(study_occlusion(record, other), out, quiet)


@study_app.command()
def dark(
    model: FolderArgument,
    data: DataOption = None,
    split: SplitOption = None,
    dataset: DatasetOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    boxes: BoxesOption = None,
    detector: DetectorOption = None,
    box_threshold: BoxThresholdOption = None,
    sigmas: SigmasOption = None,
    flip: FlipOption = False,
    device: DeviceOption = "cpu",
    batch: BatchOption = None,
    out: OutOption = OUT,
    quiet: QuietOption = False,
) -> None:
    """AP with the quarter offset and with DARK, of the same crops (MIPNet, Table 6).

    Example: everypose study dark mipnet --data data/coco --split val --boxes truth
    """
    try:
        from everypose.studies.dark import open_decoders, study_dark
    except ModuleNotFoundError as error:
        raise MissingDependencyError("this study", "train") from error
    layout, _ = DataChoice(data, split, dataset, annotations, images).find()
    source = box_source(boxes, detector, box_threshold)
    opened = open_decoders(model, layout, sigmas_of(sigmas), flip, device, batch, source)
    _finish(study_dark(opened, quiet), out, quiet)


@study_app.command()
def selector(
    model: FolderArgument,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photo.")],
    box: Annotated[
        str | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Whose, in pixels. Default: the detector's surest.")
    ] = None,
    detector: DetectorOption = None,
    steps: Annotated[int, typer.Option(help="How many poses.", min=2)] = 6,
    out: OutOption = OUT,
    quiet: QuietOption = False,
) -> None:
    """Poses while the selector moves from the primary to the second person of a box, as pictures (MIPNet, Fig. 6).

    Example: everypose study selector mipnet pair.jpg --box 100,50,400,600
    """
    from everypose.data.images import read_image

    try:
        from everypose.studies.networks import read_mipnet
        from everypose.studies.selector import parse_box, study_selector, surest_box
    except ModuleNotFoundError as error:
        raise MissingDependencyError("this study", "train") from error
    from everypose.inference.loading import DEFAULT_DETECTOR, find_detector

    network, config = read_mipnet(model)
    pixels = read_image(image)
    if box is not None:
        where = parse_box(box)
    else:
        where = surest_box(find_detector(detector or DEFAULT_DETECTOR), pixels, str(image))
    _finish(study_selector(network, config, pixels, where, steps, image.name), out, quiet)


@study_app.command()
def latency(
    model: FolderArgument,
    crops: Annotated[int, typer.Option(help="Crops that go through at once.", min=1)] = 24,
    turns: Annotated[int, typer.Option(help="How often everything is timed.", min=1)] = 10,
    device: DeviceOption = "cpu",
    out: OutOption = OUT,
    quiet: QuietOption = False,
) -> None:
    """Time of a batch of crops for 1, 2, 3 and 4 people in each, as ratios of one run (MIPNet, Table 3).

    Example: everypose study latency mipnet --crops 24 --device cuda
    """
    try:
        from everypose.studies.latency import study_latency
        from everypose.studies.networks import read_mipnet
    except ModuleNotFoundError as error:
        raise MissingDependencyError("this study", "train") from error
    network, config = read_mipnet(model)
    _finish(study_latency(network, config, crops, turns, device, quiet), out, quiet)


def _finish(study: "Study", out: Path, quiet: bool) -> None:
    """Write the study's files; print the table and where they are."""
    written = study.write(out)
    if quiet:
        return
    print(f"{study.title}\n\n{study.table()}\n")
    for note in study.notes:
        print(f"note: {note}")
    print(f"wrote {', '.join(map(str, written))}")
