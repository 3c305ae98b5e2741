"""Train plain heads and PoseBH on pretrained features, and predict people never seen in training.

    python -m research.posebh_pretrained.train tinypose.onnx --train train.json --dev dev.json --images images -o OUT
    python -m research.posebh_pretrained.score OUT

TRAIN and DEV are COCO-format files with COCO's keypoints. The photos of TRAIN are split into three disjoint sets with
the skeletons of COCO, CrowdPose and MPII, converted by the keypoints' names (``benchmarks.posebh_study``). All networks
see the same samples with the same augmentation, in an order that depends on the seed. What OUT holds already is not
trained again.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from benchmarks.posebh_study import SETS, never_labeled, with_skeleton
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from everypose.backbones.vit import ViT
from everypose.core.files import read_json, write_json
from everypose.core.geometry import Size, transform
from everypose.data.formats.coco import read_coco
from everypose.data.images import read_image
from everypose.errors import exit_on_user_error
from everypose.methods.posebh.network import DataSet, PoseBH
from everypose.methods.posebh.objective import losses
from everypose.methods.posebh.phases import freeze
from everypose.methods.posebh.targets import SIGMA, Target
from everypose.methods.spec import Initialization
from everypose.methods.top_down.augmentation import CropDraws
from everypose.methods.top_down.crops import CropGeometry, warp
from everypose.methods.top_down.decoding import decode
from everypose.methods.top_down.samples import sample_matrix, trainable_people
from everypose.methods.top_down.scoring import person_scores
from everypose.methods.top_down.targets import gaussian_targets
from everypose.methods.vitpose.network import initialize
from everypose.skeleton.skeleton import Skeleton
from everypose.training.lr_schedule import LearningRateSchedule
from everypose.training.recipe import MixtureRecipe
from everypose.training.recipe_files import load_recipe
from everypose.training.sample_stream import index_at
from everypose.training.tasks.mixture import MixtureTask
from research.posebh_pretrained.features import STRIDE, ExpertLayer, FrozenBackbone, StoredBatch, StoredSamples

CROP = Size(192, 256)
HEATMAP = Size(4 * CROP.width // STRIDE, 4 * CROP.height // STRIDE)
PLAIN = ("single", "heads")
WAYS: dict[str, tuple[str, ...]] = {
    "single": (),
    "heads": (),
    "released": ("prototypes={}",),
    "posebh": (),
    "strong": ("prototypes.prototype_heatmap=1.0", "prototypes.cross_type=1.0"),
}
"""Fields of the recipe ``posebh-small``: three networks; ViTPose++'s heads; PoseBH with the released weights of its
losses; with the recipe's; and with the weight 1 of the prototype heatmaps, in place of 0.01, and of the cross-type
loss, in place of 0.001. The first two have no prototypes."""
LAST = 20


@dataclass(frozen=True)
class TestPeople:
    """People to find, in their annotated boxes.

    Attributes:
        features: (N, 960, h, w) float16.
        inverse: (N, 2, 3), from crop to image pixels.
        images: (N,) ids.
    """

    features: Tensor
    inverse: list[np.ndarray[Any, np.dtype[np.float64]]]
    images: list[int]


def main() -> None:
    """Write the sets, compute the features, then train and predict by every way and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="PP-TinyPose for crops of 192 x 256 pixels, ONNX")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--photos", type=int, help="number of photos of each set; all by default")
    parser.add_argument("--pool", type=int, default=3600, help="number of stored samples")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    write_sets(given.train, given.dev, given.out, given.photos)
    backbone = FrozenBackbone(given.weights)
    begin = time.process_time()
    pool = stored_samples(given.out, given.images, given.pool, backbone)
    people = read_test_people(given.out, given.images, backbone)
    shares = torch.bincount(pool.dataset).tolist()
    print(f"features: {time.process_time() - begin:.0f} CPU seconds; {shares} samples of {SETS}", flush=True)
    for seed in given.seeds:
        for way in given.ways:
            folder = given.out / f"{way}-{seed}"
            if folder.exists():
                continue
            begin = time.process_time()
            recipe = recipe_of(way, given.out, given.images, seed=seed, steps=given.steps)
            found, last = run(way, recipe, pool, people)
            for name, rows in found.items():
                write_json(folder / f"{name}.json", rows)
            seconds = round(time.process_time() - begin)
            print(json.dumps({"way": way, "seed": seed, "cpu_seconds": seconds, **last}), flush=True)


