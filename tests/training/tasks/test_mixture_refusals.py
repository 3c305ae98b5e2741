import json
from typing import Any

import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.models.storage import save_model
from everypose.training.initial_weights import make_network
from everypose.training.recipe_files import load_recipe
from everypose.training.run import make_task
from training.mixtures import TINY, set_tables, sources

# --- what cannot be used


def refusal(make, *overrides, **kinds):
    with pytest.raises(EveryposeError) as caught:
        make_task(make(*overrides, **kinds))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mixture_that_cannot_be_used_is_one_line(mixture, folder, figures, tmp_path):
    tables = set_tables(figures)
    assert "two sets are named coco: give each its own name" in refusal(
        mixture, tables=tables.replace('name = "mpii"', 'name = "coco"')
    )
    assert "cannot be named all" in refusal(mixture, tables=tables.replace('name = "mpii"', 'name = "all"'))
    assert "list them as [[data.sets]]" in refusal(mixture, tables="")
    assert "model.datasets is made of data.sets" in refusal(mixture, "model.datasets=[{name='a', skeleton={}}]")
    assert "there is no field data.train_split in a recipe of the family posebh" in refusal(
        mixture, "data.train_split=val"
    )
    assert "there is no field data.sets.0.convnetion" in refusal(
        mixture, tables=tables.replace("convention", "convnetion")
    )
    assert "there is no field crops in a recipe of the family posebh" in refusal(mixture, "crops.sigma=3")
    with pytest.raises(UsageError, match=r"nothing learns from epoch 0 on: give phases\.heads_from=0"):
        mixture("model.embedding=0")
    with pytest.raises(UsageError, match=r"prototypes has no effect on this network of the family posebh"):
        mixture("model.embedding=0", "phases.heads_from=0", "prototypes.peak=0")
    assert "there is no field inference.crop in a recipe of the family posebh" in refusal(
        mixture, "inference.crop=mpii"
    )
    with pytest.raises(UsageError, match=r"there is no field data\.sets in a recipe of the family boir"):
        load_recipe("boir-small", ['data.sets=[{name="a", train=[{annotations="a", images="b"}]}]'])

    content = json.loads((folder / "mpii.json").read_text())

    def with_mpii(changed, skeleton=True):
        (tmp_path / "changed.json").write_text(json.dumps(content | changed))
        text = tables.replace('"mpii.json"', json.dumps(str(tmp_path / "changed.json")))
        return text if skeleton else text.replace('skeleton = "mpii"\n', "")

    nobody = refusal(mixture, tables=with_mpii({"annotations": []}))
    assert nobody.startswith("the set mpii (")
    assert nobody.endswith("there is nothing to learn from, leave it out")
    assert "does not say what its keypoints are" in refusal(
        mixture, tables=with_mpii({"categories": [{"id": 1, "name": "person", "keypoints": []}]}, skeleton=False)
    )
    assert "cannot read" in refusal(mixture, tables=tables.replace('"mpii.json"', '"nowhere.json"'))


def test_sigmas_are_needed_for_validation_and_suppression_only(mixture, folder, figures, tmp_path):
    content = json.loads((folder / "coco.json").read_text())
    fish = [{"id": 1, "name": "fish", "keypoints": ["head", "tail"], "skeleton": []}]
    swimming = [entry | {"keypoints": entry["keypoints"][:6]} for entry in content["annotations"]]
    (tmp_path / "fish.json").write_text(json.dumps(content | {"categories": fish, "annotations": swimming}))
    source = sources(tmp_path / "fish.json", figures)
    tables = set_tables(figures) + f'[[data.sets]]\nname = "fish"\ntrain = {source}\n'
    suppressed = refusal(mixture, tables=tables)
    needed = "the set fish needs the sigmas of its skeleton 'fish' for the NMS of duplicate detections"
    assert suppressed.startswith(needed)
    assert suppressed.endswith("or give --set inference.nms=none")
    task = make_task(mixture("inference.nms=none", tables=tables))
    assert len(task.samples) == 44
    validated = refusal(mixture, "inference.nms=none", tables=tables + f"val = {source}\n")
    assert "to be validated by AP" in validated
    assert validated.endswith("or leave out its val")


CHANGES = {
    "one name for two sets": ('name = "mpii"', 'name = "coco"', 2, "two sets are named coco: give each its own name"),
    "a set without keypoints": ('"mpii.json"', '"silent.json"', 1, "does not say what its keypoints are"),
    "a skeleton without sigmas": ('"mpii.json"', '"fish.json"', 1, "needs the sigmas of its skeleton 'fish'"),
    "an empty set": ('"mpii.json"', '"empty.json"', 1, "there is nothing to learn from, leave it out"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_command_says_in_one_line_what_is_wrong_with_a_mixture(everypose, folder, figures, tmp_path, change):
    before, after, code, message = CHANGES[change]
    content = json.loads((folder / "mpii.json").read_text())
    fish = [{"id": 1, "name": "fish", "keypoints": ["head", "tail"], "skeleton": []}]
    swimming = [entry | {"keypoints": entry["keypoints"][:6]} for entry in content["annotations"]]
    (folder / "silent.json").write_text(json.dumps(content | {"categories": [{"id": 1, "name": "person"}]}))
    (folder / "fish.json").write_text(json.dumps(content | {"categories": fish, "annotations": swimming}))
    (folder / "empty.json").write_text(json.dumps(content | {"annotations": []}))
    tables = set_tables(figures).replace('skeleton = "mpii"\n', "").replace(before, after)
    (tmp_path / "mixture.toml").write_text(TINY + tables)
    done = everypose("train", tmp_path / "mixture.toml", "--data", folder, "--out", tmp_path / "run", "--quiet")
    assert done.code == code
    assert message in done.err
    assert done.err.startswith("everypose: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run/recipe.toml").exists()


def test_the_command_refuses_a_model_with_another_number_of_experts(everypose, mixture, folder, figures, tmp_path):
    task = make_task(mixture())
    save_model(task.make_network(), task.config, tmp_path / "three")
    two = "".join("[[data.sets]]" + table for table in set_tables(figures).split("[[data.sets]]")[1:3])
    (tmp_path / "two.toml").write_text(TINY + two)
    start = f"start.weights={json.dumps(str(tmp_path / 'three'))}"
    arguments = ["--data", folder, "--out", tmp_path / "run", "--quiet", "--set", start]
    done = everypose("train", tmp_path / "two.toml", *arguments)
    assert done.code == 2
    assert "three has 3 data sets (coco, crowdpose, mpii), the recipe 2 (coco, crowdpose)" in done.err
    assert done.err.count("\n") == 1


def test_a_data_set_without_keypoints_makes_no_network(mixture):
    task: Any = make_task(mixture())
    first = task.config.network.datasets[0]
    empty = first.model_copy(update={"skeleton": first.skeleton | {"keypoints": []}})
    settings = task.config.network.model_copy(update={"datasets": (empty, *task.config.network.datasets[1:])})
    recipe = task._recipe.model_copy(update={"model": settings})
    with pytest.raises(UsageError, match="the data set coco has no keypoints"):
        make_network(recipe, 17)
