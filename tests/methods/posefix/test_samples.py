"""PoseFix's training samples against their definition, step by step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from everypose.data.scenes import Scene
from everypose.methods.posefix import samples as module
from everypose.methods.posefix.error_rates import ErrorRates
from everypose.methods.posefix.samples import SampleMaker, collate, people_nearby
from everypose.methods.top_down.augmentation import CropDraws
from everypose.methods.top_down.crops import CropGeometry
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
IMAGE = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
BOXES = np.array([[50.0, 40, 111, 121], [100, 40, 161, 121], [108, 40, 169, 121], [60, 50, 121, 131]])


def scene(**changes):
    rng = np.random.default_rng(1)
    keypoints = np.concatenate([rng.uniform(0, 60, (4, 17, 2)) + BOXES[:, None, :2], np.full((4, 17, 1), 2.0)], axis=2)
    keypoints[0, 5, 2] = 0
    one = Scene(
        image_id=1, path=Path("a.png"), file_name="a.png", width=300, height=200, annotation_ids=np.arange(4),
        keypoints=keypoints, boxes=BOXES, areas=np.full(4, 3000.0), is_crowd=np.array([False, False, False, True]),
        segmentations=[None] * 4,
    )  # fmt: skip
    return replace(one, **changes)


def maker():
    return SampleMaker(COCO, ErrorRates.of(COCO), CropGeometry((192, 256)))


def estimate():
    pose = np.ones((17, 3))
    pose[:, :2] = (70, 80)
    return pose


def sample(monkeypatch, one, **draws):
    """The sample of the first person, and what the error synthesis was given."""
    seen = []

    def keep(context, *arguments, **named):
        seen.append(context)
        return module_synthesize(context, *arguments, **named)

    module_synthesize = module.synthesize  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "synthesize", keep)
    made = maker().sample(one, 0, IMAGE, estimate(), draws=CropDraws(**draws), rng=np.random.default_rng(0))
    return made, seen[0]


def test_people_nearby_overlap_by_a_tenth_and_are_no_crowds():
    assert people_nearby(scene(), 0).tolist() == []  # IoU of 11 / 111 with the second, 3 / 119 with the third
    nearer = BOXES.copy()
    nearer[1, [0, 2]] -= 1  # 12 / 110
    assert people_nearby(scene(boxes=nearer), 0).tolist() == [1]


@pytest.mark.parametrize("flip", [False, True])
def test_what_the_errors_depend_on_is_in_crop_pixels(monkeypatch, flip):
    nearer = BOXES.copy()
    nearer[1, [0, 2]] -= 20
    one = scene(boxes=nearer)
    made, context = sample(monkeypatch, one, flip=flip)
    # The annotated box ends at the last pixel inside, 60 x 80; padded by 1.25 it fills 192 x 256 pixels.
    scale = 192 / 75

    def in_crop(points):
        x = (points[..., 0] - 80) * scale + 96
        if flip:  # the crop is taken around the mirrored center of the mirrored image
            x = ((299 - points[..., 0]) - (299 - 80)) * scale + 96
        return np.stack([x, (points[..., 1] - 80) * scale + 128], axis=-1)

    order = COCO.flip_index if flip else np.arange(17)
    np.testing.assert_allclose(context.keypoints[:, :2], in_crop(one.keypoints[0][order]), atol=1e-9)
    np.testing.assert_array_equal(context.keypoints[:, 2], one.keypoints[0][order, 2])
    np.testing.assert_allclose(context.neighbors[0, :, :2], in_crop(one.keypoints[1][order]), atol=1e-9)
    np.testing.assert_allclose(context.estimated[:, :2], in_crop(estimate()), atol=1e-9)
    assert context.overlap == 1
    assert context.area == pytest.approx(60 * 80 * scale**2)
    unlabeled = order.tolist().index(5)
    inside = ((context.keypoints[:, :2] >= 0) & (context.keypoints[:, :2] <= (192, 256))).all(axis=1)
    np.testing.assert_array_equal(made.target[:, 2] > 0, inside & (np.arange(17) != unlabeled))
    assert made.pose[unlabeled, 2] == 1  # it starts from the estimate


def test_a_keypoint_without_label_and_estimate_is_not_given():
    made = maker().sample(scene(), 0, IMAGE, np.zeros((17, 3)), draws=CropDraws(), rng=np.random.default_rng(0))
    assert not made.pose[5].any()
    assert not made.target[5].any()


def test_batches_join_samples():
    made = [
        maker().sample(scene(), row, IMAGE, estimate(), draws=CropDraws(), rng=np.random.default_rng(row))
        for row in (0, 1)
    ]
    batch = collate(made)
    assert batch.images.shape == (2, 256, 192, 3)
    np.testing.assert_array_equal(batch.poses[1], made[1].pose)
    assert batch.targets.shape == (2, 17, 3)
    assert batch.keys == ("a.png, annotation 0", "a.png, annotation 1")
