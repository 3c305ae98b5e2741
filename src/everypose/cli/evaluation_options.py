"""The options of ``evaluate`` and ``study``: which data, which boxes, how the model is run and scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.core.decoder_names import Decoder
from everypose.errors import UsageError
from everypose.evaluation.metrics.metric import Metric
from everypose.evaluation.run_settings import RunSettings

if TYPE_CHECKING:
    from everypose.data.discovery.layouts import Layout
    from everypose.evaluation.box_source import BoxSource
    from everypose.evaluation.options import EvaluationOptions

DEVICE_HELP = "cpu, cuda or cuda:N; for an .onnx file also openvino or openvino:bf16; auto for the fastest that agrees."
PROTOCOL_FIELDS = ("dataset", "split", "boxes", "flip", "input_size", "nms")
"""What ``--state`` may say of given predictions."""

SizeOption = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="PIXELS",
        help="Short side of a single-stage model's input, a multiple of its step (16 for boir-lite), 64 to 1280. A "
        "larger size finds smaller people. [default: the model's]",
    ),
]

FamilyOption = Annotated[
    str | None,
    typer.Option(
        "--family",
        help="Of an .onnx file of another project that is not recognized: rtmpose, rtmw, rtmo, detrpose or "
        "easy-vitpose.",
    ),
]


@dataclass(frozen=True)
class DataOptions:
    """Which annotated images, by data set and split or by file.

    >>> layout, names = DataOptions(annotations=Path("gt.json"), images=Path("photos")).find()
    >>> layout.annotation_file.name, layout.image_root.name, names
    ('gt.json', 'photos', {})
    """

    data: Annotated[Path | None, typer.Option("--data", help="The data set's folder; annotations are found in it.")] = (
        None
    )
    split: Annotated[
        str | None, typer.Option("--split", help="Split of --data: train, val, test, or the name of a subset.")
    ] = None
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Which data set, if --data holds several: coco, crowdpose, ...")
    ] = None
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", help="Instead of --data and --split: a COCO-format annotation file."),
    ] = None
    images: Annotated[Path | None, typer.Option("--images", help="The folder of the images of --annotations.")] = None

    def find(self) -> "tuple[Layout, dict[str, str | bool]]":
        """Find the split on disk.

        Returns:
            The split, and the names of data set and split for the record.

        Raises:
            EveryposeError: if nothing is found there.
            UsageError: if the options do not name exactly one split.
        """
        from everypose.data.discovery.layouts import Layout, find_data

        if self.data is not None and self.split is not None and self.annotations is None:
            layout = find_data(self.data, self.split, self.dataset)
            name = layout.dataset or self.dataset or self.data.resolve().name
            return layout, {"dataset": name, "split": self.split}
        if self.annotations is not None and self.images is not None and self.data is None:
            layout = Layout((self.annotations,), self.images, None, None, "the given annotation file and images")
            return layout, {}
        raise UsageError("scoring a model needs either --data and --split, or --annotations and --images")


@dataclass(frozen=True)
class DetectionOptions:
    """Where a top-down model's boxes come from.

    >>> DetectionOptions(detector="picodet-s").source(0.3).threshold
    0.3
    """

    boxes: Annotated[
        str | None,
        typer.Option(
            "--boxes",
            metavar="truth|FILE",
            help="For a top-down model: truth for the annotated boxes, or a COCO results list with bbox and score.",
        ),
    ] = None
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            help="For a top-down model: a single-stage model, or a YOLOX, RT-DETR or PicoDet (.onnx). "
            "[default: picodet-s]",
        ),
    ] = None

    def source(self, threshold: float | None) -> "BoxSource":
        """The source of boxes with a lowest score."""
        from everypose.evaluation.box_source import BoxSource

        return BoxSource(self.boxes, self.detector, threshold)


@dataclass(frozen=True)
class BoxOptions(DetectionOptions):
    """Where a top-down model's boxes come from, and which of them are used.

    >>> BoxOptions(boxes="truth").source(None).is_ground_truth
    True
    """

    box_threshold: Annotated[
        float | None,
        typer.Option("--box-threshold", help="Lowest score of a box. [default: the detector's]", min=0, max=1),
    ] = None


@dataclass(frozen=True)
class RunOptions:
    """How a model is run and scored.

    >>> run = RunOptions(sigmas="0.1,0.2", flip=True)
    >>> run.sigma_values(), run.flip
    ((0.1, 0.2), True)
    """

    sigmas: Annotated[
        str | None,
        typer.Option("--sigmas", help="OKS sigmas: 0.026,0.025,... or a JSON file with a list of them."),
    ] = None
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Test-time flip augmentation: average with the mirror image.")
    ] = RunSettings.flip
    device: Annotated[str, typer.Option("--device", help=DEVICE_HELP)] = RunSettings.device
    batch: Annotated[
        int | None, typer.Option("--batch", help="Images in a batch. [default: the fastest, 1 or 4]", min=1)
    ] = RunSettings.batch_size
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = RunSettings.quiet

    def evaluation(
        self,
        boxes: "BoxSource",
        *,
        metric: Metric | None = None,
        size: int | None = None,
        skeleton: str | None = None,
        family: str | None = None,
        decoder: Decoder | None = None,
    ) -> "EvaluationOptions":
        """The options of an evaluation.

        Args:
            boxes: where a top-down model's boxes come from.
            metric: default: the one that the data set is published with.
            size: short side of a single-stage model's input.
            skeleton: of a model of several data sets.
            family: of an ONNX file of another project.
            decoder: of a top-down model.

        Raises:
            UsageError: if the sigmas are not positive numbers.
        """
        from everypose.evaluation.options import EvaluationOptions

        return EvaluationOptions(
            metric=metric,
            sigmas=self.sigma_values(),
            flip=self.flip,
            device=self.device,
            size=size,
            batch_size=self.batch,
            boxes=boxes,
            skeleton=skeleton,
            family=family,
            decoder=decoder,
            quiet=self.quiet,
        )

    def sigma_values(self) -> tuple[float, ...] | None:
        """The values of ``--sigmas``; errors as ``parse_sigmas``."""
        return None if self.sigmas is None else parse_sigmas(self.sigmas)


def parse_sigmas(text: str) -> tuple[float, ...]:
    """Read sigmas from ``0.026,0.025,...`` or from a JSON file with a list of them.

    Raises:
        UsageError: if they are not numbers between 0 and 1.

    >>> parse_sigmas("0.026,0.025")
    (0.026, 0.025)
    """
    from everypose.core.files import read_json

    try:
        values = read_json(Path(text)) if text.endswith(".json") else text.split(",")
        sigmas = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"the sigmas {text!r} must be numbers, 0.026,0.025,... or a JSON file with a list") from error
    if not all(0 < sigma < 1 for sigma in sigmas):
        raise UsageError(f"the sigmas {text!r}: each must lie between 0 and 1 (COCO's are 0.025 to 0.107)")
    return sigmas


def parse_protocol_fields(pairs: list[str], allowed: tuple[str, ...] = PROTOCOL_FIELDS) -> dict[str, str | bool]:
    """Read protocol fields from ``FIELD=VALUE`` pairs.

    Raises:
        UsageError: if a field is not in ``allowed``, or ``flip`` is neither yes nor no.

    >>> parse_protocol_fields(["boxes=ground truth", "flip=yes"])
    {'boxes': 'ground truth', 'flip': True}
    """
    fields: dict[str, str | bool] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in allowed:
            raise UsageError(f"--state {pair!r} must be FIELD=VALUE with one of {', '.join(allowed)}")
        if name == "flip" and value not in ("yes", "no"):
            raise UsageError(f"--state {pair!r}: flip is yes or no")
        fields[name] = value == "yes" if name == "flip" else value
    return fields
