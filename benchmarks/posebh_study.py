"""Do prototypes help? One tiny ViT, trained on one set, on three with a head each, and by PoseBH; over several seeds.

    python -m benchmarks.posebh_study --train data/train.json --dev data/dev.json --images data/images

TRAIN and DEV are COCO-format files with COCO's keypoints. The photos of TRAIN are split into four disjoint
sets: COCO's skeleton, CrowdPose's and MPII's, made by the names of the keypoints (pelvis and thorax are the middle of
the hips and shoulders; what COCO does not label stays unlabeled), and few photos of PoseTrack's for the transfer.

Every way sees each person equally often: ``single`` are three networks, ``heads`` is ViTPose++, ``released`` PoseBH
with the released weights of its losses, ``posebh`` with those of the recipe posebh-small. Measured are the losses of
the last quarter (of a set in a mixture: as it is minimized, times its share of the batch, and per sample); the AP of
each set; the AP of a set's head with the expert of another set, for the keypoints that this one does not label, and the
same by prototypes; and the transfer. Results go to OUT/results.json, a table to the screen. What is trained already in
OUT is not trained again.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from everypose.core.files import read_json
from everypose.data.discovery.layouts import Layout
from everypose.errors import exit_on_user_error
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.settings import PoseBHSettings
from everypose.methods.vitpose.network import ViTPose
from everypose.models.skeleton_choice import select_skeleton
from everypose.models.storage import load_model
from everypose.skeleton.matching import conversion
from everypose.skeleton.skeleton import Skeleton
from everypose.training.recipe import Recipe
from everypose.training.recipe_files import load_recipe
from everypose.training.run import Machines, train
from everypose.training.sections import ValidationSection
from everypose.training.validation import Validator

SETS = ("coco", "crowdpose", "mpii")
NEW = "posetrack18"
MIDDLES = {"pelvis": ("left_hip", "right_hip"), "thorax": ("left_shoulder", "right_shoulder")}
WAYS = ("single", "heads", "released", "posebh")
QUIET = ValidationSection(pictures=0, flip=False)


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/posebh-study"))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--transfer-epochs", type=int, default=100)
    parser.add_argument("--few", type=int, default=30, help="photos of the new skeleton")
    parser.add_argument("--photos", type=int, help="number of photos of each file, for a smoke run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="FIELD=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    write_sets(arguments)
    results: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for way in arguments.ways:
            results.append({"way": way, "seed": seed} | run_way(way, seed, arguments))
            (arguments.out / "results.json").write_text(json.dumps(results, indent=1))
            print(json.dumps(results[-1]), flush=True)
    print_table(results)


# --- data


def write_sets(arguments: argparse.Namespace) -> None:
    """Write ``NAME_train.json`` and ``NAME_dev.json`` for each skeleton."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part, file in (("train", arguments.train), ("dev", arguments.dev)):
        content = json.loads(file.read_text())
        images = content["images"][: arguments.photos]
        for number, name in enumerate((*SETS, NEW)):
            chosen = images[number :: len(SETS) + 1] if part == "train" else images
            if part == "train" and name == NEW:
                chosen = chosen[: arguments.few]
            mapped = with_skeleton(content, {image["id"] for image in chosen}, Skeleton.named(name))
            (arguments.out / f"{name}_{part}.json").write_text(json.dumps(mapped))


def with_skeleton(content: dict[str, Any], images: set[int], skeleton: Skeleton) -> dict[str, Any]:
    """The annotations of some images with another skeleton's keypoints."""
    people = [entry for entry in content["annotations"] if entry["image_id"] in images and entry.get("keypoints")]
    source = np.array([entry["keypoints"] for entry in people], dtype=np.float64).reshape(-1, 17, 3)
    keypoints = to_skeleton(source, skeleton).reshape(len(people), -1)
    labeled = (keypoints[:, 2::3] > 0).sum(axis=1)
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": []}
    return {
        "images": [image for image in content["images"] if image["id"] in images],
        "annotations": [
            entry | {"keypoints": row.tolist(), "num_keypoints": int(count), "category_id": 1}
            for entry, row, count in zip(people, keypoints, labeled, strict=True)
        ],
        "categories": [category],
    }


