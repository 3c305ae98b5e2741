import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.made import ours, pycocotools_numbers, with_people
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.average_precision import EASY_BELOW, MEDIUM_BELOW, evaluate_oks
from everypose.evaluation.metrics.oks import compute_oks
from everypose.skeleton.skeleton import Skeleton

GOLDEN = Path(__file__).parents[2] / "golden"
COCO = Skeleton.named("coco")
CROWDPOSE = Skeleton.named("crowdpose")


def literal_oks(detection, person, sigmas, area):
    """One detection against one person, keypoint by keypoint, as COCO's page writes it."""
    pose = np.reshape(person["keypoints"], (-1, 3))
    found = np.reshape(detection["keypoints"], (-1, 3))
    x, y, w, h = person["bbox"]
    terms = []
    for (px, py, _), (gx, gy, v), sigma in zip(found, pose, sigmas, strict=True):
        if (pose[:, 2] > 0).any():
            if v == 0:
                continue
            dx, dy = px - gx, py - gy
        else:
            dx = max(0, x - w - px) + max(0, px - (x + 2 * w))
            dy = max(0, y - h - py) + max(0, py - (y + 2 * h))
        terms.append(np.exp(-(dx**2 + dy**2) / (2 * (2 * sigma) ** 2 * (area + np.spacing(1)))))
    return sum(terms) / len(terms)


def literal_ap(truth, results, sigmas, images):
    """CrowdPose's AP of some images, in plain loops: area 0.53 x box, no size ranges. (AP over OKS, recall.)"""
    precision, recall = [], []
    for threshold in np.linspace(0.5, 0.95, 10):
        rows, total = [], 0
        for image in sorted(images):
            people = [a for a in truth["annotations"] if a["image_id"] == image]
            ignore = [a["num_keypoints"] == 0 or bool(a["iscrowd"]) for a in people]
            order = sorted(range(len(people)), key=lambda i: ignore[i])
            total += len(people) - sum(ignore)
            taken = set()
            found = [r for r in results if r["image_id"] == image]
            for detection in sorted(found, key=lambda r: -r["score"])[:20]:
                best, best_oks = None, min(threshold, 1 - 1e-10)
                for i in order:
                    if i in taken and not people[i]["iscrowd"]:
                        continue
                    if best is not None and not ignore[best] and ignore[i]:
                        break
                    box = people[i]["bbox"]
                    value = literal_oks(detection, people[i], sigmas, 0.53 * box[2] * box[3])
                    if value >= best_oks:
                        best, best_oks = i, value
                if best is not None:
                    taken.add(best)
                rows.append((detection["score"], best is not None, best is not None and ignore[best]))
        rows = [row for row in sorted(rows, key=lambda row: -row[0]) if not row[2]]
        if not total:
            precision.append([-1.0] * 101)
            continue
        right = np.cumsum([row[1] for row in rows]) if rows else np.zeros(0)
        at = [(r / total, r / (i + 1)) for i, r in enumerate(right)]
        recall.append(at[-1][0] if at else 0.0)
        precision.append([max((p for r, p in at if r >= wanted), default=0.0) for wanted in np.linspace(0, 1, 101)])
    return np.array(precision), np.array(recall)


