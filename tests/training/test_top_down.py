import json
import shutil
from dataclasses import replace
from itertools import product

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import everypose
from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Boxes, Photo
from everypose.mipnet.assignment import box_people, present_people
from everypose.models import HRNetPoseSettings, MIPNetSettings, ViTPoseSettings
from everypose.released.checkpoints import write_released
from everypose.topdown.augmentation import Draws
from everypose.topdown.crops import CropGeometry, clean_boxes
from everypose.topdown.graph import MEAN, STD
from everypose.topdown.samples import sample_matrix, trainable_people
from everypose.topdown.targets import gaussian_targets
from everypose.training.data import StepBatches, read_training_set, training_loader
from everypose.training.module import PoseTraining
from everypose.training.recipe import Recipe, load_recipe
from everypose.training.run import Machines, make_task, train
from everypose.training.start import make_network
from everypose.training.top_down import CropSamples, objective_of, people_of_crops
from everypose.training.validation import annotated_boxes
from painted_people import painted_scene

ONE = Machines(1)
TINY = """
name = "tiny"
[model]
family = "mipnet"
[model.backbone]
kind = "hrnet"
width = 4
modules = [1, 1, 1]
blocks = 1
stem_blocks = 1
[data]
workers = 0
train = [{annotations = "train.json", images = "images"}]
val_split = ""
[inference]
crop_size = [64, 64]
[crops]
sigma = 1
[schedule]
steps = 4
warmup_epochs = 0
[optim]
lr = 5e-3
[trainer]
batch = 2
log_steps = 1
"""
VAL = 'data.val=[{annotations="val.json", images="images"}]'
EXTRA = 'data.extra=[{annotations="val.json", images="images"}]'
STILL = [f"crops.augmentation.{field}=0" for field in ("scale", "rotation", "flip", "half_body")]
VIT = [
    "model={family='vitpose', channels=8, backbone={kind='vit', width=12, depth=2, heads=2, image_size=[48, 64]}}",
    "inference={crop_size=[48, 64], convention='udp', decoder='udp'}",
]


@pytest.fixture
def crops(tmp_path, figures):
    """Makes the tiny recipe on the stick figures, with overrides."""

    def make(*overrides: str) -> Recipe:
        path = tmp_path / "crops.toml"
        path.write_text(TINY)
        return load_recipe(path, [f"data.root={json.dumps(str(figures))}", *overrides])

    return make


@pytest.fixture
def message(crops):
    """The one line that a recipe, or the run that it asks for, is refused with."""

    def of(*overrides: str) -> str:
        with pytest.raises(EveryposeError) as caught:
            make_task(crops(*overrides))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return of


class Recorder(torch.nn.Module):
    """Keeps what it is shown and answers with given heatmaps."""

    def __init__(self, heatmaps):
        super().__init__()
        self.answer = heatmaps

    def heatmaps(self, images):
        self.seen = images
        return self.answer


# --- learning