def to_skeleton(keypoints: npt.NDArray[np.float64], skeleton: Skeleton) -> npt.NDArray[np.float64]:
    """COCO's keypoints (N, 17, 3) as those of a skeleton (N, K, 3), by name and as middles of two."""
    coco = Skeleton.named("coco")
    mapped: npt.NDArray[np.float64] = conversion(coco, skeleton).apply(keypoints)
    for middle, pair in MIDDLES.items():
        if middle in skeleton.keypoints:
            two = keypoints[:, [coco.index(name) for name in pair]]
            both = np.asarray((two[..., 2] > 0).all(axis=1))
            mapped[:, skeleton.index(middle)] = two.mean(axis=1) * both[:, None]
            mapped[:, skeleton.index(middle), 2] = 2.0 * both
    return mapped


def never_labeled(skeleton: Skeleton, by: Skeleton) -> npt.NDArray[np.bool_]:
    """(K,) which of a skeleton's keypoints COCO labels and the set with the skeleton ``by`` never does."""
    others = labeled_names(by)
    mine = labeled_names(skeleton)
    return np.array([name in mine and name not in others for name in skeleton.keypoints])


def labeled_names(skeleton: Skeleton) -> list[str]:
    """The keypoints of a skeleton that COCO labels."""
    everything = to_skeleton(np.full((1, 17, 3), 2.0), skeleton)[0]
    return [name for name, keypoint in zip(skeleton.keypoints, everything, strict=True) if keypoint[2] > 0]


# --- training


