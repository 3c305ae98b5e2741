import json

import numpy as np
import pytest

from evaluation.made import with_people
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.evaluate import evaluate_predictions
from everypose.evaluation.metrics.error_types import match_detections
from everypose.evaluation.metrics.oks import compute_oks
from everypose.evaluation.report.worst import image_losses, worst_images
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def test_losses_are_what_people_miss_of_oks():
    truth, results = with_people(2)
    people = read_ground_truth(truth, 17)
    comparison = compute_oks(people, read_results(results, people), np.array(COCO.sigmas))
    matches = match_detections(comparison)
    expected = np.zeros(len(people.image_ids))
    of_person = dict(zip(matches.people.tolist(), matches.oks.tolist(), strict=True))
    for person in np.flatnonzero(people.is_scored):
        expected[people.image[person]] += 1 - of_person.get(person, 0)
    np.testing.assert_allclose(image_losses(comparison, matches), expected)


def test_perfect_predictions_lose_nothing():
    truth, _ = with_people(2, crowds=False)
    results = [{"image_id": a["image_id"], "keypoints": a["keypoints"], "score": 1.0} for a in truth["annotations"]]
    people = read_ground_truth(truth, 17)
    comparison = compute_oks(people, read_results(results, people), np.array(COCO.sigmas))
    np.testing.assert_allclose(image_losses(comparison, match_detections(comparison)), 0, atol=1e-12)


def test_an_image_without_a_name_cannot_be_drawn(tmp_path):
    category = {"id": 1, "name": "point", "keypoints": ["nose"]}
    person = {"id": 7, "image_id": 5, "category_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10]}
    content = {"images": [{"id": 5}], "annotations": [person], "categories": [category]}
    truth, poses = tmp_path / "truth.json", tmp_path / "poses.json"
    truth.write_text(json.dumps(content))
    poses.write_text("[]")
    evaluation = evaluate_predictions(poses, truth, image_root=tmp_path, sigmas=(0.1,))
    with pytest.raises(EveryposeError, match="image 5 cannot be drawn: its annotation has no file_name"):
        worst_images(evaluation, count=1)
