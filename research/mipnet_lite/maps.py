"""Feature maps before stage 4 for crops around detector boxes, so that the later layers train in minutes.

    python -m research.mipnet_lite.maps TINYPOSE.onnx ANNOTATIONS.json IMAGES BOXES.npz OUT.npz [--images 140]

``BOXES.npz`` is written by ``research.mipnet_lite.detect``; boxes from 0.2 on are cropped, without augmentation.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from everypose.backbones.normalization import normalize
from everypose.core.files import read_json
from everypose.core.progress import track
from everypose.data.formats.coco import read_coco
from everypose.data.images import read_image
from everypose.methods.top_down.crops import CropGeometry, warp
from everypose.skeleton.skeleton import Skeleton
from research.mipnet_lite.samples import HEIGHT, WIDTH, Floats, Sample, detections_of, moved, people_of, target_maps
from research.mipnet_lite.train import build

LEAST_BOX, LEVELS, BATCH = 0.2, 4, 8
EMPTY = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@dataclass(frozen=True)
class Maps:
    """The crops of a set's boxes.

    Attributes:
        images: (N,) id of each box's image.
        boxes: (N, 5) x1 y1 x2 y2 score.
        matrices: (N, 2, 3) from the image to the crop.
        levels: four arrays (N, C, h, w) float16.
    """

    images: np.ndarray
    boxes: np.ndarray
    matrices: np.ndarray
    levels: list[np.ndarray]

    @classmethod
    def read(cls, path: Path) -> "Maps":
        """Read a file of :func:`main`."""
        with np.load(path, allow_pickle=False) as arrays:
            levels = [arrays[f"level{level}"] for level in range(LEVELS)]
            return cls(arrays["images"], arrays["boxes"], arrays["matrices"], levels)

    def tensors(self, indices: np.ndarray) -> list[torch.Tensor]:
        """The maps of some crops, float32."""
        return [torch.from_numpy(level[indices].astype(np.float32)) for level in self.levels]


def samples_of(maps: Maps, annotations: Path, images: Path) -> Iterator[tuple[int, Sample]]:
    """The training samples among the boxes, each with its position; their crops are not needed and empty."""
    for scene in read_coco(annotations, images, Skeleton.named("coco")).scenes:
        own = np.flatnonzero(maps.images == scene.image_id)
        people = people_of(scene, maps.boxes[own], composed="background" in scene.extra)
        for person in people:
            same = own[(maps.boxes[own, :4] == person.box).all(axis=1)]
            if not len(same):
                continue
            matrix = maps.matrices[same[0]]
            second = None if person.second is None else moved(person.second, matrix, False)
            if second is not None and target_maps(second)[1].sum() < 4:
                second = None
            area = WIDTH * HEIGHT / (matrix[0, 0] * matrix[1, 1])
            yield int(same[0]), Sample(EMPTY, moved(person.primary, matrix, False), second, person.composed, area)


def crops_of(path: Path, boxes: Floats) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Crops (256, 192, 3) and matrices (2, 3) of an image's boxes (N, 5)."""
    geometry = CropGeometry()
    image = read_image(path)
    centers, sizes = geometry.regions(boxes[:, :4])
    matrices = [geometry.matrix(center, size) for center, size in zip(centers, sizes, strict=True)]
    return [warp(image, matrix, geometry.size) for matrix in matrices], matrices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("published", "annotations", "images", "boxes", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--images", type=int, dest="count", help="the first images only")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _, network = build(given.published)
    network.eval()
    detections = detections_of(given.boxes)
    identities, boxes, matrices = [], [], []
    levels: list[list[np.ndarray]] = [[] for _ in range(LEVELS)]
    entries = read_json(given.annotations)["images"][: given.count]
    for entry in track(entries, "computing", len(entries)):
        found = detections[str(entry["id"])]
        found = found[found[:, 4] > LEAST_BOX]
        crops, cuts = crops_of(given.images / entry["file_name"], found)
        identities += [entry["id"]] * len(found)
        boxes.append(found)
        matrices += cuts
        for begin in range(0, len(crops), BATCH):
            with torch.no_grad():
                maps = network.trunk(normalize(torch.from_numpy(np.stack(crops[begin : begin + BATCH]))))
            for level, each in zip(levels, maps, strict=True):
                level.append(each.numpy().astype(np.float16))
    arrays = {f"level{index}": np.concatenate(level) for index, level in enumerate(levels)}
    where = {"images": np.array(identities), "boxes": np.concatenate(boxes), "matrices": np.stack(matrices)}
    np.savez(given.out, allow_pickle=False, **where, **arrays)


if __name__ == "__main__":
    main()