def run_way(way: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one variant with one seed; returns all its measurements."""
    folder = arguments.out / f"{way}-{seed}"
    found: dict[str, Any] = {}
    if way == "single":
        runs = {name: folder / name for name in SETS}
        for name, run in runs.items():
            found |= trained(recipe_for("heads", [name], seed, arguments), run)
        source = runs["coco"]
    else:
        source = folder / "mixed"
        found |= trained(recipe_for(way, SETS, seed, arguments), source)
        found |= measured_across(source, arguments)
    transferred = trained(transfer_recipe(way, source, seed, arguments), folder / "transfer")
    return found | {f"transfer {name}": value for name, value in transferred.items() if name.startswith("AP")}


def recipe_for(way: str, names: Sequence[str], seed: int, arguments: argparse.Namespace) -> Recipe:
    """The recipe posebh-small on some sets, or ViTPose++ of the same size (``single``, ``heads``)."""
    small = load_recipe("posebh-small").model_dump(mode="json", exclude_unset=True)
    conventions = {own["name"]: own.get("convention", "classic") for own in small["data"]["sets"]}
    images = str(arguments.images.resolve())
    small["data"] |= {
        "root": str(arguments.out.resolve()),
        "sets": [
            {
                "name": name,
                "train": [{"annotations": f"{name}_train.json", "images": images}],
                "val": [{"annotations": f"{name}_dev.json", "images": images}],
                "skeleton": name,
                "convention": conventions.get(name, "classic"),
            }
            for name in names
        ],
    }
    small["validation"] = {"every_epochs": 0, "pictures": 0}
    small["trainer"] |= {"seed": seed}
    small["schedule"] |= {"epochs": arguments.epochs}
    rest = round(0.7 * arguments.epochs)
    small["phases"] |= {"prototypes_until": rest, "cross_type_from": rest}
    if way == "released":
        small["prototypes"] = {}
    if way in ("single", "heads"):
        small["model"]["embedding"] = 0
        del small["prototypes"]
    return resolved(small, arguments)


def transfer_recipe(way: str, source: Path, seed: int, arguments: argparse.Namespace) -> Recipe:
    """A new head, by prototypes where the way has them, on few photos of the new skeleton."""
    table = recipe_for(way, [NEW], seed, arguments).model_dump(mode="json", exclude_unset=True)
    table["start"] |= {"weights": str(source / "models/final"), "transfer_like": "coco"}
    table["model"]["backbone"].pop("expert_part")
    table["schedule"] |= {"epochs": arguments.transfer_epochs}
    half = arguments.transfer_epochs // 2
    table["phases"] = {"prototypes_until": half, "embedding": False, "heads_from": 0, "backbone_from": half}
    table["phases"] |= {"cross_type_from": "none"}
    return resolved(table, arguments)


def resolved(table: dict[str, Any], arguments: argparse.Namespace) -> Recipe:
    """The recipe of a table, with the overrides of the command line."""
    path = arguments.out / "recipe.toml"
    path.write_text(Recipe.model_validate(table).to_toml())
    return load_recipe(path, arguments.overrides)


def trained(recipe: Recipe, folder: Path) -> dict[str, float]:
    """Train unless it has been done; AP of each set and the mean losses of the last quarter."""
    log = folder / "metrics.jsonl"
    if not (folder / "models/final/config.json").exists():
        train(recipe, folder, Machines(1), quiet=True)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    aps = {name: value for line in lines for name, value in line.items() if name.endswith("/AP")}
    late = [line for line in lines if "loss/total" in line]
    late = late[-max(1, len(late) // 4) :]
    losses = {name: float(np.mean([line[name] for line in late])) for name in late[-1] if name.startswith("loss/")}
    return {f"AP {name[4:-3]}": value for name, value in aps.items()} | losses


# --- measuring


def measured_across(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """AP of the keypoints that a set does not label, by the heads and the prototypes of the others with its expert."""
    network, config = load_model(folder / "models/final")
    assert isinstance(network, PoseBH)
    assert isinstance(config.network, PoseBHSettings)
    found = {}
    for own in SETS:
        for other in SETS:
            unlabeled = never_labeled(Skeleton.named(other), Skeleton.named(own))
            if not unlabeled.any():
                continue
            annotated = with_labels_of(arguments.out / f"{other}_dev.json", arguments.images, unlabeled)
            _, of_other = select_skeleton(network, config, other)
            by_head = ViTPose(network.backbone.merged(network.index_of(own)), network.head_of(other))
            found[f"AP {other} head, {own} expert, unlabeled"] = average_precision(by_head, of_other, annotated)
            if network.prototypes is not None:
                by_prototypes = network.by_prototypes(own, other)
                found[f"AP {other} prototypes, {own} expert, unlabeled"] = average_precision(
                    by_prototypes, of_other, annotated
                )
    return found


def with_labels_of(labels: Path, images: Path, chosen: npt.NDArray[np.bool_]) -> AnnotatedSet:
    """The set with the labels of the ``chosen`` keypoints (K,) only."""
    content = read_json(labels)
    for annotation in content["annotations"]:
        keypoints = np.reshape(annotation["keypoints"], (-1, 3)) * chosen[:, None]
        annotation["keypoints"] = keypoints.ravel().tolist()
        annotation["num_keypoints"] = int((keypoints[:, 2] > 0).sum())
    return AnnotatedSet.from_content(content, Layout((labels,), images, None, None, "made by this study"))


def average_precision(network: Any, config: Any, annotated: AnnotatedSet) -> float:
    """AP in the annotated boxes of the people with a label."""
    validator = Validator(annotated, config, QUIET)
    return validator.score(validator.predict(network, torch.device("cpu")).results).ap


def print_table(results: Sequence[dict[str, Any]]) -> None:
    """Mean and standard deviation over the seeds."""
    ways = list(dict.fromkeys(result["way"] for result in results))
    print(f"{'':50}" + "".join(f"{way:>22}" for way in ways))
    for name in dict.fromkeys(key for result in results for key in result if key not in ("way", "seed")):
        cells = []
        for way in ways:
            values = [result[name] for result in results if result["way"] == way and name in result]
            cells.append(f"{np.mean(values):.4g} +- {np.std(values):.2g}" if values else "-")
        print(f"{name:50}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    with exit_on_user_error("posebh_study"):
        main()
