"""Crops of an image and people lost by the lowest score of a box, on a set's trial poses.

    python -m research.mipnet_lite.box_thresholds POSES.npz [--score 0.6]

A person is lost whose box scores less although the person's score reaches the lowest one that is shown.
"""

import argparse
from pathlib import Path

import numpy as np

from everypose.methods.top_down.scoring import oks_nms_high_index_first, person_scores
from research.mipnet_lite.trial_poses import read_trial
from research.mipnet_lite.trials import CONFIDENT, LEAST_BOX, NMS, SIGMAS, areas_of

BIAS, SLOPE = 5.6, 3.24
THRESHOLDS = np.array([0.25, 0.27, 0.28, 0.29, 0.3, 0.32, 0.35])


def main() -> None:
    """Print a line for each threshold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path)
    parser.add_argument("--score", type=float, default=0.6)
    given = parser.parse_args()
    images = read_trial(given.poses)
    crops, shown = [], []
    for image in images.values():
        kept = image["scores"][:, 0] >= LEAST_BOX
        part = {name: array[kept] for name, array in image.items()}
        boxes, poses = part["scores"][:, 0].astype(np.float64), part["base"][:, 0].astype(np.float64)
        scores = person_scores(poses, boxes, CONFIDENT)
        best = oks_nms_high_index_first(poses, scores, areas_of(part), SIGMAS, NMS)
        probability = 1 / (1 + np.exp(-BIAS - SLOPE * np.log(scores.clip(1e-6))))
        crops.append(boxes)
        shown.append(boxes[best][probability[best] >= given.score])
    all_boxes, of_people = np.concatenate(crops), np.concatenate(shown)
    for threshold in THRESHOLDS:
        number, lost = (all_boxes >= threshold).sum() / len(images), (of_people < threshold).sum()
        print(f"boxes from {threshold:.2f} on: {number:.2f} crops an image, {lost} of {len(of_people)} people lost")


if __name__ == "__main__":
    main()
