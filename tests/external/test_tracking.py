"""Tracking scores next to TrackEval's, and trackers of the package `trackers` in everypose's adapter.

They need packages that everypose does not: `make test-tracking` installs them in an environment of their own.
Without them these tests are skipped.
"""

import json

import numpy as np
import pytest

from evaluation.tracking.made_sequences import write_mot
from evaluation.tracking.test_scores import by_trackeval_name, comparison
from everypose.evaluation.tracking.evaluate import TrackingScores, evaluate_tracking
from everypose.tracking.external import ExternalTracker
from external.trackeval_scores import GOLDEN, LAYOUTS, trackeval_scores
from tracking.walkers import people_at


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_sequences_score_as_in_trackeval(layout, tmp_path):
    pytest.importorskip("trackeval")
    seeds = range(100, 110)
    expected = trackeval_scores(tmp_path / "trackeval", layout, seeds)
    found = evaluate_tracking(*write_mot(tmp_path / "everypose", layout, seeds), quiet=True)
    for name, scores in [*found.sequences.items(), ("COMBINED_SEQ", found.overall)]:
        numbers = by_trackeval_name(scores)
        assert {key: numbers[key] for key in expected[name]} == pytest.approx(expected[name], rel=0, abs=1e-9)


def test_golden_values_are_those_of_trackeval(tmp_path):
    pytest.importorskip("trackeval")
    golden = json.loads(GOLDEN.read_text())
    for layout in LAYOUTS:
        assert trackeval_scores(tmp_path / layout, layout) == golden[layout]


@pytest.mark.parametrize("seed", range(20))
def test_any_similarities_score_as_in_trackeval(seed):
    trackeval = pytest.importorskip("trackeval")
    sequence = comparison(seed, people=6, tracks=8, frames=30)
    data = {
        "gt_ids": list(sequence.true_ids),
        "tracker_ids": list(sequence.track_ids),
        "similarity_scores": list(sequence.similarities),
        "num_gt_ids": sequence.people,
        "num_tracker_ids": sequence.tracks,
        "num_gt_dets": sum(map(len, sequence.true_ids)),
        "num_tracker_dets": sum(map(len, sequence.track_ids)),
        "num_timesteps": len(sequence.true_ids),
    }
    quiet = {"PRINT_CONFIG": False}
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet)]
    expected = {name: np.mean(value) for metric in metrics for name, value in metric.eval_sequence(data).items()}
    numbers = by_trackeval_name(TrackingScores.of(sequence))
    assert numbers == pytest.approx({name: expected[name] for name in numbers}, rel=0, abs=1e-9)


@pytest.mark.parametrize("name", ["SORTTracker", "ByteTrackTracker", "OCSORTTracker", "BoTSORTTracker", "CBIoUTracker"])
def test_trackers_of_the_package_follow_people(name):
    trackers = pytest.importorskip("trackers")
    tracker = ExternalTracker(getattr(trackers, name)(frame_rate=10))
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    for frame in range(12):
        people = people_at([(60 + 4 * frame, 100), (300 - 4 * frame, 220)])
        found = tracker.update(people, frame / 10, image=image)
    assert len(set(found.ids.tolist())) == 2
    for keypoints, box in zip(found.keypoints, found.boxes, strict=True):
        row = int(np.abs(people.boxes - box).sum(axis=1).argmin())
        np.testing.assert_array_equal(keypoints, people.keypoints[row])
