import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError
from everypose.geometry import transform
from everypose.single_stage.augmentation import recolour, region_matrix
from everypose.single_stage.samples import (
    Augmentation,
    Draws,
    Sample,
    collate,
    draw,
    gaussian_radius,
    make_sample,
    training_scenes,
)
from everypose.skeleton import Skeleton

COCO = Skeleton.named("coco")
GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "samples.npz")


def make_scene(keypoints, boxes, width, height, is_crowd=None, segmentations=None) -> Scene:
    count = len(boxes)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return Scene(
        image_id=1,
        path=Path("photo.jpg"),
        file_name="photo.jpg",
        width=width,
        height=height,
        annotation_ids=np.arange(count),
        keypoints=np.asarray(keypoints, dtype=np.float64).reshape(-1, len(COCO), 3),
        boxes=boxes,
        areas=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        is_crowd=np.zeros(count, dtype=bool) if is_crowd is None else np.asarray(is_crowd),
        segmentations=[None] * count if segmentations is None else segmentations,
    )


def random_scene(rng: np.random.Generator, people: int, width: int = 160, height: int = 120) -> Scene:
    """People of every size, some past the border, some without keypoints, some crowd regions."""
    corners = rng.uniform(-20, [width, height], (people, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(2, 110, (people, 2))], axis=1)
    points = corners[:, None] + rng.random((people, 17, 2)) * (boxes[:, 2:] - corners)[:, None]
    visibility = rng.integers(0, 3, (people, 17, 1)) * (rng.random((people, 1, 1)) < 0.8)
    keypoints = np.concatenate([points, visibility], axis=2)
    return make_scene(keypoints, boxes, width, height, is_crowd=rng.random(people) < 0.1)


