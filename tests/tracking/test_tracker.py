"""The tracker on made scenes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.core.geometry import keypoint_boxes
from everypose.errors import UsageError
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from everypose.tracking.settings import TrackerSettings
from everypose.tracking.tracker import Tracker
from tracking.walkers import COCO, POSE, people_at, picture


def follow(frames, times, images=None, **options):
    """Ids and box centers by frame."""
    tracker = Tracker(COCO, TrackerSettings(**options))
    images = [None] * len(frames) if images is None else images
    found = [
        tracker.update(people, time, image=image) for people, time, image in zip(frames, times, images, strict=True)
    ]
    return [(one.ids.tolist(), (one.boxes[:, :2] + one.boxes[:, 2:]) / 2) for one in found]


def walk(start, velocity, times):
    return [(start[0] + velocity[0] * time, start[1] + velocity[1] * time) for time in times]


def test_people_who_cross_keep_their_ids():
    times = np.arange(40) / 10
    first, second = walk((50, 100), (60, 0), times), walk((290, 140), (-60, 0), times)
    found = follow([people_at([a, b]) for a, b in zip(first, second, strict=True)], times)
    assert all(ids == [1, 2] for ids, _ in found[1:])
    np.testing.assert_allclose(found[-1][1], [first[-1], second[-1]], atol=3)


def test_one_detection_near_the_top_score_is_enough_and_a_less_certain_one_waits_for_the_next():
    sure = follow([people_at([(50, 100)], scores=[0.9])], [0.0])
    assert [ids for ids, _ in sure] == [[1]]
    unsure = [people_at([(50, 100), (250, 100)], scores=[0.9, 0.7])] * 2
    assert [ids for ids, _ in follow(unsure, [0.0, 0.1])] == [[1], [1, 2]]


def test_returned_boxes_follow_a_person_who_turns():
    """A quarter of what the motion model lags behind the detected center of mass is left."""
    times = np.arange(12) / 10
    there = [200 + 60 * min(time, 0.8) - 60 * max(time - 0.8, 0) for time in times]
    tracker = Tracker(COCO)
    for time, x in zip(times, there, strict=True):
        people = tracker.update(people_at([(x, 100)]), time)
        tracks = tracker._tracks
        lag = float(tracks.motion.center[0, 0]) - x
        assert float(people.boxes[0, [0, 2]].mean()) - x == pytest.approx(lag / 4, abs=1e-3)
    assert lag > 1


def test_the_order_of_the_people_does_not_matter():
    times = np.arange(30) / 10
    centers = [np.stack([walk((60 * n + 30, 100), (5 * n, 0), times)[t] for n in range(5)]) for t in range(30)]
    rng = np.random.default_rng(0)
    tracker = Tracker(COCO)
    ids_at = {}
    for time, points in zip(times, centers, strict=True):
        order = rng.permutation(5)
        people = tracker.update(people_at(points[order]), time)
        for number, box in zip(people.ids, people.boxes, strict=True):
            person = int(np.abs(points[:, 0] - (box[0] + box[2]) / 2).argmin())
            ids_at.setdefault(person, set()).add(int(number))
    assert sorted(len(ids) for ids in ids_at.values()) == [1] * 5


@given(st.integers(0, 10_000), st.floats(0.05, 0.2))
@settings(max_examples=20, deadline=None)
def test_variable_frame_rate_does_not_matter(seed, step):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.2, 1.8, 25) * step)
    first, second = walk((50, 100), (60, 0), times), walk((50, 300), (30, 20), times)
    found = follow([people_at([a, b]) for a, b in zip(first, second, strict=True)], times)
    assert all(ids == [1, 2] for ids, _ in found[2:])


def test_ids_are_unique_and_rows_belong_to_the_detections():
    rng = np.random.default_rng(3)
    tracker = Tracker(COCO)
    for time in np.arange(20) / 10:
        people = people_at(rng.uniform(0, 600, (12, 2)), rng.uniform(0.1, 0.9, 12))
        found = tracker.update(people, time)
        assert len(set(found.ids.tolist())) == len(found)
        for row in range(len(found)):
            assert (people.keypoints == found.keypoints[row]).all(axis=(1, 2)).any() or not found.keypoints[
                row, :, 2
            ].any()


def test_a_gap_in_the_detections_keeps_the_id():
    times = np.arange(40) / 10
    points = walk((50, 100), (50, 0), times)
    frames = [people_at([] if 15 <= frame < 28 else [point]) for frame, point in enumerate(points)]
    found = follow(frames, times)
    assert {number for ids, _ in found for number in ids} == {1}
    assert found[20][0] == []


def test_someone_gone_for_longer_than_the_memory_is_someone_new():
    times = np.arange(60) / 10
    frames = [people_at([] if 15 <= frame < 45 else [(100, 100)]) for frame in range(60)]
    found = follow(frames, times, memory=2.0)
    assert found[10][0] == [1]
    assert found[-1][0] == [2]


def test_an_occluded_person_is_returned_where_predicted():
    times = np.arange(40) / 20
    front, back = [(200, 110)] * 40, walk((110, 100), (60, 0), times)
    frames = [
        people_at([a] if 28 <= frame < 36 else [a, b]) for frame, (a, b) in enumerate(zip(front, back, strict=True))
    ]
    shown = follow(frames, times)
    assert all(ids == [1, 2] for ids, _ in shown[1:])
    np.testing.assert_allclose(shown[32][1][1], back[32], atol=4)
    without = follow(frames, times, hidden_seconds=0)
    assert without[32][0] == [1]
    assert without[38][0] == [1, 2]


@pytest.mark.parametrize(("start", "before", "returned"), [(100, 15, True), (100, 6, False), (560, 15, False)])
def test_someone_missed_for_a_moment_is_returned_where_predicted(start, before, returned):
    """Only if followed for a second, and not on the way out of the frame."""
    centers = walk((start, 110), (60, 0), np.arange(before + 8) / 10)
    color = (200, 30, 30)
    tracker = Tracker(COCO, TrackerSettings(camera_motion=False))
    found = []
    for frame, center in enumerate(centers):
        people = people_at([center] if frame < before else [])
        found.append(tracker.update(people, frame / 10, image=picture([center], [color])))
    missed = found[before + 3]
    assert missed.ids.tolist() == ([1] if returned else [])
    assert found[-1].ids.tolist() == []
    if returned:
        np.testing.assert_allclose((missed.boxes[0, 0] + missed.boxes[0, 2]) / 2, centers[before + 3][0], atol=4)
        assert not missed.keypoints[..., 2].any()


def test_swinging_legs_do_not_turn_a_steady_walk():
    """The detector's box follows the legs; the center of mass does not."""
    times = np.arange(40) / 10
    swing = 12 * np.sin(2 * np.pi * times)
    centers = walk((50, 110), (60, 0), times)
    tracker = Tracker(COCO)
    errors = []
    for time, center, legs in zip(times, centers, swing, strict=True):
        people = people_at([center])
        keypoints, boxes = people.keypoints.copy(), people.boxes.copy()
        keypoints[0, [COCO.keypoints.index(f"{side}_ankle") for side in ("left", "right")], 0] += legs
        boxes[0, 0 if legs < 0 else 2] += legs
        found = tracker.update(People(keypoints, people.scores, COCO, boxes=boxes), time)
        errors += [(box[0] + box[2]) / 2 - center[0] for box in found.boxes]
    assert np.abs(errors[10:]).max() < 2


