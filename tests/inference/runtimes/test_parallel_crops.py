"""Tests of crops that run on several threads."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose import load
from everypose.errors import EveryposeError
from everypose.inference.runtimes.onnx import OnnxCropRuntime, open_session
from everypose.inference.runtimes.parallel_crops import MOST_CROPS, ParallelCropRuntime, number_of_parts
from everypose.inference.top_down import TopDownEstimator
from everypose.models.locate import bundled

PATH = bundled("mipnet-lite.onnx")


def crops(count):
    return np.random.default_rng(count).integers(0, 256, (count, 256, 192, 3), np.uint8)


@pytest.fixture(scope="module")
def sessions():
    return open_session(PATH, 2), open_session(PATH, 1)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_people_are_those_of_a_run_with_all_crops(sessions, count, flip):
    together = OnnxCropRuntime(sessions[1], PATH, flip=flip).run(crops(count))
    parallel = ParallelCropRuntime(*sessions, PATH, threads=2, flip=flip).run(crops(count))
    np.testing.assert_allclose(parallel[..., 2], together[..., 2], atol=1e-5)
    found = together[..., 2] > 0.1
    np.testing.assert_allclose(parallel[..., :2][found], together[..., :2][found], atol=0.01)


@pytest.mark.parametrize("count", [1, 5])
def test_people_who_are_not_needed_are_left_out(sessions, count):
    runtime = ParallelCropRuntime(*sessions, PATH, threads=2)
    needed = np.arange(count) == 3
    every, some = runtime.run(crops(count)), runtime.run(crops(count), needed)
    np.testing.assert_allclose(some[:, 0], every[:, 0], atol=1e-3)
    np.testing.assert_allclose(some[needed], every[needed], atol=1e-3)
    assert (some[~needed, 1] == 0).all()


def test_crops_run_at_the_same_time(sessions):
    both = threading.Barrier(2, timeout=20)

    class Waiting:
        def __getattr__(self, name):
            return getattr(sessions[1], name)

        def run(self, outputs, feed):
            both.wait()
            return sessions[1].run(outputs, feed)

    assert len(ParallelCropRuntime(sessions[0], Waiting(), PATH, threads=2).run(crops(4))) == 4


def test_wrong_crops_are_refused(sessions):
    with pytest.raises(EveryposeError, match="uint8 crops, not float32"):
        ParallelCropRuntime(*sessions, PATH, threads=2).run(crops(3).astype(np.float32))


@given(st.integers(1, 100), st.integers(1, 64))
def test_all_threads_have_parts_of_a_few_crops(count, threads):
    sizes = [len(part) for part in np.array_split(np.arange(count), number_of_parts(count, threads))]
    assert 1 <= min(sizes) <= max(sizes) <= MOST_CROPS
    rounds = -(-len(sizes) // threads)
    assert rounds * max(sizes) <= -(-count // threads) + MOST_CROPS  # no thread waits for long


def test_the_default_model_runs_crops_in_parallel_where_it_has_threads():
    kinds = []
    for threads in (1, 2):
        loaded = load(threads=threads)
        assert isinstance(loaded, TopDownEstimator)
        kinds.append(type(loaded._crop_runtime))
    assert kinds == [OnnxCropRuntime, ParallelCropRuntime]
