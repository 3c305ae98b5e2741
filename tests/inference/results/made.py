"""Made-up results of a short video, and the columns of their table, written down one by one."""

import numpy as np

from everypose.inference.results.record import FrameResult
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def people(seed, count, *, ids=None, skeleton=COCO):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-10, 700, (count, len(skeleton), 3))
    keypoints[..., 2] = rng.uniform(0, 1, (count, len(skeleton)))
    boxes = np.sort(rng.uniform(0, 600, (count, 2, 2)), axis=1).reshape(count, 4)
    return People(keypoints, np.sort(rng.uniform(0, 1, count))[::-1], skeleton, boxes=boxes, ids=ids)


def video(*, tracked=True, file="clips/a, b.mp4"):
    """Four frames at uneven times with 2, 0, 1 and 3 people."""
    ids = [[3, 1], [], [1], [1, 7, 3]]
    times = [0.0, 1 / 30, 0.1, 4 / 30]
    return [
        FrameResult(
            file,
            people(frame, len(own), ids=own if tracked else None),
            640,
            480,
            frame,
            times[frame],
            image_id=frame + 1,
        )
        for frame, own in enumerate(ids)
    ]


def photos():
    return [FrameResult(f"{name}.jpg", people(seed, 2), 640, 480, image_id=seed) for name, seed in (("a", 1), ("b", 2))]


def same_people(one, other):
    return (
        np.array_equal(one.keypoints, other.keypoints)
        and np.array_equal(one.scores, other.scores)
        and np.array_equal(one.boxes, other.boxes)
        and (one.ids is None) == (other.ids is None)
        and (one.ids is None or np.array_equal(one.ids, other.ids))
        and one.skeleton == other.skeleton
    )


def same(results, read):
    """Whether read results are those that were written; frames without people are in no table."""
    written = [result for result in results if len(result.people)]
    return len(written) == len(read) and all(
        (one.file, one.frame, one.time) == (other.file, other.frame, other.time)
        and same_people(one.people, other.people)
        for one, other in zip(written, read, strict=True)
    )