def test_keypoints_of_an_occluded_person_have_the_score_0():
    tracker = Tracker(COCO)
    for frame in range(12):
        found = tracker.update(people_at([(200, 110), (200, 100)] if frame < 10 else [(200, 110)]), frame / 20)
    assert len(found) == 2
    assert found.keypoints[0, :, 2].all()
    assert not found.keypoints[1, :, 2].any()


def test_a_second_pose_in_a_box_keeps_the_track_of_an_occluded_person():
    """As with MIPNet: while someone is occluded there is one box with two poses; the second has a box of its own."""
    times = np.arange(60) / 15
    front, back = [(250, 110)] * 60, walk((100, 102), (75, 0), times)

    def ids_behind(second_pose):
        tracker = Tracker(COCO, TrackerSettings(hidden_seconds=0, memory=0.3))
        found = []
        for time, one, other in zip(times, front, back, strict=True):
            people = people_at([one, other], [0.9, 0.8])
            if abs(one[0] - other[0]) < 35:
                boxes = np.concatenate([people.boxes[:1], keypoint_boxes(people.keypoints[1:])])
                people = People(people.keypoints, people.scores, COCO, boxes=boxes)[[0, 1] if second_pose else [0]]
            tracked = tracker.update(people, time)
            near = np.abs(tracked.keypoints[:, :, 0].mean(axis=1) - people_at([other]).keypoints[0, :, 0].mean()) < 3
            found.append(
                [number for number, own in zip(tracked.ids.tolist(), near, strict=True) if own and number != 1]
            )
        return found

    with_pose, without = ids_behind(second_pose=True), ids_behind(second_pose=False)
    assert all(ids == [2] for ids in with_pose[1:])
    assert without[30] == []
    assert without[-1] == [3]


