"""The error synthesis against draws of the authors' released code, and its rules as properties."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.methods.posefix.error_rates import ErrorRates
from everypose.methods.posefix.errors import GOOD, JITTER, MISS, ErrorContext, distance_at, synthesize
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import FOLDER

COCO = Skeleton.named("coco")
SIGMAS = COCO.require_sigmas()
RATES = ErrorRates.of(COCO)
COUNT, RECORDED = 600, 1500
SAMPLE_UNITS = 16
"""The authors' draws are stored in sixteenths of a pixel."""


def golden(person: int) -> tuple[ErrorContext, np.ndarray]:
    with np.load(FOLDER / "posefix" / "errors.npz") as arrays:
        joints, estimated, near, overlap, area, samples = (
            arrays[f"{person}/{name}"] for name in ("joints", "estimated", "near", "overlap", "area", "samples")
        )
    return ErrorContext(joints, estimated, near, int(overlap), float(area)), samples / SAMPLE_UNITS


@cache
def compared(person: int) -> tuple[ErrorContext, np.ndarray, np.ndarray]:
    """A person, draws of everypose (COUNT, 17, 2), and the authors' (RECORDED, 17, 2)."""
    context, samples = golden(person)
    rng, flip_index = np.random.default_rng(person), COCO.flip_index
    mine = [synthesize(context, RATES, rng, sigmas=SIGMAS, flip_index=flip_index)[:, :2] for _ in range(COUNT)]
    assert len(samples) == RECORDED
    return context, np.stack(mine), samples


def ks_statistic(first: np.ndarray, second: np.ndarray) -> float:
    """The two-sample Kolmogorov-Smirnov statistic."""
    values = np.sort(np.concatenate([first, second]))
    cumulative = [np.searchsorted(np.sort(one), values, side="right") / len(one) for one in (first, second)]
    return float(np.abs(cumulative[0] - cumulative[1]).max())


def starts(context: ErrorContext, index: int) -> np.ndarray:
    """All points that errors may start from, whether labeled or not."""
    mirror = COCO.flip_index[index]
    people = [context.keypoints, context.estimated, *context.neighbors]
    return np.array([person[target, :2] for person in people for target in (index, mirror)])


@pytest.mark.parametrize("person", range(6))
def test_distributions_are_the_authors(person):
    """Kolmogorov-Smirnov on distances to every start point and on both coordinates, keypoint by keypoint.

    About 700 comparisons with 1,500 draws at 0.001 % each: at most 0.7 % in all for equal distributions.
    """
    context, mine, samples = compared(person)
    limit = np.sqrt(-np.log(1e-5 / 2) / 2 * (1 / COUNT + 1 / RECORDED))
    for index in range(17):
        for start in starts(context, index):
            distances = [np.linalg.norm(one[:, index] - start, axis=1) for one in (mine, samples)]
            assert ks_statistic(*distances) < limit, (index, start)
        for axis in (0, 1):
            assert ks_statistic(mine[:, index, axis], samples[:, index, axis]) < limit, (index, axis)


@pytest.mark.parametrize("person", range(6))
def test_shares_of_rings_are_the_authors(person):
    """The share of positions in each ring around the keypoint itself, within 4.5 standard deviations."""
    context, mine, samples = compared(person)
    for index in range(17):
        own = (context.keypoints if context.keypoints[index, 2] > 0 else context.estimated)[index, :2]
        edges = [0, *(distance_at(level, SIGMAS[index], context.area) for level in (GOOD, JITTER, MISS)), np.inf]
        counts = [np.histogram(np.linalg.norm(one[:, index] - own, axis=1), edges)[0] for one in (mine, samples)]
        both = (counts[0] + counts[1]) / (COUNT + RECORDED)
        spread = np.sqrt(np.maximum(both * (1 - both), 1e-3) * (1 / COUNT + 1 / RECORDED))
        assert (np.abs(counts[0] / COUNT - counts[1] / RECORDED) < 4.5 * spread).all(), index


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), labeled=st.integers(1, 17), people=st.integers(0, 4))
def test_positions_obey_the_rings(seed, labeled, people):
    rng = np.random.default_rng(seed)
    keypoints = np.concatenate([rng.uniform(0, 200, (17, 2)), (rng.permutation(17) < labeled)[:, None]], axis=1)
    neighbors = np.concatenate([rng.uniform(0, 200, (people, 17, 2)), rng.random((people, 17, 1)) < 0.7], axis=2)
    context = ErrorContext(keypoints, np.zeros((17, 3)), neighbors, people, 20_000.0)
    pose = synthesize(context, RATES, rng, sigmas=SIGMAS, flip_index=COCO.flip_index)
    assert np.array_equal(pose[:, 2] > 0, keypoints[:, 2] > 0)
    assert (pose[pose[:, 2] == 0] == 0).all()
    for index in np.flatnonzero(pose[:, 2]):
        mirror = COCO.flip_index[index]
        people_here = [keypoints, *neighbors]
        points = [person[j, :2] for person in people_here for j in (index, mirror) if person[j, 2] > 0]
        nearest = min(np.linalg.norm(pose[index, :2] - point) for point in points)
        assert nearest <= distance_at(MISS, SIGMAS[index], context.area) + 1e-6


def test_an_unlabeled_keypoint_without_an_estimate_is_not_given():
    keypoints = np.zeros((17, 3))
    keypoints[0] = 10, 20, 1
    context = ErrorContext(keypoints, np.zeros((17, 3)), np.zeros((0, 17, 3)), 0, 1000.0)
    pose = synthesize(context, RATES, np.random.default_rng(0), sigmas=SIGMAS, flip_index=COCO.flip_index)
    assert pose[0, 2] == 1
    assert (pose[1:] == 0).all()


def test_probabilities_are_the_released_table():
    """Index by index as the released code has it for COCO."""
    for labeled in range(1, 18):
        for overlap in range(5):
            expected = np.zeros((17, 5))
            for j in range(17):
                few = labeled <= 10
                low, middle, high = (0.15, 0.20, 0.25) if few else (0.10, 0.15, 0.20)
                jitter = low if j == 0 or j >= 13 else high if j in (11, 12) else middle
                table = (0.15, 0.20, 0.25) if labeled <= 5 else (0.10, 0.13, 0.15) if few else (0.02, 0.05, 0.10)
                miss = table[0] if j <= 4 else table[1] if j in (5, 6, 15, 16) else table[2]
                inversion = 0.01 if j <= 4 else 0.03 if j <= 10 else 0.06
                crowded = (few and overlap > 0) or (labeled <= 15 and overlap >= 3)
                face, upper, lower = (0.02, 0.15, 0.10) if crowded else (0.01, 0.06, 0.03)
                swap = face if j <= 4 else upper if j <= 10 else lower
                expected[j] = 1 - jitter - inversion - swap - miss, jitter, inversion, swap, miss
            np.testing.assert_allclose(RATES.probabilities(labeled, overlap), expected, atol=1e-12)


@pytest.mark.parametrize("name", Skeleton.names())
def test_every_skeleton_has_rates(name):
    probabilities = ErrorRates.of(Skeleton.named(name)).probabilities(8, 1)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (probabilities > 0).all()
