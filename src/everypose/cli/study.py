"""``everypose study``: the papers' studies on any data set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from everypose.cli.evaluation_options import BoxOptions, DataOptions, DetectionOptions, RunOptions
from everypose.cli.option_groups import expand_options
from everypose.cli.study_maps import heatmaps, similarity, tsne
from everypose.cli.study_options import (
    OUT,
    BoxOption,
    DetectorOption,
    ImageArgument,
    JsonOption,
    OutOption,
    QuietOption,
    finish,
    one_box,
)
from everypose.errors import MissingDependencyError

study_app = typer.Typer(
    help="Repeat the papers' studies on your own data.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A top-down model: a folder, a file or a hub id.")]
FolderArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A MIPNet model: a folder or a released checkpoint.")
]
AgainstOption = Annotated[str, typer.Option("--against", metavar="BASELINE", help="The model to compare with.")]


@study_app.command()
@expand_options
def boxes(
    model: ModelArgument,
    run: RunOptions,
    data: DataOptions,
    detection: DetectionOptions,
    against: Annotated[str | None, typer.Option(help="Another model, in the same boxes.")] = None,
    thresholds: Annotated[
        str | None, typer.Option(metavar="0,0.1,...", help="Default: 0 to 0.9 in steps of 0.1.")
    ] = None,
    out: OutOption = OUT,
    as_json: JsonOption = False,
) -> None:
    """AP against the detector's confidence threshold, 0 to 0.9 (MIPNet, Fig. 5).

    The network runs once on each crop. Some detectors need other thresholds: single-stage models seldom score a
    person above 0.3, and YOLOX returns thousands of boxes at 0.

    Example: everypose study boxes mipnet --against hrnet --data data/ochuman --split val --boxes detections.json
    """
    from everypose.evaluation.evaluate import prepare_evaluation
    from everypose.studies.boxes import THRESHOLDS, parse_thresholds, study_boxes

    levels = THRESHOLDS if thresholds is None else parse_thresholds(thresholds)
    layout, _ = data.find()
    options = run.evaluation(detection.source(levels[0]))
    models = [model] if against is None else [model, against]
    setups = [prepare_evaluation(each, layout, options) for each in models]
    finish(study_boxes(setups, levels, quiet=run.quiet), out, as_json=as_json, quiet=run.quiet)


@study_app.command()
@expand_options
def occlusion(
    *,
    model: ModelArgument,
    against: AgainstOption,
    run: RunOptions,
    data: DataOptions,
    boxes: BoxOptions,
    out: OutOption = OUT,
    as_json: JsonOption = False,
) -> None:
    """AP and its gain by occlusion, the largest IoU of a person's box with another person's (MIPNet, Table 1).

    Example: everypose study occlusion mipnet --against hrnet --data data/ochuman --split val --boxes truth
    """
    from everypose.evaluation.evaluate import evaluate_model
    from everypose.studies.occlusion import study_occlusion

    layout, names = data.find()
    options = run.evaluation(boxes.source(boxes.box_threshold))
    record, baseline = (evaluate_model(each, layout, options, protocol=names).record for each in (model, against))
    finish(study_occlusion(record, baseline), out, as_json=as_json, quiet=run.quiet)


@study_app.command()
@expand_options
def dark(
    model: FolderArgument,
    run: RunOptions,
    data: DataOptions,
    boxes: BoxOptions,
    out: OutOption = OUT,
    as_json: JsonOption = False,
) -> None:
    """AP with the quarter offset and with DARK, on the same crops (MIPNet, Table 6).

    Example: everypose study dark mipnet --data data/coco --split val --boxes truth
    """
    with _needs_torch():
        from everypose.studies.dark import open_decoders, study_dark
    layout, _ = data.find()
    setup = open_decoders(model, layout, run.evaluation(boxes.source(boxes.box_threshold)))
    finish(study_dark(setup, quiet=run.quiet), out, as_json=as_json, quiet=run.quiet)


@study_app.command()
def selector(
    model: FolderArgument,
    image: ImageArgument,
    box: BoxOption = None,
    detector: DetectorOption = None,
    steps: Annotated[int, typer.Option(help="How many poses.", min=2)] = 6,
    out: OutOption = OUT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Poses while the selector moves from the primary to the second person of a box (MIPNet, Fig. 6).

    Example: everypose study selector mipnet pair.jpg --box 100,50,400,600
    """
    from everypose.data.images import read_image

    with _needs_torch():
        from everypose.studies.networks import read_mipnet
        from everypose.studies.selector import study_selector
    network, config = read_mipnet(model)
    pixels = read_image(image)
    where = one_box(box, detector, pixels, image)
    study = study_selector(network, config, pixels, box=where, steps=steps, name=image.name)
    finish(study, out, as_json=as_json, quiet=quiet)


@study_app.command()
def latency(
    model: FolderArgument,
    crops: Annotated[int, typer.Option(help="Crops in a batch.", min=1)] = 24,
    turns: Annotated[int, typer.Option(help="How often each number of people is timed.", min=1)] = 10,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    out: OutOption = OUT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time of a batch of crops for 1, 2, 3 and 4 people in each, as ratios within one run (MIPNet, Table 3).

    Example: everypose study latency mipnet --crops 24 --device cuda
    """
    with _needs_torch():
        from everypose.studies.latency import study_latency
        from everypose.studies.networks import read_mipnet
    network, config = read_mipnet(model)
    study = study_latency(network, config, crops=crops, turns=turns, device=device, quiet=quiet)
    finish(study, out, as_json=as_json, quiet=quiet)


study_app.command()(similarity)
study_app.command()(tsne)
study_app.command()(heatmaps)


@contextmanager
def _needs_torch() -> Iterator[None]:
    """Name the missing extra if an import in the block fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError("this study", "train") from error