def test_boxes_are_smoothed_or_as_given():
    rng = np.random.default_rng(0)
    for boxes in ("smoothed", "detected"):
        tracker = Tracker(COCO, TrackerSettings(boxes=boxes))
        given, returned = [], []
        for frame in range(30):
            people = people_at([(100, 100)])
            people = People(people.keypoints, people.scores, COCO, boxes=people.boxes + rng.normal(0, 4, (1, 4)))
            given.append(people.boxes)
            returned.append(tracker.update(people, frame / 10).boxes)
        given, returned = np.concatenate(given[2:]), np.concatenate(returned[2:])
        if boxes == "detected":
            np.testing.assert_array_equal(returned, given)
        else:
            assert np.abs(np.diff(returned, axis=0)).mean() < 0.6 * np.abs(np.diff(given, axis=0)).mean()


def test_unsure_detections_continue_tracks_and_start_none():
    times = np.arange(20) / 10
    frames = [people_at([(100, 100), (400, 100)], [0.9 if frame < 8 else 0.5, 0.45]) for frame in range(20)]
    frames = [People(f.keypoints, f.scores, COCO, boxes=f.boxes) for f in frames]
    found = follow(frames, times, high_score=0.6, low_score=0.3, min_reliability=0.0)
    assert all(ids == [1] for ids, _ in found[2:])


def test_a_track_of_unsure_detections_is_not_returned():
    times = np.arange(60) / 10
    frames = [people_at([(100, 100), (400, 100)], [0.9, 0.7 if frame < 5 else 0.43]) for frame in range(60)]
    found = follow(frames, times)
    assert found[6][0] == [1, 2]
    assert found[-1][0] == [1]


@pytest.mark.parametrize("unit", [1.0, 0.1, 0.01])
def test_ids_do_not_depend_on_the_unit_of_the_scores(unit):
    times = np.arange(20) / 10
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 0.95, (20, 3))
    frames = [people_at([(100, 100), (250, 100), (400, 100)], row * unit) for row in scores]
    reference = follow([people_at([(100, 100), (250, 100), (400, 100)], row) for row in scores], times)
    assert [ids for ids, _ in follow(frames, times)] == [ids for ids, _ in reference]


def test_two_people_who_swap_places_unseen_are_told_apart_by_colors():
    red, blue = (200, 30, 30), (30, 30, 200)
    times = np.arange(30) / 10
    frames, images = [], []
    for frame in range(30):
        centers = [(150, 110), (210, 110)] if frame < 20 else [(210, 110), (150, 110)]
        frames.append(people_at([] if 15 <= frame < 20 else centers))
        images.append(picture(centers, [red, blue]))
    found = follow(frames, times, images, camera_motion=False)
    ids, centers = found[-1]
    assert ids[int(np.argmin(centers[:, 0]))] == 2
    assert ids[int(np.argmax(centers[:, 0]))] == 1


