"""Generated truth and predictions, and pycocotools' numbers for them."""

import contextlib
import copy
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def dataset(seed, images=12, people=4, detections=8, count=17, categories=1, crowds=True):
    """A COCO-format truth and a results list, with unlabeled people, crowd regions, ties and detections of nobody."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(1, images + 1):
        poses = [np.zeros((count, 3))]
        for _ in range(rng.integers(0, people + 1)):
            (width, height), corner = rng.uniform(15, 220, 2), rng.uniform(0, 300, 2)
            pose = np.column_stack(
                [corner + rng.uniform(0, 1, (count, 2)) * (width, height), rng.integers(0, 3, count)]
            )
            pose[pose[:, 2] == 0] = 0
            if rng.random() < 0.15:
                pose[:] = 0
            pose = pose.round(2)
            poses.append(pose)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(rng.integers(1, categories + 1)),
                    "bbox": [*corner.round(2).tolist(), round(float(width), 2), round(float(height), 2)],
                    "area": round(float(width * height) * 0.6, 2),
                    "iscrowd": int(crowds and rng.random() < 0.1),
                    "keypoints": pose.ravel().tolist(),
                    "num_keypoints": int((pose[:, 2] > 0).sum()),
                }
            )
        for _ in range(rng.integers(0, detections + 1)):
            pose = poses[rng.integers(len(poses))].copy()
            pose[:, :2] += rng.normal(0, rng.choice([0, 1, 4, 15]), (count, 2))
            pose[:, 2] = rng.random(count)
            results.append(
                {
                    "image_id": image,
                    "category_id": int(rng.integers(1, categories + 1)),
                    "keypoints": pose.round(3).ravel().tolist(),
                    "score": round(float(rng.random()), 1),
                }
            )
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "crowdIndex": float(rng.random())} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": i, "name": f"kind {i}"} for i in range(1, categories + 1)],
    }
    return truth, results


def pycocotools_numbers(truth, results, sigmas):
    """The ten numbers."""
    with contextlib.redirect_stdout(io.StringIO()):
        people = COCO()
        people.dataset = copy.deepcopy(truth)
        people.createIndex()
        scorer = COCOeval(people, people.loadRes(copy.deepcopy(results)), "keypoints")
        scorer.params.kpt_oks_sigmas = np.asarray(sigmas)
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return scorer.stats


def ours(scores):
    """Our ten numbers in pycocotools' order."""
    overall = [scores.ap, scores.ap50, scores.ap75, scores.ap_medium, scores.ap_large]
    return np.array([*overall, scores.ar, scores.ar50, scores.ar75, scores.ar_medium, scores.ar_large])


def with_people(seed, **settings):
    """A generated data set that surely has somebody to find and something found."""
    for attempt in range(100):
        truth, results = dataset(seed * 1000 + attempt, **settings)
        if results and any(a["num_keypoints"] and not a["iscrowd"] for a in truth["annotations"]):
            return truth, results
    raise AssertionError("no such data set in a hundred")
