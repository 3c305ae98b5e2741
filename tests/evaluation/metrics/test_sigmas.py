import copy

import numpy as np
import pytest

from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import read_ground_truth
from everypose.evaluation.metrics.sigmas import estimate_sigmas

TRUE = np.array([0.02, 0.05, 0.1])


def estimate(first, second):
    return estimate_sigmas(*(read_ground_truth(content, 3) for content in (first, second)))


def annotated(seed, people=1500, noise=TRUE):
    """One annotator's file: the same people as every other annotator's, each label displaced on its own."""
    truth, own = np.random.default_rng(0), np.random.default_rng(seed)
    annotations = []
    for row in range(people):
        size = truth.uniform(40, 300)
        corner = truth.uniform(0, 5, 2) + np.array([0, 1000 * (row % 3)])
        points = corner + truth.uniform(0, size, (3, 2))
        points += own.normal(0, 1, (3, 2)) * (noise * size / np.sqrt(2))[:, None]
        keypoints = np.column_stack([points, np.full(3, 2)])
        annotations.append(
            {
                "id": int(own.integers(10**9)) * 10000 + row,
                "image_id": row // 3 + 1,
                "category_id": 1,
                "bbox": [*corner.tolist(), size, size],
                "area": size**2,
                "keypoints": keypoints.ravel().tolist(),
            }
        )
    own.shuffle(annotations)
    images = [{"id": i + 1, "file_name": f"{i}.jpg"} for i in range((people + 2) // 3)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "part"}]}


def test_known_noise_is_found_again():
    estimated = estimate(annotated(1), annotated(2))
    np.testing.assert_allclose(estimated.sigmas, TRUE, rtol=0.05)
    assert (estimated.people, estimated.repeats.tolist()) == (1500, [1500] * 3)


def test_literal_twin_on_a_few_people():
    first, second = annotated(1, people=12), annotated(2, people=12)
    estimated = estimate(first, second)
    squares = []
    for a in first["annotations"]:
        b = next(b for b in second["annotations"] if b["bbox"] == a["bbox"] and b["image_id"] == a["image_id"])
        difference = np.reshape(a["keypoints"], (3, 3))[:, :2] - np.reshape(b["keypoints"], (3, 3))[:, :2]
        squares.append((difference**2).sum(axis=1) / a["area"] / 2)
    np.testing.assert_allclose(estimated.sigmas, np.sqrt(np.mean(squares, axis=0)))


def test_too_few_repeats_name_the_keypoint():
    first = annotated(1, people=12)
    for person in first["annotations"][:5]:
        person["keypoints"][5] = 0
    with pytest.raises(EveryposeError, match="keypoint 1 is labeled by both annotators on 7 people only, at least 10"):
        estimate(first, annotated(2, people=12))


def test_other_images_share_nobody():
    other = annotated(2, people=12)
    for image in other["images"]:
        image["file_name"] = "other" + image["file_name"]
    with pytest.raises(EveryposeError, match="share no people"):
        estimate(annotated(1, people=12), other)


def test_a_copy_is_not_a_second_annotator():
    first = annotated(1, people=12)
    with pytest.raises(EveryposeError, match="is one a copy of the other"):
        estimate(first, copy.deepcopy(first))
