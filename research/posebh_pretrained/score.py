"""Score the predictions of plain heads and PoseBH, with bootstrap intervals over images.

    python -m research.posebh_pretrained.score OUT

Writes OUT/scores.json and prints a Markdown table: AP in percent, the mean over the seeds, its 95 % interval over
images, each seed, and the difference to plain heads on the same resamples.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.posebh_study import never_labeled

from everypose.core.files import read_json, write_json
from everypose.errors import exit_on_user_error
from everypose.evaluation.coco_arrays import GroundTruth, read_ground_truth, read_results
from everypose.evaluation.metrics.oks import compute_oks
from everypose.skeleton.skeleton import Skeleton
from research.boir_against_cid.average_precision import ImageMatches, average_precision, bootstrap, match_images
from research.boir_against_cid.score import shown
from research.posebh_pretrained.train import WAYS

REFERENCE = "heads"


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--resamples", type=int, default=1000)
    given = parser.parse_args()
    matches = read_matches(given.out)
    table = {name: compared(ways, given.resamples) for name, ways in matches.items()}
    write_json(given.out / "scores.json", table, indent=1)
    print("| keypoints | network | AP | each seed | difference to heads |\n|---|---|---|---|---|")
    for name, rows in table.items():
        for way, row in rows.items():
            seeds = ", ".join(f"{100 * value:.1f}" for value in row["seeds"])
            difference = shown(row["difference"]) if "difference" in row else ""
            print(f"| {name} | {way} | {shown(row['mean'])} | {seeds} | {difference} |")


def read_matches(out: Path) -> dict[str, dict[str, list[list[ImageMatches]]]]:
    """The matches of each measurement, network and seed."""
    found: dict[str, dict[str, list[list[ImageMatches]]]] = defaultdict(lambda: defaultdict(list))
    for way in WAYS:
        for folder in sorted(out.glob(f"{way}-[0-9]*")):
            for path in sorted(folder.glob("*.json"), key=lambda path: (" " in path.stem, path.stem)):
                truth, skeleton = truth_of(path.stem, out)
                pairs = compute_oks(truth, read_results(read_json(path), truth), skeleton.require_sigmas())
                found[path.stem][way].append(match_images(pairs))
    return found


def truth_of(name: str, out: Path) -> tuple[GroundTruth, Skeleton]:
    """The people that a measurement is scored on, with the labels of the keypoints that it is about."""
    skeleton = Skeleton.named(name.split()[0])
    content: dict[str, Any] = read_json(out / f"{skeleton.name}_dev.json")
    if "," in name:
        unlabeled = never_labeled(skeleton, Skeleton.named(name.split(", ")[1].split()[0]))
        for annotation in content["annotations"]:
            keypoints = np.reshape(annotation["keypoints"], (-1, 3)) * unlabeled[:, None]
            annotation |= {"keypoints": keypoints.ravel().tolist(), "num_keypoints": int((keypoints[:, 2] > 0).sum())}
    return read_ground_truth(content, len(skeleton)), skeleton


def compared(ways: dict[str, list[list[ImageMatches]]], resamples: int) -> dict[str, Any]:
    """Mean AP and interval of every network, each seed's AP, and the difference to plain heads."""
    table: dict[str, Any] = {}
    for way, seeds in ways.items():
        row = {
            "mean": vars(bootstrap(seeds, resamples=resamples)),
            "seeds": [average_precision(images) for images in seeds],
        }
        reference = ways.get(REFERENCE, [])
        if way != REFERENCE and len(reference) == len(seeds):
            row["difference"] = vars(bootstrap(seeds, reference, resamples=resamples))
        table[way] = row
    return table


if __name__ == "__main__":
    with exit_on_user_error("posebh_pretrained"):
        main()
