"""BoIR against CID: stored trunk maps train as the trunk does, and the AP of the intervals is the evaluation's."""

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from research.boir_against_cid import first_activations, first_steps, score, train
from research.boir_against_cid.average_precision import average_precision, bootstrap, match_images
from research.boir_against_cid.samples import SamplePool, StoredTrunk
from research.boir_against_cid.variants import VARIANTS, recipe_of
from safetensors.torch import save_file

from evaluation.made import dataset, pycocotools_numbers
from everypose.backbones.normalization import normalize
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.average_precision import score_oks
from everypose.evaluation.metrics.breakdown import class_score, hidden_oks, largest_overlap
from everypose.evaluation.metrics.oks import compute_oks
from everypose.methods.cid.losses import contrastive_loss
from everypose.methods.single_stage.attention import instance_parameters
from everypose.methods.single_stage.targets import render_targets
from everypose.skeleton.skeleton import Skeleton
from everypose.training.tasks.single_stage import SingleStageTask

COCO = Skeleton.named("coco")


def pairs_of(seed):
    truth, results = dataset(seed)
    ground_truth = read_ground_truth(truth, 17)
    return truth, results, compute_oks(ground_truth, read_results(results, ground_truth), COCO.require_sigmas())


@pytest.mark.parametrize("seed", range(5))
def test_ap_of_all_images_is_the_evaluations(seed):
    truth, results, pairs = pairs_of(seed)
    found = average_precision(match_images(pairs))
    assert found == pytest.approx(score_oks(pairs).ap, abs=1e-12)
    assert found == pytest.approx(pycocotools_numbers(truth, results, COCO.sigmas)[0], abs=1e-12)
    overlap = largest_overlap(pairs.ground_truth)
    members = overlap > np.median(overlap)
    expected = class_score(pairs, "", members, hidden=hidden_oks(pairs)).ap
    assert average_precision(match_images(pairs, members)) == pytest.approx(expected, abs=1e-12)


def test_a_repeated_image_counts_as_two_images():
    truth, results, pairs = pairs_of(3)
    chosen = np.array([0, 0, 4, 7, 7, 7])
    repeated, doubled = {"images": [], "annotations": [], "categories": truth["categories"]}, []
    for place, index in enumerate(chosen.tolist(), 1):
        image = copy.deepcopy(truth["images"][index]) | {"id": place}
        repeated["images"].append(image)
        for entries, target in ((truth["annotations"], repeated["annotations"]), (results, doubled)):
            target += [entry | {"image_id": place} for entry in entries if entry["image_id"] == index + 1]
    for number, annotation in enumerate(repeated["annotations"], 1):
        annotation["id"] = number
    ground_truth = read_ground_truth(repeated, 17)
    expected = score_oks(compute_oks(ground_truth, read_results(doubled, ground_truth), COCO.require_sigmas())).ap
    assert average_precision(match_images(pairs), chosen) == pytest.approx(expected, abs=1e-12)


def test_intervals_hold_the_value_and_pair_the_resamples():
    first, second = (match_images(pairs_of(seed)[2]) for seed in (0, 1))
    alone = bootstrap([first], resamples=50)
    assert alone.low <= alone.value <= alone.high
    assert alone.value == average_precision(first)
    same = bootstrap([first, second], [second, first], resamples=20)
    assert (same.value, same.low, same.high) == (0, 0, 0)


@pytest.fixture
def files(tmp_path):
    """Four images with two people each, and random weights of the trunk."""
    rng = np.random.default_rng(0)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person",
               "keypoints": list(COCO.keypoints)}]}  # fmt: skip
    for image in range(1, 5):
        cv2.imwrite(str(tmp_path / f"{image}.png"), rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
        content["images"].append({"id": image, "file_name": f"{image}.png", "width": 96, "height": 96})
        for x in (10.0, 40.0):
            points = np.c_[rng.uniform((x, 10), (x + 40, 80), (17, 2)), np.full(17, 2)]
            content["annotations"].append(
                {"id": len(content["annotations"]) + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
                 "bbox": [x, 10, 40, 70], "area": 1500, "num_keypoints": 17, "keypoints": points.ravel().tolist()}
            )  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    trunk = {f"trunk.{name}": value for name, value in OpenPoseLight().trunk.state_dict().items()}
    save_file(trunk, tmp_path / "trunk.safetensors")
    return tmp_path


def recipe(files, variant, seed=0):
    small = replace(variant, overrides=(*variant.overrides, "data.size=64", "trainer.batch=2"))
    return recipe_of(small, files / "trunk.safetensors", [(files / "train.json", files)], seed=seed, steps=2)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_stored_maps_give_the_losses_of_the_trunk(files, variant):
    task = SingleStageTask(recipe(files, variant))
    if not variant.bottom_up:
        train.leave_out_bottom_up(task)
    network = task.make_network().train()
    if variant.contrastive:
        train.add_contrastive_loss(task, network, recipe(files, variant))
    pool = SamplePool(recipe(files, VARIANTS[1]), 2, files / "pool", network.backbone.trunk)
    batch, maps = pool.batch([0, 1])
    whole = task.samples.collate([task.samples[position] for position in (0, 1)])
    expected = task.losses(network, whole)
    network.backbone.trunk = StoredTrunk()
    network.backbone.trunk.maps = maps
    found = task.losses(network, batch)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=0.01, abs=1e-6), name