def random_image(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    return rng.integers(0, 256, (scene.height, scene.width, 3), dtype=np.uint8)


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


def literal_heatmaps(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
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
            literal_gaussian(multi[count], *sample.center[person], radius)
    for instance, person in enumerate(sample.instance_person):
        for index, (x, y, visibility) in enumerate(sample.keypoints[person]):
            if visibility > 0:
                literal_gaussian(single[instance, index], x, y, int(sample.radius[person]))
    return multi, single


@pytest.mark.parametrize("number", [0, 1, 2])
def test_golden_samples(number: int) -> None:
    """Whole samples of the released training code, from its recorded draws."""
    golden = {key.split("/")[1]: GOLDEN[key] for key in GOLDEN.files if key.startswith(f"sample{number}/")}
    boxes = GOLDEN["sample/bbox_xywh"].copy()
    boxes[:, 2:] += boxes[:, :2]
    polygons = [[polygon.astype(float).tolist()] for polygon in GOLDEN["sample/polygon"]]
    scene = make_scene(GOLDEN["sample/keypoints"], boxes, 200, 150, segmentations=polygons)
    image = GOLDEN["sample/image_bgr"][:, :, ::-1]
    scale, rotation, dx, dy, flip = golden["draws_scale_rot_dx_dy_flip"]
    draws = Draws(
        scale=0.75 + 0.75 * scale,
        rotation=60 * rotation - 30,
        dx=int(dx),
        dy=int(dy),
        flip=bool(flip < 0.5),
        jitter=golden["jitter_draws"].reshape(-1, 2),
    )

    sample = make_sample(scene, image, COCO, 128, draws)

    assert np.abs(sample.image.astype(int) - golden["image"]).max() <= 2
    np.testing.assert_array_equal(sample.loss_mask, golden["multi_mask"][0] > 0)
    np.testing.assert_array_equal(sample.instance_yx, golden["instance_coord"])
    np.testing.assert_allclose(sample.instance_boxes, golden["bbox"], rtol=0, atol=2e-6)
    labelled = sample.keypoints[sample.instance_person, :, 2] > 0
    np.testing.assert_array_equal(labelled, golden["instance_mask"][:, :, 0, 0] > 0)
    multi, single = literal_heatmaps(sample)
    np.testing.assert_allclose(multi, golden["multi_heatmap"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(single, golden["instance_heatmap"], rtol=0, atol=1e-6)


def literal_people(scene: Scene, size: int, draws: Draws, minimum_area: float) -> dict[str, list]:
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
        labelled = [(x, y) for x, y, v in keypoints if v > 0]
        x1, y1, x2, y2 = scene.boxes[index]
        corners = [moved(x, y) for x, y in ((x1, y1), (x2, y1), (x1, y2), (x2, y2))]
        if draws.flip:
            corners = [corners[1], corners[0], corners[3], corners[2]]
        people.append(
            {
                "keypoints": keypoints,
                "center": tuple(sum(axis) / len(labelled) for axis in zip(*labelled, strict=True)),
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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1024.0]))
def test_sample_equals_literal(seed: int, minimum_area: float) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, people=int(rng.integers(0, 12)))
    draws = draw(rng, Augmentation(), scene)
    sample = make_sample(scene, random_image(rng, scene), COCO, 64, draws, minimum_area)
    expected = literal_people(scene, 64, draws, minimum_area)
    people, instances = expected["people"], expected["instances"]

    assert len(sample.radius) == len(people)
    for index, person in enumerate(people):
        np.testing.assert_allclose(sample.keypoints[index], person["keypoints"], atol=1e-4)
        inside = np.abs(person["keypoints"]) < 1e6
        np.testing.assert_array_equal(np.trunc(sample.keypoints[index])[inside], np.trunc(person["keypoints"])[inside])
        np.testing.assert_allclose(sample.center[index], person["center"], atol=1e-4)
        assert sample.radius[index] == person["radius"]
        assert sample.center_drawn[index] == (person["area"] >= minimum_area)
    assert sample.instance_person.tolist() == [number for number, _, _ in instances]
    assert sample.instance_yx.tolist() == [list(pixel) for _, pixel, _ in instances]
    np.testing.assert_allclose(sample.instance_boxes, np.reshape([box for _, _, box in instances], (-1, 4)), atol=1e-4)


@given(st.lists(st.tuples(*[st.floats(-50, 100)] * 4), min_size=1, max_size=5))
def test_radius_equals_literal(boxes: list[tuple[float, float, float, float]]) -> None:
    corners = np.array([[(a, b), (c, b), (a, d), (c, d)] for a, b, c, d in boxes])
    radius = gaussian_radius(corners, 32)
    assert radius.tolist() == [literal_radius(four.tolist(), 32) for four in corners]


def test_no_draws_are_the_plain_map() -> None:
    """A square image of the input's size: the image stays as it is, keypoints shrink four times."""
    rng = np.random.default_rng(1)
    scene = random_scene(rng, 6, width=64, height=64)
    image = random_image(rng, scene)
    sample = make_sample(scene, image, COCO, 64, Draws())
    np.testing.assert_array_equal(sample.image, image)
    kept = scene.keypoints[scene.is_labelled_person]
    np.testing.assert_allclose(sample.keypoints[:, :, :2], kept[:, :, :2] / 4, atol=1e-5)
    np.testing.assert_array_equal(sample.keypoints[:, :, 2], kept[:, :, 2])


@pytest.mark.parametrize("flip", [False, True])
def test_image_is_the_plain_warp(flip: bool) -> None:
    """By way of four channels, and yet to the bit what OpenCV makes of three."""
    rng = np.random.default_rng(3)
    scene = random_scene(rng, 3)
    image = random_image(rng, scene)
    draws = replace(draw(rng, Augmentation(), scene), flip=flip)
    warped = cv2.warpAffine(image, region_matrix(scene.height, scene.width, 64, draws), (64, 64))
    sample = make_sample(scene, image, COCO, 64, draws)
    np.testing.assert_array_equal(sample.image, warped[:, ::-1] if flip else warped)


def flipped(scene: Scene) -> Scene:
    """The scene of a mirrored image whose flip gives the first's targets back: x -> W - 4 - x (3/4 output pixel)."""
    keypoints = scene.keypoints[:, COCO.flip_index].copy()
    keypoints[:, :, 0] = scene.width - 4 - keypoints[:, :, 0]
    boxes = scene.boxes.copy()
    boxes[:, [0, 2]] = scene.width - 4 - boxes[:, [2, 0]]
    return replace(scene, keypoints=keypoints, boxes=boxes)


def test_flipping_twice_is_nothing() -> None:
    rng = np.random.default_rng(2)
    scene = random_scene(rng, 8, width=64, height=64)
    image = random_image(rng, scene)
    plain = make_sample(scene, image, COCO, 64, Draws())
    twice = make_sample(flipped(scene), image[:, ::-1], COCO, 64, Draws(flip=True))
    np.testing.assert_array_equal(twice.image, plain.image)
    np.testing.assert_allclose(twice.keypoints, plain.keypoints, atol=1e-5)
    np.testing.assert_array_equal(twice.instance_person, plain.instance_person)
    np.testing.assert_allclose(twice.instance_boxes, plain.instance_boxes, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_annotations_changes_only_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, 7)
    image = random_image(rng, scene)
    order = rng.permutation(7)
    shuffled = replace(
        scene,
        **{name: getattr(scene, name)[order] for name in ("annotation_ids", "keypoints", "boxes", "areas", "is_crowd")},
    )
    draws = draw(rng, Augmentation(), scene)
    first = make_sample(scene, image, COCO, 64, draws)
    second = make_sample(shuffled, image, COCO, 64, draws)
    np.testing.assert_array_equal(first.loss_mask, second.loss_mask)
    np.testing.assert_array_equal(first.instance_yx, second.instance_yx)
    np.testing.assert_array_equal(first.keypoints[first.instance_person], second.keypoints[second.instance_person])
    assert sorted(first.radius) == sorted(second.radius)


def test_people_outside_the_map_are_no_instances() -> None:
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, 0] = (300, 300, 2)
    scene = make_scene(keypoints, [[250, 250, 400, 400]], 64, 64)
    sample = make_sample(scene, np.zeros((64, 64, 3), np.uint8), COCO, 64, Draws())
    assert len(sample.radius) == 1
    assert sample.keypoints[0, 0, 2] == 2  # its keypoint mask stays
    assert len(sample.instance_person) == 0
    assert not literal_heatmaps(sample)[0].any()


def test_no_people_at_all() -> None:
    scene = make_scene(np.zeros((0, 17, 3)), np.zeros((0, 4)), 50, 40)
    sample = make_sample(scene, np.zeros((40, 50, 3), np.uint8), COCO, 64, Draws())
    assert sample.keypoints.shape == (0, 17, 3)
    assert sample.instance_boxes.shape == (0, 4)
    batch = collate([sample, sample], np.random.default_rng(0))
    assert batch.instance_yx.shape == (0, 2)
    assert batch.most_instances == 0


def test_integer_part_survives_single_precision() -> None:
    """100 - 1e-9 is 100 in float32, where a peak would be drawn one pixel off."""
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, 0] = (4 * (10 - 1e-9), 4 * (3 - 1e-9), 2)
    scene = make_scene(keypoints, [[0, 0, 60, 60]], 64, 64)
    sample = make_sample(scene, np.zeros((64, 64, 3), np.uint8), COCO, 64, Draws())
    assert sample.keypoints.dtype == sample.center.dtype == np.float32
    assert np.trunc(sample.keypoints[0, 0]).tolist() == [9, 2, 2]
    assert sample.instance_yx.tolist() == [[2, 9]]


