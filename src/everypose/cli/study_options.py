"""What the commands of ``everypose study`` share: options, boxes, and the end of a study."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everypose.core.arrays import Float64, Image
    from everypose.studies.report import Study

OutOption = Annotated[Path, typer.Option("--out", "-o", help="The folder for table (.md, .json) and figure.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the table as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]
ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="A photo.")]
BoxOption = Annotated[
    str | None,
    typer.Option(metavar="X1,Y1,X2,Y2", help="In image pixels. Default: the detection with the best score."),
]
BoxesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--box", metavar="X1,Y1,X2,Y2", help="In image pixels; may be repeated. Default: the best detections."
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(help="A single-stage model, or a YOLOX, RT-DETR or PicoDet (.onnx). [default: picodet-s]"),
]
OUT = Path("everypose-study")


def one_box(box: str | None, detector: str | None, pixels: "Image", image: Path) -> "Float64":
    """The box (4,) of ``--box``, or the detection with the best score.

    Raises:
        EveryposeError: if no person was detected.
        UsageError: if the box is not four numbers, or there is no such detector.

    >>> import numpy as np
    >>> one_box("1,2,30,40", None, np.zeros((48, 64, 3), np.uint8), Path("a.jpg")).tolist()
    [1.0, 2.0, 30.0, 40.0]
    """
    from everypose.inference.detectors import find_detector
    from everypose.models.default_names import DEFAULT_DETECTOR
    from everypose.studies.box_crops import best_box, parse_box

    if box is not None:
        return parse_box(box)
    return best_box(find_detector(detector or DEFAULT_DETECTOR), pixels, str(image))


def several_boxes(boxes: list[str] | None, detector: str | None, pixels: "Image", most: int) -> "Float64":
    """The boxes (N, 4) of all ``--box``, or at most ``most`` detections; errors as ``one_box``.

    >>> import numpy as np
    >>> several_boxes(["1,2,30,40", "5,2,40,40"], None, np.zeros((48, 64, 3), np.uint8), most=2).shape
    (2, 4)
    """
    import numpy as np

    from everypose.inference.detectors import find_detector
    from everypose.models.default_names import DEFAULT_DETECTOR
    from everypose.studies.box_crops import best_boxes, parse_box

    if boxes:
        return np.stack([parse_box(box) for box in boxes])
    return best_boxes(find_detector(detector or DEFAULT_DETECTOR), pixels, most=most)


def finish(study: "Study", out: Path, *, as_json: bool, quiet: bool) -> None:
    """Write the study's files and print its table.

    >>> from everypose.studies.report import Study
    >>> study = Study(name="counts", title="Counts", columns={"n": str}, rows=[{"n": 1}], picture=b"")
    >>> finish(study, Path("study"), as_json=False, quiet=True)
    >>> sorted(path.name for path in Path("study").iterdir())
    ['counts.json', 'counts.md', 'counts.svg']
    """
    written = study.write(out)
    if as_json:
        print(json.dumps(study.content()))
        return
    if quiet:
        return
    print(f"{study.title}\n\n{study.table()}\n")
    for note in study.notes:
        print(f"note: {note}")
    print(f"wrote {', '.join(map(str, written))}")
