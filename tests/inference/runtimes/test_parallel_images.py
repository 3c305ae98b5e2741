"""Tests of images that go through a model at the same time, on one thread each."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from everypose import load
from everypose.errors import EveryposeError
from everypose.inference import opening
from everypose.inference.runtimes import parallel_images
from everypose.inference.runtimes.onnx import OnnxRuntime, open_session
from everypose.inference.runtimes.parallel_images import ParallelImageRuntime
from everypose.models.locate import bundled

PATH = bundled("boir-lite.onnx")
SECONDS = 20


def image(seed):
    return np.random.default_rng(seed).integers(0, 256, (1, 96, 128, 3), np.uint8)


class Noted:
    """A session that notes its runs; each waits until as many as ``together`` are in work."""

    def __init__(self, session, together=None):
        self.runs = 0
        self._session, self._together = session, together

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, outputs, feed):
        self.runs += 1
        if self._together is not None:
            self._together.wait(SECONDS)
        return self._session.run(outputs, feed)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(parallel_images, "RUNS_BEFORE_SECOND_SESSION", 1)


def parallel(together=None, path=PATH):
    """A runtime, its session of all threads, and the sessions of one thread that it has opened."""
    shared, opened = Noted(open_session(path, 2), together), []

    def open_one():
        opened.append(Noted(open_session(path, 1), together))
        return opened[-1]

    return ParallelImageRuntime(shared, open_one, path), shared, opened


def two_at_a_time(runtime, count=2):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(runtime.run, [image(seed) for seed in range(count)]))


@pytest.mark.parametrize("flip", [False, True])
def test_the_people_are_the_same_to_the_bit(flip):
    """Whichever session an image comes to, so that runs that resume others, and other orders, change nothing."""
    shared = OnnxRuntime(open_session(PATH, 2), PATH, flip=flip)
    alone = OnnxRuntime(open_session(PATH, 1), PATH, flip=flip)
    for seed in range(3):
        photo = np.random.default_rng(seed).integers(0, 256, (1, 320, 432, 3), np.uint8)
        for one, other in zip(shared.run(photo), alone.run(photo), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.usefixtures("few")
def test_an_image_next_to_another_has_one_thread():
    runtime, shared, opened = parallel(threading.Barrier(2))
    found = two_at_a_time(runtime)
    assert (shared.runs, [session.runs for session in opened]) == (1, [1])
    plain = OnnxRuntime(open_session(PATH, 1), PATH)
    for seed, people in enumerate(found):
        for one, other in zip(people, plain.run(image(seed)), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("few")
def test_images_one_after_the_other_have_all_threads():
    runtime, shared, opened = parallel()
    for seed in range(3):
        runtime.run(image(seed))
    assert (shared.runs, opened) == (3, [])


def test_a_few_images_open_no_second_session(monkeypatch):
    monkeypatch.setattr(parallel_images, "RUNS_BEFORE_SECOND_SESSION", 4)
    runtime, shared, opened = parallel(threading.Barrier(2))
    two_at_a_time(runtime, 4)  # at most three of them next to another
    assert (shared.runs, opened) == (4, [])
    two_at_a_time(runtime, 8)  # at least four of them
    assert len(opened) == 1
    assert opened[0].runs >= 1


@pytest.mark.usefixtures("few")
def test_a_failed_run_is_not_counted_as_in_work():
    runtime, shared, opened = parallel()
    with pytest.raises(EveryposeError, match="uint8 images"):
        runtime.run(np.zeros((1, 5, 5, 3), np.uint8))
    runtime.run(image(0))
    assert (shared.runs, opened) == (1, [])


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("change", ["missing", "replaced"])
def test_a_file_that_changed_is_not_opened_again(tmp_path, change):
    path = tmp_path / "model.onnx"
    shutil.copy(PATH, path)
    runtime, shared, opened = parallel(threading.Barrier(2), path)
    path.unlink()
    if change == "replaced":
        path.write_bytes(b"another model")
    two_at_a_time(runtime)
    assert (shared.runs, opened) == (2, [])


@pytest.mark.usefixtures("few")
def test_a_second_session_that_cannot_be_opened_is_done_without():
    def fail():
        raise EveryposeError("too many open files")

    shared = Noted(open_session(PATH, 2), threading.Barrier(2))
    assert len(two_at_a_time(ParallelImageRuntime(shared, fail, PATH))) == 2
    assert shared.runs == 2


@pytest.mark.parametrize(
    ("cpus", "options", "expected"),
    [
        (2, {}, ParallelImageRuntime),
        (1, {}, OnnxRuntime),
        (4, {}, OnnxRuntime),  # two runs of one thread would leave the others idle
        (2, {"threads": 2}, OnnxRuntime),
    ],
)
def test_models_whose_runs_fill_the_cpu_have_a_thread_for_each(monkeypatch, cpus, options, expected):
    for module in ("opening", "runtimes.onnx", "single_stage"):
        monkeypatch.setattr(f"everypose.inference.{module}.available_threads", lambda: cpus)
    assert type(vars(load("boir-lite", **options))["_runtime"]) is expected


def test_large_models_are_not_opened_twice(monkeypatch):
    monkeypatch.setattr(opening, "LARGEST_FILE", 1000)
    monkeypatch.setattr(opening, "available_threads", partial(int, 2))
    assert type(vars(load("boir-lite"))["_runtime"]) is OnnxRuntime
