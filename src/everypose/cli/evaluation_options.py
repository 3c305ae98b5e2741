"""The options that say on what a model is measured and in which boxes, for ``evaluate`` and ``study``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.errors import UsageError

if TYPE_CHECKING:
    from everypose.data.discovery.layouts import Layout
    from everypose.evaluation.box_source import BoxSource

DEVICE_HELP = "cpu, cuda or cuda:N; for an .onnx file also openvino or openvino:bf16."
DataOption = Annotated[
    Path | None, typer.Option("--data", help="The data set's folder, to find the labelled images in.")
]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="Of --data: train, val, test, or a subset's own name.")
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="Of --data: which data set, where several lie together.")
]
AnnotationsOption = Annotated[
    Path | None, typer.Option("--annotations", help="In place of --data and --split: a COCO-format annotation file.")
]
ImagesOption = Annotated[Path | None, typer.Option("--images", help="The folder of its images.")]
BoxesOption = Annotated[
    str | None,
    typer.Option(
        "--boxes",
        metavar="truth|FILE",
        help="For a top-down model: truth for the annotated boxes, or a COCO results list with boxes (bbox, score).",
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="For a top-down model: a single-stage model, or a YOLOX, RT-DETR or PicoDet (.onnx). [default: boir-lite]",
    ),
]
BoxThresholdOption = Annotated[
    float | None,
    typer.Option("--box-threshold", help="Leave out boxes that score less. [default: the detector's]", min=0, max=1),
]
SigmasOption = Annotated[
    str | None, typer.Option("--sigmas", help="OKS sigmas: 0.026,0.025,... or a JSON file with a list of them.")
]
FlipOption = Annotated[bool, typer.Option("--flip/--no-flip", help="Average in the mirrored image.")]
DeviceOption = Annotated[str, typer.Option("--device", help=DEVICE_HELP)]
SizeOption = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="PIXELS",
        help="Short side at which a single-stage model sees an image, a multiple of its step (16 for boir-lite), 64 to "
        "1280: the larger, the smaller the people it finds. [default: the model's]",
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", help="Images that go through at once. [default: what is fastest, 1 or 4]", min=1),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]


@dataclass(frozen=True)
class DataChoice:
    """What the options say of the data."""

    data: Path | None
    split: str | None
    dataset: str | None
    annotations: Path | None
    images: Path | None

    def find(self) -> "tuple[Layout, dict[str, str]]":
        """The split on disk, and what a record calls it.

        Raises:
            EveryposeError: when nothing is found there.
            UsageError: when the options do not say one thing.
        """
        from everypose.data.discovery.layouts import Layout, find_data

        if self.data is not None and self.split is not None and self.annotations is None:
            layout = find_data(self.data, self.split, self.dataset)
            name = layout.dataset or self.dataset or self.data.resolve().name
            return layout, {"dataset": name, "split": self.split}
        if self.annotations is not None and self.images is not None and self.data is None:
            layout = Layout((self.annotations,), self.images, None, None, "the given annotation file and images")
            return layout, {}
        raise UsageError("measuring a model needs either --data and --split, or --annotations and --images")


def box_source(boxes: str | None, detector: str | None, threshold: float | None) -> "BoxSource":
    """What the options say of boxes."""
    from everypose.evaluation.box_source import BoxSource

    return BoxSource(boxes, detector, threshold)


def sigmas_of(text: str | None) -> tuple[float, ...] | None:
    """The sigmas that ``--sigmas`` gives."""
    from everypose.evaluation.evaluate import parse_sigmas

    return None if text is None else parse_sigmas(text)
