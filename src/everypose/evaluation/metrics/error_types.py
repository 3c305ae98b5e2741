"""What kind of mistake each predicted keypoint is (after Ronchi & Perona, ICCV 2017), and how far off keypoints are.

The similarity of a keypoint is its term in OKS, exp(-d^2 / (2 (2 sigma)^2 area)). A prediction matched to a person is,
for each labelled keypoint: good from .85 on; jitter from .5 on; else, by what it is most similar to with at least .5,
an inversion (this person's keypoint of the other side) or a swap (another person's, of either side); else a miss.
Similarity with another person's keypoint is measured by that person's area.
"""

from dataclasses import dataclass

import numpy as np

from everypose.evaluation.coco_arrays import Bools, Floats, Ints
from everypose.evaluation.metrics.oks import MAX_DETECTIONS, Comparison

GOOD, NEAR = 0.85, 0.5
# A detection belongs to a person from this OKS on when its mistakes are studied (Ronchi & Perona, section 3).
MATCH_OKS = 0.1
KINDS = ("good", "jitter", "inversion", "swap", "miss")


@dataclass(frozen=True)
class Matches:
    """(n,) rows of detections and of the people they belong to, and their OKS; each at most once."""

    detections: Ints
    people: Ints
    oks: Floats


@dataclass(frozen=True)
class Mistakes:
    """Mistakes of the matched predictions, keypoint by keypoint.

    Attributes:
        counts: (K, 5) how many are of each of ``KINDS``.
        unmatched: (K,) labelled keypoints of people without a matched detection.
        median_pixels: (K,) median distance in pixels; NaN where a keypoint is never labelled.
        median_relative: (K,) median distance over the square root of the person's area.
    """

    counts: Ints
    unmatched: Ints
    median_pixels: Floats
    median_relative: Floats


def match(comparison: Comparison, minimum: float = MATCH_OKS) -> Matches:
    """Give each detection, best score first, the free person of its image with the greatest OKS from ``minimum`` on."""
    free = comparison.truth.counted.copy()
    groups = np.repeat(np.arange(len(comparison.detections_start) - 1), np.diff(comparison.detections_start))
    rank_of = np.zeros(len(comparison.results.scores), np.int64)
    rank_of[comparison.detections] = np.arange(len(groups)) - comparison.detections_start[groups]
    pairs = np.flatnonzero((comparison.oks >= minimum) & free[comparison.pair_person])
    rank = rank_of[comparison.pair_detection[pairs]]
    matched = [np.zeros(0, np.int64)]
    for turn in range(MAX_DETECTIONS):
        # Detections of one rank are in different images, so that they never compete.
        turns = pairs[rank == turn]
        turns = turns[free[comparison.pair_person[turns]]]
        best_first = turns[np.lexsort((-comparison.oks[turns], comparison.pair_detection[turns]))]
        _, first = np.unique(comparison.pair_detection[best_first], return_index=True)
        matched.append(best_first[first])
        free[comparison.pair_person[best_first[first]]] = False
    rows = np.concatenate(matched)
    return Matches(comparison.pair_detection[rows], comparison.pair_person[rows], comparison.oks[rows])


def find_mistakes(comparison: Comparison, matches: Matches, flip_index: Ints) -> Mistakes:
    """Sort every labelled keypoint of the matched people into ``KINDS``.

    Args:
        comparison: detections beside people.
        matches: see ``match``.
        flip_index: (K,) each keypoint's partner on the other side, itself where it has none.
    """
    truth, results = comparison.truth, comparison.results
    visible = truth.keypoints[:, :, 2] > 0
    own = _similarity(comparison, matches.detections, matches.people, np.arange(len(flip_index)))
    inverted = _similarity(comparison, matches.detections, matches.people, flip_index)
    inverted[:, flip_index == np.arange(len(flip_index))] = 0
    swapped = _best_of_others(comparison, matches, flip_index)
    kind = np.full(own.shape, KINDS.index("miss"))
    kind[(swapped >= NEAR) & (swapped >= inverted)] = KINDS.index("swap")
    kind[(inverted >= NEAR) & (inverted > swapped)] = KINDS.index("inversion")
    kind[own >= NEAR] = KINDS.index("jitter")
    kind[own >= GOOD] = KINDS.index("good")
    labelled = visible[matches.people]
    counts = np.stack([((kind == which) & labelled).sum(axis=0) for which in range(len(KINDS))], axis=1)
    missed = truth.counted.copy()
    missed[matches.people] = False
    distance = results.keypoints[matches.detections, :, :2] - truth.keypoints[matches.people, :, :2]
    pixels = np.where(labelled, np.hypot(distance[:, :, 0], distance[:, :, 1]), np.nan)
    scale = np.sqrt(np.maximum(truth.areas[matches.people, None], np.spacing(1)))
    return Mistakes(counts, visible[missed].sum(axis=0), _medians(pixels), _medians(pixels / scale))


def _similarity(comparison: Comparison, detections: Ints, people: Ints, partner: Ints) -> Floats:
    """(n, K) similarity of a detection's keypoint k with the person's keypoint ``partner[k]``; 0 if unlabelled."""
    truth = comparison.truth
    target = truth.keypoints[people][:, partner]
    variance = ((comparison.sigmas * 2) ** 2)[partner]
    with np.errstate(over="ignore"):
        squared = ((comparison.results.keypoints[detections, :, :2] - target[:, :, :2]) ** 2).sum(axis=2)
        similarity = np.exp(-squared / variance / (truth.areas[people, None] + np.spacing(1)) / 2)
    return np.where(target[:, :, 2] > 0, similarity, 0)


def _best_of_others(comparison: Comparison, matches: Matches, flip_index: Ints) -> Floats:
    """(n, K) the greatest similarity of each matched keypoint with another person's, of the same or the other side."""
    own_person = np.full(len(comparison.results.scores), -1)
    own_person[matches.detections] = matches.people
    row_of = np.full(len(comparison.results.scores), -1)
    row_of[matches.detections] = np.arange(len(matches.detections))
    detection, person = comparison.pair_detection, comparison.pair_person
    others: Bools = (row_of[detection] >= 0) & (own_person[detection] != person) & ~comparison.truth.crowd[person]
    best = np.zeros((len(matches.detections), len(flip_index)))
    for partner in (np.arange(len(flip_index)), flip_index):
        similarity = _similarity(comparison, detection[others], person[others], partner)
        np.maximum.at(best, row_of[detection[others]], similarity)
    return best


def _medians(values: Floats) -> Floats:
    """(K,) medians of (n, K) without NaN; NaN for a column of nothing else."""
    medians = np.full(values.shape[1], np.nan)
    some = ~np.isnan(values).all(axis=0)
    medians[some] = np.nanmedian(values[:, some], axis=0) if some.any() else np.nan
    return medians
