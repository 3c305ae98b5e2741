import json
from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from everypose.errors import EveryposeError, UsageError
from everypose.inference.estimator import Estimator
from everypose.inference.loading import load
from everypose.inference.runtimes import onnx as runtimes
from everypose.inference.runtimes.onnx import OnnxCropRuntime, OnnxRuntime
from inference import crop_stand_in
from inference.crop_stand_in import CropStandIn, paint
from inference.stand_in import StandIn, config, crowd, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture(params=["cpu", "openvino"])
def device(request):
    return request.param


def test_it_gives_what_the_literal_model_gives(model, device):
    images = np.stack([crowd([(0, 0, 200), (1, 1, 100)]), crowd([]), crowd([(1, 0, 255)])])
    for ours, expected in zip(
        OnnxRuntime.open(model, threads=1, device=device).run(images), StandIn().run(images), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
        assert ours.dtype == expected.dtype  # type: ignore[attr-defined]


def test_nobody_in_the_batch(model, device):
    keypoints, scores, image_index = OnnxRuntime.open(model, device=device).run(np.zeros((2, 64, 128, 3), np.uint8))
    assert (keypoints.shape, scores.shape, image_index.shape) == ((0, 17, 3), (0,), (0,))


def test_the_flip_test_reaches_the_graph(model, device):
    images = crowd([(0, 0, 200)])[None]
    once, twice = (OnnxRuntime.open(model, device=device, flip=flip).run(images)[1] for flip in (False, True))
    np.testing.assert_allclose(twice, once / 2)


def test_the_configuration_comes_from_the_file(model, device):
    assert OnnxRuntime.open(model, device=device).config.name == "stand-in"
    estimator = load(model, device=device, min_score=0.5, batch_size=3)
    assert isinstance(estimator, Estimator)
    assert (estimator.skeleton.name, estimator.min_score, estimator.batch_size) == ("coco", 0.5, 3)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((1, 64, 65, 3), np.uint8),
        np.zeros((0, 64, 64, 3), np.uint8),
    ],
    ids=lambda images: f"{images.shape} {images.dtype}",
)
def test_a_wrong_input_is_refused(model, images):
    with pytest.raises(EveryposeError, match="multiples of 64 from 64 on, not"):
        OnnxRuntime.open(model).run(images)


def test_a_failure_inside_the_graph_is_one_line(model, monkeypatch):
    runtime = OnnxRuntime.open(model)

    def fail(*_):
        raise RuntimeError("out of memory.\nand a long story")

    monkeypatch.setattr(runtime, "_session", type("Session", (), {"run": fail})())
    with pytest.raises(EveryposeError, match=r"stand_in.onnx failed on images of shape .*: out of memory$"):
        runtime.run(np.zeros((1, 64, 64, 3), np.uint8))


def test_a_missing_file_is_named(tmp_path, device):
    with pytest.raises(EveryposeError, match=r"cannot read model .*no\.onnx: no such file"):
        OnnxRuntime.open(tmp_path / "no.onnx", device=device)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "noise", "names"])
def test_a_damaged_file_is_named_in_one_line(model, tmp_path, capfd, device, damage):
    content = model.read_bytes()
    path = tmp_path / "broken.onnx"
    path.write_bytes(
        {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "text": b"I am not a model\n" * 20,
            "noise": np.random.default_rng(0).bytes(2000),
            "names": content.replace(b"min_score", b"m\x94n_score"),
        }[damage]
    )
    with pytest.raises(EveryposeError, match=r"broken\.onnx") as caught:
        OnnxRuntime.open(path, device=device)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_somebody_elses_onnx_file_is_refused(tmp_path, device):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "other",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(EveryposeError, match="not a model of everypose"):
        OnnxRuntime.open(tmp_path / "other.onnx", device=device)


def test_a_file_of_an_older_version_says_what_to_do(model, tmp_path, device):
    older = onnx.load(model)
    del older.graph.input[2]
    onnx.save(older, tmp_path / "older.onnx")
    with pytest.raises(EveryposeError, match=r"older\.onnx was exported by another version .* export the model again"):
        load(tmp_path / "older.onnx", device=device)