def test_cids_losses_on_boirs_network_are_cids(files):
    variant = next(variant for variant in VARIANTS if variant.name == "cid-losses")
    task = SingleStageTask(recipe(files, variant))
    network = task.make_network().train()
    batch = task.samples.collate([task.samples[position] for position in (0, 1)])
    before = task.losses(network, batch)
    train.add_contrastive_loss(task, network, recipe(files, variant))
    found = task.losses(network, batch)
    targets = render_targets(batch)
    features = network.features(normalize(batch.images, network.normalization))
    vectors = instance_parameters(features, targets.instance_image, targets.instance_yx)
    contrast = contrastive_loss(vectors, targets.instance_image)
    assert found["contrastive"].item() == pytest.approx(contrast.item() / 8, rel=1e-5)
    assert found["bbox"] == found["bbox_mask"] == 0
    assert [found[name].item() for name in before] == pytest.approx([value.item() for value in before.values()])
    found["contrastive"].backward()
    assert any(value.grad is not None for value in network.backbone.smooth.parameters())


def test_the_commands_train_and_score(files, monkeypatch, capsys):
    monkeypatch.setattr(train, "recipe_of", lambda variant, *_, seed, **__: recipe(files, variant, seed))
    data = ["--train", str(files / "train.json"), str(files)]
    out = ["-o", str(files / "out")]
    monkeypatch.setattr(
        sys,
        "argv",
        ["train", str(files / "trunk.safetensors"), *data, "--pool", "3", "--runs", "cid:0", "boir:0", *out],
    )
    train.main()
    train.main()  # what is trained is not trained again
    assert "boir:0: " in capsys.readouterr().out
    test = ["--test", "photos", str(files / "train.json"), str(files), "--resamples", "5"]
    monkeypatch.setattr(sys, "argv", ["score", str(files / "out"), *test])
    score.main()
    printed = capsys.readouterr().out
    assert "| all (8) | boir | " in printed
    assert " less cid |" in printed
    scores = json.loads(Path(files / "out" / "scores.json").read_text())
    assert set(scores["photos"]["all"]) == {"boir", "cid"}
    assert set(scores["photos"]["all"]["boir"]["seeds"]) == {"0"}


def test_the_losses_of_the_first_steps_are_printed_for_changed_recipes(files, monkeypatch, capsys):
    seen = []

    def small(variant, *_, seed, **__):
        seen.append((variant.overrides[-1], seed))
        return recipe(files, variant, seed)

    monkeypatch.setattr(first_steps, "recipe_of", small)
    data = ["--train", str(files / "train.json"), str(files), "-o", str(files / "out"), "--pool", "3", "--stop", "1"]
    runs = ["--runs", "cid", "cid,optim.lr=0.01"]
    monkeypatch.setattr(sys, "argv", ["first_steps", str(files / "trunk.safetensors"), *data, *runs])
    first_steps.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["run"] for row in rows] == ["cid", "cid,optim.lr=0.01"]
    assert all(row["step"] == 1 and row["single_heatmap"] > 0 for row in rows)
    assert seen[-1] == ("optim.lr=0.01", first_steps.SEED)


def test_activations_vary_by_one_where_they_are_normalized(files, monkeypatch, capsys):
    arguments = ["trunk.safetensors", "train.json", "", "1.png"]
    monkeypatch.setattr(sys, "argv", ["first_activations", *(str(files / name) for name in arguments)])
    first_activations.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["cid", "boir"]
    cid, boir = (float(line.rpartition(" ")[2]) for line in lines)
    # Half of a normal distribution of variance 1 varies by 0.58.
    assert boir == pytest.approx(0.58, abs=0.1)
    assert cid < 0.2 * boir
