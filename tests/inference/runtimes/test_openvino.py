"""What is OpenVINO's own; that it gives what the literal models give is tested beside ONNX Runtime."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.export.int8 import quantize
from everypose.export.onnx import export_onnx
from everypose.inference import detectors, opening
from everypose.inference.loading import load
from everypose.inference.runtimes import openvino as openvino_runtime
from everypose.inference.runtimes.onnx import OnnxRuntime, open_session
from everypose.inference.runtimes.openvino import OpenVinoSession
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, tiny_boir
from inference import crop_stand_in
from inference.stand_in import crowd, write_model

CONFIG = ModelConfig(
    name="tiny", network=TINY_BOIR, skeleton=Skeleton.named("coco").to_dict(), inference=SingleStageInference(size=64)
)


def smooth(count, height, width):
    coarse = np.random.default_rng(0).integers(0, 255, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in coarse])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    export_onnx(tiny_boir().eval(), CONFIG, path)
    return path


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "stand_in.onnx")


def test_one_open_file_serves_any_size_batch_and_number_of_people(tiny):
    ours, theirs = (OnnxRuntime.open(tiny, threads=1, device=device) for device in ("openvino", "cpu"))
    people = set()
    for count, height, width in [(1, 64, 64), (1, 128, 64), (3, 64, 192), (1, 64, 64), (2, 128, 128), (3, 64, 192)]:
        images = smooth(count, height, width)
        found, expected = ours.run(images, 0.0), theirs.run(images, 0.0)
        assert len(found[0]) == len(expected[0]) > 0
        np.testing.assert_array_equal(found[2], expected[2])
        np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
        # Random weights give a few neighbors that are equal up to rounding, which then chooses between them.
        assert (np.abs(found[0] - expected[0]).max(axis=-1) < 0.05).mean() > 0.98
        people.add(len(found[0]))
    assert len(people) > 2


def test_results_are_the_callers_own(stand_in):
    runtime = OnnxRuntime.open(stand_in, threads=1, device="openvino")
    first = runtime.run(crowd([(0, 0, 200)])[None])
    kept = [values.copy() for values in first]
    runtime.run(crowd([(1, 1, 90)])[None])
    for values, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_a_model_in_8_bits(tiny, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), smooth(1, 64, 64)[0])
    quantize(tiny, [str(tmp_path)], tmp_path / "int8.onnx")
    ours, theirs = (load(tmp_path / "int8.onnx", device=device, min_score=0) for device in ("openvino", "cpu"))
    found, expected = ours(tmp_path / "photo.png"), theirs(tmp_path / "photo.png")
    assert len(expected) > 0
    assert abs(len(found) - len(expected)) <= max(3, len(expected) // 3)
    assert abs(float(found.scores[0] - expected.scores[0])) < 0.1


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_precision_are_obeyed(stand_in, threads):
    compiled = OpenVinoSession(stand_in, threads)._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


@pytest.mark.skipif(not openvino_runtime.computes_in("bf16"), reason="this CPU has no bfloat16")
def test_bfloat16_is_near(tiny):
    rough: Any = OnnxRuntime.open(tiny, threads=1, device="openvino:bf16")
    assert rough._session._request.get_compiled_model().get_property("INFERENCE_PRECISION_HINT").to_string() == "bf16"
    images = smooth(1, 64, 64)
    found, expected = rough.run(images), OnnxRuntime.open(tiny, threads=1).run(images)
    assert abs(float(found[1].max() - expected[1].max())) < 0.1


def test_a_cpu_without_bfloat16_is_a_usage_error(stand_in, monkeypatch):
    monkeypatch.setattr(openvino_runtime, "computes_in", lambda precision: precision == "f32")
    assert load(stand_in, device="openvino").config.name == "stand-in"
    with pytest.raises(UsageError, match="does not compute in bfloat16, as openvino:bf16 wants: use openvino"):
        load(stand_in, device="openvino:bf16")


def test_threads_of_a_program_take_turns(stand_in):
    runtime = OnnxRuntime.open(stand_in, threads=1, device="openvino")
    greens = list(range(40, 240, 5))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda green: runtime.run(crowd([(0, 0, green)])[None])[1], greens))
    np.testing.assert_allclose(np.concatenate(found), np.array(greens) / 255, rtol=1e-6)


def test_a_signal_after_models_were_closed_does_no_harm(stand_in):
    code = f"""
import signal, subprocess, sys
from everypose.inference.runtimes.onnx import open_session
first = open_session({str(stand_in)!r}, 1, "openvino")
second = open_session({str(stand_in)!r}, 1, "openvino")
del first
del second
signal.signal(signal.SIGCHLD, lambda *_: print("a child has ended"))
subprocess.run([sys.executable, "-c", ""])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "a child has ended\n")


def test_memory_that_is_not_there_is_one_line(stand_in, monkeypatch):
    runtime = OnnxRuntime.open(stand_in, threads=1, device="openvino")

    class Full:
        def start_async(self, _):
            raise RuntimeError("Exception from request.cpp:1:\nFailed to allocate 65536000 bytes of memory\n\n")

    monkeypatch.setattr(runtime._session, "_request", Full())
    with pytest.raises(EveryposeError, match=r"shape \(1, 64, 64, 3\): Failed to allocate 65536000 bytes of memory$"):
        runtime.run(np.zeros((1, 64, 64, 3), np.uint8))


def test_without_the_package_a_line_says_what_to_install(stand_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "everypose.inference.runtimes.openvino", None)
    with pytest.raises(MissingDependencyError, match=r"the device openvino needs .*'everypose\[openvino\]'") as caught:
        open_session(stand_in, device="openvino")
    assert caught.value.exit_code == 2


def test_what_is_no_onnx_file_must_be_exported_first(tmp_path):
    save_model(tiny_boir(), CONFIG, tmp_path)
    with pytest.raises(UsageError, match=r"OpenVINO runs ONNX files, not .*'everypose export'"):
        load(tmp_path, device="openvino")


def test_the_detector_of_a_top_down_model_stays_in_onnx_runtime(stand_in, tmp_path, monkeypatch):
    crops = crop_stand_in.write_model(tmp_path / "crops.onnx")
    opened = set()

    def watched(path, threads, device="cpu", **options):
        opened.add((path.name, device))
        return open_session(path, threads, device, **options)

    for module in (detectors, opening):
        monkeypatch.setattr(module, "open_session", watched)
    image = crowd([(0, 0, 200)])
    found = load(crops, device="openvino", detector=stand_in)(image)
    assert opened == {("crops.onnx", "openvino"), ("stand_in.onnx", "cpu")}
    expected = load(crops, device="cpu", detector=stand_in)(image)
    assert len(expected) > 0
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)
