import numpy as np
import pytest
from pydantic import ValidationError

from everypose.errors import UsageError
from everypose.people import People
from everypose.tracking.smoothing.offline import smooth_tracks
from everypose.tracking.smoothing.settings import OfflineSmoothing
from tracking.walkers import COCO, people_at

TIMES = np.arange(60) / 30
NOTHING = OfflineSmoothing(outlier_window=1, longest_gap=0, filter=None)


def walk(noise=1.0, seed=0):
    """One person of (60) frames who walks, with noise, and where the keypoints truly are."""
    rng = np.random.default_rng(seed)
    frames, true = [], []
    for time in TIMES:
        people = people_at([(100 + 60 * time, 150)])
        true.append(people.keypoints[0, :, :2].copy())
        people.keypoints[0, :, :2] += rng.normal(0, noise, (17, 2))
        frames.append(People(people.keypoints, people.scores, COCO, boxes=people.boxes, ids=[4]))
    return frames, np.array(true)


def points(frames):
    return np.array([people.keypoints[0, :, :2] for people in frames])


@pytest.mark.parametrize("chosen", ["butterworth", "savitzky-golay"])
def test_noise_shrinks_without_lag(chosen):
    frames, true = walk()
    found = smooth_tracks(frames, TIMES, OfflineSmoothing(filter=chosen))
    error = points(found) - true
    assert np.sqrt((error**2).mean()) < 0.75 * np.sqrt(((points(frames) - true) ** 2).mean())
    assert abs(error[..., 0].mean()) < 0.1
    assert [people.ids.tolist() for people in found] == [[4]] * 60


def test_nothing_chosen_changes_nothing():
    frames, _ = walk()
    found = smooth_tracks(frames, TIMES, NOTHING)
    for people, raw in zip(found, frames, strict=True):
        np.testing.assert_array_equal(people.keypoints, raw.keypoints)
        np.testing.assert_array_equal(people.boxes, raw.boxes)


def test_the_given_people_do_not_change():
    frames, _ = walk()
    before = points(frames).copy()
    smooth_tracks(frames, TIMES)
    np.testing.assert_array_equal(points(frames), before)


def test_an_outlier_is_replaced():
    frames, true = walk(noise=0.0)
    frames[30].keypoints[0, 9, 0] += 80
    found = smooth_tracks(frames, TIMES)
    np.testing.assert_allclose(points(found)[30, 9], true[30, 9], atol=1)
    kept = smooth_tracks(frames, TIMES, NOTHING)
    np.testing.assert_allclose(points(kept)[30, 9, 0], true[30, 9, 0] + 80, atol=1e-3)


def test_a_short_gap_is_filled_and_a_long_one_is_not():
    frames, true = walk(noise=0.0)
    for gap in (range(10, 16), range(25, 50)):
        for frame in gap:
            frames[frame] = frames[frame][[]]
    found = smooth_tracks(frames, TIMES, OfflineSmoothing(longest_gap=0.3))
    assert [len(people) for people in found] == [1] * 25 + [0] * 25 + [1] * 10
    np.testing.assert_allclose(points(found[10:16]), true[10:16], atol=0.01)
    assert found[12].ids.tolist() == [4]
    np.testing.assert_allclose(found[12].scores, frames[9].scores)
    np.testing.assert_allclose(found[12].boxes[0, 0], 80 + 60 * TIMES[12], atol=0.01)
    np.testing.assert_allclose(found[12].keypoints[0, :, 2], 0.9, atol=1e-6)


def test_a_missing_keypoint_is_filled():
    frames, true = walk(noise=0.0)
    for frame in range(20, 24):
        frames[frame].keypoints[0, 5] = 0
    found = smooth_tracks(frames, TIMES)
    np.testing.assert_allclose(points(found)[20:24, 5], true[20:24, 5], atol=0.05)
    assert (np.array([people.keypoints[0, 5, 2] for people in found[20:24]]) > 0.8).all()


def test_a_keypoint_that_is_never_found_stays():
    frames, _ = walk()
    for people in frames:
        people.keypoints[0, 3] = (7, 8, 0)
    found = smooth_tracks(frames, TIMES)
    np.testing.assert_array_equal(np.array([people.keypoints[0, 3] for people in found]), [(7, 8, 0)] * 60)


def test_people_are_smoothed_apart():
    first, _ = walk(seed=1)
    second, _ = walk(seed=2)
    both = [
        People(
            np.concatenate([a.keypoints, b.keypoints + np.array([300, 0, 0])])[:: 1 if n % 2 else -1],
            [0.9, 0.9],
            COCO,
            boxes=np.concatenate([a.boxes, b.boxes])[:: 1 if n % 2 else -1],
            ids=[4, 5][:: 1 if n % 2 else -1],
        )
        for n, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    together, alone = smooth_tracks(both, TIMES), smooth_tracks(first, TIMES)
    for people, one in zip(together, alone, strict=True):
        np.testing.assert_allclose(people[people.ids == 4].keypoints, one.keypoints, atol=1e-4)


def test_frames_without_people():
    assert [len(people) for people in smooth_tracks([People.empty(COCO)] * 3, [0, 1, 2])] == [0, 0, 0]
    assert smooth_tracks([], []) == []


def test_bad_input():
    with pytest.raises(UsageError, match="no ids"):
        smooth_tracks([People(np.ones((1, 17, 3)), [1], COCO)], [0.0])
    with pytest.raises(UsageError, match="2 times for 1 frames"):
        smooth_tracks([People.empty(COCO)], [0.0, 1.0])
    with pytest.raises(UsageError, match="rising"):
        smooth_tracks([People.empty(COCO)] * 2, [1.0, 1.0])
    with pytest.raises(ValidationError, match="odd"):
        OfflineSmoothing(outlier_window=4)
    with pytest.raises(ValidationError, match="even"):
        OfflineSmoothing(order=3)


def test_people_with_one_id_are_refused():
    people = People(np.ones((2, 17, 3)), [0.9, 0.8], COCO, ids=[3, 3])
    with pytest.raises(UsageError, match="two people of one frame have the id 3"):
        smooth_tracks([people], [0.0])
