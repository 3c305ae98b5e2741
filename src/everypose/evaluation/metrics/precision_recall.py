"""Precision and recall by OKS threshold: the matching and accumulation of faster-coco-eval, fed from arrays."""

from faster_coco_eval import COCOeval_faster

from everypose.core.arrays import Float64, Int64, Mask
from everypose.evaluation.metrics.oks import OksPairs


def precision_and_recall(
    pairs: OksPairs, *, ignored: Mask | None = None, oks: Float64 | None = None, images: Int64 | None = None
) -> tuple[Float64, Float64]:
    """Compute precision and recall by OKS threshold with faster-coco-eval.

    Args:
        pairs: see ``compute_oks``.
        ignored: (N,) bool, people that need not be found; default: unlabeled ones and crowd regions.
        oks: (P,) float64, replaces the pairs' OKS.
        images: indices of the images to score; default: all.

    Returns:
        Precision (10, 101, categories, 3 areas) and recall (10, categories, 3 areas); -1 without people to find.

    >>> import numpy as np
    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> from everypose.evaluation.metrics.oks import compute_oks
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 40, 40], "area": 1600}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> found = read_results([{"image_id": 1, "keypoints": [8, 9, 0.9], "score": 0.9}], people)
    >>> precision, recall = precision_and_recall(compute_oks(people, found, np.array([0.1])))
    >>> recall[:, 0, 0].tolist()  # an OKS of 0.823 passes the thresholds .50 to .80
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    scorer = _ArrayScorer(
        pairs,
        ~pairs.ground_truth.is_scored if ignored is None else ignored,
        pairs.oks if oks is None else oks,
        images=images,
    )
    scorer.evaluate()
    scorer.accumulate()
    return scorer.eval["precision"][..., 0], scorer.eval["recall"][..., 0]


class _ArrayScorer(COCOeval_faster):  # type: ignore[misc]
    """faster-coco-eval fed from arrays: its matching and accumulation without its loading and its OKS loop."""

    def __init__(self, pairs: OksPairs, ignored: Mask, oks: Float64, *, images: Int64 | None) -> None:
        super().__init__(iouType="keypoints", kpt_oks_sigmas=pairs.sigmas.tolist(), print_function=_silent)
        self._pairs = pairs
        self._ignored = ignored
        self._oks = oks
        self.params.imgIds = list(range(len(pairs.ground_truth.image_ids))) if images is None else images.tolist()
        self.params.catIds = list(range(len(pairs.ground_truth.categories)))

    def _prepare(self) -> None:
        pairs, ground_truth, results = self._pairs, self._pairs.ground_truth, self._pairs.results
        self.gt_dataset.clean()
        self.dt_dataset.clean()
        # Ids start at 1: the scorer marks "unmatched" with 0.
        for row in pairs.people.tolist():
            person = {
                "id": row + 1,
                "area": float(ground_truth.areas[row]),
                "iscrowd": int(ground_truth.is_crowd[row]),
                "ignore": int(self._ignored[row]),
            }
            self.gt_dataset.append(int(ground_truth.image[row]), int(ground_truth.category[row]), person)
        for row in pairs.detections.tolist():
            detection = {"id": row + 1, "area": float(results.areas[row]), "score": float(results.scores[row])}
            self.dt_dataset.append(int(results.image[row]), int(results.category[row]), detection)

    def computeOks(self, image: int, category: int) -> list[list[float]]:  # noqa: N802
        """The (detections, people) OKS of one image and category, under faster-coco-eval's name and in its form."""
        group = int(image) * len(self._pairs.ground_truth.categories) + int(category)
        matrix: list[list[float]] = self._pairs.matrix(group, self._oks).tolist()
        return matrix if matrix and matrix[0] else []


def _silent(*_: object) -> None:
    """Discard faster-coco-eval's progress output."""
