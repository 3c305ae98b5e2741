"""Validation in training gives exactly the numbers of ``everypose evaluate``."""

import json

import pytest
import torch

from everypose.data.discovery.layouts import Layout
from everypose.errors import EveryposeError
from everypose.evaluation.box_source import BoxSource
from everypose.evaluation.evaluate import evaluate_model
from everypose.evaluation.options import EvaluationOptions
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from everypose.training.run import make_task, train
from training.crop_recipes import ONE, VAL, VIT

CPU = torch.device("cpu")


def evaluated(model, folder, boxes, flip=True, file="val.json"):
    layout = Layout((folder / file,), folder / "images", None, None, "of a test")
    options = EvaluationOptions(boxes=BoxSource(boxes=boxes), flip=flip, quiet=True)
    return evaluate_model(str(model), layout, options)


def fitted(task, steps=20):
    """The task's network after some steps on its first samples, so that it finds somebody."""
    torch.manual_seed(0)
    network = task.make_network().train()
    batch = task.samples.collate([task.samples[position] for position in range(4)])
    optimizer = torch.optim.Adam(task.parameter_groups(network), lr=5e-3)
    for _ in range(steps):
        loss = sum(task.losses(network, batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def numbers_of(scores):
    return {name: None if value < 0 else value for name, value in scores.numbers().items()}


@pytest.mark.parametrize(
    ("family", "boxes", "flip"), [("tiny", None, True), ("crops", "truth", False), ("vit", "truth", True)]
)
def test_results_and_numbers_of_a_network_and_of_its_saved_model_are_equal(
    request, family, boxes, flip, figures, tmp_path
):
    make = request.getfixturevalue("tiny" if family == "tiny" else "crops")
    task = make_task(make(VAL, f"validation.flip={str(flip).lower()}", *(VIT if family == "vit" else ())))
    network = fitted(task)
    (validator,) = task.validators
    results = validator.predict(network, CPU).results
    save_model(network, task.config, tmp_path / "model")
    evaluation = evaluated(tmp_path / "model", figures, boxes, flip)
    assert results == evaluation.results
    assert results
    assert numbers_of(validator.score(results)) == evaluation.record.numbers[""]


def test_the_logged_ap_is_that_of_the_model_that_the_run_leaves(crops, figures, tmp_path):
    outcome = train(crops(VAL, "schedule.steps=6", "ema.decay=0.9"), tmp_path / "run", ONE, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    (logged,) = [line for line in lines if "val/AP" in line]
    numbers = evaluated(outcome.model, figures, "truth").record.numbers[""]
    assert (logged["val/AP"], logged["val/AP50"], logged["val/AR"]) == (numbers["AP"], numbers["AP50"], numbers["AR"])


def write_species(figures, second_of=lambda image_id: image_id % 2):
    """The stick figures as animals of two species, each image of one."""
    content = json.loads((figures / "val.json").read_text())
    keypoints = list(Skeleton.named("ap10k").keypoints)
    content["categories"] = [{"id": 3, "name": "cat", "keypoints": keypoints}]
    content["categories"].append({"id": 8, "name": "dog", "keypoints": keypoints})
    for annotation in content["annotations"]:
        annotation["category_id"] = 8 if second_of(annotation["image_id"]) else 3
        annotation["area"] *= 4  # a network of twenty steps is right within larger animals
    (figures / "species.json").write_text(json.dumps(content))
    return '{annotations="species.json", images="images"}'


def test_species_are_scored_one_by_one_in_both(crops, figures, tmp_path):
    source = write_species(figures, lambda image_id: image_id <= 2)
    task = make_task(crops(f"data.train=[{source}]", f"data.val=[{source}]"))
    network = fitted(task)
    (validator,) = task.validators
    scores = validator.score(validator.predict(network, CPU).results)
    save_model(network, task.config, tmp_path / "model")
    record = evaluated(tmp_path / "model", figures, "truth", file="species.json").record
    assert numbers_of(scores) == record.numbers[""]
    assert scores.by_category == {name: record.numbers[name]["AP"] for name in ("cat", "dog")}
    assert scores.ap == pytest.approx(sum(scores.by_category.values()) / 2)
    assert scores.by_category["cat"] != scores.by_category["dog"]


def test_several_species_in_one_image_are_refused_before_training(crops, figures):
    write_species(figures)
    content = json.loads((figures / "species.json").read_text())
    crowded = next(i["id"] for i in content["images"] if len(_people(content, i["id"])) > 1)
    for number, annotation in enumerate(_people(content, crowded)):
        annotation["category_id"] = (3, 8)[number % 2]
    (figures / "species.json").write_text(json.dumps(content))
    source = '{annotations="species.json", images="images"}'
    with pytest.raises(EveryposeError, match="labeled people of several categories"):
        make_task(crops(f"data.train=[{source}]", f"data.val=[{source}]"))


def _people(content, image_id):
    return [annotation for annotation in content["annotations"] if annotation["image_id"] == image_id]


def test_processes_share_the_images(crops):
    task = make_task(crops(VAL))
    network = fitted(task)
    (validator,) = task.validators
    whole = validator.predict(network, CPU).results
    parts = [validator.predict(network, CPU, rank=rank, world_size=2).results for rank in range(2)]
    assert all(parts)
    # Other batches give other rounding errors, so that only the images are equal.
    assert sorted(row["image_id"] for part in parts for row in part) == [row["image_id"] for row in whole]
    assert not {row["image_id"] for row in parts[0]} & {row["image_id"] for row in parts[1]}


def test_the_number_of_images_can_be_limited(tiny):
    (validator,) = make_task(tiny(VAL, "validation.images=2")).validators
    assert len(validator) == 2
    assert validator.annotated.ground_truth.image_ids == [1, 2]
