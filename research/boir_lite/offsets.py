"""Measure the error of a backbone's predicted offsets from visible keypoints to person centers.

Prints the median distance in units of the person's size (square root of the area), the share of keypoints whose
nearest center is the right person's, and both for a zero offset.

python -m research.boir_lite.offsets MODEL ANNOTATIONS.json IMAGES [--size 384] [--overlapped 0.3]
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from everypose.backbones.normalization import normalize
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.core.arrays import Image
from everypose.core.geometry import transform
from everypose.data.crowds.placement import heaviest_overlap
from everypose.data.formats.coco import read_coco
from everypose.data.images import read_image
from everypose.data.scenes import Scene
from everypose.errors import exit_on_user_error
from everypose.inference.resize import resize
from everypose.methods.boir.network import BoIR
from everypose.methods.single_stage.counts import VISIBLE
from everypose.methods.single_stage.decoding import STRIDE
from everypose.models.storage import load_model

Floats = npt.NDArray[np.float64]

SMALLEST = 10.0
"""Output pixels: smaller people are ignored."""


def main() -> None:
    """Measure every visible keypoint and print four numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--size", type=int, default=384, help="short side of the input")
    parser.add_argument("--overlapped", type=float, default=-1.0, help="only people of a larger box IoU with another")
    arguments = parser.parse_args()
    network, config = load_model(arguments.model)
    if not isinstance(network, BoIR) or not isinstance(network.backbone, OpenPoseLight):
        parser.error(f"{arguments.model} predicts no offsets: only boir on openpose-light does")
    rows: list[tuple[float, bool, float, bool]] = []
    for scene in read_coco(arguments.annotations, arguments.images, config.skeleton):
        if scene.is_labeled_person.any():
            canvas, matrix = resize(read_image(scene.path), arguments.size, config.on_images.step)
            rows += keypoints_of(scene, canvas, matrix, network, arguments.overlapped)
    if not rows:
        parser.error(f"{arguments.annotations} has no such keypoints")
    off, right, off_without, right_without = np.array(rows).T
    print(
        f"{len(rows)} visible keypoints: off by {np.median(off):.2f}, nearest to the right person {right.mean():.1%}; "
        f"without offsets {np.median(off_without):.2f}, {right_without.mean():.1%}"
    )


@torch.inference_mode()
def keypoints_of(
    scene: Scene, canvas: Image, matrix: Floats, network: BoIR, overlapped: float
) -> Iterator[tuple[float, bool, float, bool]]:
    """For each visible keypoint: distance to the center and whether it is the nearest one, with and without the offset.

    ``matrix`` (2, 3) is from the photo's pixels to those of the ``canvas``, the network's input.
    """
    feature = network.features(normalize(torch.from_numpy(canvas)[None], network.normalization))
    offsets = network.backbone.offsets(feature)
    assert offsets is not None
    people = np.flatnonzero(scene.is_labeled_person)
    keypoints = scene.keypoints[people]
    places = transform(keypoints[:, :, :2], matrix) / STRIDE
    centers = np.array([place[seen].mean(axis=0) for place, seen in zip(places, keypoints[:, :, 2] > 0, strict=True)])
    sizes = np.sqrt(scene.areas[people] * abs(np.linalg.det(matrix[:, :2]))) / STRIDE
    chosen = (sizes > SMALLEST) & (heaviest_overlap(scene.boxes[people]) > overlapped)
    for person, keypoint in np.argwhere(keypoints[:, :, 2] == VISIBLE):
        x, y = np.rint(places[person, keypoint]).astype(int)
        if chosen[person] and 0 <= x < offsets.shape[3] and 0 <= y < offsets.shape[2]:
            pixel = np.array([x, y], dtype=np.float64)
            pointed = pixel + offsets[0, :, y, x].numpy()
            yield (
                *_to_center(pointed, centers, person, sizes),
                *_to_center(pixel, centers, person, sizes),
            )


def _to_center(point: Floats, centers: Floats, person: int, sizes: Floats) -> tuple[float, bool]:
    """The distance of a point to a person's center, in the person's size, and whether that center is the nearest."""
    away = np.linalg.norm(centers - point, axis=1)
    return float(away[person] / sizes[person]), bool(away.argmin() == person)


if __name__ == "__main__":
    with exit_on_user_error("offsets"):
        main()