def test_wrong_size_is_an_error() -> None:
    scene = make_scene(np.zeros((0, 17, 3)), np.zeros((0, 4)), 50, 40)
    with pytest.raises(EveryposeError, match=r"photo\.jpg is 40 x 50 pixels, but its annotations are for 50 x 40"):
        make_sample(scene, np.zeros((50, 40, 3), np.uint8), COCO, 64, Draws())


def test_draws_stay_in_range_and_repeat() -> None:
    scene = make_scene(np.zeros((3, 17, 3)), np.zeros((3, 4)), 300, 200)
    rng = np.random.default_rng(0)
    many = [draw(rng, Augmentation(), scene) for _ in range(2000)]
    scales = np.array([each.scale for each in many])
    assert 0.75 <= scales.min() < 0.76
    assert 1.49 < scales.max() <= 1.5
    assert max(abs(each.rotation) for each in many) <= 30
    reach = np.array([max(abs(each.dx), abs(each.dy)) for each in many])
    assert (reach <= 40 * scales).all()
    assert (reach >= 40 * scales - 2).any()
    assert 0.45 < np.mean([each.flip for each in many]) < 0.55
    assert set(np.unique([each.jitter for each in many])) == {-1, 0, 1}
    assert all((each.brightness, each.contrast, each.saturation) == (0, 1, 1) for each in many)
    again = draw(np.random.default_rng(0), Augmentation(), scene)
    assert (again.scale, again.dx) == (many[0].scale, many[0].dx)
    colours = draw(np.random.default_rng(0), Augmentation(brightness=0.2, contrast=0.3, saturation=0.4), scene)
    assert (colours.scale, colours.dx) == (many[0].scale, many[0].dx)
    assert abs(colours.brightness) <= 0.2
    assert abs(colours.contrast - 1) <= 0.3
    assert abs(colours.saturation - 1) <= 0.4


