"""Training of PoseFix on the stick figures."""

import json
from typing import Any

import numpy as np
import pytest
import torch

import everypose
from everypose.data.formats.coco import read_coco
from everypose.errors import EveryposeError, UsageError
from everypose.methods.posefix.losses import coordinate_loss, heatmap_loss
from everypose.methods.posefix.network import IMAGE_MEAN
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from everypose.training.recipe_files import load_recipe
from everypose.training.run import make_task, train
from everypose.training.tasks.refinement import estimated_pose
from training.crop_recipes import ONE

TINY = """
name = "tiny-posefix"
[model]
family = "posefix"
sigma = 3
[model.backbone]
kind = "lite-hrnet"
width = 4
modules = [1, 1, 1]
[data]
workers = 0
train = [{annotations = "train.json", images = "images"}]
val = [{annotations = "val.json", images = "images"}]
[inference]
crop_size = [64, 64]
[schedule]
steps = 4
warmup_epochs = 0
[optim]
lr = 5e-3
[trainer]
batch = 2
log_steps = 1
"""
COCO = Skeleton.named("coco")


@pytest.fixture
def posefix(tmp_path, figures):
    """Makes the tiny recipe on the stick figures, with overrides."""

    def make(*overrides):
        path = tmp_path / "posefix.toml"
        path.write_text(TINY)
        return load_recipe(path, [f"data.root={json.dumps(str(figures))}", *overrides])

    return make


@pytest.fixture
def shifted(figures, tmp_path):
    """Results in which each annotated pose is moved by three pixels."""
    content = json.loads((figures / "val.json").read_text())
    results = []
    for one in content["annotations"]:
        keypoints = np.reshape(one["keypoints"], (17, 3)) + np.array([3, 0, -1])
        results.append(
            {"image_id": one["image_id"], "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": 0.9}
        )
    path = tmp_path / "shifted.json"
    path.write_text(json.dumps(results))
    return path


def test_losses_are_those_of_the_heatmaps_of_crop_and_pose(posefix):
    task = make_task(posefix())
    network = task.make_network().train()
    batch = task.samples.collate([task.samples[position] for position in range(3)])
    images = batch.images.permute(0, 3, 1, 2).float() - torch.tensor(IMAGE_MEAN)[:, None, None]
    heatmaps = network(images, batch.poses[..., :2], batch.poses[..., 2] > 0)
    points, valid = batch.targets[..., :2] / 4, batch.targets[..., 2] > 0
    losses = task.losses(network, batch)
    assert losses["heatmap"].item() == pytest.approx(heatmap_loss(heatmaps, points, valid).item(), rel=1e-4)
    assert losses["coordinate"].item() == pytest.approx(coordinate_loss(heatmaps, points, valid).item(), rel=1e-4)


def test_samples_are_a_function_of_their_position(posefix):
    first, second = (make_task(posefix()).samples for _ in range(2))
    for position in (0, 3, len(first) + 1):
        one, other = first[position], second[position]
        np.testing.assert_array_equal(one.crop, other.crop)
        np.testing.assert_array_equal(one.pose, other.pose)
    assert (first[0].pose[:, :2] != first[0].target[:, :2]).any()


def test_a_run_validates_refined_poses_and_leaves_a_model(posefix, shifted, tmp_path, losses_of, figures):
    outcome = train(posefix(f"poses.val={json.dumps(str(shifted))}"), tmp_path / "run", ONE, quiet=True)
    assert 0 <= outcome.ap <= 1
    lines = losses_of(tmp_path / "run")
    assert lines[1]["loss/total"] == pytest.approx(lines[1]["loss/heatmap"] + lines[1]["loss/coordinate"])
    refine = everypose.load_refiner(outcome.model)
    people = People.from_coco(shifted, COCO, image_id=1)
    refined = refine(people, figures / "images/000001.png")
    assert refined.keypoints.shape[1:] == (17, 3)
    assert refine.config.on_poses.crop_size == (64, 64)


def test_validation_scores_what_the_network_makes_of_the_results(posefix, shifted):
    task = make_task(posefix(f"poses.val={json.dumps(str(shifted))}", "validation.flip=false"))
    (validator,) = task.validators
    network = task.make_network().eval()

    def unchanged(_, poses, given):  # noqa: ARG001
        return poses - torch.tensor([1e-6, 0])

    network.refine = unchanged
    kept = validator.score(validator.predict(network, torch.device("cpu")).results)
    network.refine = lambda *arguments: unchanged(*arguments) * 0
    lost = validator.score(validator.predict(network, torch.device("cpu")).results)
    assert kept.ap > 0.5
    assert lost.ap < 0.1


def test_without_results_there_is_no_validation(posefix):
    assert make_task(posefix()).validators == []


def test_results_that_are_none_are_refused(posefix, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    for field in ("train", "val"):
        with pytest.raises(EveryposeError, match=r"bad.json is not a COCO results list"):
            make_task(posefix(f"poses.{field}={json.dumps(str(tmp_path / 'bad.json'))}"))


def test_the_estimated_pose_is_of_the_result_that_overlaps_most(figures):
    scene = read_coco(figures / "train.json", figures / "images").scenes[0]
    keypoints = scene.keypoints[[0, 0]] + (0, 40, 0)
    keypoints[1] = scene.keypoints[0] + (2, 0, 0)
    estimates = People(keypoints, [0.9, 0.2], COCO)
    pose = estimated_pose(scene, 0, estimates)
    np.testing.assert_allclose(pose[:, :2], scene.keypoints[0, :, :2] + (2, 0), atol=1e-4)
    assert (pose[:, 2] == 1).all()
    assert not estimated_pose(scene, 0, None).any()
    assert not estimated_pose(scene, 0, People(keypoints + 1000, [0.9, 0.2], COCO)).any()


def test_fields_of_other_families_are_refused(posefix):
    with pytest.raises(UsageError, match=r"inference.decoder"):
        posefix("inference.decoder=dark")
    with pytest.raises(UsageError, match="crop_size must be multiples of 32"):
        posefix("inference.crop_size=[60, 64]")


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize(("height", "size", "sigma"), [(256, (192, 256), 7), (384, (288, 384), 9)])
def test_recipes_are_the_papers(depth, height, size, sigma):
    recipe: Any = load_recipe(f"posefix-r{depth}-{height}-coco")
    assert recipe.model.backbone.blocks == {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    assert (recipe.inference.crop_size, recipe.model.sigma) == (size, sigma)
    assert (recipe.inference.padding, recipe.inference.pose_padding, recipe.inference.nms) == (1.25, 1.2, 0.9)
    augmentation = recipe.crops.augmentation
    assert (augmentation.scale, augmentation.rotation, augmentation.rotation_probability) == (0.3, 40, 0.6)
    assert (augmentation.flip, augmentation.half_body) == (0.5, 0)
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.weight_decay) == ("adam", 5e-4, 1e-5)
    assert (recipe.schedule.epochs, recipe.schedule.milestones, recipe.schedule.gamma) == (140, (90, 120), 0.1)
    assert 16 <= recipe.trainer.batch <= 32
