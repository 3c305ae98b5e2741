"""AP of resampled images, for bootstrap confidence intervals.

Detections are matched once in each image, by COCO's rule; a resample then joins the images' matches, some of them
several times. AP of all images once equals :func:`everypose.evaluation.metrics.average_precision.score_oks`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Int64, Mask
from everypose.evaluation.metrics.breakdown import hidden_oks
from everypose.evaluation.metrics.oks import OksPairs

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class ImageMatches:
    """The detections of one image, by falling score, and how many people it has.

    Attributes:
        scores: (D,).
        matched: (10, D) whether each is matched to a person, by OKS threshold.
        ignored: (10, D) whether each is neither right nor wrong.
        people: how many people are to be found.
    """

    scores: Float64
    matched: Mask
    ignored: Mask
    people: int


def match_images(pairs: OksPairs, members: Mask | None = None) -> list[ImageMatches]:
    """Match the detections of every image.

    Args:
        pairs: of one category.
        members: (N,) the people to be found; others are ignored as in the evaluation's breakdown. None for all.
    """
    truth = pairs.ground_truth
    ignored, oks = ~truth.is_scored, pairs.oks
    if members is not None:
        hide = (truth.num_keypoints > 0) & ~members
        ignored, oks = ignored | hide, np.where(hide[pairs.pair_person], hidden_oks(pairs), oks)
    found = []
    for group in range(len(pairs.people_start) - 1):
        people = pairs.people[pairs.people_start[group] : pairs.people_start[group + 1]]
        detections = pairs.detections[pairs.detections_start[group] : pairs.detections_start[group + 1]]
        order = np.argsort(ignored[people], kind="stable")
        found.append(
            _match(
                pairs.results.scores[detections],
                pairs.matrix(group, oks)[:, order],
                ignored[people][order],
                truth.is_crowd[people][order].astype(np.bool_),
            )
        )
    return found


def _match(scores: Float64, oks: Float64, ignored: Mask, crowd: Mask) -> ImageMatches:
    """COCO's greedy matching of one image; people who are ignored come last."""
    matched = np.zeros((len(THRESHOLDS), len(scores)), np.bool_)
    neither = np.zeros_like(matched)
    for row, threshold in enumerate(THRESHOLDS):
        taken = np.zeros(len(ignored), np.bool_)
        for detection in range(len(scores)):
            best, person = min(threshold, 1 - 1e-10), -1
            for candidate in range(len(ignored)):
                if taken[candidate] and not crowd[candidate]:
                    continue
                if person >= 0 and not ignored[person] and ignored[candidate]:
                    break
                if oks[detection, candidate] >= best:
                    best, person = oks[detection, candidate], candidate
            if person >= 0:
                taken[person] = matched[row, detection] = True
                neither[row, detection] = ignored[person]
    return ImageMatches(scores, matched, neither, int((~ignored).sum()))


def average_precision(images: Sequence[ImageMatches], chosen: npt.NDArray[np.int64] | None = None) -> float:
    """AP of chosen images, some of them several times; of all once if ``chosen`` is None. NaN without people."""
    picked = images if chosen is None else [images[index] for index in chosen.tolist()]
    people = sum(one.people for one in picked)
    if people == 0:
        return float("nan")
    order: Int64 = np.argsort(-np.concatenate([one.scores for one in picked]), kind="stable")
    matched = np.concatenate([one.matched for one in picked], axis=1)[:, order]
    ignored = np.concatenate([one.ignored for one in picked], axis=1)[:, order]
    right, wrong = (matched & ~ignored).cumsum(axis=1), (~matched & ~ignored).cumsum(axis=1)
    precision = right / np.maximum(right + wrong, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.concatenate([precision, np.zeros((len(THRESHOLDS), 1))], axis=1)
    places = [np.searchsorted(row, RECALLS, side="left") for row in right / people]
    return float(np.mean([row[where] for row, where in zip(precision, places, strict=True)]))


@dataclass(frozen=True)
class Interval:
    """A number and its 95 % bootstrap interval over images."""

    value: float
    low: float
    high: float


def bootstrap(
    first: Sequence[Sequence[ImageMatches]],
    second: Sequence[Sequence[ImageMatches]] = (),
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean AP over the seeds of a network, or the difference of two networks' means, on the same resamples.

    Args:
        first: the matches of each seed.
        second: those of the network whose mean is subtracted.
        resamples: how many.
        seed: of the resampling.
    """

    def value(chosen: npt.NDArray[np.int64] | None) -> float:
        means = [np.mean([average_precision(images, chosen) for images in runs]) for runs in (first, second) if runs]
        return float(means[0] - means[1]) if len(means) == 2 else float(means[0])

    generator, count = np.random.default_rng(seed), len(first[0])
    draws = [value(generator.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return Interval(value(None), float(low), float(high))
