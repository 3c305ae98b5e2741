"""Training from tars: the losses of a folder, whatever the tars, loader workers and processes."""

import json

import pytest

from bulk.tar_files import tar_of
from everypose.errors import EveryposeError
from everypose.training.datasets import read_training_set
from everypose.training.run import Machines, train
from everypose.training.sample_stream import StepBatches

ONE = Machines(1)


@pytest.fixture
def tars(figures, tmp_path):
    """The stick figures in two tars, each image with a JSON file; the path of the tars."""
    content = json.loads((figures / "train.json").read_text())
    members = []
    for entry in content["images"]:
        people = [one for one in content["annotations"] if one["image_id"] == entry["id"]]
        own = {"annotations": people, "width": entry["width"], "height": entry["height"]}
        image = (figures / "images" / entry["file_name"]).read_bytes()
        members.append([(entry["file_name"], image), (f"{entry['id']:06}.json", json.dumps(own).encode())])
    for number, part in enumerate((members[:2], members[2:])):
        (tmp_path / f"set-{number}.tar").write_bytes(tar_of([file for pair in part for file in pair]))
    return tmp_path / "set-{0..1}.tar"


def sources(tars, annotations=""):
    named = f'annotations = "{annotations}", ' if annotations else ""
    return f'data.train=[{{{named}images = "{tars}"}}]'


@pytest.mark.parametrize("family", ["boir", "crops"])
def test_losses_are_those_of_the_folder(tiny, crops, tars, tmp_path, losses_of, family):
    recipe = tiny if family == "boir" else crops
    train(recipe("schedule.steps=3"), tmp_path / "folder", ONE, quiet=True)
    ways = {
        "listed": [sources(tars, "train.json")],
        "json": [sources(tars), 'data.skeleton="coco"', "data.workers=2"],
    }
    expected = losses_of(tmp_path / "folder")
    for name, options in ways.items():
        train(recipe("schedule.steps=3", *options), tmp_path / name, ONE, quiet=True)
        found = losses_of(tmp_path / name)
        assert set(found) == set(expected)
        for step, line in expected.items():
            assert found[step]["loss/total"] == pytest.approx(line["loss/total"], rel=1e-6)


def test_processes_and_workers_read_each_image_once_an_epoch(tiny, tars):
    """Two processes with three loader workers each, by what the sampler gives to each worker."""
    scenes = read_training_set(tiny(sources(tars), 'data.skeleton="coco"').data)[0]
    read = []
    for rank in range(2):
        batches = list(StepBatches(0, 6, batch=1, rank=rank, world_size=2))
        for worker in range(3):
            read += [position for batch in batches[worker::3] for position in batch]
    assert sorted(read) == list(range(12))
    members = [scene.member for scene in scenes]
    assert len({(member.tar, member.offset) for member in members}) == len(scenes) == 5


def test_what_cannot_be_read_is_one_line(tiny, tars, figures):
    with pytest.raises(EveryposeError, match="need a file of annotations"):
        read_training_set(tiny('data.train=[{images = "images"}]').data)
    recipe = tiny('data.val=[{annotations = "train.json", images = "set-0.tar"}]', f'data.root="{figures}"')
    with pytest.raises(EveryposeError, match="validation needs an annotation file and a folder of images"):
        train(recipe, tars.parent / "run", ONE, quiet=True)
