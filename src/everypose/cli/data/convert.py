"""``everypose data convert`` and ``join``: other formats to COCO, COCO to YOLO-pose, several files to one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from everypose.errors import UsageError

if TYPE_CHECKING:
    from everypose.data.formats.split import Split


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE", help="A folder or file: YOLO-pose, COCO, CVAT, Label Studio, Roboflow, MPII."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to, or a .json file for COCO.")],
    to: Annotated[Literal["coco", "yolo"], typer.Option(help="The format to write.")] = "coco",
    images: Annotated[Path | None, typer.Option(help="Folder of the images, if it is elsewhere.")] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Names of YOLO's keypoints: a known skeleton (coco) or a TOML file.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the images instead of linking them.")] = False,
) -> None:
    """Convert a keypoint data set: COCO to Ultralytics YOLO-pose and back, MPII and annotation tools' exports to COCO.

    The format of SOURCE is detected. Several sources become the splits of one data set, by their names.

    Example: everypose data convert cvat-export -o mydata
    """
    from everypose.core.files import refuse_to_replace
    from everypose.data.formats.convert import read_any, write_coco
    from everypose.data.formats.yolo_writing import write_yolo
    from everypose.skeleton.skeleton import Skeleton

    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images} is not a folder")
    if to == "yolo" and out.suffix:
        raise UsageError(f"a YOLO-pose data set is a folder, not {out}")
    refuse_to_replace(out, *sources)
    named = None if skeleton is None else Skeleton.find(skeleton)
    splits = [split for source in sources for split in read_any(source, images, named)]
    names = [split.name for split in splits]
    if len(set(names)) < len(names):
        raise UsageError(f"two sources are for the same split ({', '.join(names)}); name them train, val and test")
    if to == "yolo":
        notes = write_yolo(splits, out, copy)
    else:
        write_coco(splits, out, copy)
        notes = []
    for split in splits:
        _print(split)
    for note in notes:
        print(f"  {note}")
    print(f"wrote {out}")


def join(
    files: Annotated[list[Path], typer.Argument(metavar="A.json B.json", help="COCO files of one data set.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The COCO file to write.")],
) -> None:
    """Join annotation files into one, such as CrowdPose's train and val.

    Example: everypose data join crowdpose_train.json crowdpose_val.json -o crowdpose_trainval.json
    """
    from everypose.core.files import refuse_to_replace, write_json
    from everypose.data.discovery.annotation_files import load
    from everypose.data.formats import convert as conversion

    if len(files) < 2:
        raise UsageError("give two or more annotation files to join")
    refuse_to_replace(out, *files)
    contents = [(str(path), load(path)) for path in files]
    joined = conversion.join(contents)
    write_json(out, joined, null_for_nan=True)
    twice = sum(len(content["images"]) for _, content in contents) - len(joined["images"])
    print(f"wrote {out}: {len(joined['images']):,} images, {len(joined['annotations']):,} annotations")
    if twice:
        print(f"  {twice:,} images listed in several files were kept once")


def _print(split: "Split") -> None:
    images, annotations = len(split.content["images"]), len(split.content["annotations"])
    print(f"{split.name}: {images:,} images, {annotations:,} annotations")
    for note in split.notes:
        print(f"  {note}")
