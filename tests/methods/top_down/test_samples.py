"""Training samples against recorded ones, through a literal twin of the released draws; and their properties."""

import random

import numpy as np
import pytest
import torch

from everypose.core.geometry import Size
from everypose.errors import EveryposeError
from everypose.methods.mipnet.assignment import box_people, present_people
from everypose.methods.top_down.augmentation import CropDraws
from everypose.methods.top_down.crops import CropGeometry, clean_boxes
from everypose.methods.top_down.samples import collate, make_sample, trainable_people
from everypose.methods.top_down.targets import gaussian_targets
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import load
from methods.top_down.made import golden_scene, scene

COCO = Skeleton.named("coco")
SMALL = CropGeometry(size=(96, 128))


def released_draws(seed, labeled):
    """The released loader's draws for one person, from numpy's and Python's global generators, in its order."""
    numpy, python = np.random.RandomState(seed), random.Random(seed)
    half_body = labeled > 8 and numpy.rand() < 0.3
    prefer_upper = half_body and numpy.randn() < 0.5
    scale = np.clip(numpy.randn() * 0.35 + 1, 1 - 0.35, 1 + 0.35)
    rotation = np.clip(numpy.randn() * 45, -90, 90) if python.random() <= 0.6 else 0.0
    flip = python.random() <= 0.5
    return CropDraws(half_body, prefer_upper, scale, rotation, flip)


def replayed(golden, i):
    """Our sample for the i-th recorded draws: of the person who was recorded, with the other one as the second."""
    people = golden_scene(load("mipnet/assignment"), 1)
    primary = int(np.abs(people.keypoints[:, :, :2] - golden[f"s{i}/joints_in"][:, :2]).max(axis=(1, 2)).argmin())
    np.testing.assert_allclose(people.keypoints[primary, :, :2], golden[f"s{i}/joints_in"][:, :2])
    draws = released_draws(int(golden[f"s{i}/seed"]), (people.keypoints[primary, :, 2] > 0).sum())
    image = np.ascontiguousarray(golden["image_scene1_bgr"][:, :, ::-1])
    return make_sample(
        people, [primary, 1 - primary], image, COCO, geometry=SMALL, draws=draws, drop_outside=True
    ), draws


@pytest.mark.parametrize("i", range(6))
def test_augmented_samples_equal_the_release(i):
    golden = load("mipnet/augmentation")
    sample, draws = replayed(golden, i)
    assert draws.rotation == golden[f"s{i}/rotation_deg"]
    assert np.abs(sample.crop.astype(int) - golden[f"s{i}/crop_rgb_u8"]).max() <= 2
    keypoints = present_people(sample.keypoints)
    for instance, name in enumerate(("primary", "second")):
        points, weights = golden[f"s{i}/joints_{name}"][:, :2], golden[f"s{i}/vis_{name}"][:, 0]
        np.testing.assert_array_equal(keypoints[instance, :, 2], weights)
        np.testing.assert_allclose(keypoints[instance, :, :2], points, atol=5e-5)
    batch = collate([sample]).map(torch.from_numpy)
    targets, weights = gaussian_targets(batch.keypoints, (96, 128), (24, 32), 2, batch.udp)
    for instance, name in enumerate(("primary", "second")):
        np.testing.assert_array_equal(weights[0, instance], golden[f"s{i}/weight_{name}"][:, 0])
        np.testing.assert_allclose(targets[0, instance], golden[f"s{i}/target_{name}"], atol=1e-6)


@pytest.mark.parametrize("number", range(5))
def test_plain_samples_equal_the_release(number):
    golden = load("mipnet/assignment")
    people = golden_scene(golden, number)
    rows = trainable_people(people)
    name = f"scene{number}"
    assert people.annotation_ids[rows].tolist() == golden[f"{name}/primary_id"].tolist()
    image = np.zeros((480, 640, 3), np.uint8)
    boxes, _ = clean_boxes(people.boxes[rows], Size(640, 480))
    pairs = box_people(boxes, people.boxes[rows], people.keypoints[rows], 2, "released")
    for record, pair in enumerate(pairs):
        sample = make_sample(
            people, rows[pair], image, COCO, geometry=CropGeometry(), draws=CropDraws(), drop_outside=True
        )
        keypoints = present_people(sample.keypoints)
        for instance, who in enumerate(("primary", "second")):
            np.testing.assert_array_equal(keypoints[instance, :, 2], golden[f"{name}/vis_{who}_crop"][record, :, 0])
            theirs = golden[f"{name}/joints_{who}_crop"][record, :, :2]
            np.testing.assert_allclose(keypoints[instance, :, :2], theirs, atol=5e-5)


def some_scene(seed=0, size=(90, 70)):
    rng = np.random.default_rng(seed)
    keypoints = np.concatenate([rng.uniform(0, 70, (3, 17, 2)), rng.integers(0, 3, (3, 17, 1))], axis=2)
    return scene([[5, 5, 40, 60], [30, 2, 50, 60], [20, 10, 60, 30]], keypoints, size=size)


def some_image(size=(90, 70)):
    rows, columns = np.mgrid[: size[1], : size[0]]
    return np.stack([2 * columns, 3 * rows, columns + rows], axis=2).astype(np.uint8)


