import sys
import textwrap
from importlib import resources

import cv2
import numpy as np
import pytest
import torch

import everypose
from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.export.onnx import export_onnx
from everypose.inference.box_sources import DetectionsFile, PeopleBoxes
from everypose.inference.boxes import Boxes
from everypose.inference.detectors import find_detector
from everypose.inference.loading import load
from everypose.inference.onnx_detectors import OnnxDetector
from everypose.inference.single_stage import images_at_once
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.spec import Initialization
from everypose.models.build import build_network
from everypose.models.config import WEIGHTS_FILE, ModelConfig
from everypose.models.locate import resolve
from everypose.models.storage import save_model
from golden_vectors import TINY_BOIR, tiny_boir
from inference import crop_stand_in
from inference.crop_stand_in import paint
from inference.stand_in import SKELETON, crowd, write_model
from inference.test_onnx_detectors import yolox


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "stand_in.onnx")


@pytest.fixture
def folder(tmp_path):
    config = ModelConfig(name="tiny", network=TINY_BOIR, skeleton=SKELETON.to_dict(), inference={"size": 64})
    save_model(tiny_boir(), config, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_an_onnx_file_by_its_path_and_by_its_folder(model):
    image = crowd([(0, 0, 100), (1, 1, 200)])
    for source in (model, str(model), model.parent):
        assert len(load(source)(image)) == 2


def test_options_reach_the_estimator(model):
    assert len(load(model, min_score=0.5)(crowd([(0, 0, 100), (1, 1, 200)]))) == 1
    assert load(model, batch_size=7).batch_size == 7
    assert load(model, flip=True)(crowd([(0, 0, 100)])).scores[0] == pytest.approx(50 / 255)  # the stand-in halves it


def test_by_default_a_cpu_looks_at_one_image_at_a_time_unless_people_are_cut_out(model, crops):
    assert load(model).batch_size == images_at_once("cpu") == images_at_once("openvino") == 1
    assert load(crops, detector=model).batch_size == images_at_once("cuda:1") == 4


def test_a_folder_of_ours_runs_in_torch(folder):
    assert load(folder).config.name == "tiny"
    assert load(folder / WEIGHTS_FILE, threads=1)(crowd([])).skeleton == SKELETON


def test_without_torch_a_folder_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "everypose.inference.runtimes.torch", None)
    with pytest.raises(
        MissingDependencyError, match=r"which is not an ONNX file, needs .*'everypose\[train\]'"
    ) as caught:
        load(folder)
    assert caught.value.exit_code == 2


def test_a_hub_id_is_downloaded_and_only_what_a_model_is_made_of(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("everypose.models.locate.fetch", lambda entry: asked.append(entry.hub) or folder)
    assert resolve("someone/boir-birds").path == folder
    assert load(f"someone/boir-birds@{'0' * 40}").config.name == "tiny"
    assert [(source.repository, source.revision) for source in asked] == [
        ("someone/boir-birds", None), ("someone/boir-birds", "0" * 40)
    ]  # fmt: skip


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path))
    with pytest.raises(
        EveryposeError, match=r"^there is no folder someone/gone, .* cannot be used: .* --to DIR'"
    ) as caught:
        load("someone/gone")
    assert "\n" not in str(caught.value)


def test_a_hub_folder_that_is_no_model_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("everypose.models.locate.fetch", lambda _: tmp_path)
    with pytest.raises(EveryposeError, match="is not a model"):
        load("someone/poems")


def test_an_unknown_device_is_a_usage_error_in_torch_too(folder):
    with pytest.raises(UsageError, match="torch cannot use the device 'tpu9'"):
        load(folder, device="tpu9")


def test_the_example_of_the_package_runs(model, tmp_path, monkeypatch):
    """The lines that everypose's own docstring shows, with the stand-in in place of the bundled weights."""
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    (tmp_path / "weights").mkdir()
    model.rename(tmp_path / "weights" / "mipnet-lite.onnx")
    monkeypatch.chdir(tmp_path)
    assert cv2.imwrite("crowd.jpg", crowd([(0, 0, 100)])[..., ::-1])
    lines = [line for line in everypose.__doc__.splitlines() if line.startswith("    ")]
    names = {}
    exec(textwrap.dedent("\n".join(lines)), names)
    assert len(names["people"]) == 1
    assert (tmp_path / "drawn.jpg").exists()


RED = (240, 0, 0)


@pytest.fixture
def crops(tmp_path):
    """The file of a top-down model."""
    return crop_stand_in.write_model(tmp_path / "crops.onnx")


def test_a_top_down_model_has_its_boxes_from_a_callable(crops):
    box = Boxes(np.array([[40.0, 40, 80, 80]]), np.array([0.5]))
    pose = load(crops, detector=lambda _: box, batch_size=7, min_score=0.1)
    people = pose(paint([(60, 60, 9, RED)]))
    assert (pose.batch_size, pose.min_score, pose.config.name) == (7, 0.1, "crop stand-in")
    np.testing.assert_allclose(people.keypoints[0, :, :2].mean(axis=0), (60, 60), atol=0.5)


