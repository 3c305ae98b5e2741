"""Photos and annotated sets to measure on: the given ones, or the package's pictures with synthetic people."""

from importlib import resources
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks.performance.record import Options
from everypose.core.files import write_json
from everypose.data.formats.coco import read_coco
from everypose.data.images import read_header, read_image
from everypose.data.scenes import SceneSet
from everypose.skeleton.skeleton import Skeleton

SIZE = (640, 480)
"""Width and height of the photos."""
MADE = "made of the package's pictures"


def example(name: str) -> Path:
    """A picture of the package."""
    return Path(str(resources.files("everypose") / "examples" / name))


def photos_of(options: Options, folder: Path, count: int) -> list[Path]:
    """Photos of 640 x 480: the first that the given folder has, or the package's pictures, brought to that size."""
    if options.photos is not None:
        found = (path for path in sorted(options.photos.glob("*.jpg")) if _size(path) == SIZE)
        return list(islice(found, count))
    pictures = sorted(Path(str(resources.files("everypose") / "examples")).glob("*.jpg"))
    made = []
    for number, picture in zip(range(count), cycle(pictures), strict=False):
        path = folder / f"made_{number:06}.jpg"
        # Each another part of its picture, so that no two files are the same.
        image = read_image(picture)[number % 8 :, number // 8 % 8 :, ::-1]
        cv2.imwrite(str(path), cv2.resize(image, SIZE, interpolation=cv2.INTER_LINEAR))
        made.append(path)
    return made


def annotated(options: Options, folder: Path, count: int) -> SceneSet:
    """An annotated set: the given one, or ``count`` synthetic photos with five people each."""
    if options.train_annotations is not None and options.photos is not None:
        return read_coco(options.train_annotations, options.photos)
    rng, skeleton = np.random.default_rng(0), Skeleton.named("coco")
    made = photos_of(Options(), folder, count)
    content = {
        "images": [
            {"id": number, "file_name": path.name, "width": SIZE[0], "height": SIZE[1]}
            for number, path in enumerate(made)
        ],
        "annotations": [person(rng, number, 5 * number + i) for number in range(count) for i in range(5)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": []}],
    }
    write_json(folder / "made.json", content)
    return read_coco(folder / "made.json", folder, skeleton)


def person(rng: np.random.Generator, image_id: int, number: int) -> dict[str, object]:
    """A synthetic annotation: random keypoints in a box, and an outline of twelve corners."""
    size = rng.uniform((60, 120), (200, 400))
    corner = rng.uniform((0, 0), np.subtract(SIZE, size))
    points = np.c_[corner + rng.uniform(0, 1, (17, 2)) * size, rng.integers(0, 3, 17)]
    points[0, 2] = 2
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    outline = corner + size / 2 + np.c_[np.cos(angles), np.sin(angles)] * size / 2
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [*corner.tolist(), *size.tolist()],
        "area": float(0.78 * size.prod()),
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "keypoints": points.ravel().tolist(),
        "segmentation": [outline.ravel().tolist()],
    }


def _size(path: Path) -> tuple[int, int]:
    header = read_header(path)
    return header.width, header.height
