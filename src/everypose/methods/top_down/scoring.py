"""From the poses of an image's boxes to its people: person scores and NMS of duplicate poses."""

import math
from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64, Numbers
from everypose.core.geometry import pairwise_oks, suppress
from everypose.methods.top_down.settings import CropInference, KeypointCalibration, PersonCalibration

# COCO counts 20 detections of an image, and the soft suppression stops there.
_SOFT_MOST = 20
# Keeps the logarithm of a product of scores finite.
_LEAST_PRODUCT = 1e-6
# Boxes below it change no AP on training photos: 0.596 from 0.2 and from 0.15 on, 0.591 from 0.25 on.
_LEAST_BOX_SCORE = 0.2
# No training photo has a person whose box is so low that its mean confidence would have to be higher than this.
_HIGHEST_MEAN_CONFIDENCE = 0.9
# Heatmap targets end at 1.
_HIGHEST_CONFIDENCE = 1.0


@dataclass(frozen=True)
class ScoringSettings:
    """How poses are scored and merged; the defaults are MIPNet's, and with one instance those of all baselines.

    Attributes:
        confident: keypoints with a higher confidence count for a person's score.
        decay: factor of the score of every instance except a box's primary.
        oks_threshold: of two poses with a higher OKS, the one with the lower score is suppressed; None keeps all
            (CrowdPose).
        soft: whether poses are suppressed by the soft rule instead.
        calibration: scores poses in place of the product of box score, decay and mean confidence.

    >>> ScoringSettings(decay=1.0).oks_threshold
    0.9
    """

    confident: float = 0.2
    decay: float = 0.5
    oks_threshold: float | None = 0.9
    soft: bool = False
    calibration: PersonCalibration | None = None


@dataclass(frozen=True)
class MergedPoses:
    """The P people of an image, best first; without suppression the last instances first, each in order of the boxes.

    Attributes:
        keypoints: (P, K, 3) float64: x, y in image pixels, confidence.
        scores: (P,) float64.
        box: (P,) which of the image's boxes a pose comes from.
        instance: (P,) which of the box's instances it is, 0 the primary.

    >>> poses = MergedPoses(np.ones((2, 17, 3)), np.array([0.9, 0.4]), box=np.array([0, 0]), instance=np.array([0, 1]))
    >>> poses.scores[poses.instance == 1].tolist()  # of the second person in the box
    [0.4]
    """

    keypoints: Float64
    scores: Float64
    box: Int64
    instance: Int64


def person_scores(keypoints: Numbers, box_scores: Numbers, confident: float = 0.2) -> Float64:
    """A person's score: the box's times the mean confidence of the keypoints above ``confident``, 0 without any.

    Args:
        keypoints: (..., K, 3) x, y, confidence.
        box_scores: (...)
        confident: see :class:`ScoringSettings`.

    >>> keypoints = np.array([[0, 0, 0.9], [0, 0, 0.5], [0, 0, 0.1]])
    >>> float(person_scores(keypoints, np.array(0.8)).round(2))  # 0.8 x the mean of 0.9 and 0.5
    0.56
    """
    confidence = np.asarray(keypoints, dtype=np.float64)[..., 2]
    counted = confidence > confident
    mean = np.where(counted, confidence, 0.0).sum(axis=-1) / counted.sum(axis=-1).clip(min=1)
    scores: Float64 = np.asarray(box_scores, dtype=np.float64) * mean
    return scores


def calibrated_scores(
    keypoints: Numbers,
    box_scores: Numbers,
    *,
    areas: Numbers,
    sigmas: Numbers,
    confident: float,
    calibration: PersonCalibration,
) -> Float64:
    """The calibrated scores of all poses of an image, from 0 to 1.

    Args:
        keypoints: (R, N, K, 3) of N instances of R boxes: x, y in image pixels, confidence.
        box_scores: (R,)
        areas: (R,) square pixels, for the OKS between a box's instances.
        sigmas: (K,)
        confident: see :class:`ScoringSettings`.
        calibration: the fitted weights.

    Returns:
        (R, N)

    >>> keypoints = np.ones((1, 1, 17, 3))
    >>> calibrated_scores(
    ...     keypoints, np.array([0.9]), areas=np.ones(1), sigmas=np.full(17, 0.1), confident=0.2,
    ...     calibration=PersonCalibration(bias=3, slope=2),
    ... ).round(2).tolist()
    [[0.94]]
    """  # fmt: skip
    poses = np.asarray(keypoints, dtype=np.float64)
    products = person_scores(poses, np.asarray(box_scores, dtype=np.float64)[:, None], confident)
    logits = calibration.bias + calibration.slope * np.log(np.maximum(products, _LEAST_PRODUCT))
    squares = ((poses[:, 1:, :, :2] - poses[:, :1, :, :2]) ** 2).sum(axis=-1)
    spread = 2 * (2 * np.asarray(sigmas, dtype=np.float64)) ** 2 * np.asarray(areas)[:, None, None]
    likeness = np.exp(-squares / np.maximum(spread, np.finfo(np.float64).tiny)).mean(axis=-1)
    logits[:, 1:] += calibration.second + calibration.likeness * likeness
    scores: Float64 = 1 / (1 + np.exp(-logits))
    return scores


