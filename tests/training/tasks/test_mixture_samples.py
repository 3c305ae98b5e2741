import json
from typing import Any

import numpy as np
import pytest
import torch

import everypose
from everypose.errors import EveryposeError
from everypose.inference.boxes import Boxes
from everypose.methods.top_down.augmentation import CropDraws
from everypose.methods.top_down.samples import sample_matrix
from everypose.models.storage import load_model, save_model
from everypose.skeleton.skeleton import Skeleton
from everypose.training.run import make_task, train
from everypose.training.sample_stream import StepBatches, training_loader
from everypose.training.tasks.mixture_samples import shares
from training.mixtures import ONE, SETS, STILL, set_tables, sources

# --- samples


def test_an_epoch_has_every_person_of_every_set_once(mixture):
    samples: Any = make_task(mixture()).samples
    people = len(samples) // 3
    everyone = sorted((dataset, person) for dataset in range(3) for person in range(people))
    epochs = [[samples.index(epoch * len(samples) + place) for place in range(len(samples))] for epoch in range(3)]
    assert all(sorted(order) == everyone for order in epochs)
    assert epochs[0] != epochs[1]
    assert epochs[0][:people] != sorted(epochs[0][:people])


def test_a_weight_changes_how_often_a_set_is_seen_and_misses_nobody(mixture, figures):
    tables = set_tables(figures).replace('name = "mpii"', 'name = "mpii"\nweight = 2')
    samples: Any = make_task(mixture(tables=tables)).samples
    assert shares((10, 20, 30), (1, 1, 1)) == (10, 20, 30)
    assert shares((10, 20, 30), (4, 2, 0)) == (30, 30, 1)
    assert samples.shares == (8, 8, 16)
    people = [samples.index(position) for position in range(11 * len(samples))]
    counts = {one: people.count(one) for one in people}
    assert {one: count for one, count in counts.items() if one[0] == 0} == {(0, person): 8 for person in range(11)}
    assert {one: count for one, count in counts.items() if one[0] == 2} == {(2, person): 16 for person in range(11)}


def test_a_batch_has_each_sets_crops_in_its_own_convention(mixture):
    task = make_task(mixture())
    batch = task.samples.collate([task.samples[position] for position in range(12)])
    assert batch.crops.images.shape == (12, 64, 48, 3)
    assert batch.crops.keypoints.shape == (12, 1, 17, 3), "the largest skeleton's, whoever is in the batch"
    assert torch.cat(batch.rows).sort().values.tolist() == list(range(12))
    for dataset, (rows, (_, skeleton, convention)) in enumerate(zip(batch.rows, SETS, strict=True)):
        assert (batch.crops.dataset[rows] == dataset).all()
        assert (batch.crops.udp[rows] == (convention == "udp")).all()
        assert not batch.crops.keypoints[rows, :, len(Skeleton.named(skeleton)) :].any()
    alone = task.samples.collate([task.samples[int(batch.rows[1][0])]])
    assert [len(rows) for rows in alone.rows] == [0, 1, 0]
    assert alone.crops.keypoints.shape == (1, 1, 17, 3)
    moved_batch = batch.to("cpu")
    assert moved_batch.keys == batch.keys
    assert all(torch.equal(one, other) for one, other in zip(moved_batch.rows, batch.rows, strict=True))


def test_a_position_is_always_the_same_crop_and_a_persons_shift_lasts(mixture, figures):
    only_shift = "{scale = 0, rotation = 0, flip = 0, half_body = 0, shift_probability = 1}"
    tables = set_tables(figures).replace("convention", f"augmentation = {only_shift}\nconvention")
    samples: Any = make_task(mixture(tables=tables)).samples
    still = make_task(mixture(tables=tables.replace("shift_probability = 1", "shift = 0"))).samples
    first = samples[3]
    again = next(p for p in range(len(samples), 2 * len(samples)) if samples.index(p) == samples.index(3))
    assert np.array_equal(samples[again].crop, first.crop)
    assert not np.array_equal(still[3].crop, first.crop)
    random = make_task(mixture()).samples
    assert np.array_equal(random[3].crop, random[3].crop)
    assert not np.array_equal(random[again].crop, random[3].crop)


def test_the_number_of_workers_changes_nothing(mixture):
    samples = make_task(mixture()).samples
    loaders = [training_loader(samples, StepBatches(1, 3, 5), workers, pin=False) for workers in (0, 2)]
    for alone, together in zip(*loaders, strict=True):
        assert alone.keys == together.keys
        assert torch.equal(alone.crops.images, together.crops.images)
        assert all(torch.equal(one, other) for one, other in zip(alone.rows, together.rows, strict=True))