def write_sets(train: Path, dev: Path, out: Path, photos: int | None) -> None:
    """Write ``NAME_train.json``, of every third photo, and ``NAME_dev.json``, of all, for each skeleton."""
    out.mkdir(parents=True, exist_ok=True)
    for part, file in (("train", train), ("dev", dev)):
        content = read_json(file)
        for number, name in enumerate(SETS):
            images = content["images"][number :: len(SETS)][:photos] if part == "train" else content["images"]
            mapped = with_skeleton(content, {image["id"] for image in images}, Skeleton.named(name))
            write_json(out / f"{name}_{part}.json", mapped)


def stored_samples(out: Path, images: Path, count: int, backbone: FrozenBackbone) -> StoredSamples:
    """The samples of an earlier call with the same ``out`` and ``count``, or new ones, which are stored there."""
    path = out / f"features-{count}.safetensors"
    if path.exists():
        return StoredSamples.load(path)
    task = MixtureTask(recipe_of("posebh", out, images, seed=0, steps=1))
    pool = StoredSamples.of(task.samples, count, backbone)
    pool.save(path)
    return pool


def recipe_of(way: str, out: Path, images: Path, *, seed: int, steps: int) -> MixtureRecipe:
    """The recipe ``posebh-small`` for a way, on larger crops, with smaller batches and counted in steps."""
    sets = ", ".join(
        f'{{name="{name}", skeleton="{name}", convention="udp", '
        f'train=[{{annotations="{(out / f"{name}_train.json").resolve()}", images="{images.resolve()}"}}]}}'
        for name in SETS
    )
    size = f"[{CROP.width}, {CROP.height}]"
    settings = [f"data.sets=[{sets}]", f"inference.crop_size={size}", f"model.backbone.image_size={size}"]
    settings += ["schedule.epochs=0", f"schedule.steps={steps}", "schedule.warmup_epochs=0", "schedule.warmup_steps=20"]
    settings += ["optim.lr=2e-3", "trainer.batch=16"]
    recipe = load_recipe("posebh-small", [*settings, f"trainer.seed={seed}", *WAYS[way]])
    assert isinstance(recipe, MixtureRecipe)
    without = recipe.model.model_copy(update={"embedding": 0})
    return recipe.model_copy(update={"model": without}) if way in PLAIN else recipe


# --- training


def run(
    way: str, recipe: MixtureRecipe, pool: StoredSamples, people: TestPeople
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """Train by one way; the COCO results of every measurement, and the mean losses of the last steps."""
    if way != "single":
        network, last = train(recipe, pool, range(len(SETS)))
        return predictions(network, people), last
    found: dict[str, list[dict[str, Any]]] = {}
    errors: dict[str, float] = {}
    for number, name in enumerate(SETS):
        network, last = train(recipe, pool, [number])
        found[name] = results(network.merged(name), people)
        errors |= last
    return found, errors


def train(recipe: MixtureRecipe, pool: StoredSamples, sets: Sequence[int]) -> tuple[PoseBH, dict[str, float]]:
    """Train a network on some of the sets; each person is seen as often as in the mixture of all."""
    own = [place for place, dataset in enumerate(pool.dataset.tolist()) if dataset in sets]
    torch.manual_seed(recipe.trainer.seed)
    network = make_network(recipe, pool.batch(own[:1]).features.shape[1], [SETS[number] for number in sets])
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.optim.lr, weight_decay=recipe.optim.weight_decay)
    steps = max(1, round(recipe.schedule.steps * len(own) / len(pool.dataset)))
    schedule = LearningRateSchedule(steps, len(own), recipe.trainer.batch, recipe)
    logged: list[dict[str, float]] = []
    for step in range(steps):
        places = range(step * recipe.trainer.batch, (step + 1) * recipe.trainer.batch)
        batch = pool.batch([own[index_at(place, len(own), recipe.trainer.seed)] for place in places])
        local = torch.tensor([list(sets).index(dataset) for dataset in batch.dataset.tolist()])
        logged.append(optimize(network, batch._replace(dataset=local), recipe, optimizer, step / steps))
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step + 1)
    late = logged[-LAST:]
    return network.eval(), {name: float(np.mean([row.get(name, 0.0) for row in late])) for name in late[-1]}


def make_network(recipe: MixtureRecipe, inputs: int, names: Sequence[str]) -> PoseBH:
    """PoseBH with the layer of experts in place of the transformer, initialized as the recipe says."""
    layer = cast(ViT, ExpertLayer(inputs, len(names), part=recipe.model.backbone.expert_part))
    datasets = [DataSet(name, len(Skeleton.named(name).keypoints)) for name in names]
    model = recipe.model
    network = PoseBH(layer, datasets, model.embedding, model.prototypes, model.channels)
    initialize(network, Initialization.FRAMEWORK)
    return network