def default_box_threshold(settings: CropInference, min_score: float | None = None) -> float | None:
    """The lowest score of boxes that are worth a crop, for people from ``min_score`` on.

    Of a calibrated model it follows ``min_score``: boxes whose poses cannot reach it are not cropped, and lower
    scores need lower boxes. At the model's own ``min_score`` it is the model's own threshold.

    Args:
        settings: with the model's own ``box_threshold``, ``min_score`` and calibration.
        min_score: lowest score of a person to report; None for the model's own.

    Returns:
        From 0 to 1, or None if the model has no threshold of its own.

    Example:
        >>> calibration = PersonCalibration(bias=5.6, slope=3.24)
        >>> model = CropInference(crop_size=(192, 256), min_score=0.6, box_threshold=0.25, calibration=calibration)
        >>> [round(default_box_threshold(model, score), 2) for score in (0.0, 0.6, 0.9)]
        [0.2, 0.25, 0.39]
    """
    own, calibration = settings.box_threshold, settings.calibration
    if own is None or calibration is None or min_score is None:
        return own
    if min_score >= settings.min_score:
        return min(max(own, _product_for(min_score, calibration) / _HIGHEST_MEAN_CONFIDENCE), 1.0)
    ratio = _product_for(min_score, calibration) / _product_for(settings.min_score, calibration)
    return max(own * ratio, min(own, _LEAST_BOX_SCORE))


def box_threshold_of_others(settings: CropInference, min_score: float) -> float:
    """The lowest score of boxes in whose crops other people than the primary one can reach ``min_score``.

    A calibrated model scores them lower than the primary person. In crops of boxes below the threshold they need not be
    computed.

    Args:
        settings: with the model's calibration.
        min_score: lowest score of a person to report.

    Returns:
        0 if the model has no calibration.

    Example:
        >>> calibration = PersonCalibration(bias=5.6, slope=3.24, second=-4.465)
        >>> model = CropInference(crop_size=(192, 256), calibration=calibration)
        >>> [round(box_threshold_of_others(model, score), 2) for score in (0.0, 0.6)]
        [0.0, 0.8]
    """
    if (calibration := settings.calibration) is None:
        return 0.0
    most = calibration.bias + calibration.second + max(calibration.likeness, 0.0)
    return _product_for(min_score, calibration.model_copy(update={"bias": most})) / _HIGHEST_CONFIDENCE


def _product_for(score: float, calibration: PersonCalibration) -> float:
    """The product of box score and mean confidence from which a primary pose has ``score``, up to infinity."""
    if not 0 < score < 1:
        return math.inf if score >= 1 else 0.0
    return math.exp((math.log(score / (1 - score)) - calibration.bias) / calibration.slope)


def keypoint_probabilities(confidence: Numbers, calibration: KeypointCalibration) -> Float64:
    """Confidences, of any shape, as probabilities that a keypoint is labeled and near its label.

    >>> keypoint_probabilities(np.array([0.0, 0.5, 1.0]), KeypointCalibration(bias=-3, slope=6)).round(2).tolist()
    [0.05, 0.5, 0.95]
    """
    logits = calibration.bias + calibration.slope * np.asarray(confidence, dtype=np.float64)
    probabilities: Float64 = 1 / (1 + np.exp(-logits))
    return probabilities


