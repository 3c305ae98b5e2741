import json
import shutil
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from everypose.core.geometry import Size
from everypose.errors import EveryposeError, UsageError
from everypose.methods.top_down.crops import CropGeometry
from everypose.training.datasets import read_training_set
from everypose.training.recipe_files import load_recipe
from everypose.training.run import make_task
from everypose.training.tasks.top_down import CropSamples
from training.crop_recipes import VIT


@pytest.fixture
def message(crops):
    """The one line that a recipe, or the run that it asks for, is refused with."""

    def of(*overrides: str) -> str:
        with pytest.raises(EveryposeError) as caught:
            make_task(crops(*overrides))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return of


# --- what cannot be used


def test_a_recipe_says_what_does_not_fit_its_family(crops):
    with pytest.raises(UsageError, match=r"inference\.crop_size must be multiples of 32, not \[100, 128\]"):
        crops("inference.crop_size=[100, 128]")
    with pytest.raises(UsageError, match=r"multiples of 16, not \[50, 64\]"):
        crops(*VIT, "inference.crop_size=[50, 64]")
    with pytest.raises(UsageError, match=r"the family mipnet needs crop_size = \[WIDTH, HEIGHT\] under \[inference\]"):
        crops("inference={size=512}")
    with pytest.raises(UsageError, match=r"there is no field data\.augmentation in a recipe of the family mipnet"):
        crops("data.augmentation.rotation=3")
    with pytest.raises(UsageError, match=r"there is no field losses in a recipe of the family mipnet"):
        crops("losses.bbox=3")
    with pytest.raises(UsageError, match=r"optim\.layer_decay is for a vit"):
        crops("optim.layer_decay=0.7")
    with pytest.raises(UsageError, match=r"leave scales out"):
        crops(*VIT, "optim.layer_decay=0.7", 'optim.scales={"backbone."=0.1}')
    with pytest.raises(UsageError, match=r"rotatoin; did you mean crops\.augmentation\.rotation\?"):
        crops("crops.augmentation.rotatoin=3")
    with pytest.raises(UsageError, match=r"model\.instances must be at least 1, not 0"):
        crops("model.instances=0")
    with pytest.raises(UsageError, match=r"inference\.padding must be above 0, not -1"):
        crops("inference.padding=-1")
    with pytest.raises(UsageError, match=r"there is no field crops in a recipe of the family boir"):
        load_recipe("boir-small", ["crops.sigma=3"])
    with pytest.raises(UsageError, match=r"the family boir needs size = PIXELS"):
        load_recipe("boir-small", ["inference={crop_size=[64, 64]}"])


def test_no_suppression_has_a_word_in_toml(crops):
    recipe = crops("inference.nms=none")
    assert recipe.inference.nms is None
    assert 'nms = "none"' in recipe.to_toml()
    assert crops().inference.nms == 0.9


def test_data_that_cannot_be_used_is_one_line(message, figures, tmp_path):
    content = json.loads((figures / "train.json").read_text())

    def source(name: str, changed: dict) -> str:
        (tmp_path / name).write_text(json.dumps(content | changed))
        return f'data.train=[{{annotations={json.dumps(str(tmp_path / name))}, images="images"}}]'

    away = [{**annotation, "bbox": [5000, 5000, 30, 60]} for annotation in content["annotations"]]
    assert "away.json: no person has both a labeled keypoint and a box" in message(
        source("away.json", {"annotations": away})
    )
    empty = [{**annotation, "keypoints": [0] * 51, "num_keypoints": 0} for annotation in content["annotations"]]
    assert "there is nothing to train on" in message(source("empty.json", {"annotations": empty}))
    assert "there is nothing to train on" in message(source("nobody.json", {"annotations": [], "images": []}))
    category = {"id": 1, "name": "person"}
    assert "does not say what its keypoints" in message(source("boxes.json", {"categories": [category]}))
    fish = [{"id": 1, "name": "fish", "keypoints": ["head", "tail"], "skeleton": []}]
    swimming = [{**annotation, "keypoints": annotation["keypoints"][:6]} for annotation in content["annotations"]]
    assert "sigma" in message(source("fish.json", {"categories": fish, "annotations": swimming}))


def samples_of(recipe, sets):
    people = recipe.model.people_per_crop
    rule = recipe.crops.people_rule(people)
    geometry = CropGeometry(Size(64, 64))
    return CropSamples(sets, geometry, recipe.crops.augmentation, rule=rule, seed=0)


def test_half_bodies_need_a_skeleton_that_knows_them(crops):
    recipe = crops("crops.augmentation.half_body=0.3")
    sets = read_training_set(recipe.data)
    sets = [replace(sets[0], skeleton=replace(sets[0].skeleton, upper_body=()))]
    with pytest.raises(UsageError, match=r"--set crops\.augmentation\.half_body=0"):
        samples_of(recipe, sets)
    still = crops("crops.augmentation.half_body=0")
    assert len(samples_of(still, sets))


def test_an_image_that_cannot_be_used_names_itself(crops, figures, tmp_path):
    shutil.copytree(figures, tmp_path / "data")
    first = tmp_path / "data/images/000001.png"
    samples: Any = make_task(crops(f"data.root={json.dumps(str(tmp_path / 'data'))}")).samples
    position = next(position for position in range(len(samples)) if samples.index(position) == 0)
    first.write_bytes(b"")
    with pytest.raises(EveryposeError, match=r"000001\.png"):
        samples[position]
    cv2.imwrite(str(first), np.zeros((50, 60, 3), np.uint8))
    with pytest.raises(EveryposeError, match=r"000001\.png is 60 x 50 pixels, but its annotations are for 128 x 128"):
        samples[position]
