"""``--save rerun`` with a stand-in for the package; tests/integrations/test_rerun.py has the real one."""

import sys

import cv2
import numpy as np
import pytest

from cli import fake_rerun
from cli.test_predict_video import frames_of, people_at, write_people
from inference.stand_in import crowd


@pytest.fixture
def rerun(monkeypatch):
    module = fake_rerun.module()
    monkeypatch.setitem(sys.modules, "rerun", module)
    return module.RecordingStream.finished


@pytest.fixture
def clip(tmp_path):
    return write_people(tmp_path / "clips" / "clip.mp4")


def logged(recording, entity):
    return [(what, times) for path, what, times in recording if path == entity]


def test_a_tracked_clip(predict, clip, tmp_path, rerun):
    done = predict(clip, "--track", "--save", "rerun")
    assert (done.code, done.err) == (0, "")
    assert [path.name for path in (tmp_path / "out" / "rerun").iterdir()] == ["clip.rrd"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rerun", "results.json", "run.json"]
    recording = rerun["clip.rrd"]
    images, people = logged(recording, "image"), logged(recording, "image/people")
    frames = frames_of(clip)
    for (image, times), (_, same_times), frame in zip(images, people, frames, strict=True):
        np.testing.assert_array_equal(image.pixels, frame.image)
        assert times == same_times == {"frame": frame.index, "time": frame.time}
    last, _ = people[-1]
    np.testing.assert_array_equal(last.class_ids, np.repeat([1, 2], 17))
    np.testing.assert_array_equal(last.keypoint_ids, [*range(17)] * 2)
    contexts = logged(recording, "/")
    described = contexts[-1][0]
    assert [description.info.label for description in described] == [f"person {number}" for number in range(4)]
    assert described[1].keypoint_annotations[9].label == "left_wrist"
    assert len(contexts) < 4  # not once for each frame


def test_smoothed_poses_are_recorded(predict, clip, rerun):
    assert predict(clip, "--track", "--smooth", "--save", "rerun").code == 0
    assert len(logged(rerun["clip.rrd"], "image/people")) == 12


def test_photos_in_their_order_in_one_file(predict, photos, tmp_path, rerun):
    done = predict(photos, "--save", "rerun")
    assert (done.code, done.err) == (0, "")
    recording = rerun["results.rrd"]
    assert (tmp_path / "out" / "results.rrd").exists()
    assert [times["frame"] for _, times in logged(recording, "image")] == [0, 1]
    assert [len(what.positions) // 17 for what, _ in logged(recording, "image/people")] == [1, 2]
    for (image, _), path in zip(logged(recording, "image"), sorted(photos.iterdir()), strict=True):
        np.testing.assert_array_equal(image.pixels, cv2.imread(str(path))[..., ::-1])


def test_photos_of_a_resumed_run(predict, photos, rerun):
    (photos / "c9.png").write_bytes(b"")
    assert predict(photos, "--save", "json,rerun").code == 1
    assert len(logged(rerun["results.rrd"], "image")) == 2
    cv2.imwrite(str(photos / "c9.png"), crowd(people_at(5))[..., ::-1])
    assert predict(photos, "--save", "json,rerun", "--resume").code == 0
    assert len(logged(rerun["results.rrd"], "image")) == 3


@pytest.mark.parametrize("pictures", [False, True])
def test_results_that_are_tracked_again(everypose, predict, clip, tmp_path, rerun, pictures):
    assert predict(clip, "--save", "csv").code == 0
    formats = "pictures,rerun" if pictures else "rerun"
    done = everypose("track", tmp_path / "out" / "results.csv", "-o", tmp_path / "tracks", "--save", formats)
    assert (done.code, done.err) == (0, "")
    recording = rerun["clip.rrd"]
    assert (tmp_path / "tracks" / "rerun" / "clip.rrd").exists()
    assert len(logged(recording, "image")) == (12 if pictures else 0)
    assert set(logged(recording, "image/people")[-1][0].class_ids) == {1, 2}


@pytest.mark.parametrize("command", ["predict", "track"])
def test_without_the_package(everypose, predict, clip, tmp_path, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "rerun", None)
    if command == "track":
        assert predict(clip, "--save", "csv").code == 0
        done = everypose("track", tmp_path / "out" / "results.csv", "-o", tmp_path / "tracks", "--save", "rerun")
    else:
        done = predict(clip, "--save", "rerun")
        assert not (tmp_path / "out").exists()
    assert done.code == 2
    assert done.err == ("everypose: Rerun recordings need a package that is not installed: pip install rerun-sdk\n")