def test_a_skeleton_without_an_upper_body_has_no_half_bodies(mixture, folder, figures, tmp_path):
    content = json.loads((folder / "coco.json").read_text())
    text = '[[keypoints]]\nname = "{}"\nsigma = 0.1\n'
    (tmp_path / "plain.toml").write_text("".join(text.format(f"point_{n}") for n in range(17)))
    del content["categories"][0]["keypoints"]
    (tmp_path / "plain.json").write_text(json.dumps(content))
    source = sources(tmp_path / "plain.json", figures)
    skeleton = json.dumps(str(tmp_path / "plain.toml"))
    tables = f'[[data.sets]]\nname = "plain"\ntrain = {source}\nskeleton = {skeleton}\naugmentation = {{half_body = 1}}'
    task = make_task(mixture(tables=tables))
    assert task.samples[0].keypoints.shape == (1, 17, 3)
    assert task.config.skeleton.keypoints[0] == "point_0"


# --- MPII's own files


@pytest.fixture
def mpii(tmp_path, folder, figures):
    """A set in MPII's own form: the stick figures with the square of their height."""
    content = json.loads((folder / "mpii.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    people = [
        {
            "image": names[entry["image_id"]],
            "center": [entry["bbox"][0] + entry["bbox"][2] / 2 + 1, entry["bbox"][1] + entry["bbox"][3] / 2 + 1],
            "scale": entry["bbox"][3] / 200,
            "joints": (np.reshape(entry["keypoints"], (-1, 3))[:, :2] + 1).tolist(),
            "joints_vis": (np.reshape(entry["keypoints"], (-1, 3))[:, 2] > 0).astype(int).tolist(),
        }
        for entry in content["annotations"]
    ]
    (tmp_path / "mpii.json").write_text(json.dumps(people))
    source = sources(tmp_path / "mpii.json", figures)
    return (
        f'[[data.sets]]\nname = "mpii"\ntrain = {source}\nval = {source}\nskeleton = "mpii"\nconvention = "udp"\n'
        f'crop = "mpii"\naugmentation = {STILL}\n'
    )


def test_mpii_is_read_as_published_and_found_in_the_crops_that_were_learned(mixture, mpii, tmp_path):
    task: Any = make_task(mixture(tables=mpii))
    scene = task.sets[0].scenes[0]
    geometry = task.samples._sets[0].geometry
    assert geometry.rule == "mpii"
    trained = sample_matrix(scene, 0, task.samples._sets[0].skeleton, geometry, CropDraws())
    network = task.make_network()
    estimator: Any = task.validators[0].estimator(network, "cpu")
    photo = estimator.prepare(scene.path)
    cut = estimator._cut(photo, estimator.detector(photo))
    np.testing.assert_allclose(cut.matrices[0], trained)
    np.testing.assert_array_equal(cut.boxes.boxes, scene.boxes)
    assert task.validators[0].score(task.validators[0].predict(network, torch.device("cpu")).results).ap >= -1
    save_model(network, task.config, tmp_path / "model")
    square = Boxes(scene.boxes[:1], np.ones(1))
    loaded: Any = everypose.load(tmp_path / "model", detector=lambda _: square, skeleton="mpii")
    np.testing.assert_allclose(loaded._cut(photo, square).matrices[0], trained)
    wrong = mpii.replace('skeleton = "mpii"', 'skeleton = "coco"')
    with pytest.raises(EveryposeError, match=r"mpii\.json is a list in MPII's form, whose keypoints are not"):
        make_task(mixture(tables=wrong))


# --- validation


def test_every_set_is_measured_by_its_own_head_and_their_mean_decides(mixture, tmp_path):
    outcome = train(mixture("schedule.epochs=1", validated=True), tmp_path / "run", ONE, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    measured = {name: value for line in lines for name, value in line.items() if name.endswith("/AP")}
    assert set(measured) == {f"val-{name}/AP" for name, *_ in SETS}
    assert outcome.last_ap == pytest.approx(np.mean(list(measured.values())))
    network, config = load_model(outcome.model)
    assert [one.name for one in config.network.datasets] == [name for name, *_ in SETS]  # type: ignore[attr-defined]
    task = make_task(mixture(validated=True))
    for validator, (name, skeleton, convention) in zip(task.validators, SETS, strict=True):
        estimator = validator.estimator(network, "cpu")
        assert estimator.skeleton.name == skeleton
        assert estimator.config.on_crops.convention == convention
        assert estimator.config.on_crops.decoder == ("udp" if convention == "udp" else "quarter")
        assert validator.suffix == f"-{name}"