@pytest.mark.parametrize("seed", range(12))
def test_ten_numbers_equal_pycocotools(seed):
    truth, results = with_people(seed)
    scores = evaluate_oks(truth, results, COCO)
    np.testing.assert_allclose(ours(scores), pycocotools_numbers(truth, results, COCO.sigmas), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_more_than_twenty_detections_of_an_image_are_cut(seed):
    truth, results = with_people(seed, images=3, detections=150)
    assert max(np.bincount([r["image_id"] for r in results])) > 20
    scores = evaluate_oks(truth, results, COCO)
    np.testing.assert_allclose(ours(scores), pycocotools_numbers(truth, results, COCO.sigmas), rtol=0, atol=1e-12)


def test_boxes_of_results_give_the_detections_areas_as_in_pycocotools():
    truth, results = with_people(3, images=20)
    rng = np.random.default_rng(0)
    results = [{**r, "bbox": [0, 0, *rng.uniform(10, 200, 2).tolist()]} for r in results]
    scores = evaluate_oks(truth, results, COCO)
    np.testing.assert_allclose(ours(scores), pycocotools_numbers(truth, results, COCO.sigmas), rtol=0, atol=1e-12)
    plain = evaluate_oks(truth, [{k: v for k, v in r.items() if k != "bbox"} for r in results], COCO)
    assert not np.array_equal(ours(plain), ours(scores))


@pytest.mark.parametrize("seed", range(3))
def test_several_species_average_over_categories(seed):
    skeleton = Skeleton.named("ap10k")
    truth, results = with_people(seed, images=20, categories=5)
    scores = evaluate_oks(truth, results, skeleton)
    np.testing.assert_allclose(ours(scores), pycocotools_numbers(truth, results, skeleton.sigmas), rtol=0, atol=1e-12)
    assert np.mean(list(scores.by_category.values())) == pytest.approx(scores.ap, abs=1e-12)


def test_shared_scores_and_images_in_any_order_do_not_matter_to_the_pairs():
    truth, results = with_people(5)
    people = read_ground_truth(truth, 17)
    compared = compute_oks(people, read_results(results, people), np.array(COCO.sigmas))
    for pair in range(0, len(compared.oks), 3):
        person = truth["annotations"][compared.pair_person[pair]]
        detection = results[compared.pair_detection[pair]]
        assert person["image_id"] == detection["image_id"]
        assert compared.oks[pair] == pytest.approx(
            literal_oks(detection, person, COCO.sigmas, person["area"]), abs=1e-14
        )


@pytest.mark.parametrize("as_zero", [False, True])
@pytest.mark.parametrize("missing", ["all", "some"])
def test_missing_areas_are_0_53_of_the_box(missing, as_zero):
    """CVAT writes a missing area as 0, with which nobody could be found."""
    truth, results = with_people(6, images=20)
    filled = json.loads(json.dumps(truth))
    for row, (bare, full) in enumerate(zip(truth["annotations"], filled["annotations"], strict=True)):
        if missing == "all" or row % 2:
            del bare["area"]
            bare.update({"area": 0.0} if as_zero else {})
            full["area"] = 0.53 * full["bbox"][3] * full["bbox"][2]
    scores = evaluate_oks(truth, results, COCO)
    np.testing.assert_allclose(ours(scores), pycocotools_numbers(filled, results, COCO.sigmas), rtol=0, atol=1e-12)
    assert "0.53 x box" in scores.area_source


def golden_truth(golden, crowdpose):
    rows = range(len(golden["gt/id"]))
    annotations = [
        {
            "id": int(golden["gt/id"][i]),
            "image_id": int(golden["gt/image_id"][i]),
            "category_id": 1,
            "bbox": golden["gt/bbox"][i].tolist(),
            "keypoints": golden["gt/keypoints"][i].tolist(),
            "num_keypoints": int(golden["gt/num_keypoints"][i]),
            "iscrowd": int(golden["gt/iscrowd"][i]),
            **({} if crowdpose else {"area": float(golden["gt/area"][i])}),
        }
        for i in rows
    ]
    if crowdpose:
        indices = zip(golden["img/id"].tolist(), golden["img/crowdIndex"].tolist(), strict=True)
        images = [{"id": i, "crowdIndex": index} for i, index in indices]
    else:
        images = [{"id": i} for i in sorted({a["image_id"] for a in annotations})]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


@pytest.mark.parametrize("which", ["merged", "lambda0_second", "lambda1_primary"])
def test_coco_numbers_of_the_released_evaluator(which):
    golden = np.load(GOLDEN / "h_eval_end_to_end.npz")
    names = ("image_id", "score", "keypoints")
    columns = zip(*(golden[f"result_{which}/{name}"].tolist() for name in names), strict=True)
    results = [dict(zip(names, row, strict=True)) for row in columns]
    scores = evaluate_oks(golden_truth(golden, crowdpose=False), results, COCO)
    np.testing.assert_allclose(ours(scores), golden[f"ap_{which}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("which", ["merged", "lambda0_second", "lambda1_primary"])
def test_crowdpose_numbers_of_the_published_tool(which):
    golden = np.load(GOLDEN / "h2_eval_crowdpose.npz")
    half = len(golden["image_id"]) // 2
    rows = {"merged": slice(None), "lambda0_second": slice(0, half), "lambda1_primary": slice(half, None)}[which]
    keypoints, boxes = golden["all_preds"][rows], golden["all_boxes"][rows]
    confident = keypoints[:, :, 2] > 0.2
    mean = (keypoints[:, :, 2] * confident).sum(axis=1) / np.maximum(confident.sum(axis=1), 1)
    columns = zip(golden["image_id"][rows].tolist(), (mean * boxes[:, 5]).tolist(), keypoints, strict=True)
    results = [{"image_id": i, "score": s, "keypoints": k.ravel().tolist()} for i, s, k in columns]
    numbers = evaluate_oks(golden_truth(golden, crowdpose=True), results, CROWDPOSE, protocol="crowdpose").numbers()
    assert list(numbers) == ["AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP easy", "AP medium", "AP hard"]
    np.testing.assert_allclose(list(numbers.values()), golden[f"ap_{which}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_crowdpose_equals_its_literal_twin(seed):
    truth, results = with_people(seed, images=15, count=14)
    scores = evaluate_oks(truth, results, CROWDPOSE, protocol="crowdpose")
    precision, recall = literal_ap(truth, results, CROWDPOSE.sigmas, [i["id"] for i in truth["images"]])
    assert scores.ap == pytest.approx(precision.mean(), abs=1e-12)
    assert scores.ap50 == pytest.approx(precision[0].mean(), abs=1e-12)
    assert scores.ar == pytest.approx(recall.mean(), abs=1e-12)
    level = [(i["crowdIndex"] >= EASY_BELOW) + (i["crowdIndex"] >= MEDIUM_BELOW) for i in truth["images"]]
    expected = []
    for wanted in range(3):
        chosen = [i["id"] for i, here in zip(truth["images"], level, strict=True) if here == wanted]
        expected.append(round(literal_ap(truth, results, CROWDPOSE.sigmas, chosen)[0].mean(), 4))
    assert [scores.ap_easy, scores.ap_medium_crowd, scores.ap_hard] == expected


def test_crowdpose_without_crowd_index_is_an_error():
    truth, results = with_people(0, count=14)
    del truth["images"][3]["crowdIndex"]
    with pytest.raises(EveryposeError, match="crowdIndex"):
        evaluate_oks(truth, results, CROWDPOSE, protocol="crowdpose")


def test_perfect_predictions_score_one():
    truth, _ = with_people(1, crowds=False)
    people = [a for a in truth["annotations"] if a["num_keypoints"]]
    results = [{"image_id": a["image_id"], "keypoints": a["keypoints"], "score": 0.5} for a in people]
    scores = evaluate_oks(truth, results, COCO)
    assert (scores.ap, scores.ar, scores.people) == (pytest.approx(1), pytest.approx(1), len(people))


def test_posetrack_frames_that_nobody_labeled_are_left_out():
    truth, results = with_people(2)
    found_in = {r["image_id"] for r in results}
    extra = {"id": 999, "is_labeled": False}
    labeled = {**truth, "images": [{**i, "is_labeled": True} for i in truth["images"]] + [extra]}
    scores = evaluate_oks(labeled, results, COCO)
    assert 999 not in found_in
    assert scores.images == len(truth["images"])
    assert ours(scores).tolist() == ours(evaluate_oks(truth, results, COCO)).tolist()
    assert "1 images are marked as not labeled" in " ".join(scores.notes)


def test_detections_in_unlabeled_frames_do_not_count():
    truth, results = with_people(2)
    last = truth["images"][-1]["id"]
    for image in truth["images"]:
        image["is_labeled"] = image["id"] != last
    rest = {
        **truth,
        "images": truth["images"][:-1],
        "annotations": [a for a in truth["annotations"] if a["image_id"] != last],
    }
    kept = [r for r in results if r["image_id"] != last]
    stray = [*kept, {**kept[0], "image_id": last}]
    assert ours(evaluate_oks(truth, stray, COCO)).tolist() == ours(evaluate_oks(rest, kept, COCO)).tolist()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(0.1, 10))
def test_order_and_scale_do_not_matter(seed, factor):
    rng = np.random.default_rng(seed)
    truth, results = with_people(seed % 50, images=6)
    for result in results:
        result["score"] = float(rng.random())
    scores = evaluate_oks(truth, results, COCO)
    shuffled = [results[i] for i in rng.permutation(len(results))]
    people = [truth["annotations"][i] for i in rng.permutation(len(truth["annotations"]))]
    again = evaluate_oks({**truth, "annotations": people}, shuffled, COCO)
    np.testing.assert_allclose(ours(again), ours(scores), atol=1e-12)
    scaled_people = [
        {
            **a,
            "keypoints": (np.reshape(a["keypoints"], (-1, 3)) * (factor, factor, 1)).ravel().tolist(),
            "bbox": [factor * v for v in a["bbox"]],
            "area": factor**2 * a["area"],
        }
        for a in truth["annotations"]
    ]
    scaled_results = [
        {**r, "keypoints": (np.reshape(r["keypoints"], (-1, 3)) * (factor, factor, 1)).ravel().tolist()}
        for r in results
    ]
    scaled = evaluate_oks({**truth, "annotations": scaled_people}, scaled_results, COCO)
    assert scaled.ap == pytest.approx(scores.ap, abs=1e-9)
    assert scaled.ar == pytest.approx(scores.ar, abs=1e-9)


def test_table_shows_the_numbers():
    truth, results = with_people(1)
    table = evaluate_oks(truth, results, COCO).table()
    assert [column.header for column in table.columns][:3] == ["AP", "AP50", "AP75"]
