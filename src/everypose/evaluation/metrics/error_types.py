"""Error types of predicted keypoints (after Ronchi & Perona, ICCV 2017) and their distances.

The similarity of a keypoint is its term in OKS, exp(-d^2 / (2 (2 sigma)^2 area)). Each labeled keypoint of a person
with a matched detection is one of:

- good: similarity of at least .85;
- jitter: similarity of at least .5;
- inversion: below, and most similar, with at least .5, to this person's keypoint of the other side;
- swap: below, and most similar, with at least .5, to another person's keypoint of either side;
- miss: everything else.

Similarity with another person's keypoint is measured by that person's area.
"""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.evaluation.metrics.oks import MAX_DETECTIONS, OksPairs

GOOD, NEAR = 0.85, 0.5
MATCH_OKS = 0.1
"""Lowest OKS of a match when errors are analyzed (Ronchi & Perona, section 3)."""
ERROR_TYPES = ("good", "jitter", "inversion", "swap", "miss")


@dataclass(frozen=True)
class Matches:
    """Matched detections and people, each at most once.

    Attributes:
        detections: (n,) int64, rows of the results.
        people: (n,) int64, rows of the ground truth.
        oks: (n,) float64.

    >>> Matches(detections=np.array([4]), people=np.array([0]), oks=np.array([0.8])).oks.tolist()
    [0.8]
    """

    detections: Int64
    people: Int64
    oks: Float64


@dataclass(frozen=True)
class KeypointErrors:
    """Errors of the matched detections by keypoint.

    Attributes:
        counts: (K, 5) int64, how many keypoints are of each of ``ERROR_TYPES``.
        unmatched: (K,) int64, labeled keypoints of people without a matched detection.
        median_pixels: (K,) float64, median distance in pixels; NaN where a keypoint is never labeled.
        median_relative: (K,) float64, median distance over the square root of the person's area.

    >>> errors = KeypointErrors(np.array([[8, 1, 0, 0, 1]]), np.array([2]), np.array([3.0]), np.array([0.02]))
    >>> dict(zip(ERROR_TYPES, errors.counts[0].tolist(), strict=True))
    {'good': 8, 'jitter': 1, 'inversion': 0, 'swap': 0, 'miss': 1}
    """

    counts: Int64
    unmatched: Int64
    median_pixels: Float64
    median_relative: Float64


def match_detections(pairs: OksPairs, *, minimum: float = MATCH_OKS) -> Matches:
    """Match each detection, best score first, with the unmatched person of its image that has the greatest OKS.

    Args:
        pairs: see ``compute_oks``.
        minimum: lowest OKS of a match.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> from everypose.evaluation.metrics.oks import compute_oks
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 10, 10], "area": 100}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> poses = [{"image_id": 1, "keypoints": [x, 5, 0.9], "score": 0.9} for x in (50, 5)]
    >>> matches = match_detections(compute_oks(people, read_results(poses, people), np.array([0.1])))
    >>> matches.detections.tolist(), matches.people.tolist()  # the first pose is too far away
    ([1], [0])
    """
    free = pairs.ground_truth.is_scored.copy()
    groups = np.repeat(np.arange(len(pairs.detections_start) - 1), np.diff(pairs.detections_start))
    rank_of = np.zeros(len(pairs.results.scores), np.int64)
    rank_of[pairs.detections] = np.arange(len(groups)) - pairs.detections_start[groups]
    candidates = np.flatnonzero((pairs.oks >= minimum) & free[pairs.pair_person])
    rank = rank_of[pairs.pair_detection[candidates]]
    matched = [np.zeros(0, np.int64)]
    for current in range(MAX_DETECTIONS):
        # Detections of equal rank are in different images and so never compete.
        chosen = candidates[rank == current]
        chosen = chosen[free[pairs.pair_person[chosen]]]
        best_first = chosen[np.lexsort((-pairs.oks[chosen], pairs.pair_detection[chosen]))]
        _, first = np.unique(pairs.pair_detection[best_first], return_index=True)
        matched.append(best_first[first])
        free[pairs.pair_person[best_first[first]]] = False
    rows = np.concatenate(matched)
    return Matches(pairs.pair_detection[rows], pairs.pair_person[rows], pairs.oks[rows])


