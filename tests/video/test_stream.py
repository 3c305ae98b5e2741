import gc
import sys
import threading
import time
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

import everypose
from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from everypose.video import Frame, FrameStream, open_video
from everypose.video.threads import THREAD_NAME, in_thread
from inference.stand_in import StandIn, config, crowd, write_model
from video.clips import write_clip


def estimator(batch_size=1):
    return SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=batch_size)


@pytest.fixture
def clip(tmp_path):
    """Twelve pictures, in picture n a person who scores about 100 + 10 n of 255."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / f"{number:02d}.png"), crowd([(0, 0, 100 + 10 * number)])[..., ::-1])
    return folder


@pytest.mark.parametrize("batch_size", [1, 4, 5])
def test_frames_with_their_people(clip, batch_size):
    frames = list(estimator(batch_size).stream(clip, frame_rate=10))
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 10)
    for number, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert frame.people.image is frame.image
        assert round(frame.people.scores[0] * 255) == 100 + 10 * number


def test_frames_stay_in_order_with_two_runs_of_the_network_at_a_time(clip):
    together = threading.Barrier(2)

    class Pairs(StandIn):
        def run(self, images, min_score=0.0):
            together.wait(timeout=10)
            return super().run(images, min_score)

    pose = SingleStageEstimator(Pairs(), ModelConfig.model_validate(config()), runs_at_once=2)
    scores = [round(float(frame.people.scores[0]) * 255) for frame in pose.stream(clip, frame_rate=10)]
    assert scores == [100 + 10 * number for number in range(12)]


def test_options(clip):
    pose = estimator()
    assert [frame.index for frame in pose.stream(clip, every=5)] == [0, 5, 10]
    assert [frame.index for frame in pose.stream(str(clip / "*.png"), frame_rate=10, fps=5)] == [0, 2, 4, 6, 8, 10]
    assert [frame.index for frame in pose.stream(clip, frame_rate=10, start=0.3, end=0.6)] == [3, 4, 5]
    assert [frame.index for frame in pose.stream(sorted(clip.iterdir())[:3])] == [0, 1, 2]
    with pytest.raises(UsageError):
        pose.stream(clip, every=0)
    with pytest.raises(UsageError):
        pose.stream("none.mp4")


class Counting:
    """Adds one to every score, and keeps the times."""

    def __init__(self):
        self.times = []

    def update(self, people, time, *, image=None):
        assert image is people.image
        self.times.append(time)
        return people[:0]


def test_filters_see_the_frames_in_order(clip):
    first, second = Counting(), Counting()
    frames = list(FrameStream(estimator(4), open_video(clip, frame_rate=10), tracker=first, smoother=second))
    assert first.times == second.times == [frame.time for frame in frames]
    assert all(len(frame.people) == 0 for frame in frames)
    assert all(frame.raw is not None for frame in frames)


def test_tracks_and_smoothing_by_name(clip):
    for path in clip.iterdir():
        cv2.imwrite(str(path), crowd([(0, 0, 150)])[..., ::-1])
    frames = list(estimator().stream(clip, frame_rate=10, track=True, smooth=True))
    assert frames[-1].people.ids.tolist() == [1]
    assert frames[-1].raw.ids.tolist() == [1]
    assert estimator().stream(clip, track=Counting()).__next__().raw is None
    with pytest.raises(UsageError, match="must be tracked"):
        estimator().stream(clip, smooth=True)


def test_an_error_of_the_network_reaches_the_user(clip, monkeypatch):
    def fail(*_):
        raise EveryposeError("out of memory")

    monkeypatch.setattr(StandIn, "run", fail)
    with pytest.raises(EveryposeError, match="out of memory"):
        list(estimator().stream(clip))
    assert_no_threads()


def test_leaving_early_ends_the_thread(clip):
    with estimator().stream(clip) as frames:
        next(frames)
    assert_no_threads()
    for _ in estimator().stream(clip):
        break
    gc.collect()
    assert_no_threads()


def assert_no_threads():
    deadline = time.monotonic() + 2
    while (left := [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.01)
    assert left == []


def test_only_a_few_frames_are_held(clip):
    alive, most = [], 0
    for frame in estimator(2).stream(clip):
        alive = [reference for reference in alive if reference() is not None]
        alive.append(weakref.ref(frame))
        most = max(most, len(alive))
    assert most <= 3


def test_a_video_file_through_the_public_face(tmp_path):
    pose = everypose.load(write_model(tmp_path / "stand_in.onnx"), min_score=0.0)
    assert [len(frame.people) for frame in pose.stream(write_clip(tmp_path / "clip.mp4", 5))] == [0] * 5


def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_constant(tmp_path):
    path = write_clip(tmp_path / "long.mp4", 900, size=(192, 144), options={"preset": "ultrafast"}, key_every=250)
    used = [resident_megabytes() for _ in estimator().stream(path)]
    assert len(used) == 900
    assert max(used[700:]) - max(used[200:400]) < 10  # 500 frames of this size are 41 MB


def test_without_pyav(clip, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("everypose.video")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'everypose\[video\]'"):
        estimator().stream(clip)


def test_a_thread_runs_ahead_as_far_as_it_may():
    made = []

    def items():
        for number in range(10):
            made.append(number)
            yield number

    iterator = in_thread(items(), ahead=2)
    assert next(iterator) == 0
    time.sleep(0.3)
    assert made == [0, 1, 2, 3]  # one in use, two waiting, one made
    assert list(iterator) == list(range(1, 10))


def test_stages_overlap():
    def slow(items):
        for item in items:
            time.sleep(0.02)
            yield item

    start = time.monotonic()
    stages = in_thread(slow(in_thread(slow(range(20)), ahead=2)), ahead=2)
    assert list(slow(stages)) == list(range(20))
    assert time.monotonic() - start < 0.9  # one after the other it would be 1.2


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("here")

    iterator = in_thread(items(), ahead=3)
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="here"):
        next(iterator)