def test_someone_lost_is_recognized_by_colors():
    times = np.arange(60) / 10
    centers = [(100, 110)] * 20 + [None] * 24 + [(260, 110)] * 16
    color = (200, 30, 30)
    frames = [people_at([] if center is None else [center]) for center in centers]
    images = [picture([] if center is None else [center], [] if center is None else [color]) for center in centers]
    options = {"camera_motion": False, "memory": 1.0}
    assert follow(frames, times, images, **options)[-1][0] == [1]
    assert follow(frames, times, images, **options, reassociation_seconds=0)[-1][0] == [2]
    other = [
        picture([] if c is None else [c], [] if c is None else [color if n < 30 else (30, 200, 30)])
        for n, c in enumerate(centers)
    ]
    assert follow(frames, times, other, **options)[-1][0] == [2]


@pytest.mark.parametrize(("pose", "number"), [(POSE, 1), (POSE[:, ::-1], 2)])
def test_the_pose_decides_between_two_lost_people(pose, number):
    """Both have the same colors, size and distance; one stands, the other's joints are elsewhere in the box."""
    times = np.arange(50) / 10
    color, lost_at, found_at = (200, 30, 30), [(200, 110), (320, 110)], (260, 110)
    tracker = Tracker(COCO, TrackerSettings(camera_motion=False, memory=0.5))
    for frame, time in enumerate(times):
        if frame < 15:
            both = people_at(lost_at)
            other = people_at(lost_at[1:], pose=POSE[:, ::-1])
            people = People(np.concatenate([both.keypoints[:1], other.keypoints]), [0.9, 0.9], COCO, boxes=both.boxes)
            image = picture(lost_at, [color] * 2)
        else:
            centers = [] if frame < 30 else [found_at]
            people, image = people_at(centers, pose=pose), picture(centers, [color] * len(centers))
        found = tracker.update(people, time, image=image)
    assert found.ids.tolist() == [number]


def test_someone_who_left_the_frame_is_not_recognized():
    times = np.arange(60) / 10
    ways = {"left": [600 + 2 * n for n in range(20)], "inside": [400 + 2 * n for n in range(20)]}
    color, final = (200, 30, 30), {}
    for name, places in ways.items():
        centers = [(x, 110) for x in places] + [None] * 20 + [(places[-1] - 40, 110)] * 20
        frames = [people_at([] if center is None else [center]) for center in centers]
        images = [picture([] if c is None else [c], [] if c is None else [color]) for c in centers]
        final[name] = follow(frames, times, images, camera_motion=False, memory=0.5)[-1][0]
    assert final == {"left": [2], "inside": [1]}


def test_the_tracks_follow_the_camera():
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 255, (40, 160, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    tracker = Tracker(COCO)
    shift = 0
    for frame in range(20):
        shift += 0 if frame < 10 else 45
        people = people_at([(600 - shift, 150)])
        found = tracker.update(people, frame / 10, image=np.ascontiguousarray(wide[:, shift : shift + 700]))
    assert found.ids.tolist() == [1]


def test_without_sigmas_boxes_are_compared():
    skeleton = Skeleton("two", ("left_end", "right_end"), ((0, 1),), ((0, 1),), None)
    tracker = Tracker(skeleton)
    for frame in range(3):
        found = tracker.update(people_at([(100 + frame, 100)], skeleton=skeleton, pose=POSE[:2]), frame / 10)
    assert found.ids.tolist() == [1]


def test_no_people_at_all():
    tracker = Tracker(COCO)
    for frame in range(3):
        found = tracker.update(People.empty(COCO), frame / 10)
        assert len(found) == 0
        assert found.ids.tolist() == []


def test_times_must_increase():
    tracker = Tracker(COCO)
    tracker.update(people_at([(100, 100)]), 1.0)
    with pytest.raises(UsageError, match="times must increase"):
        tracker.update(people_at([(100, 100)]), 1.0)


def test_another_skeleton():
    with pytest.raises(UsageError, match="'coco' people, not 'mpii'"):
        Tracker(COCO).update(People.empty(Skeleton.named("mpii")), 0.0)