def mirrored_scene(people):
    keypoints = people.keypoints[:, COCO.flip_index].copy()
    keypoints[:, :, 0] = people.width - 1 - keypoints[:, :, 0]
    boxes = people.boxes.copy()
    # Boxes of x, width: their last pixel is one before x + width.
    boxes[:, 0], boxes[:, 2] = people.width - people.boxes[:, 2], people.width - people.boxes[:, 0]
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    return scene(xywh, keypoints, size=Size(people.width, people.height))


@pytest.mark.parametrize("geometry", [SMALL, CropGeometry(size=(96, 128), convention="udp")])
def test_a_mirrored_sample_is_the_sample_of_the_mirrored_image(geometry):
    people, image = some_scene(), some_image()
    for half_body in (False, True):
        # The half body of the mirrored person has left and right swapped, and so the same halves.
        ours = make_sample(
            people, [0, 1], image, COCO, geometry=geometry, draws=CropDraws(half_body, True, 1.1, 20.0, True)
        )
        twin_draws = CropDraws(half_body, True, 1.1, 20.0, False)
        mirrored = np.ascontiguousarray(image[:, ::-1])
        twin = make_sample(mirrored_scene(people), [0, 1], mirrored, COCO, geometry=geometry, draws=twin_draws)
        np.testing.assert_allclose(ours.keypoints, twin.keypoints, atol=1e-4)
        assert np.abs(ours.crop.astype(int) - twin.crop).max() <= 2


def test_mirroring_twice_is_the_identity():
    people, image = some_scene(), some_image()
    plain = make_sample(people, [0, 1], image, COCO, geometry=SMALL, draws=CropDraws(rotation=15.0, scale=0.9))
    mirrored = np.ascontiguousarray(image[:, ::-1])
    twice = make_sample(
        mirrored_scene(people),
        [0, 1],
        mirrored,
        COCO,
        geometry=SMALL,
        draws=CropDraws(rotation=15.0, scale=0.9, flip=True),
    )
    np.testing.assert_allclose(twice.keypoints, plain.keypoints, atol=1e-4)
    assert np.abs(twice.crop.astype(int) - plain.crop).max() <= 2


def test_keypoints_outside_the_crop_are_dropped_only_on_demand():
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, :5] = [(30, 30, 2), (0, 30, 1), (79, 30, 2), (30, 0, 2), (500, 500, 0)]
    people, image = scene([[20, 20, 20, 20]], keypoints, size=(80, 60)), np.zeros((60, 80, 3), np.uint8)
    kept = make_sample(people, [0], image, COCO, geometry=SMALL, draws=CropDraws())
    dropped = make_sample(people, [0], image, COCO, geometry=SMALL, draws=CropDraws(), drop_outside=True)
    assert kept.keypoints[0, :6, 2].tolist() == [1, 1, 1, 1, 0, 0]
    assert dropped.keypoints[0, :6, 2].tolist() == [1, 0, 0, 0, 0, 0]
    assert not dropped.keypoints[0, 1:].any()
    np.testing.assert_array_equal(kept.keypoints[0, 0], dropped.keypoints[0, 0])


def test_who_makes_a_sample():
    keypoints = np.zeros((5, 17, 3))
    keypoints[:4, 0] = (10, 10, 1)
    boxes = [[0, 0, 20, 20], [0, 0, 20, 20], [0, 0, 20, 20], [95, 0, 20, 20], [0, 0, 20, 20]]
    people = scene(boxes, keypoints, areas=[9, 0, 9, 9, 9], crowd=[False, False, True, False, False], size=(90, 70))
    assert trainable_people(people).tolist() == [0]


def test_an_image_of_another_size_is_an_error():
    with pytest.raises(EveryposeError, match="data doctor"):
        make_sample(some_scene(), [0], some_image((70, 90)), COCO, geometry=SMALL, draws=CropDraws())


def test_a_mixture_is_padded_with_keypoints_that_nothing_is_asked_about():
    people, image = some_scene(), some_image()
    udp = CropGeometry(size=(96, 128), convention="udp")
    crowdpose = scene([[5, 5, 40, 60]], people.keypoints[:1, :14], size=(90, 70))
    samples = [
        make_sample(people, [0], image, COCO, geometry=udp, draws=CropDraws(), dataset=0),
        make_sample(crowdpose, [0], image, Skeleton.named("crowdpose"), geometry=SMALL, draws=CropDraws(), dataset=3),
    ]
    batch = collate(samples, keypoints=20).map(torch.from_numpy).to("cpu")
    assert batch.images.shape == (2, 128, 96, 3)
    assert batch.images.dtype == torch.uint8
    assert batch.keypoints.shape == (2, 1, 20, 3)
    assert not batch.keypoints[0, :, 17:].any()
    assert not batch.keypoints[1, :, 14:].any()
    assert batch.udp.tolist() == [True, False]
    assert batch.dataset.tolist() == [0, 3]
    assert batch.keys == ("scene.jpg, annotation 0",) * 2
    np.testing.assert_array_equal(batch.keypoints[0, 0, :17], samples[0].keypoints[0])
    assert collate(samples).keypoints.shape == (2, 1, 17, 3)
