import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.results import FrameResult
from everypose.inference.video.retrack import retrack, with_empty_frames
from everypose.people import People
from everypose.tracking.smoothing.settings import OfflineSmoothing
from tracking.walkers import COCO, people_at


def video(name="clip.mp4", frames=range(30), empty=(), rate=10, first_id=1):
    """Results of someone who walks; frames in ``empty`` have no result."""
    return [
        FrameResult(name, people_at([(100 + 5 * n, 100)]), 640, 480, frame=n, time=n / rate, image_id=first_id + place)
        for place, n in enumerate(frames)
        if n not in empty
    ]


def test_people_get_ids_and_gaps_are_filled():
    found = list(retrack(video(empty=range(10, 15))))
    assert [result.frame for result in found] == list(range(30))
    assert [result.people.ids.tolist() for result in found] == [[1]] * 30
    np.testing.assert_allclose([result.time for result in found], np.arange(30) / 10)
    assert [result.image_id for result in found] == list(range(1, 31))
    assert (found[12].file, found[12].width, found[12].height) == ("clip.mp4", 640, 480)
    assert not found[12].people.keypoints[..., 2].any()


def test_smoothing_fills_the_poses_of_short_gaps():
    found = list(retrack(video(empty=range(10, 13)), smoothing=OfflineSmoothing(longest_gap=0.5)))
    np.testing.assert_allclose(found[11].people.keypoints, people_at([(155, 100)]).keypoints, atol=0.5)


def test_each_video_has_its_own_tracks():
    found = list(retrack([*video("a.mp4"), *video("b.mp4", first_id=31)]))
    assert [result.file for result in found] == ["a.mp4"] * 30 + ["b.mp4"] * 30
    assert {number for result in found for number in result.people.ids.tolist()} == {1}


def test_earlier_ids_and_predictions_are_not_used():
    results = video()
    for place, result in enumerate(results):
        people = result.people
        hidden = people_at([(400, 300)]).keypoints
        hidden[..., 2] = 0
        results[place] = FrameResult(
            result.file,
            People(
                np.concatenate([people.keypoints, hidden]),
                [0.9, 0.9],
                COCO,
                boxes=np.concatenate([people.boxes, [[380, 250, 420, 350]]]),
                ids=[place, 77],
            ),
            frame=place,
            time=place / 10,
        )
    assert [result.people.ids.tolist() for result in retrack(results)] == [[1]] * 30


def test_one_of_n_frames_keeps_its_step():
    results = video(frames=range(0, 60, 3), empty=(9, 12, 30))
    complete = with_empty_frames(results, 3.0)
    assert [result.frame for result in complete] == list(range(0, 60, 3))
    np.testing.assert_allclose([result.time for result in complete], np.arange(0, 60, 3) / 10)
    assert [result.image_id for result in complete] == list(range(1, 21))


def test_frames_without_numbers_of_coco_stay_without():
    results = [FrameResult("clip.mp4", people_at([(100, 100)]), frame=n, time=n / 10) for n in (0, 1, 4)]
    assert [result.image_id for result in with_empty_frames(results, 3.0)] == [None] * 5


def test_long_gaps_get_no_frames():
    results = video(empty=range(5, 25))
    assert [result.frame for result in with_empty_frames(results, 1.0)] == [*range(5), *range(25, 30)]
    frames = [
        FrameResult("clip.mp4", people_at([(100, 100)]), frame=n, time=t) for n, t in ((0, 0), (1, 0.1), (10**12, 1))
    ]
    assert len(with_empty_frames(frames, 3.0)) == 3


def test_photos_and_frames_in_disorder():
    with pytest.raises(UsageError, match=r"a\.jpg is a photo"):
        list(retrack([FrameResult("a.jpg", people_at([(100, 100)]))]))
    with pytest.raises(UsageError, match=r"frame 3 of clip\.mp4 has no time"):
        list(retrack([FrameResult("clip.mp4", people_at([(100, 100)]), frame=3)]))
    with pytest.raises(EveryposeError, match="not in order"):
        list(retrack(video()[::-1]))
    with pytest.raises(EveryposeError, match="not together"):
        list(retrack([*video("a.mp4"), *video("b.mp4"), *video("a.mp4")]))


def test_nothing():
    assert list(retrack([])) == []
