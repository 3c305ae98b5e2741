"""Choose the score threshold with the best F1 on a labeled set (a match is OKS >= 0.5).

python -m research.boir_lite.choose_threshold MODEL ANNOTATIONS.json IMAGES
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.files import read_json
from everypose.errors import exit_on_user_error
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.error_types import match_detections
from everypose.evaluation.metrics.oks import compute_oks
from everypose.inference.loading import load


def main() -> None:
    """Sweep the threshold and print precision, recall and F1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    arguments = parser.parse_args()
    content: dict[str, Any] = read_json(arguments.annotations)
    estimator = load(arguments.model, min_score=0.0)
    results = []
    for image in content["images"]:
        results += estimator(arguments.images / image["file_name"]).to_coco(image["id"])
    truth = read_ground_truth(content, len(estimator.skeleton))
    sigmas = estimator.skeleton.require_sigmas()
    best = (0.0, 0.0)
    for threshold in np.arange(0.02, 0.4, 0.005):
        kept = [result for result in results if result["score"] >= threshold]
        comparison = compute_oks(truth, read_results(kept, truth), sigmas)
        hits = len(match_detections(comparison, minimum=0.5).people)
        # People without labeled keypoints are ignored.
        precision = hits / max(hits + wrong(comparison), 1)
        recall = hits / max(int(truth.is_scored.sum()), 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        best = max(best, (f1, float(threshold)))
        print(f"{threshold:.3f}: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}")
    print(f"best: {best[1]:.3f} with F1 {best[0]:.3f}")


def wrong(comparison: Any) -> int:
    """False positives: detections that match no person, no unlabeled person and no crowd region."""
    taken = set(match_detections(comparison, minimum=0.5).detections.tolist())
    ignored = ~comparison.ground_truth.is_scored[comparison.pair_person] & (comparison.oks >= 0.5)
    excused = set(comparison.pair_detection[ignored].tolist())
    return len(set(comparison.detections.tolist()) - taken - excused)


if __name__ == "__main__":
    with exit_on_user_error("choose_threshold"):
        main()
