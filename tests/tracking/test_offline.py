import numpy as np
import pytest

from everypose.errors import UsageError
from everypose.people import People
from everypose.tracking.offline import OfflineTracker, track_offline
from everypose.tracking.settings import TrackerSettings
from tracking.walkers import COCO, people_at, picture

TIMES = np.arange(40) / 10


def test_a_track_counts_from_its_first_detection():
    found = track_offline((time, people_at([(100 + 5 * n, 100)])) for n, time in enumerate(TIMES))
    assert [people.ids.tolist() for people in found] == [[1]] * 40


def test_gaps_are_filled_up_to_a_length():
    frames = [people_at([] if 10 <= n < 18 or 25 <= n < 38 else [(100 + 5 * n, 100)]) for n in range(40)]
    found = track_offline(zip(TIMES, frames, strict=True), longest_gap=1.0)
    assert [len(people) for people in found] == [1] * 25 + [0] * 13 + [1] * 2
    np.testing.assert_allclose(found[14].boxes.mean(axis=0)[[0, 2]].mean(), 170, atol=2)
    assert not found[14].keypoints[..., 2].any()
    np.testing.assert_allclose(
        found[14].keypoints[0, :, 0].mean(), people_at([(170, 100)]).keypoints[0, :, 0].mean(), atol=2
    )
    assert found[5].keypoints[..., 2].all()


def test_detections_keep_their_poses():
    rng = np.random.default_rng(0)
    frames = [people_at([(100 + 5 * n, 100), (400, 100)], rng.uniform(0.7, 0.9, 2)) for n in range(40)]
    found = track_offline(zip(TIMES, frames, strict=True))
    for people, raw in zip(found, frames, strict=True):
        assert {row.tobytes() for row in people.keypoints} == {row.tobytes() for row in raw.keypoints}


def test_boxes_are_smoother():
    rng = np.random.default_rng(0)
    frames = []
    for _ in TIMES:
        people = people_at([(100, 100)])
        frames.append(People(people.keypoints, people.scores, COCO, boxes=people.boxes + rng.normal(0, 4, (1, 4))))
    found = track_offline(zip(TIMES, frames, strict=True))
    raw, smooth = (np.array([people.boxes[0] for people in every]) for every in (frames, found))
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.3 * np.abs(np.diff(raw, axis=0)).mean()


def test_a_person_who_is_recognized_later_is_one():
    centers = [(100, 110)] * 12 + [None] * 16 + [(220, 110)] * 12
    tracker = OfflineTracker(COCO, TrackerSettings(memory=0.5, camera_motion=False))
    for center, time in zip(centers, TIMES, strict=True):
        present = [] if center is None else [center]
        tracker.add(people_at(present), time, image=picture(present, [(200, 30, 30)] * len(present)))
    found = tracker.finish()
    assert {number for people in found for number in people.ids.tolist()} == {1}
    assert [len(people) for people in found] == [1] * 40


def test_a_chance_detection_is_no_person():
    frames = [people_at([(100, 100)] if n != 5 else [(100, 100), (400, 100)]) for n in range(40)]
    found = track_offline(zip(TIMES, frames, strict=True))
    assert [people.ids.tolist() for people in found] == [[1]] * 40


def test_no_frames_and_no_people():
    with pytest.raises(UsageError, match="no frames"):
        track_offline([])
    assert [len(people) for people in track_offline([(0.0, People.empty(COCO)), (1.0, People.empty(COCO))])] == [0, 0]
