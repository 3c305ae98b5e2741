"""COCO-WholeBody (Jin et al., ECCV 2020): AP of all 133 keypoints, and of body, feet, face and hands separately."""

from dataclasses import replace

from everypose.errors import UsageError
from everypose.evaluation.coco_arrays import GroundTruth, Results
from everypose.evaluation.metrics.average_precision import OksScores, score_oks
from everypose.evaluation.metrics.oks import compute_oks
from everypose.skeleton.skeleton import Skeleton

PARTS = {
    "whole body": slice(0, 133),
    "body": slice(0, 17),
    "feet": slice(17, 23),
    "face": slice(23, 91),
    "left hand": slice(91, 112),
    "right hand": slice(112, 133),
}


def score_wholebody(ground_truth: GroundTruth, results: Results, skeleton: Skeleton) -> dict[str, OksScores]:
    """Compute COCO's ten numbers for all keypoints and for each part.

    People without a labeled keypoint of a part are ignored for that part. Detections keep the score of the whole
    person in every part.

    Args:
        ground_truth: annotated people with 133 keypoints.
        results: detections with 133 keypoints.
        skeleton: gives the sigmas.

    Returns:
        Scores by the names of ``PARTS``; a part that is never labeled is missing.

    Raises:
        UsageError: if the skeleton does not have 133 keypoints.
        EveryposeError: as for ``score_oks``.

    >>> import numpy as np
    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> pose = [value for k in range(133) for value in (float(k), 2.0 * k, 2)]
    >>> person = {"id": 1, "image_id": 1, "keypoints": pose, "bbox": [0, 0, 133, 266], "area": 2e4}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 133)
    >>> found = read_results([{"image_id": 1, "keypoints": pose, "score": 0.9}], people)
    >>> scores = score_wholebody(people, found, Skeleton.named("coco_wholebody"))
    >>> {part: round(score.ap, 2) for part, score in scores.items()}
    {'whole body': 1.0, 'body': 1.0, 'feet': 1.0, 'face': 1.0, 'left hand': 1.0, 'right hand': 1.0}
    """
    if len(skeleton) != 133:
        raise UsageError(f"the WholeBody metric needs 133 keypoints, the skeleton {skeleton.name} has {len(skeleton)}")
    sigmas = skeleton.require_sigmas()
    scores = {}
    for name, part in PARTS.items():
        keypoints = ground_truth.keypoints[:, part]
        people = replace(ground_truth, keypoints=keypoints, num_keypoints=(keypoints[:, :, 2] > 0).sum(axis=1))
        if name != "whole body" and not people.is_scored.any():
            continue
        detections = replace(results, keypoints=results.keypoints[:, part])
        scores[name] = score_oks(compute_oks(people, detections, sigmas[part]))
    return scores
