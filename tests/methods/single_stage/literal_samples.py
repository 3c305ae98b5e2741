"""The targets of a sample, literally: pixel by pixel, one person and one keypoint at a time."""

import math

import numpy as np

from everypose.core.geometry import transform
from everypose.data.scenes import Scene
from everypose.methods.single_stage.augmentation import ImageDraws, region_matrix
from everypose.methods.single_stage.samples import ImageSample
from methods.single_stage.made import COCO


def literal_gaussian(heatmap: np.ndarray, x: float, y: float, radius: int) -> None:
    """Pixel by pixel, as the specification says it."""
    x, y = int(x), int(y)
    size = len(heatmap)
    if not (0 <= x < size and 0 <= y < size):
        return
    sigma = (2 * radius + 1) / 6
    for row in range(max(0, y - radius), min(size, y + radius + 1)):
        for column in range(max(0, x - radius), min(size, x + radius + 1)):
            value = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
            heatmap[row, column] = max(heatmap[row, column], value)


def literal_heatmaps(sample: ImageSample) -> tuple[np.ndarray, np.ndarray]:
    """Multi heatmap (K + 1, h, w) and instance heatmaps (I, K, h, w)."""
    size, count = len(sample.loss_mask), sample.keypoints.shape[1]
    multi = np.zeros((count + 1, size, size))
    single = np.zeros((len(sample.instance_person), count, size, size))
    for person, keypoints in enumerate(sample.keypoints):
        radius = int(sample.radius[person])
        for index, (x, y, visibility) in enumerate(keypoints):
            if visibility > 0:
                literal_gaussian(multi[index], x, y, radius)
        if sample.center_drawn[person]:
            literal_gaussian(multi[count], *sample.center[person], radius)  # type: ignore[call-arg]
    for instance, person in enumerate(sample.instance_person):
        for index, (x, y, visibility) in enumerate(sample.keypoints[person]):
            if visibility > 0:
                literal_gaussian(single[instance, index], x, y, int(sample.radius[person]))
    return multi, single


def literal_people(scene: Scene, size: int, draws: ImageDraws, minimum_area: float) -> dict[str, list]:
    """The targets of a sample, one person and one keypoint at a time."""
    output = size // 4
    matrix = region_matrix(scene.height, scene.width, output, draws)
    factor = (size / (draws.scale * min(scene.height, scene.width))) ** 2

    def moved(x: float, y: float) -> tuple[float, float]:
        x, y = transform([x, y], matrix)
        return (output - 1 - x if draws.flip else x), y

    people = []
    for index in range(len(scene)):
        if scene.is_crowd[index] or not (scene.keypoints[index, :, 2] > 0).any():
            continue
        keypoints = np.array([[*moved(x, y), v] for x, y, v in scene.keypoints[index]])
        if draws.flip:
            for left, right in COCO.flip_pairs:
                keypoints[[left, right]] = keypoints[[right, left]]
        labeled = [(x, y) for x, y, v in keypoints if v > 0]
        x1, y1, x2, y2 = scene.boxes[index]
        corners = [moved(x, y) for x, y in ((x1, y1), (x2, y1), (x1, y2), (x2, y2))]
        if draws.flip:
            corners = [corners[1], corners[0], corners[3], corners[2]]
        people.append(
            {
                "keypoints": keypoints,
                "center": tuple(sum(axis) / len(labeled) for axis in zip(*labeled, strict=True)),
                "area": (x2 - x1) * (y2 - y1) * factor,
                "corners": corners,
                "radius": literal_radius(corners, output),
            }
        )
    moves = iter(draws.jitter.tolist())
    instances, taken = [], set()
    for number in sorted(range(len(people)), key=lambda number: people[number]["area"]):
        person = people[number]
        x, y = (int(value) for value in person["center"])
        if person["area"] < minimum_area or not (0 <= x < output and 0 <= y < output):
            continue
        dx, dy = next(moves)
        if 0 <= x + dx < output and 0 <= y + dy < output:
            x, y = x + dx, y + dy
        if (x, y) in taken:
            continue
        taken.add((x, y))
        xs, ys = zip(*person["corners"], strict=True)
        box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
        instances.append((number, (y, x), [min(max(value, 0), output - 1) for value in box]))
    return {"people": people, "instances": instances}


def literal_radius(corners: list[tuple[float, float]], output: int) -> int:
    clipped = [[min(max(value, 0), output - 1) for value in corner] for corner in corners]
    height = math.ceil(math.dist(clipped[0], clipped[2]))
    width = math.ceil(math.dist(clipped[0], clipped[1]))
    overlap = 0.7

    def root(a: float, b: float, c: float) -> float:
        return (b + math.sqrt(b * b - 4 * a * c)) / 2

    return max(
        0,
        int(
            min(
                root(1, height + width, width * height * (1 - overlap) / (1 + overlap)),
                root(4, 2 * (height + width), (1 - overlap) * width * height),
                root(4 * overlap, -2 * overlap * (height + width), (overlap - 1) * width * height),
            )
        ),
    )
