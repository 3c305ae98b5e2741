from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from everypose.core.geometry import Size
from everypose.data.discovery.layouts import Layout
from everypose.data.formats.coco import coco_content
from everypose.data.scenes import SceneSet
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.box_source import annotated_boxes
from everypose.inference.boxes import Photo
from everypose.methods.mipnet.assignment import box_people, present_people
from everypose.methods.mipnet.settings import MIPNetCropSettings
from everypose.methods.top_down.augmentation import CropDraws
from everypose.methods.top_down.crops import clean_boxes
from everypose.methods.top_down.samples import sample_matrix, trainable_people
from everypose.training.datasets import read_training_set
from everypose.training.run import make_task
from everypose.training.sample_stream import StepBatches, training_loader
from everypose.training.tasks.top_down import people_of_crops
from painted_people import COCO, painted_scene
from training.crop_recipes import EXTRA, STILL, VAL

# --- samples


def test_an_epoch_has_every_person_once_and_a_position_always_the_same_crop(crops):
    recipe = crops()
    sets = read_training_set(recipe.data)
    samples: Any = make_task(recipe).samples
    assert len(samples) == sum(len(scene) for scene in sets[0])
    epochs = [[samples.index(epoch * len(samples) + place) for place in range(len(samples))] for epoch in range(3)]
    assert all(sorted(order) == list(range(len(samples))) for order in epochs)
    assert epochs[0] != epochs[1]
    keys = [samples[position].key for position in range(len(samples))]
    assert len(set(keys)) == len(samples)
    assert keys[0].endswith(f"annotation {samples.index(0) + 1}")
    first, again = samples[3], samples[3]
    assert np.array_equal(first.crop, again.crop)
    assert np.array_equal(first.keypoints, again.keypoints)
    later = next(p for p in range(len(samples), 2 * len(samples)) if samples.index(p) == samples.index(3))
    assert samples[later].key == first.key
    assert not np.array_equal(samples[later].crop, first.crop)


def test_sets_are_mixed(crops):
    alone, both = make_task(crops()), make_task(crops(EXTRA))
    assert len(both.sets) == 2
    found = sorted(sample.key for sample in (both.samples[position] for position in range(len(both.samples))))
    assert found == sorted(2 * [alone.samples[position].key for position in range(len(alone.samples))])


def test_the_number_of_workers_changes_nothing(crops):
    samples = make_task(crops()).samples
    loaders = [training_loader(samples, StepBatches(1, 3, 3), workers, pin=False) for workers in (0, 2)]
    for alone, together in zip(*loaders, strict=True):
        assert alone.keys == together.keys
        assert torch.equal(alone.images, together.images)
        assert torch.equal(alone.keypoints, together.keypoints)
    assert alone.images.shape == (3, 64, 64, 3)
    assert alone.keypoints.shape == (3, 2, 17, 3)


@pytest.mark.parametrize(("instances", "rule"), [*product((1, 2, 3), ("released", "paper"))])
def test_the_people_of_a_crop_are_rows_of_the_annotations(instances, rule):
    """A crowd region, somebody without labels and somebody outside the image lie between the people."""
    _, scene = painted_scene(0, [(40, 20, 120), (90, 30, 150), (110, 30, 140), (250, 40, 100), (200, 10, 90)])
    scene.is_crowd[1] = True
    scene.keypoints[3, :, 2] = 0
    chosen = MIPNetCropSettings(others=rule).people_rule(instances)
    groups = people_of_crops(scene, chosen)
    rows = [0, 2, 4]
    boxes, _ = clean_boxes(scene.boxes[rows], Size(scene.width, scene.height))
    pairs = box_people(boxes, scene.boxes[rows], scene.keypoints[rows], instances, rule)
    assert groups.tolist() == [[rows[one] for one in pair] for pair in pairs.tolist()]
    assert groups[:, 0].tolist() == rows
    scene.boxes[rows] += 10_000
    assert people_of_crops(scene, chosen).shape == (0, instances)


def test_only_mipnet_asks_nothing_about_keypoints_outside_and_replaces_who_is_not_there(crops):
    """Drawn large, so that much of a person lies outside the crop."""
    large = [*STILL, "inference.padding=0.4"]
    released, paper, alone = (
        make_task(crops(*large, *more)).samples for more in ([], ["crops.others=paper"], ["model.family=hrnet"])
    )
    replaced = 0
    for position in range(len(released)):
        asked, of_paper, of_one = (samples[position].keypoints for samples in (released, paper, alone))
        assert of_one.shape == (1, 17, 3)
        assert (of_one[..., 2] == 1).all()
        inside = ((of_one[..., :2] >= 0) & (of_one[..., :2] <= 64)).all(axis=-1)
        assert np.array_equal(asked[0, :, 2] == 1, inside[0])
        assert np.array_equal(of_paper[0], asked[0])
        assert np.array_equal(present_people(asked), asked)
        few = (of_paper[1, :, 2] > 0).sum() < 4
        replaced += few and not np.array_equal(asked[1], of_paper[1])
    assert replaced


# --- validation


def test_what_is_learned_in_mpiis_squares_is_measured_in_them(crops):
    task: Any = make_task(crops(VAL, *STILL, "inference.crop=mpii"))
    scene = task.sets[0].scenes[0]
    (validator,) = task.validators
    estimator: Any = validator.estimator(task.make_network(), "cpu")
    photo = estimator.prepare(scene.path)
    cut = estimator._cut(photo, estimator.detector(photo))
    geometry = task.samples._geometry
    assert geometry.rule == "mpii"
    trained = [sample_matrix(scene, row, estimator.skeleton, geometry, CropDraws()) for row in trainable_people(scene)]
    np.testing.assert_allclose(cut.matrices, trained)
    np.testing.assert_array_equal(cut.boxes.boxes, scene.boxes[trainable_people(scene)])


def test_annotated_boxes_are_those_of_the_people_who_count():
    _, scene = painted_scene(0, [(40, 20, 120), (90, 30, 150), (5, 30, 140)])
    scene.is_crowd[1] = True
    scene.boxes[2] -= 30
    layout = Layout((scene.path.with_suffix(".json"),), scene.path.parent, None, None, "painted")
    annotated = AnnotatedSet.from_content(coco_content(SceneSet([scene], COCO, "painted")), layout)
    (path,) = annotated.paths.values()
    found = annotated_boxes(annotated)(Photo(np.zeros((240, 320, 3), np.uint8), path))
    np.testing.assert_array_equal(found.boxes, scene.boxes[[0, 2]])
    assert found.scores.tolist() == [1, 1]
    assert len(found) == len(trainable_people(scene))