def optimize(
    network: PoseBH, batch: StoredBatch, recipe: MixtureRecipe, optimizer: torch.optim.Optimizer, share: float
) -> dict[str, float]:
    """Take one step at a share of the run, whose phases are those of 100 epochs; returns the losses."""
    phase = recipe.phases.phase(100 * share)
    freeze(network, phase)
    outputs = network(batch.features, batch.dataset)
    step = losses(network, outputs, targets_of(batch, network), phase=phase, settings=recipe.prototypes)
    optimizer.zero_grad()
    torch.stack(list(step.losses.values())).sum().backward()
    nn.utils.clip_grad_norm_(network.parameters(), recipe.optim.clip)
    optimizer.step()
    if step.bank is not None and network.prototypes is not None:
        network.prototypes.bank.copy_(step.bank)
    return {name: value.item() for name, value in step.losses.items()}


def targets_of(batch: StoredBatch, network: PoseBH) -> list[Target]:
    """Each data set's part of a batch, with heatmaps at an eighth of the crops' size."""
    targets = []
    for number, dataset in enumerate(network.datasets):
        rows = torch.nonzero(batch.dataset == number)[:, 0]
        maps, weights = gaussian_targets(batch.keypoints[rows, : dataset.keypoints], CROP, HEATMAP, SIGMA, True)
        targets.append(Target(rows, maps, weights))
    return targets


# --- predicting


def read_test_people(out: Path, images: Path, backbone: FrozenBackbone) -> TestPeople:
    """The labeled people of the test photos, in their annotated boxes; their features are stored in ``out``."""
    annotations, path = out / "coco_dev.json", out / "features-dev.safetensors"
    scenes = read_coco(annotations, images, Skeleton.named("coco"))
    geometry = CropGeometry(CROP, "udp")
    crops, inverse, ids = [], [], []
    names = {image["file_name"]: image["id"] for image in read_json(annotations)["images"]}
    for scene in scenes:
        image = None if path.exists() else read_image(scene.path)
        for row in trainable_people(scene).tolist():
            matrix = sample_matrix(scene, row, scenes.skeleton, geometry, CropDraws())
            if image is not None:
                crops.append(warp(image, matrix, geometry.size))
            inverse.append(np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2])
            ids.append(names[scene.file_name])
    if crops:
        save_file({"features": backbone.of_crops(crops)}, path)
    return TestPeople(load_file(path)["features"], inverse, ids)


@torch.inference_mode()
def results(network: nn.Module, people: TestPeople) -> list[dict[str, Any]]:
    """COCO results of a network from features to the heatmaps (N, K, h, w) of a skeleton."""
    maps = torch.cat([network(part.float()) for part in people.features.split(64)])
    found = decode(maps, "udp", CROP).double().numpy()
    rows = []
    for keypoints, matrix, image in zip(found, people.inverse, people.images, strict=True):
        keypoints[:, :2] = transform(keypoints[:, :2], matrix)
        score = float(person_scores(keypoints, np.ones(())))
        rows.append({"image_id": image, "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": score})
    return rows


def predictions(network: PoseBH, people: TestPeople) -> dict[str, list[dict[str, Any]]]:
    """The results of each set's head, and those for the keypoints that a set does not label, with its expert."""
    found = {name: results(network.merged(name), people) for name in SETS}
    by_prototypes = network.prototypes is not None
    if by_prototypes:
        found |= {f"{name} prototypes": results(PrototypeMaps(network, name, name), people) for name in SETS}
    for own in SETS:
        for other in SETS:
            if not never_labeled(Skeleton.named(other), Skeleton.named(own)).any():
                continue
            foreign = nn.Sequential(network.backbone.merged(network.index_of(own)), network.head_of(other))
            found[f"{other} head, {own} expert"] = results(foreign, people)
            if by_prototypes:
                rows = results(PrototypeMaps(network, own, other), people)
                found[f"{other} prototypes, {own} expert"] = rows
    return found


class PrototypeMaps(nn.Module):
    """The prototype heatmaps of a skeleton, with the expert of a data set.

    Args:
        network: with prototypes.
        own: the data set whose expert is used.
        skeleton: the data set whose keypoints are found.
    """

    def __init__(self, network: PoseBH, own: str, skeleton: str) -> None:
        super().__init__()
        self._network = network.by_prototypes(own, skeleton)

    def forward(self, features: Tensor) -> Tensor:
        """(N, 960, h, w) to (N, K, 4h, 4w)."""
        return self._network.heatmaps(features)[:, 0]


if __name__ == "__main__":
    with exit_on_user_error("posebh_pretrained"):
        main()