def test_recolour() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(recolour(image, Draws()), image)
    brighter = recolour(image, Draws(brightness=0.2)).astype(int)
    np.testing.assert_array_equal(brighter, np.minimum(255, image.astype(int) + 51))
    flat = recolour(image, Draws(contrast=0.0))
    assert np.ptp(flat) == 0
    grey = recolour(image, Draws(saturation=0.0)).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1


def test_collate_flattens_in_order() -> None:
    rng = np.random.default_rng(3)
    samples = []
    for people in (4, 0, 6):
        scene = random_scene(rng, people)
        samples.append(make_sample(scene, random_image(rng, scene), COCO, 64, draw(rng, Augmentation(), scene), 0.0))
    batch = collate(samples, rng)
    assert batch.images.shape == (3, 64, 64, 3)
    assert batch.loss_mask.shape == (3, 1, 16, 16)
    assert batch.keys == ("photo.jpg",) * 3
    for number, sample in enumerate(samples):
        people = batch.person_image == number
        instances = batch.instance_image == number
        np.testing.assert_array_equal(batch.keypoints[people], sample.keypoints)
        np.testing.assert_array_equal(batch.center[people], sample.center)
        np.testing.assert_array_equal(batch.instance_yx[instances], sample.instance_yx)
        np.testing.assert_array_equal(
            batch.keypoints[batch.instance_person[instances]], sample.keypoints[sample.instance_person]
        )
    assert batch.most_instances == max(len(sample.instance_person) for sample in samples)


def test_collate_limits_instances() -> None:
    rng = np.random.default_rng(4)
    scene = random_scene(rng, 12, width=64, height=64)
    samples = [make_sample(scene, random_image(rng, scene), COCO, 64, Draws(), 0.0)] * 5
    everyone = collate(samples, rng)
    batch = collate(samples, rng, most_instances=7)
    assert len(batch.instance_yx) == 7
    assert len(batch.radius) == len(everyone.radius)  # all people stay in the multi heatmap
    rows = list(zip(everyone.instance_image, everyone.instance_person, strict=True))
    places = [rows.index(row) for row in zip(batch.instance_image, batch.instance_person, strict=True)]
    assert places == sorted(places)
    np.testing.assert_array_equal(batch.instance_boxes, everyone.instance_boxes[places])


def test_training_scenes() -> None:
    keypoints = np.zeros((1, 17, 3))
    nobody = make_scene(np.zeros((0, 17, 3)), np.zeros((0, 4)), 9, 9)
    unlabelled = make_scene(keypoints, [[0, 0, 5, 5]], 9, 9)
    keypoints = keypoints.copy()
    keypoints[0, 3, 2] = 1
    labelled = make_scene(keypoints, [[0, 0, 5, 5]], 9, 9)
    crowd = make_scene(keypoints, [[0, 0, 5, 5]], 9, 9, is_crowd=[True])
    scenes = SceneSet([nobody, unlabelled, labelled, crowd], COCO, "set")
    assert training_scenes(scenes) == [labelled]
    assert training_scenes(scenes, need_keypoints=False) == [unlabelled, labelled, crowd]
