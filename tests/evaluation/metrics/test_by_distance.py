"""Metrics of one prediction for each annotated person."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.metrics.by_distance import DISTANCE_METRICS, PairedPeople
from everypose.evaluation.metrics.metric import Metric
from everypose.skeleton.skeleton import Skeleton

MPII = Skeleton.named("mpii")


def paired(error):
    annotated = np.zeros((2, len(MPII), 2))
    annotated[:, :, 0] = 10.0 * np.arange(len(MPII))
    labeled = np.ones((2, len(MPII)), bool)
    shift = np.array([0.0, error])
    return PairedPeople(annotated + shift, annotated, labeled, np.full(2, 10.0), [7, 8], MPII)


def test_each_is_a_metric():
    assert set(DISTANCE_METRICS) < set(get_args(Metric))


def test_pckh_by_distance():
    numbers = DISTANCE_METRICS["pckh"](paired(3.0))
    assert (numbers["PCKh@0.5"], numbers["PCKh@0.1"]) == (1.0, 0.0)


def test_hand_end_point_error_in_pixels():
    assert DISTANCE_METRICS["hand"](paired(3.0))["EPE"] == pytest.approx(3.0)


def test_pckh_needs_head_sizes():
    with pytest.raises(EveryposeError, match="annotation 8 has no head_size"):
        DISTANCE_METRICS["pckh"](replace(paired(0.0), head_sizes=np.array([1.0, np.nan])))


def test_pckh_needs_the_keypoints_of_mpii():
    with pytest.raises(UsageError, match="16 keypoints"):
        DISTANCE_METRICS["pckh"](replace(paired(0.0), skeleton=Skeleton("short", ("nose",), (), (), None)))
