"""COCO results of what a top-down model finds in boxes."""

from collections.abc import Iterable
from typing import Any

from everypose.inference.top_down import BoxPoses, TopDownEstimator


def box_results(estimator: TopDownEstimator, found: Iterable[tuple[Any, int, BoxPoses]]) -> list[dict[str, Any]]:
    """COCO results of images, each with its id, the category id of its results and the poses in its boxes."""
    return [
        result
        for image_id, category, poses in found
        for result in without_boxes(estimator.people(poses).to_coco(image_id, category))
    ]


def without_boxes(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results without ``bbox``, as top-down methods are published.

    Without it COCO's AP of medium and large people takes the extent of the keypoints as a detection's area, not the
    box of the crop.
    """
    return [{key: value for key, value in result.items() if key != "bbox"} for result in results]
