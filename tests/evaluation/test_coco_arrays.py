import copy

import numpy as np
import pytest

from evaluation.made import ours, pycocotools_numbers, with_people
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import category_of_images, read_ground_truth
from everypose.evaluation.metrics.average_precision import evaluate_oks
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def broken(change):
    truth, results = copy.deepcopy(with_people(4))
    change(truth, results)
    return truth, results


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda _, r: r[3].update(image_id=12345),
            "1 predictions whose image_id is not in the annotation file .*12345",
        ),
        (lambda _, r: r[3].update(category_id=7), "category_id is not in the annotation file"),
        (lambda _, r: r[2].update(keypoints=[1.0] * 42), "prediction 2 .* has 14 keypoints, the skeleton has 17"),
        (lambda _, r: r[2].update(score=float("nan")), "prediction 2: score must be a finite number"),
        (lambda _, r: r[2].pop("score"), "prediction 2: score must be a finite number, not None"),
        (lambda _, r: r[2].update(score="high"), "prediction 2: score must be a finite number, not high"),
        (
            lambda _, r: r[1]["keypoints"].__setitem__(4, float("inf")),
            "prediction 1: keypoints must be 51 finite numbers",
        ),
        (lambda _, r: r[1].update(keypoints=[[1, 2, 3]] * 51), "prediction 1: keypoints must be 51 finite numbers"),
        (lambda t, _: t["annotations"][1].update(id=t["annotations"][0]["id"]), "1 duplicate annotation ids"),
        (lambda t, _: t["images"][1].update(id=t["images"][0]["id"]), "1 duplicate image ids"),
        (lambda t, _: t["annotations"][0].update(keypoints=[0] * 42), "annotation 1 .* has 14 keypoints"),
        (lambda t, _: t["annotations"][0].update(bbox=[1, 2, 3]), "annotation 1: bbox must be 4 finite numbers"),
        (lambda t, _: t["annotations"][0].update(category_id=9), "annotation 1 has category 9, not listed"),
        (lambda t, _: t.update(annotations=[]), "no person with labeled keypoints: nothing to measure"),
        (lambda t, _: t.update(images=[], annotations=[]), "prediction"),
        (lambda t, _: t.pop("images"), "not a COCO-format file"),
    ],
)
def test_bad_input_is_one_line_that_names_it(change, words):
    truth, results = broken(change)
    with pytest.raises(EveryposeError, match=words) as caught:
        evaluate_oks(truth, results, COCO)
    assert "\n" not in str(caught.value)


def test_results_that_are_no_list():
    truth, results = with_people(4)
    with pytest.raises(EveryposeError, match="must be one list"):
        evaluate_oks(truth, {"annotations": results}, COCO)


def test_no_predictions_find_nobody():
    truth, _ = with_people(4)
    scores = evaluate_oks(truth, [], COCO)
    assert (scores.ap, scores.ar, scores.detections) == (0, 0, 0)


def test_empty_truth_and_predictions():
    with pytest.raises(EveryposeError, match="nothing to measure"):
        evaluate_oks({"images": [], "annotations": [], "categories": []}, [], COCO)


def test_all_zero_keypoints_are_scored_as_pycocotools_does_and_said():
    truth, results = with_people(4)
    results = [*results, {"image_id": results[0]["image_id"], "category_id": 1, "keypoints": [0.0] * 51, "score": 0.95}]
    scores = evaluate_oks(truth, results, COCO)
    np.testing.assert_allclose(ours(scores), pycocotools_numbers(truth, results, COCO.sigmas), rtol=0, atol=1e-12)
    assert any("predictions have all keypoints at (0, 0)" in note for note in scores.notes)


def test_repeated_predictions_are_said():
    truth, results = with_people(4)
    scores = evaluate_oks(truth, [*results, results[0]], COCO)
    assert any("1 predictions repeat another one exactly" in note for note in scores.notes)


def test_num_keypoints_that_disagrees_is_kept_as_pycocotools_does_and_said():
    truth, results = with_people(4)
    for person in truth["annotations"][:2]:
        person["num_keypoints"] = 0 if person["num_keypoints"] else 3
    scores = evaluate_oks(truth, results, COCO)
    np.testing.assert_allclose(ours(scores), pycocotools_numbers(truth, results, COCO.sigmas), rtol=0, atol=1e-12)
    assert any("num_keypoints of 2 people disagrees" in note for note in scores.notes)


def test_annotations_of_unlisted_images_are_left_out_and_said():
    truth, results = with_people(4)
    stray = {**truth["annotations"][0], "id": 10**6, "image_id": 777}
    more = {**truth, "annotations": [*truth["annotations"], stray]}
    scores = evaluate_oks(more, results, COCO)
    assert ours(scores).tolist() == ours(evaluate_oks(truth, results, COCO)).tolist()
    assert any("1 annotations belong to no scored image" in note for note in scores.notes)


def test_categories_may_miss_where_there_is_one():
    truth, results = with_people(4)
    bare = [{k: v for k, v in r.items() if k != "category_id"} for r in results]
    assert ours(evaluate_oks(truth, bare, COCO)).tolist() == ours(evaluate_oks(truth, results, COCO)).tolist()


def test_people_without_keypoints_or_boxes_are_unlabeled():
    truth, results = with_people(4)
    bare = {"id": 10**6, "image_id": 1, "category_id": 1, "area": 100.0}
    scores = evaluate_oks({**truth, "annotations": [*truth["annotations"], bare]}, results, COCO)
    assert scores.people == evaluate_oks(truth, results, COCO).people


def test_categories_may_miss_where_only_one_has_labeled_people():
    truth, results = with_people(4)
    more = {**truth, "categories": [{"id": 0, "name": "car"}, *truth["categories"]]}
    bare = [{k: v for k, v in r.items() if k != "category_id"} for r in results]
    assert ours(evaluate_oks(more, bare, COCO)).tolist() == ours(evaluate_oks(truth, results, COCO)).tolist()


def test_boxes_without_a_size_are_the_labels_extent():
    truth, _ = with_people(4)
    for annotation in truth["annotations"]:
        annotation.update(bbox=[0, 0, 0, 0], area=0)
    people = read_ground_truth(truth, 17)
    for row in np.flatnonzero(people.is_scored):
        points = people.keypoints[row, people.keypoints[row, :, 2] > 0, :2]
        np.testing.assert_array_equal(people.boxes[row], [*points.min(axis=0), *np.ptp(points, axis=0)])
        assert people.areas[row] == pytest.approx(0.53 * np.ptp(points, axis=0).prod())


def test_categories_of_images():
    """The only category for every image; with several, that of the image's labeled people, crowds aside."""
    truth, _ = with_people(4)
    assert category_of_images(read_ground_truth(truth, 17)) == {image["id"]: 1 for image in truth["images"]}
    truth["categories"] = [{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}]
    expected = {}
    for annotation in truth["annotations"]:
        annotation["category_id"] = 1 + 4 * (annotation["image_id"] % 2)
        if annotation["num_keypoints"] and not annotation["iscrowd"]:
            expected[annotation["image_id"]] = annotation["category_id"]
    assert category_of_images(read_ground_truth(truth, 17)) == expected


def test_categories_must_be_named_where_there_are_several():
    truth, results = with_people(4, categories=3)
    bare = [{k: v for k, v in r.items() if k != "category_id"} for r in results]
    with pytest.raises(EveryposeError, match="category_id is not in the annotation file"):
        evaluate_oks(truth, bare, Skeleton.named("ap10k"))