@pytest.mark.parametrize(
    ("machine", "flags", "exact"),
    [
        ("x86_64", "flags : avx2 avx512_vnni", True),
        ("x86_64", "flags : sse4_2 avx2", False),  # sums of 8-bit products saturate
        ("aarch64", "Features : asimd", True),
        ("x86_64", None, True),  # no Linux: it cannot be told
    ],
)
def test_which_cpus_need_the_exact_kernels(model, tmp_path, monkeypatch, machine, flags, exact):
    listing = tmp_path / "cpuinfo"
    if flags is not None:
        listing.write_text(flags)
    monkeypatch.setattr(runtimes, "CPU_FLAGS", listing)
    monkeypatch.setattr(runtimes.platform, "machine", lambda: machine)  # type: ignore[attr-defined]
    assert runtimes.adds_8_bits_exactly() == exact
    options = runtimes.open_session(model, 1).get_session_options()  # type: ignore[attr-defined]
    if not exact:
        assert options.get_session_config_entry(runtimes.EXACT_8_BITS) == "1"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not a model of everypose"),
        ({"everypose": "{"}, "not JSON"),
        ({"everypose": "{}"}, "not a model configuration"),
        ({"everypose": json.dumps(config(size="large"))}, "size"),
        ({"everypose": json.dumps(config() | {"skeleton": {"name": "x"}})}, "skeleton"),
    ],
)
def test_wrong_metadata_is_refused(tmp_path, device, metadata, message):
    path = write_model(tmp_path / "model.onnx", metadata)
    with pytest.raises(EveryposeError, match=message):
        load(path, device=device)


def test_a_skeleton_without_sigmas_is_refused(tmp_path):
    skeleton = config()["skeleton"] | {"sigmas": None}
    path = write_model(tmp_path / "model.onnx", {"everypose": json.dumps(config() | {"skeleton": skeleton})})
    with pytest.raises(EveryposeError, match="sigmas"):
        load(path)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1", "openvino:f16", ""])
def test_an_unknown_device_is_a_usage_error(model, device):
    with pytest.raises(UsageError, match="unknown device"):
        OnnxRuntime.open(model, device=device)


def test_a_device_that_is_not_there_is_a_usage_error(model):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is a GPU here")
    with pytest.raises(UsageError, match="install onnxruntime-gpu"):
        OnnxRuntime.open(model, device="cuda:0")


@pytest.fixture
def write_crop_model(tmp_path):
    return partial(crop_stand_in.write_model, tmp_path / "crops.onnx")


@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize("crops", [1, 3])
def test_a_top_down_file_gives_what_the_literal_model_gives(write_crop_model, device, instances, crops):
    width, height = crop_stand_in.CROP
    images = np.stack([paint([(9 + 5 * i, 30, 7, (200, 0, 90 + i))], width, height) for i in range(crops)])
    path = write_crop_model(instances)
    ours, expected = (
        OnnxCropRuntime.open(path, threads=1, device=device).run(images),
        CropStandIn(instances).run(images),
    )
    assert (ours.shape, ours.dtype) == ((crops, instances, 17, 3), np.float32)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    flipped = OnnxCropRuntime.open(path, device=device, flip=True).run(images)
    np.testing.assert_allclose(flipped[..., 2], expected[..., 2] / 2, rtol=1e-5)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((64, 48, 3), np.uint8),
        np.zeros((1, 64, 48, 3), np.float32),
        np.zeros((1, 3, 64, 48), np.uint8),
        np.zeros((0, 64, 48, 3), np.uint8),
    ],
    ids=lambda crops: f"{crops.shape} {crops.dtype}",
)
def test_what_are_no_crops_is_refused(write_crop_model, crops):
    runtime = OnnxCropRuntime.open(write_crop_model())
    with pytest.raises(EveryposeError, match=r"takes \(B, H, W, 3\) uint8 crops, not"):
        runtime.run(crops)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_on_crops_is_one_line_and_passes(write_crop_model, device, threads):
    runtime = OnnxCropRuntime.open(write_crop_model(), threads=threads, device=device)
    right = np.full((1, *crop_stand_in.CROP[::-1], 3), 200, np.uint8)
    before = runtime.run(right)
    with pytest.raises(EveryposeError, match=r"crops.onnx failed on images of shape \(1, 32, 32, 3\): ") as caught:
        runtime.run(np.zeros((1, 32, 32, 3), np.uint8))  # the stand-in knows its crops' size
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(runtime.run(right), before)


def test_a_top_down_file_is_no_single_stage_model(write_crop_model):
    with pytest.raises(EveryposeError, match="not a model of everypose"):
        OnnxRuntime.open(write_crop_model())