def classify_errors(pairs: OksPairs, matches: Matches, flip_index: Int64) -> KeypointErrors:
    """Count the error types of all labeled keypoints of matched people.

    Args:
        pairs: see ``compute_oks``.
        matches: see ``match_detections``.
        flip_index: (K,) int64, each keypoint's partner on the other side, itself where it has none.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> from everypose.evaluation.metrics.oks import compute_oks
    >>> left, right = [20, 5], [0, 5]
    >>> person = {"id": 1, "image_id": 1, "keypoints": [*left, 2, *right, 2, 10, 0, 2], "bbox": [0, 0, 20, 20]}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 3)
    >>> pose = {"image_id": 1, "keypoints": [*right, 0.9, *left, 0.9, 10, 0, 0.9], "score": 0.9}
    >>> pairs = compute_oks(people, read_results([pose], people), np.full(3, 0.1))
    >>> errors = classify_errors(pairs, match_detections(pairs), flip_index=np.array([1, 0, 2]))
    >>> dict(zip(ERROR_TYPES, errors.counts.sum(axis=0).tolist(), strict=True))  # left and right are inverted
    {'good': 1, 'jitter': 0, 'inversion': 2, 'swap': 0, 'miss': 0}
    """
    people, results = pairs.ground_truth, pairs.results
    own = _similarity(pairs, matches.detections, matches.people, partner=np.arange(len(flip_index)))
    inverted = _similarity(pairs, matches.detections, matches.people, partner=flip_index)
    inverted[:, flip_index == np.arange(len(flip_index))] = 0
    swapped = _best_with_others(pairs, matches, flip_index)
    kind = np.full(own.shape, ERROR_TYPES.index("miss"))
    kind[(swapped >= NEAR) & (swapped >= inverted)] = ERROR_TYPES.index("swap")
    kind[(inverted >= NEAR) & (inverted > swapped)] = ERROR_TYPES.index("inversion")
    kind[own >= NEAR] = ERROR_TYPES.index("jitter")
    kind[own >= GOOD] = ERROR_TYPES.index("good")
    labeled = people.is_labeled[matches.people]
    counts = np.stack([((kind == which) & labeled).sum(axis=0) for which in range(len(ERROR_TYPES))], axis=1)
    unmatched = people.is_scored.copy()
    unmatched[matches.people] = False
    distance = results.keypoints[matches.detections, :, :2] - people.keypoints[matches.people, :, :2]
    pixels = np.where(labeled, np.hypot(distance[:, :, 0], distance[:, :, 1]), np.nan)
    scale = np.sqrt(np.maximum(people.areas[matches.people, None], np.spacing(1)))
    return KeypointErrors(
        counts, people.is_labeled[unmatched].sum(axis=0), _column_medians(pixels), _column_medians(pixels / scale)
    )


def _similarity(pairs: OksPairs, detections: Int64, people: Int64, *, partner: Int64) -> Float64:
    """(n, K) similarity of a detection's keypoint k with the person's keypoint ``partner[k]``; 0 if unlabeled."""
    ground_truth = pairs.ground_truth
    target = ground_truth.keypoints[people][:, partner]
    variance = ((pairs.sigmas * 2) ** 2)[partner]
    with np.errstate(over="ignore"):
        squared = ((pairs.results.keypoints[detections, :, :2] - target[:, :, :2]) ** 2).sum(axis=2)
        similarity = np.exp(-squared / variance / (ground_truth.areas[people, None] + np.spacing(1)) / 2)
    return np.where(target[:, :, 2] > 0, similarity, 0)


def _best_with_others(pairs: OksPairs, matches: Matches, flip_index: Int64) -> Float64:
    """(n, K) greatest similarity of each matched keypoint with another person's, of the same or the other side."""
    own_person = np.full(len(pairs.results.scores), -1)
    own_person[matches.detections] = matches.people
    row_of = np.full(len(pairs.results.scores), -1)
    row_of[matches.detections] = np.arange(len(matches.detections))
    detection, person = pairs.pair_detection, pairs.pair_person
    others: Mask = (row_of[detection] >= 0) & (own_person[detection] != person) & ~pairs.ground_truth.is_crowd[person]
    best = np.zeros((len(matches.detections), len(flip_index)))
    for partner in (np.arange(len(flip_index)), flip_index):
        similarity = _similarity(pairs, detection[others], person[others], partner=partner)
        np.maximum.at(best, row_of[detection[others]], similarity)
    return best


def _column_medians(values: Float64) -> Float64:
    """Medians (K,) of the columns of (n, K) without NaN; NaN for columns that are all NaN."""
    medians = np.full(values.shape[1], np.nan)
    valid = ~np.isnan(values).all(axis=0)
    medians[valid] = np.nanmedian(values[:, valid], axis=0) if valid.any() else np.nan
    return medians
