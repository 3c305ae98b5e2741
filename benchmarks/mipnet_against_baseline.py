"""Compare MIPNet with its baseline: same backbone, data and steps, several seeds; with and without boxes.

    python -m benchmarks.mipnet_against_baseline --train crowds.json images/ --test crowds_dev.json images/
        --steps 600 --seeds 0 1 2 -o runs/mipnet-study

Both are trained by their small recipes; only ``[model]`` differs. They are evaluated with a box for every person, then
without every second box. AP is that of all people, and of those with a box IoU above 0.3 and 0.5 (others are ignored).
Recall is the share of the people without a box that a pose matches with an OKS of at least 0.5.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everypose.core.files import read_json, write_json
from everypose.core.geometry import xywh_to_xyxy
from everypose.errors import exit_on_user_error
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.average_precision import score_oks
from everypose.evaluation.metrics.breakdown import class_score, hidden_oks, largest_overlap
from everypose.evaluation.metrics.error_types import match_detections
from everypose.evaluation.metrics.oks import compute_oks
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.loading import load
from everypose.training.recipe_files import load_recipe
from everypose.training.run import Machines, train

RECIPES = {"HRNet": "hrnet-pose-small", "MIPNet": "mipnet-small"}
OVERLAPS = (0.3, 0.5)
Found = dict[str, list[dict[str, dict[str, float]]]]


def main() -> None:
    """Train and score both networks with every seed; write one JSON file, print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("train", "test"):
        parser.add_argument(f"--{name}", nargs=2, type=Path, required=True, metavar=("ANNOTATIONS", "IMAGES"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="FIELD=VALUE")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/mipnet-against-baseline"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found: Found = {name: [] for name in RECIPES}
    for seed in arguments.seeds:
        for name in RECIPES:
            model = trained(name, seed, arguments)
            found[name].append(scores(model, *arguments.test))
            write_json(arguments.out / "scores.json", found, indent=2)
            print(name, seed, found[name][-1], flush=True)
    print(table(found))


def trained(name: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Train one network, or reuse the model of an earlier run."""
    folder = arguments.out / f"{name.lower()}-{seed}"
    if not (folder / "models/final").exists():
        annotations, images = (path.resolve() for path in arguments.train)
        settings = [
            f'data.train=[{{annotations="{annotations}", images="{images}"}}]', "data.val_split=''",
            "schedule.epochs=0", f"schedule.steps={arguments.steps}", "schedule.warmup_epochs=0.1", "ema.decay=0.99",
            f"trainer.seed={seed}",
        ]  # fmt: skip
        begun = (folder / "checkpoints/last.ckpt").exists()
        train(load_recipe(RECIPES[name], [*settings, *arguments.overrides]), folder, Machines(1), resume=begun)
    return Path(folder / "models/final")


def scores(model: Path, annotations: Path, images: Path) -> dict[str, dict[str, float]]:
    """AP with a box for every person, and AP and recall without every second box."""
    content: dict[str, Any] = read_json(annotations)
    labeled = [one for one in content["annotations"] if one.get("num_keypoints") and not one.get("iscrowd")]
    complete: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in labeled:
        complete[annotation["image_id"]].append(annotation)
    half = {image: people[::2] for image, people in complete.items()}
    without = {one["id"] for people in complete.values() for one in people[1::2]}
    return {
        "a box for every person": measured(model, content, images, complete, set()),
        "every second box removed": measured(model, content, images, half, without),
    }


def measured(
    model: Path, content: dict[str, Any], images: Path, boxed: dict[int, list[dict[str, Any]]], without: set[int]
) -> dict[str, float]:
    """AP of a model in the boxes of these annotations, and the recall of the people ``without`` a box."""
    ids = {images / image["file_name"]: image["id"] for image in content["images"]}

    def boxes(photo: Photo) -> Boxes:
        assert photo.path is not None
        found = np.array([one["bbox"] for one in boxed[ids[photo.path]]], np.float64).reshape(-1, 4)
        return Boxes(xywh_to_xyxy(found), np.ones(len(found)))

    estimator = load(model, min_score=0.0, detector=boxes)
    results = [one for path, identity in ids.items() for one in estimator(path).to_coco(identity)]
    truth = read_ground_truth(content, len(estimator.skeleton))
    comparison = compute_oks(truth, read_results(results, truth), estimator.skeleton.require_sigmas())
    overlap, hidden = largest_overlap(truth), hidden_oks(comparison)
    numbers = {"AP, all": score_oks(comparison).ap}
    for least in OVERLAPS:
        numbers[f"AP, overlap > {least}"] = class_score(comparison, "", overlap > least, hidden=hidden).ap
    if without:
        hit = {truth.annotation_ids[person] for person in match_detections(comparison, minimum=0.5).people}
        numbers["recall without a box"] = len(hit & without) / len(without)
    return numbers


def table(found: Found) -> str:
    """Mean, standard deviation and every seed, in percent, as Markdown."""
    first = next(iter(found.values()))[0]
    lines = ["| boxes | number | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]
    for boxes, numbers in first.items():
        for number in numbers:
            cells = []
            for seeds in found.values():
                values = [100 * one[boxes][number] for one in seeds]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{statistics.mean(values):.1f} ± {spread:.1f} ({', '.join(f'{v:.1f}' for v in values)})")
            lines.append(f"| {boxes} | {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with exit_on_user_error("mipnet_against_baseline"):
        main()
