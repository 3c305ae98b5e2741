"""Finding and reading models, and what is said when there is none."""

from pathlib import Path

import pytest

from everypose.backbones.settings import OpenPoseLightSettings
from everypose.errors import EveryposeError, UsageError
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.catalog import catalog
from everypose.models.config import CONFIG_FILE, WEIGHTS_FILE, ModelConfig, read_config
from everypose.models.locate import resolve
from everypose.models.storage import load_model, save_model
from everypose.skeleton.skeleton import Skeleton
from everypose.training.recipe_files import load_recipe, recipe_names
from golden_vectors import TINY_BOIR, tiny_boir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = ModelConfig(name="tiny", network=TINY_BOIR, skeleton=Skeleton.named("coco").to_dict())
    save_model(tiny_boir(), config, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_saved_model_names_its_weights(folder: Path) -> None:
    _, config = load_model(folder)
    assert len(config.provenance["sha256"]) == 64
    assert config.network == TINY_BOIR
    assert resolve(folder) == resolve(folder / WEIGHTS_FILE)


@pytest.mark.parametrize(("source", "words"), [
    ("boir-w32-coc", "did you mean boir-w32-coco"),
    ("boir-w32-coco", "do not come with everypose"),
    ("hrnet-w32-256-coco", "import the authors' checkpoint .* or train it .*, then give the folder"),
    ("./nowhere", "no model at ./nowhere"),
    ("gone.onnx", "no model at gone.onnx"),
])  # fmt: skip
def test_names_and_paths_that_are_not_there(source: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(source)


def test_every_name_is_a_recipe_and_recipes_start_from_names() -> None:
    names = [entry.name for entry in catalog().model]
    assert len(set(names)) == len(names)
    trainable = [entry for entry in catalog().model if not (entry.downloads or entry.obtain)]
    poses = {entry.name for entry in trainable if entry.kind == "pose"}
    assert len(poses) >= 40
    assert poses <= set(recipe_names())
    starts = {load_recipe(name).start.weights for name in recipe_names()} - {""}
    assert starts
    assert starts <= set(names)


def test_a_folder_and_a_file_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(EveryposeError, match=r"needs config.json and model.safetensors"):
        resolve(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(EveryposeError, match="is not a model"):
        resolve(tmp_path / "notes.txt")


def test_damaged_folders(folder: Path) -> None:
    weights = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(weights[: len(weights) // 2])
    with pytest.raises(EveryposeError, match=r"cannot read .*model.safetensors"):
        load_model(folder)
    (folder / CONFIG_FILE).write_text('{"format": 1}')
    with pytest.raises(EveryposeError, match="is not a model configuration of everypose: name"):
        read_config(folder / CONFIG_FILE)


def test_sizes_come_in_the_steps_of_the_model() -> None:
    assert SingleStageInference(size=336, step=16).size == 336
    assert SingleStageInference.model_validate({"size": 512}).step == 64, "as in files from before there were steps"
    with pytest.raises(ValueError, match="greater than or equal to 64"):
        SingleStageInference(size=48, step=16)
    with pytest.raises(ValueError, match="multiple of 64"):
        SingleStageInference(size=336)
    fine = SingleStageInference(size=336, step=16)
    light = BoIRSettings(backbone=OpenPoseLightSettings())
    skeleton = Skeleton.named("coco").to_dict()
    assert ModelConfig(name="light", network=light, skeleton=skeleton, inference=fine).on_images.step == 16
    with pytest.raises(ValueError, match="step must be 32 at least with the backbone hrnet"):
        ModelConfig(name="hrnet", network=BoIRSettings(), skeleton=skeleton, inference=fine)
