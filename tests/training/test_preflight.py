"""What a run cannot do is one line before its first step, with the setting that mends it."""

import json

import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.training.run import Machines, train

ONE = Machines(1)


def refused(recipe, folder, error, message):
    with pytest.raises(error, match=message) as raised:
        train(recipe, folder, ONE, quiet=True)
    assert "\n" not in str(raised.value)
    assert not list(folder.rglob("*.ckpt"))


def test_one_image_a_step_with_pooled_batch_statistics(tiny, tmp_path):
    refused(tiny("trainer.batch=1"), tmp_path / "run", UsageError, r"--set trainer\.batch=2")


def test_one_image_a_step_with_frozen_statistics_trains(tiny, tmp_path):
    one = tiny("trainer.batch=1", "trainer.freeze_batchnorm=true", "schedule.steps=1")
    assert train(one, tmp_path / "run", ONE, quiet=True).model.is_dir()


def test_a_validation_set_without_labeled_people(tiny, figures, tmp_path):
    content = json.loads((figures / "val.json").read_text())
    for person in content["annotations"]:
        person["keypoints"] = [0] * len(person["keypoints"])
        person["num_keypoints"] = 0
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps(content))
    sets = f"data.val=[{{annotations={json.dumps(str(empty))}, images={json.dumps(str(figures / 'images'))}}}]"
    refused(tiny(sets), tmp_path / "run", EveryposeError, r"empty\.json has no person .*--set data\.val_split")


def test_a_network_that_is_too_large(tiny, tmp_path):
    refused(tiny("model.neck=65536", "model.neck_branch=65536"), tmp_path / "run", EveryposeError, "parameters")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("trainer.seed=99999999999999999999999", "seed"),
        ("trainer.seed=-1", "seed"),
        ("trainer.batch=0", "batch"),
        ("data.size=0", "size"),
        ("data.size=1000000", "size"),
        ("inference.size=1e9", "size"),
        ("schedule.epochs=3", "--set schedule.steps=0"),
        ("model.instance=-5", "model.instance"),
        ("model.neck=0", "model.neck"),
        ("model.head=100000000", "model.head"),
        ("model.backbone={kind='hrnet', blocks=1000000000}", "blocks"),
        ("model.backbone={kind='hrnet', modules=[1, 0, 1]}", "modules"),
    ],
)
def test_values_out_of_range_name_their_setting(tiny, setting, named):
    with pytest.raises((UsageError, EveryposeError)) as raised:
        tiny(setting)
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)
