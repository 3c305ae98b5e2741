"""Commands on one photo or clip besides predicting photos, for the table of peak memory."""

import json
import shutil
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from everypose import load
from everypose.core.geometry import Size
from everypose.data.images import read_image

CLIPS = (Size(640, 480), Size(1920, 1080), Size(3840, 2160))
FRAMES = 40

Commands = Mapping[str, Sequence[str]]


def on_labeled_photo(photo: Path, folder: Path) -> Commands:
    """Commands on a data set of one photo, whose labels are the people that boir-lite finds in it.

    Args:
        photo: the file.
        folder: is created; it receives the data set and what the commands write.
    """
    annotations = _data_set(photo, folder / "set")
    images, out = str(annotations.parent / "images"), folder / "out"
    backgrounds = folder / "backgrounds"
    backgrounds.mkdir()
    cv2.imwrite(str(backgrounds / "gray.jpg"), np.full_like(read_image(photo), 128))
    return {
        "evaluate boir-lite": (
            "evaluate", "boir-lite", "--annotations", str(annotations), "--images", images, "-o", f"{out}.json", "-q",
        ),
        "bulk run -m boir-lite": ("bulk", "run", images, "-m", "boir-lite", "-o", f"{out}-bulk"),
        "data doctor": ("data", "doctor", str(annotations), "--images", images),
        "data convert --to yolo --copy": (
            "data", "convert", str(annotations), "--images", images, "--to", "yolo", "--copy", "-o", f"{out}-yolo",
        ),
        "data crowd --count 1": (
            "data", "crowd", str(annotations), images, "--backgrounds", str(backgrounds), "--count", "1", "-q",
            "-o", f"{out}-crowd",
        ),
    }  # fmt: skip


def on_clip(clip: Path, folder: Path) -> Commands:
    """Predicting a clip, with tracks, smoothed keypoints and a drawn video."""
    return {
        f"predict CLIP -m {model} --track": (
            "predict", str(clip), "-m", model, "--track", "--smooth", "--quiet", "-o", str(folder / model),
        )
        for model in ("mipnet-lite", "boir-lite")
    }  # fmt: skip


def write_clip(path: Path, picture: Path, size: Size, frames: int) -> None:
    """Write a clip that moves slowly over a picture."""
    width, height = size
    scaled = cv2.resize(read_image(picture), (width + frames, height))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            pixels = np.ascontiguousarray(scaled[:, index : index + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _data_set(photo: Path, folder: Path) -> Path:
    """The annotation file of a COCO data set of one photo."""
    images = folder / "images"
    images.mkdir(parents=True)
    shutil.copy(photo, images)
    found = load("boir-lite")(photo)
    height, width = read_image(photo).shape[:2]
    labels = []
    for number, (keypoints, (left, top, right, bottom)) in enumerate(
        zip(found.keypoints, found.boxes.tolist(), strict=True), start=1
    ):
        rows = [value for x, y, _ in keypoints.tolist() for value in (x, y, 2)]
        box = [left, top, right - left, bottom - top]
        labels.append(
            {"id": number, "image_id": 1, "category_id": 1, "keypoints": rows, "num_keypoints": len(keypoints)}
            | {"bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        )
    category = {"id": 1, "name": "person", "keypoints": list(found.skeleton.keypoints), "skeleton": []}
    entry = {"id": 1, "file_name": photo.name, "width": width, "height": height}
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": [entry], "annotations": labels, "categories": [category]}))
    return path
