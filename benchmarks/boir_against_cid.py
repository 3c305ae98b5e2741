"""Compare BoIR with CID: same backbone, data and steps, several seeds; AP overall and of overlapping people.

    python -m benchmarks.boir_against_cid --trunk weights.npz --photos train.json images/ --crowds crowds.json images/
        --test photos=dev.json,images/ --test crowds=crowds.json,images/ --steps 250 --seeds 0 1 2 -o runs/study

Both networks are trained by the recipe of the default model; only ``[model]`` differs. Each is scored on every test
set: all people, and those whose box IoU with another exceeds 0.3 and 0.5 (other people are ignored).
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

from everypose.core.files import read_json, write_json
from everypose.errors import exit_on_user_error
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.average_precision import score_oks
from everypose.evaluation.metrics.breakdown import class_score, hidden_oks, largest_overlap
from everypose.evaluation.metrics.oks import compute_oks
from everypose.inference.loading import load
from everypose.training.recipe_files import load_recipe
from everypose.training.run import Machines, train

MODELS = {
    "cid": '{family="cid", instance=32, backbone={kind="lite"}}',
    "boir": '{family="boir", instance=32, neck_branch=16, neck=48, head=32, embedding=32, backbone={kind="lite"}}',
}
OVERLAPS = (0.3, 0.5)


def main() -> None:
    """Train and score every network and seed; write one JSON file, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trunk", type=Path, required=True, help="initial weights of the backbone")
    for name in ("photos", "crowds"):
        parser.add_argument(f"--{name}", nargs=2, type=Path, required=True, metavar=("ANNOTATIONS", "IMAGES"))
    parser.add_argument("--test", action="append", required=True, metavar="NAME=ANNOTATIONS,IMAGES")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="FIELD=VALUE")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/boir-against-cid"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tests = dict(test.split("=", 1) for test in arguments.test)
    found: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in MODELS}
    for seed in arguments.seeds:
        for name in MODELS:
            model = trained(name, seed, arguments)
            found[name].append({test: scores(model, *files.split(",")) for test, files in tests.items()})
            write_json(arguments.out / "scores.json", found, indent=2)
            print(name, seed, found[name][-1], flush=True)
    print(table(found))


def trained(name: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Train one network, or reuse the model of an earlier run."""
    folder = arguments.out / f"{name}-{seed}"
    if not (folder / "models/final").exists():
        sources = [[path.resolve() for path in source] for source in (arguments.photos, arguments.crowds)]
        train_on = ", ".join(f'{{annotations="{annotations}", images="{images}"}}' for annotations, images in sources)
        settings = [
            f"model={MODELS[name]}", f'start.backbone="{arguments.trunk.resolve()}"', f"data.train=[{train_on}]",
            "data.val_split=''", "data.skeleton=coco", f"data.size={arguments.size}", "data.minimum_area=256",
            f"inference.size={arguments.size}", f"schedule.steps={arguments.steps}", "schedule.warmup_epochs=0.2",
            "ema.decay=0.98", f"trainer.seed={seed}", f"trainer.batch={arguments.batch}",
        ]  # fmt: skip
        begun = (folder / "checkpoints/last.ckpt").exists()
        train(load_recipe("boir-tiny", [*settings, *arguments.overrides]), folder, Machines(1), resume=begun)
    return Path(folder / "models/final")


def scores(model: Path, annotations: str, images: str) -> dict[str, float]:
    """AP of all people, and of those with a box IoU above each of ``OVERLAPS``."""
    content: dict[str, Any] = read_json(Path(annotations))
    estimator = load(model, min_score=0.0)
    results = []
    for image in content["images"]:
        results += estimator(Path(images, image["file_name"])).to_coco(image["id"])
    truth = read_ground_truth(content, len(estimator.skeleton))
    comparison = compute_oks(truth, read_results(results, truth), estimator.skeleton.require_sigmas())
    overlap, hidden = largest_overlap(truth), hidden_oks(comparison)
    crowded = {f"> {least}": class_score(comparison, "", overlap > least, hidden=hidden).ap for least in OVERLAPS}
    return {"all": score_oks(comparison).ap, **crowded}


def table(found: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """Mean and standard deviation over the seeds, in percent, as Markdown."""
    tests = next(iter(found.values()))[0]
    lines = ["| test | people | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]
    for test, groups in tests.items():
        for group in groups:
            cells = []
            for seeds in found.values():
                values = [100 * scores[test][group] for scores in seeds]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{statistics.mean(values):.1f} ± {spread:.1f} ({', '.join(f'{v:.1f}' for v in values)})")
            lines.append(f"| {test} | {group} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with exit_on_user_error("boir_against_cid"):
        main()
