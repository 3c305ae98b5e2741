"""Blend original and refined positions: by a share of the move, and only for keypoints with a low score.

    python -m research.posefix_lite.blend TRUTH.json FOUND.json REFINED.json

A refiner of the same capacity as the estimator corrects gross errors and adds jitter. So each keypoint moves a share of
the way to its refined position, if its score is below a limit. Share and limit are chosen on four fifths of the images
and applied to the others, five times, so that no image decides on its own result. Prints AP, its difference to the
results as found with a bootstrap interval over images, and the errors by type.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.core.files import read_json
from everypose.errors import exit_on_user_error
from everypose.evaluation.coco_arrays import GroundTruth, read_ground_truth, read_results
from everypose.evaluation.metrics.average_precision import mean_valid
from everypose.evaluation.metrics.error_types import ERROR_TYPES, classify_errors, match_detections
from everypose.evaluation.metrics.oks import OksPairs, compute_oks
from everypose.evaluation.metrics.precision_recall import precision_and_recall
from everypose.skeleton.skeleton import Skeleton
from research.boir_against_cid.average_precision import Interval, bootstrap, match_images

COCO = Skeleton.named("coco")
SHARES = (0.25, 0.5, 0.75, 1.0)
LIMITS = (0.2, 0.4, 0.6, 1.01)
FOLDS = 5


class Blend:
    """Results as found, and the refined positions of the same people.

    Args:
        found: COCO results.
        refined: of the same people; those that the refiner's suppression removed stay as found.
    """

    def __init__(self, found: Sequence[dict[str, Any]], refined: Sequence[dict[str, Any]]) -> None:
        self.rows = list(found)
        self.positions = np.array([row["keypoints"] for row in found], np.float64).reshape(len(found), -1, 3)
        known = {_key(row): row["keypoints"] for row in refined}
        moved = [np.reshape(known.get(_key(row), row["keypoints"]), (-1, 3))[:, :2] for row in found]
        self.moves = np.stack(moved) - self.positions[..., :2]

    def results(self, share: Float64, limit: Float64) -> list[dict[str, Any]]:
        """Results of which each keypoint with a score below its row's limit has moved by its row's share.

        Args:
            share: (N,) of each row.
            limit: (N,) of each row.
        """
        keypoints = self.positions.copy()
        keypoints[..., :2] += self.moves * (share[:, None] * (self.positions[..., 2] < limit[:, None]))[..., None]
        return [{**row, "keypoints": pose.ravel().tolist()} for row, pose in zip(self.rows, keypoints, strict=True)]

    def equal(self, share: float, limit: float) -> list[dict[str, Any]]:
        """The same with one share and limit for all rows."""
        count = len(self.rows)
        return self.results(np.full(count, share), np.full(count, limit))


def _key(row: Mapping[str, Any]) -> tuple[object, ...]:
    """What refinement does not change: the image and all scores."""
    return row["image_id"], row["score"], tuple(row["keypoints"][2::3])


def cross_fitted(blend: Blend, truth: GroundTruth) -> tuple[list[dict[str, Any]], list[tuple[float, float]]]:
    """The results with the share and the limit that are best on the images of the other folds.

    Returns:
        The results, and the choice of each fold.
    """
    candidates = list(product(SHARES, LIMITS))
    pairs = [pairs_of(blend.equal(*candidate), truth) for candidate in candidates]
    as_found = pairs_of(blend.rows, truth)
    images = np.arange(len(truth.image_ids))
    share, limit = np.zeros(len(blend.rows)), np.zeros(len(blend.rows))
    image_of = {image: index for index, image in enumerate(truth.image_ids)}
    rows = np.array([image_of[row["image_id"]] for row in blend.rows])
    choices = []
    for fold in range(FOLDS):
        others = images[images % FOLDS != fold]
        aps = [ap_of(one, others) for one in pairs]
        best = candidates[int(np.argmax(aps))] if max(aps) > ap_of(as_found, others) else (0.0, 0.0)
        choices.append(best)
        share[rows % FOLDS == fold], limit[rows % FOLDS == fold] = best
    return blend.results(share, limit), choices


def pairs_of(results: list[dict[str, Any]], truth: GroundTruth) -> OksPairs:
    """The OKS of results and people."""
    return compute_oks(truth, read_results(results, truth), COCO.require_sigmas())


def ap_of(pairs: OksPairs, images: Int64) -> float:
    """AP of some images."""
    return mean_valid(precision_and_recall(pairs, images=images)[0][:, :, :, 0])


def row_of(name: str, pairs: OksPairs, against: Interval | None = None) -> str:
    """One line of the table."""
    errors = classify_errors(pairs, match_detections(pairs), COCO.flip_index)
    counts = errors.counts.sum(axis=0).tolist()
    ap = ap_of(pairs, np.arange(len(pairs.ground_truth.image_ids)))
    difference = (
        "" if against is None else f"{100 * against.value:+.1f} ({100 * against.low:+.1f} to {100 * against.high:+.1f})"
    )
    return f"| {name} | {100 * ap:.1f} | {difference} | {' | '.join(map(str, [*counts, errors.unmatched.sum()]))} |"


def main() -> None:
    """Choose, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("truth", "found", "refined"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    truth = read_ground_truth(read_json(arguments.truth), 17)
    blend = Blend(read_json(arguments.found), read_json(arguments.refined))
    fitted, choices = cross_fitted(blend, truth)
    compared = {"refined": blend.equal(1.0, 2.0), "share and limit chosen": fitted}
    as_found = pairs_of(blend.rows, truth)
    matches = [match_images(as_found)]
    print(f"| results | AP | difference | {' | '.join(ERROR_TYPES)} | unmatched |")
    print("|" + "---|" * (4 + len(ERROR_TYPES)))
    print(row_of("as found", as_found))
    for name, results in compared.items():
        pairs = pairs_of(results, truth)
        print(row_of(name, pairs, bootstrap([match_images(pairs)], matches, resamples=arguments.resamples)))
    print("choices of share and limit:", json.dumps(Counter(map(str, choices))))


if __name__ == "__main__":
    with exit_on_user_error("blend"):
        main()
