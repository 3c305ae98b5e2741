"""Fit the calibration of person scores, and measure reliability and F1, on a set's trial poses.

    python -m research.mipnet_lite.reliability ANNOTATIONS.json POSES.npz [--bias 5.6 --slope 3.24] [--share]

People are scored and suppressed as shipped. A pose is right if its OKS is 0.5 or more with a labeled person whom no
better pose has found; a second pose of one person is not. ``--share``: fit the share of the ten OKS thresholds instead.
Poses on people without labels do not count, and in photos whose labels may be incomplete neither do poses that match
no one.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.files import read_json
from everypose.core.geometry import oks
from research.mipnet_lite.precision import THRESHOLDS, Floats
from research.mipnet_lite.trial_poses import read_trial
from research.mipnet_lite.trials import SIGMAS, Trial, column, people

FOUND, UNLABELED = 0.5, 0.3
"""OKS from which a pose is a person's; and below which, where labels are incomplete, it may be an unlabeled one's."""


def judged(poses: Floats, annotations: list[dict[str, Any]], complete: bool) -> tuple[Floats, Floats, int]:
    """Targets and weights (P,) of an image's poses, best first, and the number of labeled people."""
    labeled = [one for one in annotations if not one.get("iscrowd") and one["num_keypoints"] > 0]
    similar = np.array([_oks_with(one, poses) for one in labeled]).reshape(len(labeled), len(poses))
    targets, free = np.zeros(len(poses)), np.ones(len(labeled), bool)
    for index in range(len(poses)):
        left = np.where(free, similar[:, index], 0)
        if left.max(initial=0) >= FOUND:
            free[left.argmax()] = False
            targets[index] = (left.max() > THRESHOLDS).mean()
    others = [one for one in annotations if one.get("iscrowd") or not one["num_keypoints"]]
    ignored = np.any([_mostly_inside(one["bbox"], poses) for one in others], axis=0) if others else False
    weights = np.where(ignored & (targets == 0), 0.0, 1.0)
    if not complete:
        weights[(similar.max(axis=0, initial=0) < UNLABELED)] = 0
    return targets, weights, len(labeled)


def _oks_with(person: dict[str, Any], poses: Floats) -> Floats:
    keypoints = np.array(person["keypoints"], np.float64).reshape(-1, 3)
    seen = keypoints[:, 2] > 0
    return np.asarray(oks(keypoints[None, seen], poses[:, seen], np.array([person["area"]]), SIGMAS[seen])[0])


def _mostly_inside(box: list[float], poses: Floats) -> np.ndarray:
    x, y, width, height = box
    low, high = np.array([x, y]), np.array([x + width, y + height])
    return np.asarray(((poses[..., :2] > low) & (poses[..., :2] < high)).all(-1).mean(-1) > 0.5)


def rows(
    truth: Mapping[str, Any], images: Mapping[int, Trial], complete_only: bool
) -> Iterator[tuple[Floats, Floats, Floats, int]]:
    """Products, targets, weights and the number of labeled people of each image."""
    found = people(images, column(0), instances=2)
    for entry in truth["images"]:
        complete = bool(entry.get("persons_without_keypoints_known", True))
        if complete_only and not complete:
            continue
        poses, products = found[entry["id"]]
        annotations = [one for one in truth["annotations"] if one["image_id"] == entry["id"]]
        yield products, *judged(poses, annotations, complete)


def fit(products: Floats, targets: Floats, weights: Floats) -> tuple[float, float]:
    """Bias and slope of the logistic regression on the products' logarithm, by Newton's method."""
    inputs = np.stack([np.ones_like(products), np.log(products.clip(1e-6))], axis=1)
    solution = np.zeros(2)
    for _ in range(50):
        predicted = 1 / (1 + np.exp(-inputs @ solution))
        gradient = inputs.T @ (weights * (predicted - targets))
        curvature = (inputs * (weights * predicted * (1 - predicted))[:, None]).T @ inputs
        solution = solution - np.linalg.solve(curvature + 1e-6 * np.eye(2), gradient)
    return float(solution[0]), float(solution[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("poses", type=Path)
    parser.add_argument("--bias", type=float)
    parser.add_argument("--slope", type=float)
    parser.add_argument("--share", action="store_true")
    given = parser.parse_args()
    truth, images = read_json(given.annotations), read_trial(given.poses)
    products, targets, weights, _ = (np.concatenate(part) for part in _columns(rows(truth, images, False)))
    if not given.share:
        targets = np.ceil(targets)
    bias, slope = fit(products, targets, weights)
    print(f"fitted on this set: bias {bias:.3f}, slope {slope:.3f}")
    if given.bias is not None:
        bias, slope = given.bias, given.slope
    scores = 1 / (1 + np.exp(-(bias + slope * np.log(products.clip(1e-6)))))
    error = 0.0
    for low in np.arange(0, 1, 0.1):
        bin_ = (scores >= low) & (scores < low + 0.1) & (weights > 0)
        if bin_.any():
            mean, reached = scores[bin_].mean(), targets[bin_].mean()
            error += abs(mean - reached) * bin_.sum() / (weights > 0).sum()
            print(f"{low:.1f} to {low + 0.1:.1f}: {bin_.sum()} poses, mean score {mean:.2f}, reached {reached:.2f}")
    print(f"expected calibration error {error:.3f}")
    products, targets, weights, labeled = (np.concatenate(part) for part in _columns(rows(truth, images, True)))
    for product in np.arange(0.1, 0.5, 0.02):
        shown = (products >= product) & (weights > 0)
        right = int((shown & (targets > 0)).sum())
        score = 1 / (1 + np.exp(-(bias + slope * np.log(product))))
        precision, recall = right / max(shown.sum(), 1), right / labeled.sum()
        harmonic = 2 * precision * recall / (precision + recall)
        print(
            f"from product {product:.2f}, score {score:.3f}: precision {precision:.3f}, recall {recall:.3f}, "
            f"F1 {harmonic:.4f}"
        )


def _columns(images: Iterator[tuple[Floats, Floats, Floats, int]]) -> list[list[np.ndarray]]:
    parts = zip(*images, strict=True)
    return [[np.atleast_1d(one) for one in part] for part in parts]


if __name__ == "__main__":
    main()
