"""Count false detections on images without people, at a model's default threshold.

Images are given, cut from labeled photos outside all annotations, or generated: noise, stripes, gradients, blobs.

python -m benchmarks.ghosts MODEL [PHOTO ...] [--backgrounds ANNOTATIONS.json IMAGES] [--cut 40] [--painted 20]
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from everypose.data.formats.coco import read_coco
from everypose.data.images import read_image
from everypose.data.scenes import Scene
from everypose.errors import exit_on_user_error
from everypose.inference.loading import load

Image = npt.NDArray[np.uint8]
LEAST = (240, 180)
TRIES = 200


def empty_part(scene: Scene, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """A region x1 y1 x2 y2 of a photo, at least 240 x 180, without annotated boxes; None if none was found."""
    if scene.width < LEAST[0] or scene.height < LEAST[1]:
        return None
    for _ in range(TRIES):
        width = int(rng.integers(LEAST[0], scene.width, endpoint=True))
        height = int(rng.integers(LEAST[1], scene.height, endpoint=True))
        left = int(rng.integers(0, scene.width - width, endpoint=True))
        top = int(rng.integers(0, scene.height - height, endpoint=True))
        x1, y1, x2, y2 = scene.boxes.T
        if not ((x1 < left + width) & (x2 > left) & (y1 < top + height) & (y2 > top)).any():
            return left, top, left + width, top + height
    return None


def backgrounds(annotations: Path, images: Path, count: int, rng: np.random.Generator) -> Iterator[tuple[str, Image]]:
    """Regions of labeled photos without people."""
    for scene in read_coco(annotations, images).scenes:
        part = empty_part(scene, rng)
        if part is None:
            continue
        if count == 0:
            return
        count -= 1
        left, top, right, bottom = part
        yield f"{scene.file_name} {part}", np.ascontiguousarray(read_image(scene.path)[top:bottom, left:right])


def painted(count: int, rng: np.random.Generator) -> Iterator[tuple[str, Image]]:
    """Noise, stripes, gradients and blobs, alternating."""
    y, x = np.mgrid[:480, :640]
    for number in range(count):
        kind = ("noise", "stripes", "gradient", "blobs")[number % 4]
        if kind == "noise":
            grain = int(rng.integers(2, 40))
            values = cv2.resize(rng.random((480 // grain, 640 // grain, 3)), (640, 480))
        elif kind == "stripes":
            values = np.sin((x * rng.normal() + y * rng.normal()) / rng.uniform(2, 20))[..., None] / 2 + 0.5
        elif kind == "gradient":
            values = (x / 640 * rng.random(3)[:, None, None] + y / 480 * rng.random(3)[:, None, None]).transpose(
                1, 2, 0
            )
        else:
            values = cv2.GaussianBlur(rng.random((480, 640, 3)), (0, 0), rng.uniform(5, 25))
            values = (values - values.min()) / np.ptp(values)
        yield f"painted {kind} {number}", np.broadcast_to(values * 255, (480, 640, 3)).clip(0, 255).astype(np.uint8)


def main() -> None:
    """Print the count and the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("photos", type=Path, nargs="*")
    parser.add_argument("--backgrounds", type=Path, nargs=2, metavar=("ANNOTATIONS", "IMAGES"))
    parser.add_argument("--cut", type=int, default=40)
    parser.add_argument("--painted", type=int, default=20)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    pictures = [(str(photo), read_image(photo)) for photo in arguments.photos]
    if arguments.backgrounds:
        annotations, images = arguments.backgrounds
        pictures += backgrounds(annotations, images, arguments.cut, rng)
    pictures += painted(arguments.painted, rng)
    pose = load(arguments.model)
    ghosts = 0
    for name, picture in pictures:
        people = pose(picture)
        ghosts += len(people)
        if len(people):
            print(f"{name}: {len(people)} (best score {people.scores[0]:.2f})")
    print(f"{ghosts} people found on {len(pictures)} pictures without people, at scores from {pose.min_score:g}")


if __name__ == "__main__":
    with exit_on_user_error("ghosts"):
        main()
