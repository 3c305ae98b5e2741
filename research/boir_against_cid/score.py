"""Score the trained networks on people never seen in training, with bootstrap intervals over images.

    python -m research.boir_against_cid.score OUT --test photos dev.json images --test crowds crowds.json crowds

Writes OUT/predictions, OUT/scores.json and prints Markdown tables. The trunk, which all networks share, is run once for
each image.
"""

import argparse
import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from everypose.core.arrays import Mask
from everypose.core.files import read_json, write_json
from everypose.errors import exit_on_user_error
from everypose.evaluation.coco_arrays import GroundTruth, read_ground_truth, read_results
from everypose.evaluation.metrics.average_precision import score_oks
from everypose.evaluation.metrics.breakdown import largest_overlap
from everypose.evaluation.metrics.oks import compute_oks
from everypose.inference.runtimes.torch import TorchRuntime
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.storage import load_model
from everypose.skeleton.skeleton import Skeleton
from research.boir_against_cid.average_precision import ImageMatches, average_precision, bootstrap, match_images
from research.boir_against_cid.samples import Maps

ALL = "all"
OVERLAPS = (0.3, 0.5)
REFERENCES = {"boir": ("cid-losses", "cid"), "cid-losses": (), "cid": ()}
"""What a network is compared with: the first of these with the same seeds, and BoIR for the networks not named."""


class RememberingTrunk(nn.Module):
    """Runs a trunk once for each image and remembers its maps, in float16.

    Args:
        trunk: the trunk, which is the same in all networks.
        known: maps by the hash of the image, shared between networks.
    """

    def __init__(self, trunk: nn.Module, known: dict[bytes, Maps]) -> None:
        super().__init__()
        self._trunk = trunk
        self._known = known

    def forward(self, images: Tensor) -> Maps:
        """Normalized images (1, 3, H, W) to the trunk's maps."""
        key = hashlib.sha256(images.contiguous().numpy().tobytes()).digest()
        if key not in self._known:
            feature, coarse = self._trunk(images)
            self._known[key] = (feature.half(), coarse.half())
        feature, coarse = self._known[key]
        return feature.float(), coarse.float()


def main() -> None:
    """Predict, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--test", nargs=3, action="append", required=True, metavar=("NAME", "ANNOTATIONS", "IMAGES"))
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folders = sorted(path.parent for path in arguments.out.glob("*-*/config.json"))
    tables: dict[str, Any] = {}
    for test, annotations, images in arguments.test:
        content: dict[str, Any] = read_json(Path(annotations))
        known: dict[bytes, Maps] = {}
        truth = read_ground_truth(content, 17)
        matches = {
            folder.name: matches_of(predictions(folder, test, content, Path(images), known), truth)
            for folder in folders
        }
        tables[test] = intervals(matches, arguments.resamples)
        write_json(arguments.out / "scores.json", tables, indent=1)
        print(markdown(test, tables[test], truth))


def predictions(
    folder: Path, test: str, content: dict[str, Any], images: Path, known: dict[bytes, Maps]
) -> list[dict[str, Any]]:
    """COCO results of a network on a test set, read if they have been written."""
    path = folder.parent / "predictions" / f"{folder.name}-{test}.json"
    if path.exists():
        rows: list[dict[str, Any]] = read_json(path)
        return rows
    network, config = load_model(folder)
    backbone = network.get_submodule("backbone")
    backbone.trunk = RememberingTrunk(network.get_submodule("backbone.trunk"), known)
    estimator = SingleStageEstimator(TorchRuntime(network, config), config, 0.0)
    rows = [row for image in content["images"] for row in estimator(images / image["file_name"]).to_coco(image["id"])]
    write_json(path, rows)
    return rows


def matches_of(results: list[dict[str, Any]], truth: GroundTruth) -> dict[str, list[ImageMatches]]:
    """The matches of all people and of those overlapped by more than each of ``OVERLAPS``."""
    pairs = compute_oks(truth, read_results(results, truth), Skeleton.named("coco").require_sigmas())
    matches = {name: match_images(pairs, members) for name, members in groups(truth).items()}
    assert abs(average_precision(matches[ALL]) - score_oks(pairs).ap) < 1e-9, "not the evaluation's AP"
    return matches


def groups(truth: GroundTruth) -> dict[str, Mask | None]:
    """All people, and those whose largest box IoU with another exceeds each of ``OVERLAPS``, if there are any."""
    overlap = largest_overlap(truth)
    crowded = {f"> {least}": overlap > least for least in OVERLAPS}
    return {ALL: None, **{name: members for name, members in crowded.items() if (members & truth.is_scored).any()}}


def intervals(matches: dict[str, dict[str, list[ImageMatches]]], resamples: int) -> dict[str, Any]:
    """AP of every network by group: of each seed, their mean, and the difference to another network."""
    runs: defaultdict[str, list[str]] = defaultdict(list)
    for run in matches:
        runs[run.rpartition("-")[0]].append(run)
    table: dict[str, Any] = {}
    for group in next(iter(matches.values())):
        for name, seeds in runs.items():
            own = [matches[run][group] for run in seeds]
            row = {
                "seeds": {run.rpartition("-")[2]: average_precision(matches[run][group]) for run in seeds},
                "mean": vars(bootstrap(own, resamples=resamples)),
            }
            for reference in REFERENCES.get(name, ("boir",)):
                others = [f"{reference}-{run.rpartition('-')[2]}" for run in seeds]
                if all(other in matches for other in others):
                    against = bootstrap(own, [matches[other][group] for other in others], resamples=resamples)
                    row[f"less {reference}"] = vars(against)
                    break
            table.setdefault(group, {})[name] = row
    return table


def markdown(test: str, table: dict[str, Any], truth: GroundTruth) -> str:
    """A table in percent: mean, interval over images, each seed, difference."""
    lines = [f"| {test} | network | AP | each seed | difference |", "|---|---|---|---|---|"]
    for group, rows in table.items():
        members = groups(truth)[group]
        people = int((truth.is_scored if members is None else truth.is_scored & members).sum())
        for name, row in rows.items():
            seeds = ", ".join(f"{100 * value:.1f}" for value in row["seeds"].values())
            less = next(((key, value) for key, value in row.items() if key.startswith("less")), None)
            difference = "" if less is None else f"{shown(less[1])} {less[0]}"
            lines.append(f"| {group} ({people}) | {name} | {shown(row['mean'])} | {seeds} | {difference} |")
    return "\n".join(lines)


def shown(interval: dict[str, float]) -> str:
    """An interval in percent.

    >>> shown({"value": 0.1, "low": 0.05, "high": 0.15})
    '10.0 (5.0 to 15.0)'
    """
    value, low, high = (100 * interval[name] for name in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    with exit_on_user_error("boir_against_cid"):
        main()
