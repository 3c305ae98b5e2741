"""Draw the reliability of person and keypoint scores, of photos and of composed crowds.

    python -m research.mipnet_lite.plot_reliability PHOTOS.json POSES.npz CROWDS.json POSES.npz CALIBRATION.json OUT.svg

The poses are trial poses. A keypoint of a found person is right if it is labeled and its part of the OKS is above 0.5.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from everypose.core.files import read_json
from everypose.methods.top_down.scoring import keypoint_probabilities
from everypose.methods.top_down.settings import KeypointCalibration, PersonCalibration
from research.mipnet_lite.precision import Floats
from research.mipnet_lite.reliability import FOUND, rows
from research.mipnet_lite.trial_poses import read_trial
from research.mipnet_lite.trials import SIGMAS, column, people

TENTHS = np.linspace(0, 1, 11)
FEWEST_KEYPOINTS = 4


def person_scores(truth: Mapping[str, Any], images: Mapping[int, Any], calibration: PersonCalibration) -> Floats:
    """(N, 2): score and whether right."""
    found = []
    for products, targets, weights, _ in rows(truth, images, False):
        logits = calibration.bias + calibration.slope * np.log(products.clip(1e-6))
        found.append(np.stack([1 / (1 + np.exp(-logits)), targets > 0], axis=1)[weights > 0])
    return np.concatenate(found)


def keypoint_scores(truth: Mapping[str, Any], images: Mapping[int, Any], calibration: KeypointCalibration) -> Floats:
    """(N, 2): score and whether right, of the best pose of each found person."""
    pairs = []
    found = people(images, column(0))
    for person in truth["annotations"]:
        keypoints = np.array(person["keypoints"], np.float64).reshape(-1, 3)
        labeled, (poses, _) = keypoints[:, 2] > 0, found[person["image_id"]]
        if person.get("iscrowd") or labeled.sum() < FEWEST_KEYPOINTS or not len(poses):
            continue
        squares = ((poses[..., :2] - keypoints[:, :2]) ** 2).sum(axis=-1)
        parts = np.exp(-squares / (2 * (2 * SIGMAS) ** 2 * person["area"]))
        similar = parts[:, labeled].mean(axis=1)
        best = similar.argmax()
        if similar[best] > FOUND:
            scores = keypoint_probabilities(poses[best, :, 2], calibration)
            pairs.append(np.stack([scores, labeled & (parts[best] > FOUND)], axis=1))
    return np.concatenate(pairs)


def means(pairs: Floats) -> tuple[Floats, Floats]:
    """The mean score, and the share that is right, of each tenth."""
    tenth = np.clip(np.digitize(pairs[:, 0], TENTHS) - 1, 0, 9)
    kept = [pairs[tenth == index].mean(axis=0) for index in range(10) if (tenth == index).any()]
    return np.array(kept)[:, 0], np.array(kept)[:, 1]


def main(*arguments: str) -> None:
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "everypose", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    settings, out = read_json(Path(arguments[4])), arguments[5]
    person = PersonCalibration.model_validate(settings["calibration"])
    keypoint = KeypointCalibration.model_validate(settings["keypoint_calibration"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.1), layout="constrained")
    for label, color, part in (("photos", "#1f77b4", 0), ("composed crowds", "#d95f02", 2)):
        truth, images = read_json(Path(arguments[part])), read_trial(Path(arguments[part + 1]))
        for axes, pairs in (
            (left, person_scores(truth, images, person)), (right, keypoint_scores(truth, images, keypoint))
        ):  # fmt: skip
            axes.plot(*means(pairs), "o-", color=color, label=label, ms=4, lw=1.2)
    for axes, title, what in (
        (left, "person scores", "share with an OKS of 0.5"), (right, "keypoint scores", "share labeled, near the label")
    ):  # fmt: skip
        axes.plot([0, 1], [0, 1], color="#999", lw=1, ls="--")
        axes.set(
            xlabel="score (mean of each tenth)", ylabel=what, title=title, xlim=(0, 1), ylim=(0, 1), aspect="equal"
        )
        axes.grid(alpha=0.25)
    left.legend(frameon=False, loc="upper left")
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
