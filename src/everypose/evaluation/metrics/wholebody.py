"""COCO-WholeBody (Jin et al., ECCV 2020): 133 keypoints, and body, feet, face and hands on their own."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from everypose.errors import UsageError
from everypose.evaluation.coco_arrays import read_results, read_truth
from everypose.evaluation.metrics.oks import OksScores, compare, score

if TYPE_CHECKING:
    from everypose.skeleton.skeleton import Skeleton

PARTS = {
    "whole body": slice(0, 133),
    "body": slice(0, 17),
    "feet": slice(17, 23),
    "face": slice(23, 91),
    "left hand": slice(91, 112),
    "right hand": slice(112, 133),
}


def evaluate_wholebody(
    truth: dict[str, Any], results: list[dict[str, Any]], skeleton: "Skeleton"
) -> dict[str, OksScores]:
    """COCO's ten numbers for all 133 keypoints and for each part by ``PARTS``' names.

    A person without a labelled keypoint of a part is neither right nor wrong for this part; a part that nobody in the
    truth has is left out of the answer. Scores of detections are those of the whole person.

    Raises:
        EveryposeError: as ``evaluate_oks``; UsageError when the skeleton has not 133 keypoints.
    """
    if len(skeleton) != 133:
        raise UsageError(f"the WholeBody metric needs 133 keypoints, the skeleton {skeleton.name} has {len(skeleton)}")
    sigmas = skeleton.require_sigmas()
    people = read_truth(truth, 133)
    found = read_results(results, people, 133)
    scores = {}
    for name, part in PARTS.items():
        keypoints = people.keypoints[:, part]
        part_people = replace(people, keypoints=keypoints, labelled=(keypoints[:, :, 2] > 0).sum(axis=1))
        if name != "whole body" and not part_people.counted.any():
            continue
        part_found = replace(found, keypoints=found.keypoints[:, part])
        scores[name] = score(compare(part_people, part_found, sigmas[part]))
    return scores
