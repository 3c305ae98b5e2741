"""Synthetic pose errors (PoseFix, section 3): true poses disturbed as pose estimators disturb them.

Five kinds of positions, after Ronchi and Perona (ICCV 2017): *good*, *jitter* (near the keypoint), *inversion* (on the
person's mirrored keypoint), *swap* (on another person's keypoint) and *miss* (far from all of these). Their distances
are limited by keypoint similarity, ``ks = exp(-d^2 / (2 area (2 sigma)^2))``.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.methods.posefix.error_rates import ErrorRates

Kind = Literal["good", "jitter", "inversion", "swap", "miss"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GOOD, JITTER, MISS = 0.85, 0.5, 0.1
"""Keypoint similarities where good positions, jitter and misses end."""
CANDIDATES = 100
"""Positions drawn per keypoint and kind; the first that no rule rejects is taken."""
_OWN_START_WEIGHT = 4
"""A miss starts from the keypoint itself this many times as often as from each other start."""


@dataclass(frozen=True)
class ErrorContext:
    """What the errors of one person depend on, in crop pixels.

    Attributes:
        keypoints: (K, 3) true x, y and whether labeled (> 0).
        estimated: (K, 3) another estimator's x, y and whether there is one, from which unlabeled keypoints start.
        neighbors: (M, K, 3) true keypoints of people nearby, third column whether labeled (> 0).
        overlap: number of people nearby: annotations whose box has an IoU of at least 0.1 with this person's.
        area: of the person's box.

    >>> pose = np.array([[10.0, 10.0, 1.0], [20.0, 10.0, 1.0]])
    >>> alone = ErrorContext(pose, estimated=pose, neighbors=np.zeros((0, 2, 3)), overlap=0, area=900.0)
    >>> alone.neighbors.shape
    (0, 2, 3)
    """

    keypoints: Float64
    estimated: Float64
    neighbors: Float64
    overlap: int
    area: float


def distance_at(similarity: float, sigma: float, area: float) -> float:
    """The distance in pixels at which the keypoint similarity is ``similarity``.

    Example:
        >>> round(distance_at(0.5, sigma=0.026, area=10_000.0), 2)
        6.12
    """
    return float(2 * sigma * np.sqrt(-2 * area * np.log(similarity)))


def synthesize(
    context: ErrorContext, rates: ErrorRates, rng: np.random.Generator, *, sigmas: Float64, flip_index: Int64
) -> Float64:
    """Draw a disturbed pose.

    Args:
        context: the person and the people nearby, in crop pixels.
        rates: probabilities of the kinds for this skeleton.
        rng: source of random numbers.
        sigmas: (K,) OKS sigmas.
        flip_index: (K,) the mirror keypoint of each keypoint, itself where there is none.

    Returns:
        (K, 3) x, y and 1; all zero for a keypoint that is neither labeled nor estimated.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> coco = Skeleton.named("coco")
    >>> pose = np.ones((17, 3))
    >>> pose[:, :2] = np.random.default_rng(0).uniform(0, 200, (17, 2))
    >>> context = ErrorContext(pose, estimated=pose, neighbors=np.zeros((0, 17, 3)), overlap=0, area=40_000.0)
    >>> rng, sigmas = np.random.default_rng(0), np.array(coco.sigmas)
    >>> disturbed = synthesize(context, ErrorRates.of(coco), rng, sigmas=sigmas, flip_index=coco.flip_index)
    >>> disturbed.shape, bool((disturbed[:, :2] != pose[:, :2]).any())
    ((17, 3), True)
    """
    labeled = context.keypoints[:, 2] > 0
    probabilities = rates.probabilities(int(labeled.sum()), context.overlap)
    disturbed = np.zeros_like(context.keypoints)
    for index in range(len(disturbed)):
        own = context.keypoints[index] if labeled[index] else context.estimated[index]
        if own[2] <= 0:
            continue
        starts = _Starts.of(context, index, int(flip_index[index]), own[:2])
        rings = tuple(distance_at(level, sigmas[index], context.area) for level in (GOOD, JITTER, MISS))
        disturbed[index, :2] = _position(starts, rings, probabilities[index], rng)
        disturbed[index, 2] = 1
    return disturbed


@dataclass(frozen=True)
class _Starts:
    """Points from which the errors of one keypoint start.

    Attributes:
        points: (S, 2): the keypoint itself, the person's mirror keypoint if labeled, then other people's.
        has_mirror: whether ``points[1]`` is the person's mirror keypoint.
        swaps: indices of the points that swaps start from.
    """

    points: Float64
    has_mirror: bool
    swaps: tuple[int, ...]

    @classmethod
    def of(cls, context: ErrorContext, index: int, mirror: int, own: Float64) -> "_Starts":
        paired = mirror != index
        has_mirror = paired and context.keypoints[mirror, 2] > 0
        own_points = [own, context.keypoints[mirror, :2]] if has_mirror else [own]
        same, mirrored = (
            [person[target, :2] for person in context.neighbors if person[target, 2] > 0] for target in (index, mirror)
        )
        points = np.array([*own_points, *same, *(mirrored if paired else [])])
        swaps = list(range(len(own_points), len(points)))
        if not has_mirror and paired and mirrored:
            # The released code skips the first of these where the person's own mirror keypoint is not labeled.
            del swaps[len(same)]
        return cls(points, has_mirror, tuple(swaps))


def _position(starts: _Starts, rings: tuple[float, ...], probabilities: Float64, rng: np.random.Generator) -> Float64:
    """The position (2,) of one keypoint; kinds without an acceptable position are excluded."""
    probabilities = probabilities.copy()
    while probabilities.sum() > 0:
        kind = int(rng.choice(len(KINDS), p=probabilities / probabilities.sum()))
        candidates = _candidates(KINDS[kind], starts, rings, rng)
        if len(candidates):
            chosen: Float64 = candidates[0]
            return chosen
        probabilities[kind] = 0
    own: Float64 = starts.points[0]
    return own


def _candidates(kind: Kind, starts: _Starts, rings: tuple[float, ...], rng: np.random.Generator) -> Float64:
    """Acceptable positions (C, 2) of one kind, in random order; none where the kind is not possible."""
    good, jitter, miss = rings
    everything = list(range(len(starts.points)))
    own = [0, 1] if starts.has_mirror else [0]
    sources, weights, low, high = {
        "good": ([0], None, 0.0, good),
        "jitter": ([0], None, good, jitter),
        "inversion": (own[1:], None, 0.0, jitter),
        "swap": (list(starts.swaps), None, 0.0, jitter),
        "miss": (everything, [_OWN_START_WEIGHT] + [1] * (len(everything) - 1), jitter, miss),
    }[kind]
    if not sources:
        return np.empty((0, 2))
    share = None if weights is None else np.array(weights) / np.sum(weights)
    source = rng.choice(sources, CANDIDATES, p=share)
    angle = rng.uniform(0, 2 * np.pi, CANDIDATES)
    radius = rng.uniform(low, high, CANDIDATES)
    points = starts.points[source] + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    avoided = own if kind == "swap" else everything
    distances = np.linalg.norm(points[:, None] - starts.points[None, avoided], axis=2)
    limit = np.full(CANDIDATES, jitter) if kind == "miss" else radius
    is_source = np.array(avoided)[None] == source[:, None]
    accepted = ((distances > limit[:, None]) | is_source).all(axis=1)
    chosen: Float64 = points[accepted]
    return chosen
