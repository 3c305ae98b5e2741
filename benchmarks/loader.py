"""Training samples per second and core: everypose and the literal form, which renders heatmaps in the worker.

    python -m benchmarks.loader --annotations train.json --images images/ --size 512 --count 60

Both read, warp and mask the same photos with the same random draws, file decoding included, and transfer whole
batches in shared memory, as a loader's worker does. The literal form does as released code does: it decodes every photo
at its full size, warps three channels, mirrors by NumPy, normalizes the image, and draws each person's Gaussians by the
paper's loop into K + 1 maps for the image and K for each instance. Masks and coordinates are everypose's in both.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast
from unittest import mock

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from everypose.data.formats.coco import read_coco
from everypose.data.images import read_image
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import exit_on_user_error
from everypose.methods.single_stage import samples as samples_module
from everypose.methods.single_stage.augmentation import draw, possible_reduction
from everypose.methods.single_stage.samples import ImageBatch, ImageSample, collate, make_sample, training_scenes
from everypose.methods.single_stage.settings import ImageAugmentation, ImageSampleSettings
from everypose.skeleton.skeleton import Skeleton
from everypose.training.batch_transport import send_in_memory_files
from everypose.training.process_setup import keep_freed_memory, use_one_opencv_thread

BATCH = 6
MEAN = np.array((0.485, 0.456, 0.406), np.float32)[:, None, None]
STD = np.array((0.229, 0.224, 0.225), np.float32)[:, None, None]

Sent = list[Tensor] | ImageBatch[Tensor]
"""What a worker sends: tensors, or a batch of them."""
Form = partial[list[Tensor]] | partial[ImageBatch[Tensor]]
"""Makes what a worker sends of a batch of scenes."""


class Cost(NamedTuple):
    """Seconds and bytes of one sample, the mean of a batch.

    Attributes:
        fast: seconds from the file to the batch in shared memory, by everypose.
        reading: seconds of it to read and decode the file.
        decoding: seconds of it to decode the JPEG, the bytes being in memory.
        literal: seconds of the literal form.
        everypose_bytes: bytes transferred by everypose.
        literal_bytes: bytes transferred by the literal form.
    """

    fast: float
    reading: float
    decoding: float
    literal: float
    everypose_bytes: float
    literal_bytes: float


def costs(scenes: SceneSet, size: int, count: int) -> list[Cost]:
    """Costs of samples of the first ``count`` images in both forms, batch by batch.

    Each form runs in a worker of torch's loader. Seconds are those of the worker's CPU, which other work on the machine
    does not change. All batches are run once before, not counted: a forked worker first copies the memory that it uses.
    """
    chosen = training_scenes(scenes)[:count]
    batches = [chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH)]
    fast = worker_costs(batches, partial(everypose_batch, skeleton=scenes.skeleton, size=size))
    literal = worker_costs(batches, partial(literal_batch, skeleton=scenes.skeleton, size=size))
    read = [reading_costs(batch) for batch in (batches[0], *batches)][1:]
    return [
        Cost(*(value / len(batch) for value in (one[0], *parts, other[0], one[1], other[1])))
        for batch, one, parts, other in zip(batches, fast, read, literal, strict=True)
    ]


def worker_costs(batches: Sequence[Sequence[Scene]], form: Form) -> list[tuple[float, int]]:
    """CPU seconds and bytes of each batch in a loader's worker, in the second of two passes."""
    twice = [*batches, *batches]

    def stamped(scenes: Sequence[Sequence[Scene]]) -> tuple[Sent, float]:
        return form(scenes[0]), time.process_time()

    use_one_opencv_thread()

    def set_up(_: int) -> None:
        if form.func is everypose_batch:
            keep_freed_memory()
            send_in_memory_files()

    loader = DataLoader(
        cast(Dataset[Sequence[Scene]], twice), batch_size=1, num_workers=1, collate_fn=stamped, worker_init_fn=set_up
    )
    ends, sizes = zip(*((end, sum(one.nbytes for one in tensors_of(sent))) for sent, end in loader), strict=True)
    first = len(batches)
    return list(zip(np.diff(ends[first - 1 :]).tolist(), sizes[first:], strict=True))


def reading_costs(scenes: Sequence[Scene]) -> tuple[float, float]:
    """CPU seconds to read and decode the files of a batch, and those to decode them from memory."""
    use_one_opencv_thread()
    contents = [scene.path.read_bytes() for scene in scenes]
    start = time.process_time()
    for content in contents:
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    decoded = time.process_time()
    for scene in scenes:
        read_image(scene.path)
    return time.process_time() - decoded, decoded - start


def sample_of(scene: Scene, skeleton: Skeleton, size: int) -> ImageSample:
    """One training sample, drawn from the photo's own seed."""
    draws = draw(np.random.default_rng(scene.image_id), ImageAugmentation(), scene)
    reduction = possible_reduction(scene.height, scene.width, size, draws)
    image = read_image(scene.path, reduction)
    settings = ImageSampleSettings(size=size)
    return make_sample(scene, image, skeleton, settings, draws=draws, reduction=reduction)


def everypose_batch(scenes: Sequence[Scene], *, skeleton: Skeleton, size: int) -> ImageBatch[Tensor]:
    """The batch that a training gets."""
    batch: ImageBatch[Tensor] = collate(
        [sample_of(scene, skeleton, size) for scene in scenes], np.random.default_rng(0)
    ).map(torch.from_numpy)
    return batch


def tensors_of(sent: Sent) -> list[Tensor]:
    """The tensors that a worker sent."""
    return sent if isinstance(sent, list) else [value for value in vars(sent).values() if isinstance(value, Tensor)]


def literal_batch(scenes: Sequence[Scene], *, skeleton: Skeleton, size: int) -> list[Tensor]:
    """Images, multi heatmaps and instance heatmaps of a batch, and the loss mask."""
    with mock.patch.object(samples_module, "_warped_image", literal_warp):
        samples = [literal_sample_of(scene, skeleton, size) for scene in scenes]
    images, multi, single = zip(*(literal_targets(sample) for sample in samples), strict=True)
    masks = np.stack([sample.loss_mask for sample in samples])
    arrays = (np.stack(images), np.stack(multi), np.concatenate(single), masks)
    return [torch.from_numpy(array) for array in arrays]


def literal_sample_of(scene: Scene, skeleton: Skeleton, size: int) -> ImageSample:
    """The sample of `sample_of`, from the photo at its full size."""
    draws = draw(np.random.default_rng(scene.image_id), ImageAugmentation(), scene)
    image = cv2.cvtColor(cv2.imread(str(scene.path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return make_sample(scene, image, skeleton, ImageSampleSettings(size=size), draws=draws)


def literal_warp(image: np.ndarray, matrix: np.ndarray, size: int, flip: bool) -> np.ndarray:
    """Warp three channels, then mirror."""
    warped = np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR))
    return warped[:, ::-1] if flip else warped


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
    found = Cost(*np.median(costs(scenes, arguments.size, arguments.count), axis=0))
    print(
        f"everypose: {1 / found.fast:.0f} samples/s, {found.everypose_bytes / 1e6:.1f} MB a sample; reading is "
        f"{found.reading / found.fast:.0%} of it, decoding alone {found.decoding / found.fast:.0%}"
    )
    print(f"literal: {1 / found.literal:.0f} samples/s, {found.literal_bytes / 1e6:.1f} MB a sample")
    print(f"ratio {found.literal / found.fast:.1f}, input {arguments.size}, one core")


if __name__ == "__main__":
    with exit_on_user_error("loader"):
        main()
