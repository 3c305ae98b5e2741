import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from everypose.data.images import read_image
from everypose.errors import EveryposeError
from everypose.training.datasets import read_training_set, trainable
from everypose.training.sample_stream import StepBatches, training_loader
from everypose.training.tasks.single_stage import ImageSamples
from everypose.training.validation import read_validation_set


@pytest.fixture
def samples(tiny):
    recipe = tiny()
    sets = read_training_set(recipe.data)
    scenes = trainable(sets, mask_unlabeled=recipe.data.mask_unlabeled)
    return ImageSamples(scenes, sets[0].skeleton, recipe.data, seed=7)


def equal(one, other):
    return all(
        torch.equal(a, b) if isinstance(a := getattr(one, f.name), torch.Tensor) else a == getattr(other, f.name)
        for f in dataclasses.fields(one)
        for b in [getattr(other, f.name)]
    )


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own(samples):
    epochs = [[samples.index(5 * epoch + place) for place in range(5)] for epoch in range(6)]
    assert all(sorted(order) == list(range(5)) for order in epochs)
    assert len({tuple(order) for order in epochs}) > 1


def test_a_position_gives_the_same_sample_whenever_it_is_asked_for(samples):
    (_, first), (_, later) = samples[12], samples[12]
    assert np.array_equal(first.image, later.image)
    assert np.array_equal(first.keypoints, later.keypoints)
    # The same image in another epoch is augmented anew.
    other = next(p for p in range(15, 20) if samples.index(p) == samples.index(12))
    assert not np.array_equal(samples[other][1].image, first.image)


def test_photos_of_which_samples_show_less_are_read_reduced(samples, monkeypatch):
    read = []

    def noted(path, reduction):
        read.append(reduction)
        return read_image(path, reduction)

    monkeypatch.setattr("everypose.data.scenes.read_image", noted)
    assert all(samples[position][1].image.shape == (64, 64, 3) for position in range(40))
    assert set(read) == {1, 2}


def test_the_number_of_workers_changes_nothing(samples):
    loaders = [training_loader(samples, StepBatches(1, 4, 2), workers, pin=False) for workers in (0, 2)]
    alone, together = ([*loader] for loader in loaders)
    assert len(alone) == 3
    assert all(equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_share_out_the_order_that_one_would_see(world_size, accumulate):
    ranks = [list(StepBatches(0, 4, 2, accumulate, rank, world_size)) for rank in range(world_size)]
    one = list(StepBatches(0, 4, 2 * world_size, accumulate))
    assert len(one) == 4 * accumulate
    for number, batch in enumerate(one):
        assert all(ranks[rank][number] == batch[rank::world_size] for rank in range(world_size))
    assert [position for batch in one for position in batch] == list(range(8 * world_size * accumulate))


def test_a_resumed_stream_is_the_rest_of_the_whole_one():
    whole = list(StepBatches(0, 9, 3, 2, 1, 2))
    assert list(StepBatches(5, 9, 3, 2, 1, 2)) == whole[10:]


def test_sets_are_mixed(tiny):
    extra = 'data.extra=[{annotations="train.json", images="images"}]'
    recipe = tiny(extra)
    assert len(trainable(read_training_set(recipe.data), mask_unlabeled=recipe.data.mask_unlabeled)) == 10
    source = '{annotations="val.json", images="images"}'
    two = tiny(f"data.val=[{source}, {source}]")
    with pytest.raises(EveryposeError, match="several sets"):
        read_validation_set(two.data, two.validation)


def test_sets_that_are_mixed_must_share_a_skeleton(tiny, figures):
    content = json.loads((figures / "train.json").read_text())
    content["categories"][0] |= {"keypoints": ["head", "tail"], "skeleton": []}
    for annotation in content["annotations"]:
        annotation["keypoints"] = annotation["keypoints"][:6]
    (figures / "fish.json").write_text(json.dumps(content))
    recipe = tiny('data.extra=[{annotations="fish.json", images="images"}]')
    with pytest.raises(EveryposeError, match="share one skeleton"):
        read_training_set(recipe.data)


def test_a_set_without_labels_is_refused(tiny, figures):
    content = json.loads((figures / "train.json").read_text())
    (figures / "empty.json").write_text(json.dumps(content | {"annotations": []}))
    recipe = tiny('data.train=[{annotations="empty.json", images="images"}]')
    sets = read_training_set(recipe.data)
    with pytest.raises(EveryposeError, match="nothing to train on"):
        trainable(sets, mask_unlabeled=recipe.data.mask_unlabeled)


def test_layouts_are_found_under_the_root(tiny, figures, tmp_path):
    (tmp_path / "coco/annotations").mkdir(parents=True)
    for split in ("train", "val"):
        shutil.copy(figures / "train.json", tmp_path / f"coco/annotations/person_keypoints_{split}2017.json")
        shutil.copytree(figures / "images", tmp_path / f"coco/{split}2017")
    recipe = tiny("data.train=[]", f"data.root={json.dumps(str(tmp_path / 'coco'))}", "data.val_split=val")
    assert len(read_training_set(recipe.data)[0]) == 5
    assert len(read_validation_set(recipe.data, recipe.validation).paths) == 5
