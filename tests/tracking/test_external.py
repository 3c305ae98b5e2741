import sys

import numpy as np
import pytest

from everypose.errors import UsageError
from everypose.people import People
from everypose.tracking.external import ExternalTracker
from tracking.walkers import COCO, people_at


class Reversing:
    """Returns people in another order, the last one without an id."""

    def update(self, detections, frame=None, timestamp=None):
        self.frame, self.timestamp = frame, timestamp
        tracked = detections[np.arange(len(detections))[::-1]]
        tracked.tracker_id = np.append(np.arange(len(detections) - 1) + 10, -1)[: len(detections)]
        return tracked


class BoxesOnly:
    def update(self, detections):
        detections.tracker_id = np.arange(len(detections))
        return detections


class WithoutIds:
    def update(self, detections):
        return detections


def test_ids_go_to_their_people():
    people = people_at([(100, 100), (200, 100), (300, 100)])
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 0] = 200
    tracker = Reversing()
    found = ExternalTracker(tracker).update(people, 0.5, image=image)
    assert found.ids.tolist() == [10, 11]
    np.testing.assert_array_equal(found.keypoints, people.keypoints[[2, 1]])
    assert tracker.timestamp == 0.5
    assert tracker.frame[0, 0].tolist() == [0, 0, 200]


def test_trackers_without_frames_and_times():
    found = ExternalTracker(BoxesOnly()).update(people_at([(100, 100)]), 0.5, image=np.zeros((4, 4, 3), np.uint8))
    assert found.ids.tolist() == [0]


def test_nobody():
    assert ExternalTracker(Reversing()).update(People.empty(COCO), 0.0).ids.tolist() == []


def test_a_tracker_that_gives_no_ids():
    with pytest.raises(UsageError, match="WithoutIds returned people without tracker_id"):
        ExternalTracker(WithoutIds()).update(people_at([(100, 100)]), 0.0)


def test_without_supervision(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        ExternalTracker(BoxesOnly())
