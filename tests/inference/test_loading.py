import sys
import textwrap
from importlib import resources

import cv2
import pytest

import everypose
from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.inference.loading import load
from everypose.models import CONFIG_FILE, WEIGHTS_FILE, ModelConfig, resolve
from everypose.networks import save_model
from golden_vectors import TINY_BOIR, tiny_boir
from inference.stand_in import SKELETON, crowd, write_model


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


def test_a_folder_of_ours_runs_in_torch(folder):
    assert load(folder).config.name == "tiny"
    assert load(folder / WEIGHTS_FILE, threads=1)(crowd([])).skeleton == SKELETON


def test_without_torch_a_folder_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "everypose.inference.torch_runtime", None)
    with pytest.raises(
        MissingDependencyError, match=r"which is not an ONNX file, needs .*'everypose\[train\]'"
    ) as caught:
        load(folder)
    assert caught.value.exit_code == 2


class Hub:
    """Stands for the hub: gives a folder, or fails."""

    def __init__(self, result):
        self.result = result

    def __call__(self, name, allow_patterns):
        self.asked = name, set(allow_patterns)
        if isinstance(self.result, Exception):
            raise self.result
        return str(self.result)


def test_a_hub_id_is_downloaded_and_only_what_a_model_is_made_of(folder, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = Hub(folder)
    monkeypatch.setattr(hub, "snapshot_download", asked)
    assert resolve("someone/boir-birds").path == folder
    assert asked.asked == ("someone/boir-birds", {CONFIG_FILE, WEIGHTS_FILE, "*.onnx"})
    assert load("someone/boir-birds").config.name == "tiny"


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", Hub(OSError("no network\nat all")))
    with pytest.raises(EveryposeError, match=r"^there is no folder someone/gone, .* cannot be downloaded: no network$"):
        load("someone/gone")


def test_a_hub_folder_that_is_no_model_is_one_line(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", Hub(tmp_path))
    with pytest.raises(EveryposeError, match="is not a model"):
        load("someone/poems")


def test_without_the_hub_package_an_id_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"photos/model is neither .*'everypose\[hub\]'"):
        load("photos/model")


def test_an_unknown_device_is_a_usage_error_in_torch_too(folder):
    with pytest.raises(UsageError, match="torch cannot use the device 'tpu9'"):
        load(folder, device="tpu9")


def test_the_example_of_the_package_runs(model, tmp_path, monkeypatch):
    """The lines that everypose's own docstring shows, with the stand-in in place of the bundled weights."""
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    (tmp_path / "weights").mkdir()
    model.rename(tmp_path / "weights" / "boir-lite.onnx")
    monkeypatch.chdir(tmp_path)
    assert cv2.imwrite("crowd.jpg", crowd([(0, 0, 100)])[..., ::-1])
    lines = [line for line in everypose.__doc__.splitlines() if line.startswith("    ")]
    names = {}
    exec(textwrap.dedent("\n".join(lines)), names)
    assert len(names["people"]) == 1
    assert (tmp_path / "drawn.jpg").exists()