def test_a_top_down_folder_runs_in_torch_and_finds_what_its_export_finds(tmp_path):
    backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    config = ModelConfig(
        name="tiny crops",
        network={"family": "mipnet", "backbone": backbone},
        skeleton=SKELETON.to_dict(),
        inference={"crop_size": [64, 96], "nms": None, "min_score": 0.0},
    )
    torch.manual_seed(0)
    network = build_network(config.network, len(SKELETON), initialization=Initialization.FRAMEWORK).eval()
    save_model(network, config, tmp_path / "tiny")
    export_onnx(network, config, tmp_path / "tiny.onnx")
    boxes = Boxes(np.array([[20.0, 10, 60, 90], [50, 30, 120, 140]]), np.array([1, 0.5]))
    image = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    ours, exported = (
        load(source, detector=lambda _: boxes, threads=1)(image)
        for source in (tmp_path / "tiny", tmp_path / "tiny.onnx")
    )
    assert len(ours) == 4  # two people for each box
    np.testing.assert_allclose(ours.scores, exported.scores, rtol=1e-4)
    np.testing.assert_allclose(ours.keypoints, exported.keypoints, atol=1e-3)


def test_by_default_the_bundled_model_gives_boxes(crops, model, monkeypatch):
    monkeypatch.setattr("everypose.models.locate.bundled", lambda _: model)
    pose = load(crops, threads=1)
    assert isinstance(pose, TopDownEstimator)
    people = pose(crowd([(0, 0, 100), (1, 1, 200)]))  # a box for each of the red blocks
    np.testing.assert_allclose(people.keypoints[:, :, :2].mean(axis=1), [(47.5, 47.5), (15.5, 15.5)], atol=1.5)
    np.testing.assert_allclose(people.scores, [200 / 255, 100 / 255], rtol=1e-5)  # of boxes; red is 255
    assert len(load(crops, box_threshold=0.5)(crowd([(0, 0, 100), (1, 1, 200)]))) == 1


def test_kinds_of_detector(model, tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    assert isinstance(find_detector(model), PeopleBoxes)
    assert isinstance(find_detector(str(tmp_path / "boxes.json")), DetectionsFile)
    found = find_detector(yolox(tmp_path / "yolox.onnx"))
    assert isinstance(found, OnnxDetector)
    assert found.threshold == 0.3
    assert find_detector(tmp_path / "yolox.onnx", threshold=0.0).threshold == 0.0  # type: ignore[attr-defined]
    assert find_detector(found) is found


def test_a_folder_of_ours_gives_boxes_too(folder):
    assert isinstance(find_detector(folder, threads=1), PeopleBoxes)


def test_where_onnx_runtime_has_no_gpu_onnx_detectors_run_on_the_cpu(model, monkeypatch):
    monkeypatch.setattr("everypose.inference.detectors.onnx_can_use", lambda _: False)
    assert isinstance(find_detector(model, device="cuda"), PeopleBoxes)


@pytest.mark.parametrize(
    ("detector", "error", "message"),
    [
        ("crops.onnx", UsageError, "crops.onnx cannot give boxes, because it needs boxes itself"),
        ("gone.onnx", UsageError, "there is no model at .*gone.onnx"),
        ("gone.json", EveryposeError, "cannot read .*gone.json"),
        ("text.onnx", EveryposeError, "text.onnx is not an ONNX file"),
    ],
)
def test_what_cannot_give_boxes_is_one_line(crops, tmp_path, detector, error, message):
    (tmp_path / "text.onnx").write_text("words")
    with pytest.raises(error, match=message):
        load(crops, detector=tmp_path / detector)


def test_a_detector_by_an_unknown_name(crops):
    with pytest.raises(UsageError, match="did you mean boir-lite"):
        load(crops, detector="boir-light")


def test_a_threshold_for_a_detector_that_is_given_is_refused(crops):
    with pytest.raises(UsageError, match="let your own apply it"):
        load(crops, detector=lambda _: None, box_threshold=0.5)


def test_a_size_other_than_the_models_own(model):
    assert load(model, size=128).config.on_images.size == 128
    assert load(model, size=1280).config.on_images.size == 1280
    for size in (0, -64, 100, 1344):
        with pytest.raises(
            UsageError, match=f"a size of {size} pixels is not possible: give a multiple of 64 from 64 to 1280$"
        ):
            load(model, size=size)


def test_a_model_of_crops_takes_no_size(crops):
    with pytest.raises(UsageError, match="takes crops of one size"):
        load(crops, size=128)


@pytest.mark.parametrize("options", [{"detector": "boir-lite"}, {"box_threshold": 0.5}], ids=str)
def test_a_model_that_finds_people_by_itself_takes_no_detector(model, options):
    with pytest.raises(UsageError, match="stand-in finds people by itself: it takes no detector"):
        load(model, **options)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_has_an_image(model, size):
    with pytest.raises(UsageError, match=f"batch_size={size}: give a number from 1 on"):
        load(model, batch_size=size)