def merge(
    keypoints: Numbers, box_scores: Numbers, sizes: Numbers, sigmas: Numbers, scoring: ScoringSettings
) -> MergedPoses:
    """Score the poses of one image and suppress those that repeat a better one.

    A second instance that repeats its primary is suppressed; one that is another person is kept with a lower score.

    Args:
        keypoints: (R, N, K, 3) of N instances of R boxes: x, y in image pixels, confidence.
        box_scores: (R,) of the detector; 1 for annotated boxes.
        sizes: (R, 2) width, height of the boxes' regions in image pixels; their area is that of the box's poses.
        sigmas: (K,)
        scoring: the rules.

    >>> pose = np.column_stack([np.arange(17.0), np.arange(17.0) ** 1.5, np.ones(17)])
    >>> keypoints, sizes = np.stack([pose, pose])[:, None], np.full((2, 2), 50.0)
    >>> merged = merge(keypoints, np.array([0.9, 0.8]), sizes, np.full(17, 0.1), ScoringSettings())
    >>> merged.scores.tolist(), merged.box.tolist()  # the second pose repeats the first
    ([0.9], [0])
    """
    poses = np.asarray(keypoints, dtype=np.float64)
    boxes, instances = poses.shape[:2]
    # The last instances come first, so that of equal scores (later is better) the primary wins.
    instance = np.repeat(np.arange(instances)[::-1], boxes)
    box = np.tile(np.arange(boxes), instances)
    areas = np.asarray(sizes, dtype=np.float64).prod(axis=1)
    if scoring.calibration is None:
        decayed = np.asarray(box_scores, dtype=np.float64)[box] * np.where(instance > 0, scoring.decay, 1.0)
        scores = person_scores(poses[box, instance], decayed, scoring.confident)
    else:
        scores = calibrated_scores(
            poses, box_scores, areas=areas, sigmas=sigmas, confident=scoring.confident, calibration=scoring.calibration
        )[box, instance]
    poses, areas = poses[box, instance], areas[box]
    kept = np.arange(len(poses))
    if scoring.oks_threshold is not None:
        suppress = soft_oks_nms if scoring.soft else oks_nms_high_index_first
        kept = suppress(poses, scores, areas, sigmas, scoring.oks_threshold)
    return MergedPoses(poses[kept], scores[kept], box[kept], instance[kept])


def oks_nms_high_index_first(
    keypoints: Numbers, scores: Numbers, areas: Numbers, sigmas: Numbers, threshold: float
) -> Int64:
    """Greedy suppression of poses that are too similar to a better one (Papandreou et al., CVPR 2017).

    Args:
        keypoints: (P, K, 2 or more) x, y.
        scores: (P,); among equal scores the later pose is kept.
        areas: (P,) square pixels; a pair's area is their mean.
        sigmas: (K,)
        threshold: poses with a higher OKS with a kept pose, over all keypoints, are suppressed.

    Returns:
        (M,) indices of the kept poses, best first.

    >>> keypoints = np.array([[[0.0, 0.0]], [[0.5, 0.0]], [[50.0, 0.0]]])
    >>> oks_nms_high_index_first(keypoints, np.array([0.9, 0.8, 0.7]), np.full(3, 100.0), np.full(1, 0.1), 0.5).tolist()
    [0, 2]
    """
    similar = pairwise_oks(keypoints, areas, sigmas) > threshold
    return suppress(similar, _best_first(np.asarray(scores, dtype=np.float64)))


def soft_oks_nms(keypoints: Numbers, scores: Numbers, areas: Numbers, sigmas: Numbers, threshold: float) -> Int64:
    """Soft suppression (Bodla et al., ICCV 2017): each kept pose lowers the others' scores by exp(-oks^2 / threshold).

    The lowered scores only choose the next pose; at most 20 are kept. Arguments and result as
    :func:`oks_nms_high_index_first`.

    >>> keypoints = np.array([[[0.0, 0.0]], [[0.5, 0.0]], [[50.0, 0.0]]])
    >>> scores, areas = np.array([0.9, 0.8, 0.7]), np.full(3, 100.0)
    >>> soft_oks_nms(keypoints, scores, areas, np.full(1, 0.1), 0.5).tolist()  # the similar pose comes last
    [0, 2, 1]
    """
    damping = np.exp(-(pairwise_oks(keypoints, areas, sigmas) ** 2) / threshold)
    left = _best_first(np.asarray(scores, dtype=np.float64))
    lowered = np.array(scores, dtype=np.float64)
    kept: list[int] = []
    while len(left) and len(kept) < _SOFT_MOST:
        best, left = left[0], left[1:]
        kept.append(best)
        lowered *= damping[best]
        left = left[_best_first(lowered[left])]
    return np.array(kept, dtype=np.int64)


def _best_first(scores: Float64) -> Int64:
    """The order of falling scores, of equal ones the later first."""
    return np.argsort(scores, kind="stable")[::-1]