def test_a_tiny_mipnet_learns_six_crops(crops):
    """It starts with the loss of finding nothing, halves it, and then finds people in their pictures."""
    task = make_task(crops("model.backbone.width=8", VAL, *STILL))
    network = task.make_network().train()
    batch = task.samples.collate([task.samples[position] for position in range(6)])
    optimiser = torch.optim.Adam(task.parameter_groups(network), lr=5e-3)
    totals = []
    for _ in range(40):
        total = sum(task.losses(network, batch).values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < totals[0] / 2
    (validator,) = task.validators
    assert validator.score(validator.predict(network, torch.device("cpu")).results).ap > 0.02


def test_a_run_validates_in_the_annotated_boxes_and_leaves_a_model(crops, tmp_path, losses_of, figures):
    outcome = train(crops(VAL, "validation.pictures=1"), tmp_path / "run", ONE, quiet=True)
    assert -1 <= outcome.ap <= 1
    lines = losses_of(tmp_path / "run")
    assert set(lines) == {1, 2, 3, 4}
    assert lines[1]["loss/total"] == pytest.approx(lines[1]["loss/instance0"] + lines[1]["loss/instance1"])
    box = Boxes(np.array([[10.0, 10.0, 60.0, 110.0]]), np.ones(1))
    model = everypose.load(outcome.model, detector=lambda _: box, min_score=0)
    assert model(figures / "images/000001.png").keypoints.shape[1:] == (17, 3)
    assert model.config.on_crops.crop_size == (64, 64)


def test_an_interrupted_run_goes_on_with_the_losses_of_an_undisturbed_one(crops, tmp_path, losses_of, monkeypatch):
    def interrupted(self, *arguments, **named):
        step(self, *arguments, **named)
        if self.step == 3:
            raise KeyboardInterrupt

    recipe = crops("schedule.steps=6", "trainer.checkpoint_steps=2", "ema.decay=0.9", "data.workers=1")
    undisturbed, resumed = tmp_path / "undisturbed", tmp_path / "resumed"
    train(recipe, undisturbed, ONE, quiet=True)
    step = PoseTraining.optimizer_step
    monkeypatch.setattr(PoseTraining, "optimizer_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, resumed, ONE, quiet=True)
    monkeypatch.undo()
    train(load_recipe(resumed / "recipe.toml"), resumed, ONE, resume=True, quiet=True)
    assert losses_of(resumed) == losses_of(undisturbed)
    one, other = (load_file(run / "models/final/model.safetensors") for run in (undisturbed, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(UsageError, match="trained on 11 people, the data now has 22"):
        train(crops("schedule.steps=9", EXTRA), resumed, ONE, resume=True, quiet=True)


@pytest.mark.parametrize(
    ("model", "losses"),
    [
        (["model.family=hrnet"], ["heatmap"]),
        (["model.instances=1"], ["instance0"]),
        (["model.instances=3", "crops.others=paper"], ["instance0", "instance1", "instance2"]),
        (["model={family='simple-baseline', deconv=8, backbone={kind='resnet', blocks=[1, 1, 1, 1]}}"], ["heatmap"]),
        ([*VIT, "optim.layer_decay=0.5"], ["heatmap"]),
    ],
    ids=["hrnet", "one instance", "three", "simple-baseline", "vitpose"],
)
def test_every_family_learns_for_a_step(crops, model, losses):
    task = make_task(crops(*model))
    network = task.make_network().train()
    optimiser = torch.optim.Adam(task.parameter_groups(network), lr=1e-3)
    before = {name: value.detach().clone() for name, value in network.backbone.named_parameters()}
    found = task.losses(network, task.samples.collate([task.samples[0], task.samples[1]]))
    assert list(found) == losses
    sum(found.values()).backward()
    optimiser.step()
    assert not [name for name, value in network.backbone.named_parameters() if torch.equal(value, before[name])]
    assert not task.validators


# --- samples


def test_an_epoch_has_every_person_once_and_a_position_always_the_same_crop(crops):
    recipe = crops()
    sets = read_training_set(recipe.data)
    samples = make_task(recipe).samples
    assert len(samples) == sum(len(scene) for scene in sets[0])
    epochs = [[samples.index(epoch * len(samples) + place) for place in range(len(samples))] for epoch in range(3)]
    assert all(sorted(order) == list(range(len(samples))) for order in epochs)
    assert epochs[0] != epochs[1]
    keys = [samples[position].key for position in range(len(samples))]
    assert len(set(keys)) == len(samples)
    assert keys[0].endswith(f"annotation {samples.index(0) + 1}")
    first, again = samples[3], samples[3]
    assert np.array_equal(first.crop, again.crop)
    assert np.array_equal(first.keypoints, again.keypoints)
    later = next(p for p in range(len(samples), 2 * len(samples)) if samples.index(p) == samples.index(3))
    assert samples[later].key == first.key
    assert not np.array_equal(samples[later].crop, first.crop)


def test_sets_are_mixed(crops):
    alone, both = make_task(crops()), make_task(crops(EXTRA))
    assert len(both.sets) == 2
    found = sorted(sample.key for sample in (both.samples[position] for position in range(len(both.samples))))
    assert found == sorted(2 * [alone.samples[position].key for position in range(len(alone.samples))])


def test_the_number_of_workers_changes_nothing(crops):
    samples = make_task(crops()).samples
    loaders = [training_loader(samples, StepBatches(1, 3, 3), workers, pin=False) for workers in (0, 2)]
    for alone, together in zip(*loaders, strict=True):
        assert alone.keys == together.keys
        assert torch.equal(alone.images, together.images)
        assert torch.equal(alone.keypoints, together.keypoints)
    assert alone.images.shape == (3, 64, 64, 3)
    assert alone.keypoints.shape == (3, 2, 17, 3)


@pytest.mark.parametrize(("instances", "rule"), [*product((1, 2, 3), ("released", "paper"))])
def test_the_people_of_a_crop_are_rows_of_the_annotations(instances, rule):
    """A crowd region, somebody without labels and somebody outside the image lie between the people."""
    _, scene = painted_scene(0, [(40, 20, 120), (90, 30, 150), (110, 30, 140), (250, 40, 100), (200, 10, 90)])
    scene.is_crowd[1] = True
    scene.keypoints[3, :, 2] = 0
    groups = people_of_crops(scene, instances, rule)
    rows = [0, 2, 4]
    boxes, _ = clean_boxes(scene.boxes[rows], (scene.width, scene.height))
    pairs = box_people(boxes, scene.boxes[rows], scene.keypoints[rows], instances, rule)
    assert groups.tolist() == [[rows[one] for one in pair] for pair in pairs.tolist()]
    assert groups[:, 0].tolist() == rows
    scene.boxes[rows] += 10_000
    assert people_of_crops(scene, instances, rule).shape == (0, instances)


def test_only_mipnet_asks_nothing_about_keypoints_outside_and_replaces_who_is_not_there(crops):
    """Drawn large, so that much of a person lies outside the crop."""
    large = [*STILL, "inference.padding=0.4"]
    released, paper, alone = (
        make_task(crops(*large, *more)).samples for more in ([], ["crops.others=paper"], ["model.family=hrnet"])
    )
    replaced = 0
    for position in range(len(released)):
        asked, of_paper, of_one = (samples[position].keypoints for samples in (released, paper, alone))
        assert of_one.shape == (1, 17, 3)
        assert (of_one[..., 2] == 1).all()
        inside = ((of_one[..., :2] >= 0) & (of_one[..., :2] <= 64)).all(axis=-1)
        assert np.array_equal(asked[0, :, 2] == 1, inside[0])
        assert np.array_equal(of_paper[0], asked[0])
        assert np.array_equal(present_people(asked), asked)
        few = (of_paper[1, :, 2] > 0).sum() < 4
        replaced += few and not np.array_equal(asked[1], of_paper[1])
    assert replaced


# --- losses


def half_squared_error(heatmaps, targets, weights):
    """The mean over people, keypoints and cells, literally; each keypoint's cells count half their squared error."""
    total = 0.0
    batch, people, keypoints, height, width = heatmaps.shape
    for b, n, k, y, x in product(range(batch), range(people), range(keypoints), range(height), range(width)):
        difference = weights[b, n, k] * (heatmaps[b, n, k, y, x] - targets[b, n, k, y, x])
        total += 0.5 * difference**2 / (batch * people * keypoints * height * width)
    return total


def test_the_losses_are_the_published_ones():
    """Half the squared error for the baselines and MIPNet (mean over its people), the whole of it for ViTPose."""
    torch.manual_seed(0)
    heatmaps, targets = torch.randn(2, 3, 4, 3, 2).double(), torch.randn(2, 3, 4, 3, 2).double()
    weights = (torch.rand(2, 3, 4) < 0.7).double()
    many = sum(objective_of(MIPNetSettings(instances=3))(heatmaps.float(), targets, weights).values())
    assert many.item() == pytest.approx(half_squared_error(heatmaps, targets, weights).item())
    one = [value[:, :1] for value in (heatmaps, targets, weights)]
    literal = half_squared_error(*one).item()
    for settings, factor in (
        (HRNetPoseSettings(), 1),
        (MIPNetSettings(instances=1), 1),
        (ViTPoseSettings(), 2),
    ):
        (loss,) = objective_of(settings)(*one).values()
        assert loss.item() == pytest.approx(factor * literal, rel=1e-6), settings.family


@pytest.mark.parametrize("bgr", [False, True])
def test_a_batch_is_normalised_as_in_the_graph_and_compared_with_its_targets(crops, bgr):
    recipe = crops("model.family=hrnet", f"inference.bgr={str(bgr).lower()}")
    task = make_task(recipe)
    batch = task.samples.collate([task.samples[0], task.samples[1]])
    targets, weights = gaussian_targets(batch.keypoints, (64, 64), (16, 16), 1.0, udp=False)
    network = Recorder(targets.clone())
    assert task.losses(network, batch)["heatmap"].item() == 0
    pixels = batch.images.numpy() / 255
    expected = (pixels[..., ::-1] if bgr else pixels) - np.array(MEAN)
    np.testing.assert_allclose(network.seen.permute(0, 2, 3, 1), expected / np.array(STD), atol=1e-5)
    network.answer = torch.zeros_like(targets)
    literal = half_squared_error(network.answer.numpy(), targets.numpy(), weights.numpy())
    assert task.losses(network, batch)["heatmap"].item() == pytest.approx(literal, rel=1e-5)


def test_the_blocks_of_a_vit_may_learn_at_rates_of_their_own(crops):
    task = make_task(crops(*VIT, "optim.layer_decay=0.5", "optim.weight_decay=0.1"))
    groups = task.parameter_groups(task.make_network())
    assert sorted({group["scale"] for group in groups}) == [0.125, 0.25, 0.5, 1.0]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}
    plain = make_task(crops('optim.scales={"backbone."=0.1}'))
    assert [group["scale"] for group in plain.parameter_groups(plain.make_network())] == [1.0, 0.1]


# --- weights to start from


def test_mipnet_starts_from_a_baseline_of_ours_or_of_the_authors(crops, tmp_path):
    baseline = crops("model.family=hrnet", "schedule.steps=1", "trainer.seed=5")
    train(baseline, tmp_path / "hrnet", ONE, quiet=True)
    saved = load_file(tmp_path / "hrnet/models/final/model.safetensors")
    network = make_network(baseline, 17)
    network.load_state_dict(saved)
    write_released(network, tmp_path / "authors.pth")
    for source in ("hrnet/models/final", "authors.pth"):
        start = f"start.weights={json.dumps(str(tmp_path / source))}"
        mipnet = make_network(crops(start, 'start.reinitialise=["modulation."]'), 17).state_dict()
        assert all(torch.equal(mipnet[name], value) for name, value in saved.items())
        assert {name for name in mipnet if name not in saved} == {n for n in mipnet if n.startswith("modulation.")}
        with pytest.raises(EveryposeError, match=r"does not fit .*modulation\..*start\.reinitialise"):
            make_network(crops(start), 17)
        crowd = make_network(crops(start, 'start.reinitialise=["modulation.", "head."]'), 14).state_dict()
        assert crowd["head.weight"].shape[0] == 14
        assert torch.equal(crowd["backbone.conv1.weight"], saved["backbone.conv1.weight"])
    backbone = {name.removeprefix("backbone."): value for name, value in saved.items() if name.startswith("backbone.")}
    torch.save(backbone | {"classifier.weight": torch.zeros(3)}, tmp_path / "imagenet.pth")
    mipnet = make_network(crops(f"start.backbone={json.dumps(str(tmp_path / 'imagenet.pth'))}"), 17).state_dict()
    assert all(torch.equal(mipnet["backbone." + name], value) for name, value in backbone.items())


def test_a_vit_starts_from_pre_training_on_squares(crops, tmp_path):
    recipe = crops(*VIT)
    backbone = make_network(recipe, 17).backbone.state_dict()
    pretrained = {name: torch.full_like(value, 0.5) for name, value in backbone.items() if "last_norm" not in name}
    pretrained["pos_embed"] = torch.full((1, 1 + 14 * 14, 12), 0.25)
    torch.save({"model": pretrained | {"cls_token": torch.zeros(1, 1, 12)}}, tmp_path / "mae.pth")
    start = f"start.backbone={json.dumps(str(tmp_path / 'mae.pth'))}"
    found = make_network(crops(*VIT, start), 17).backbone.state_dict()
    assert found["pos_embed"].shape == (1, 1 + 4 * 3, 12)
    torch.testing.assert_close(found["pos_embed"], torch.full_like(found["pos_embed"], 0.25))
    assert torch.equal(found["blocks.1.mlp.fc2.weight"], pretrained["blocks.1.mlp.fc2.weight"])
    assert torch.equal(found["last_norm.weight"], backbone["last_norm.weight"])


# --- validation


def test_what_is_learned_in_mpiis_squares_is_measured_in_them(crops):
    task = make_task(crops(VAL, *STILL, "inference.crop=mpii"))
    scene = task.sets[0].scenes[0]
    (validator,) = task.validators
    estimator = validator._estimator(task.make_network(), "cpu")
    cut = estimator._cut(estimator.prepare(scene.path))
    geometry = task.samples._geometry
    assert geometry.rule == "mpii"
    trained = [sample_matrix(scene, row, estimator.skeleton, geometry, Draws()) for row in trainable_people(scene)]
    np.testing.assert_allclose(cut.matrices, trained)
    np.testing.assert_array_equal(cut.boxes.boxes, scene.boxes[trainable_people(scene)])


def test_annotated_boxes_are_those_of_the_people_who_count():
    _, scene = painted_scene(0, [(40, 20, 120), (90, 30, 150), (5, 30, 140)])
    scene.is_crowd[1] = True
    scene.boxes[2] -= 30
    found = annotated_boxes([scene])(Photo(np.zeros((240, 320, 3), np.uint8), scene.path))
    np.testing.assert_array_equal(found.boxes, scene.boxes[[0, 2]])
    assert found.scores.tolist() == [1, 1]
    assert len(found) == len(trainable_people(scene))


# --- what cannot be used


def test_a_recipe_says_what_does_not_fit_its_family(crops):
    with pytest.raises(UsageError, match=r"inference\.crop_size must be multiples of 32, not \[100, 128\]"):
        crops("inference.crop_size=[100, 128]")
    with pytest.raises(UsageError, match=r"multiples of 16, not \[50, 64\]"):
        crops(*VIT, "inference.crop_size=[50, 64]")
    with pytest.raises(UsageError, match=r"the family mipnet needs crop_size = \[WIDTH, HEIGHT\] under \[inference\]"):
        crops("inference={size=512}")
    with pytest.raises(UsageError, match=r"data\.augmentation is nothing that the family mipnet reads"):
        crops("data.augmentation.rotation=3")
    with pytest.raises(UsageError, match=r"losses is nothing that the family mipnet reads"):
        crops("losses.bbox=3")
    with pytest.raises(UsageError, match=r"optim\.layer_decay is for a vit"):
        crops("optim.layer_decay=0.7")
    with pytest.raises(UsageError, match=r"leave scales out"):
        crops(*VIT, "optim.layer_decay=0.7", 'optim.scales={"backbone."=0.1}')
    with pytest.raises(UsageError, match=r"rotatoin; did you mean crops\.augmentation\.rotation\?"):
        crops("crops.augmentation.rotatoin=3")
    with pytest.raises(UsageError, match=r"model\.instances: input should be greater than or equal to 1"):
        crops("model.instances=0")
    with pytest.raises(UsageError, match=r"inference\.padding: "):
        crops("inference.padding=-1")
    with pytest.raises(UsageError, match=r"crops is nothing that the family boir reads"):
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
    assert "away.json: nobody has both a labelled keypoint and a box" in message(
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


def test_half_bodies_need_a_skeleton_that_knows_them(crops):
    recipe = crops("crops.augmentation.half_body=0.3")
    sets = read_training_set(recipe.data)
    sets = [replace(sets[0], skeleton=replace(sets[0].skeleton, upper_body=()))]
    with pytest.raises(UsageError, match=r"--set crops\.augmentation\.half_body=0"):
        CropSamples(sets, recipe.model, CropGeometry((64, 64)), recipe.crops, 0)
    still = crops("crops.augmentation.half_body=0")
    assert len(CropSamples(sets, still.model, CropGeometry((64, 64)), still.crops, 0))


def test_an_image_that_cannot_be_used_names_itself(crops, figures, tmp_path):
    shutil.copytree(figures, tmp_path / "data")
    first = tmp_path / "data/images/000001.png"
    samples = make_task(crops(f"data.root={json.dumps(str(tmp_path / 'data'))}")).samples
    position = next(position for position in range(len(samples)) if samples.index(position) == 0)
    first.write_bytes(b"")
    with pytest.raises(EveryposeError, match=r"000001\.png"):
        samples[position]
    cv2.imwrite(str(first), np.zeros((50, 60, 3), np.uint8))
    with pytest.raises(EveryposeError, match=r"000001\.png is 60 x 50 pixels, but its annotations are for 128 x 128"):
        samples[position]
