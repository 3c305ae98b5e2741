"""Made people who walk in straight lines, for tests of tracking."""

import numpy as np

from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
WIDTH, HEIGHT = 40.0, 100.0
# A standing person relative to the box: COCO's keypoints from the nose to the ankles.
POSE = np.array(
    [
        *([0.5, 0.08], [0.55, 0.06], [0.45, 0.06], [0.6, 0.08], [0.4, 0.08]),
        *([0.75, 0.2], [0.25, 0.2], [0.85, 0.35], [0.15, 0.35], [0.85, 0.5], [0.15, 0.5]),
        *([0.65, 0.52], [0.35, 0.52], [0.65, 0.75], [0.35, 0.75], [0.65, 0.97], [0.35, 0.97]),
    ]
)


def people_at(centers, scores=None, scale=1.0, skeleton=COCO, pose=POSE):
    """People around centers (N, 2)."""
    centers = np.reshape(np.asarray(centers, float), (-1, 2))
    size = np.array([WIDTH, HEIGHT]) * scale
    low = centers - size / 2
    keypoints = low[:, None] + pose * size
    keypoints = np.concatenate([keypoints, np.full((len(centers), len(pose), 1), 0.9)], axis=2)
    scores = np.full(len(centers), 0.9) if scores is None else scores
    return People(keypoints, scores, skeleton, boxes=np.concatenate([low, low + size], axis=1))


def picture(centers, colors, size=(240, 640)):
    """An RGB frame with a filled box of its color for each person, the later in front."""
    image = np.full((*size, 3), 128, np.uint8)
    for (x, y), color in zip(centers, colors, strict=True):
        left, top = max(0, int(x - WIDTH / 2)), max(0, int(y - HEIGHT / 2))
        image[top : int(y + HEIGHT / 2), left : int(x + WIDTH / 2)] = color
    return image
