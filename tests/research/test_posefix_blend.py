"""Blending refined positions: what moves, and that no image decides on its own result."""

import copy
import sys

import numpy as np
import pytest
from research.posefix_lite.blend import FOLDS, Blend, ap_of, cross_fitted, main, pairs_of

from everypose.core.files import write_json
from everypose.evaluation.coco_arrays import read_ground_truth


def scene(images=10, seed=0):
    """Truth, results that are 60 pixels off where their score is low, and refined results that are right there."""
    rng = np.random.default_rng(seed)
    content = {"images": [], "annotations": []}
    found, refined = [], []
    for image in range(1, images + 1):
        content["images"].append({"id": image, "file_name": f"{image}.jpg", "width": 400, "height": 400})
        pose = np.c_[rng.uniform(100, 300, (17, 2)), np.full(17, 2)]
        content["annotations"].append(
            {"id": image, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [100, 100, 200, 200],
             "area": 20000.0, "num_keypoints": 17, "keypoints": pose.ravel().tolist()}
        )  # fmt: skip
        low = rng.random(17) < 0.5
        scores = np.where(low, 0.1, 0.9)
        wrong = pose[:, :2] + 60 * low[:, None]
        better = pose[:, :2] + 60 * ~low[:, None]
        for rows, points in ((found, wrong), (refined, better)):
            keypoints = np.c_[points, scores].ravel().tolist()
            rows.append({"image_id": image, "category_id": 1, "keypoints": keypoints, "score": 0.5 + image / 100})
    return content, found, refined


def test_only_keypoints_below_the_limit_move_their_share():
    _, found, refined = scene()
    moved = Blend(found, refined[1:]).equal(0.5, 0.3)
    assert moved[0] == {**found[0], "keypoints": pytest.approx(found[0]["keypoints"])}, "its refined pose was removed"
    before, after, target = (np.reshape(rows[4]["keypoints"], (17, 3)) for rows in (found, moved, refined))
    low = before[:, 2] < 0.3
    np.testing.assert_allclose(after[low, :2], (before[low, :2] + target[low, :2]) / 2)
    np.testing.assert_array_equal(after[~low], before[~low])


def test_the_choice_is_the_best_of_the_other_images():
    content, found, refined = scene(15)
    truth = read_ground_truth(content, 17)
    results, choices = cross_fitted(Blend(found, refined), truth)
    assert {share for share, _ in choices} == {1.0}
    assert {limit for _, limit in choices} <= {0.2, 0.4, 0.6}
    assert ap_of(pairs_of(results, truth), np.arange(15)) == pytest.approx(1)
    # Images of one fold whose refinement is wrong do not change what is chosen for them.
    worse = copy.deepcopy(refined)
    for row in worse:
        if (row["image_id"] - 1) % FOLDS == 0:
            row["keypoints"] = [value + 300 * (place % 3 < 2) for place, value in enumerate(row["keypoints"])]
    assert cross_fitted(Blend(found, worse), truth)[1][0] == choices[0]


def test_nothing_moves_where_refinement_harms():
    content, found, refined = scene()
    truth = read_ground_truth(content, 17)
    results, choices = cross_fitted(Blend(refined, found[:0]), truth)
    assert choices == [(0.0, 0.0)] * FOLDS
    assert [row["keypoints"] for row in results] == [pytest.approx(row["keypoints"]) for row in refined]


def test_the_command_prints_ap_and_errors(tmp_path, monkeypatch, capsys):
    for name, value in zip(("truth", "found", "refined"), scene(), strict=True):
        write_json(tmp_path / f"{name}.json", value)
    files = [str(tmp_path / f"{name}.json") for name in ("truth", "found", "refined")]
    monkeypatch.setattr(sys, "argv", ["blend", *files, "--resamples", "5"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| results | AP | difference | good |")
    assert lines[-2].startswith("| share and limit chosen | 100.0 | +")
