"""Training samples a second and core: ours against the literal form that renders every heatmap in the worker.

    python -m benchmarks.loader --annotations train.json --images images/ --size 512 --count 60

Both read, warp and mask the same photos with the same draws, decoding of the file included. The literal form then
draws each person's Gaussians by the paper's loop and holds K + 1 maps for the image and K for each instance.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from everypose.data.coco import read_coco
from everypose.data.images import read_image
from everypose.data.scenes import Scene
from everypose.single_stage.samples import Augmentation, Sample, draw, make_sample, training_scenes
from everypose.skeleton import Skeleton


def sample_of(scene: Scene, skeleton: Skeleton, size: int) -> Sample:
    """One training sample, drawn from the photo's own seed."""
    rng = np.random.default_rng(scene.image_id)
    return make_sample(scene, read_image(scene.path), skeleton, size, draw(rng, Augmentation(), scene))


def literal_targets(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalised float image, multi heatmap and instance heatmaps, as the released loader hands them on."""
    side, keypoints = sample.loss_mask.shape[0], sample.keypoints.shape[1]
    image = ((sample.image / 255.0 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(2, 0, 1)
    multi = np.zeros((keypoints + 1, side, side), np.float32)
    single = np.zeros((len(sample.instance_person), keypoints, side, side), np.float32)
    for person, radius in enumerate(sample.radius):
        for k, (x, y, visible) in enumerate(sample.keypoints[person]):
            if visible > 0:
                draw_gaussian(multi[k], x, y, int(radius))
        if sample.center_drawn[person]:
            draw_gaussian(multi[-1], *sample.center[person], int(radius))
    for i, person in enumerate(sample.instance_person):
        for k, (x, y, visible) in enumerate(sample.keypoints[person]):
            if visible > 0:
                draw_gaussian(single[i, k], x, y, int(sample.radius[person]))
    return image.astype(np.float32), multi, single


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
    """Alternate both forms photo by photo, and print samples a second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_args()
    scenes = read_coco(arguments.annotations, arguments.images)
    chosen = training_scenes(scenes)[: arguments.count]
    seconds = {"ours": 0.0, "literal": 0.0}
    values = {"ours": 0, "literal": 0}
    for scene in chosen:
        start = time.perf_counter()
        sample = sample_of(scene, scenes.skeleton, arguments.size)
        middle = time.perf_counter()
        arrays = literal_targets(sample_of(scene, scenes.skeleton, arguments.size))
        seconds["literal"] += time.perf_counter() - middle
        seconds["ours"] += middle - start
        values["ours"] += sum(getattr(sample, name).nbytes for name in ("image", "loss_mask", "keypoints"))
        values["literal"] += sum(array.nbytes for array in arrays)
    for name in seconds:
        print(
            f"{name}: {len(chosen) / seconds[name]:.0f} samples/s, {values[name] / len(chosen) / 1e6:.1f} MB a sample"
        )
    print(f"ratio {seconds['literal'] / seconds['ours']:.1f}, size {arguments.size}, {len(chosen)} photos, one core")


if __name__ == "__main__":
    main()
