"""Training samples per second and core: everypose and the literal form, which renders heatmaps in the worker.

    python -m benchmarks.loader --annotations train.json --images images/ --size 512 --count 60

Both read, warp and mask the same photos with the same random draws, file decoding included, and transfer whole
batches in shared memory, as a loader's worker does. The literal form also normalizes the image, and draws each
person's Gaussians by the paper's loop into K + 1 maps for the image and K for each instance.
"""

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from everypose.data.formats.coco import read_coco
from everypose.data.images import read_image
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import exit_on_user_error
from everypose.methods.single_stage.augmentation import draw, possible_reduction
from everypose.methods.single_stage.samples import ImageSample, collate, make_sample, training_scenes
from everypose.methods.single_stage.settings import ImageAugmentation, ImageSampleSettings
from everypose.skeleton.skeleton import Skeleton

BATCH = 6
MEAN = np.array((0.485, 0.456, 0.406), np.float32)[:, None, None]
STD = np.array((0.229, 0.224, 0.225), np.float32)[:, None, None]

Arrays = list[np.ndarray]


class Cost(NamedTuple):
    """Seconds and bytes of one sample, the mean of a batch.

    Attributes:
        fast: seconds from the file to the batch in shared memory.
        reading: seconds of it to read and decode the file.
        literal: seconds of the literal form.
        our_bytes: bytes transferred.
        literal_bytes: bytes transferred by the literal form.
    """

    fast: float
    reading: float
    literal: float
    our_bytes: float
    literal_bytes: float


def costs(scenes: SceneSet, size: int, count: int) -> list[Cost]:
    """Costs of samples of the first ``count`` images in both forms, alternating batch by batch, on one core."""
    cv2.setNumThreads(1)
    chosen = training_scenes(scenes)[:count]
    batches = [chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH)]
    return [cost(batch, scenes.skeleton, size) for batch in batches]


def cost(scenes: Sequence[Scene], skeleton: Skeleton, size: int) -> Cost:
    """Of one batch."""
    start = time.perf_counter()
    for scene in scenes:
        read_image(scene.path)
    read = time.perf_counter()
    fast = our_batch([sample_of(scene, skeleton, size) for scene in scenes])
    hand_over(fast)
    middle = time.perf_counter()
    literal = literal_batch([sample_of(scene, skeleton, size) for scene in scenes])
    hand_over(literal)
    end = time.perf_counter()
    our_bytes, literal_bytes = (sum(array.nbytes for array in arrays) for arrays in (fast, literal))
    total = (middle - read, read - start, end - middle, our_bytes, literal_bytes)
    return Cost(*(value / len(scenes) for value in total))


def sample_of(scene: Scene, skeleton: Skeleton, size: int) -> ImageSample:
    """One training sample, drawn from the photo's own seed."""
    draws = draw(np.random.default_rng(scene.image_id), ImageAugmentation(), scene)
    reduction = possible_reduction(scene.height, scene.width, size, draws)
    image = read_image(scene.path, reduction)
    settings = ImageSampleSettings(size=size)
    return make_sample(scene, image, skeleton, settings, draws=draws, reduction=reduction)


def our_batch(samples: Sequence[ImageSample]) -> Arrays:
    """The arrays of a batch."""
    batch = collate(samples, np.random.default_rng(0))
    return [value for value in vars(batch).values() if isinstance(value, np.ndarray)]


def literal_batch(samples: Sequence[ImageSample]) -> Arrays:
    """Images, multi heatmaps and instance heatmaps of a batch, and the loss mask."""
    images, multi, single = zip(*(literal_targets(sample) for sample in samples), strict=True)
    masks = np.stack([sample.loss_mask for sample in samples])
    return [np.stack(images), np.stack(multi), np.concatenate(single), masks]


def hand_over(arrays: Iterable[np.ndarray]) -> None:
    """Into shared memory, through which a worker passes a batch to the training process."""
    for array in arrays:
        torch.from_numpy(array).share_memory_()


def literal_targets(sample: ImageSample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalized float image, multi heatmap and instance heatmaps, as the released loader returns them."""
    side, keypoints = sample.loss_mask.shape[0], sample.keypoints.shape[1]
    image = np.ascontiguousarray(sample.image.transpose(2, 0, 1)).astype(np.float32)
    image /= 255
    image -= MEAN
    image /= STD
    multi = np.zeros((keypoints + 1, side, side), np.float32)
    single = np.zeros((len(sample.instance_person), keypoints, side, side), np.float32)
    for person, radius in enumerate(sample.radius):
        for k, (x, y, visible) in enumerate(sample.keypoints[person]):
            if visible > 0:
                draw_gaussian(multi[k], x, y, int(radius))
        if sample.center_drawn[person]:
            x, y = sample.center[person]
            draw_gaussian(multi[-1], x, y, int(radius))
    for i, person in enumerate(sample.instance_person):
        for k, (x, y, visible) in enumerate(sample.keypoints[person]):
            if visible > 0:
                draw_gaussian(single[i, k], x, y, int(sample.radius[person]))
    return image, multi, single


def draw_gaussian(plane: np.ndarray, x: float, y: float, radius: int) -> None:
    """One Gaussian patch into a map, by maximum."""
    column, row, side = int(x), int(y), len(plane)
    if not (0 <= column < side and 0 <= row < side):
        return
    steps = np.arange(-radius, radius + 1)
    sigma = (2 * radius + 1) / 6
    patch = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    left, right = min(column, radius), min(side - column, radius + 1)
    top, bottom = min(row, radius), min(side - row, radius + 1)
    region = plane[row - top : row + bottom, column - left : column + right]
    np.maximum(region, patch[radius - top : radius + bottom, radius - left : radius + right], out=region)


def main() -> None:
    """Print samples per second of both forms, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_args()
    scenes = read_coco(arguments.annotations, arguments.images)
    fast, reading, literal, our_bytes, literal_bytes = np.median(costs(scenes, arguments.size, arguments.count), axis=0)
    print(
        f"everypose: {1 / fast:.0f} samples/s, {our_bytes / 1e6:.1f} MB a sample; reading is {reading / fast:.0%} of it"
    )
    print(f"literal: {1 / literal:.0f} samples/s, {literal_bytes / 1e6:.1f} MB a sample")
    print(f"ratio {literal / fast:.1f}, input {arguments.size}, one core")


if __name__ == "__main__":
    with exit_on_user_error("loader"):
        main()
