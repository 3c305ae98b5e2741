import numpy as np

from evaluation.made import with_people
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.error_types import match_detections
from everypose.evaluation.metrics.oks import compute_oks
from everypose.evaluation.report.worst import image_losses
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
