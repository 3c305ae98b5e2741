"""AP with second detectors, second crops and other scores, on one set from its file of trial poses.

    python -m research.mipnet_lite.trials ANNOTATIONS.json POSES.npz [--images 130] [--only boxes|views|scores]

``--images`` limits the images to those with all views.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.files import read_json
from everypose.methods.top_down.crops import crop_regions
from everypose.methods.top_down.scoring import oks_nms_high_index_first, person_scores
from everypose.skeleton.skeleton import Skeleton
from research.mipnet_lite.precision import People, average_precision, draw_samples, interval, match, sampled
from research.mipnet_lite.trial_poses import read_trial

SIGMAS = Skeleton.named("coco").require_sigmas()
NMS, CONFIDENT, LEAST_BOX = 0.8, 0.1, 0.2
SECOND_FACTOR = np.exp(-4.465 / 3.24)
"""Of the product of box score and mean confidence of a second instance, before the logistic function."""
Trial = Mapping[str, np.ndarray]
Score = Callable[[Trial, np.ndarray, np.ndarray], np.ndarray]
"""An image's arrays, box scores (N,), keypoints (N, I, 17, 3) -> (N, I) scores."""


def product(_image: Trial, boxes: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Box score times mean confidence, as shipped."""
    scores = person_scores(keypoints, boxes[:, None], CONFIDENT)
    scores[:, 1:] *= SECOND_FACTOR
    return np.asarray(scores)


def areas_of(image: Trial) -> np.ndarray:
    """Areas of the crops' regions, (N,)."""
    return np.asarray(crop_regions(image["boxes"], 0.75)[1].prod(axis=1))


def people(
    images: Mapping[int, Trial], boxes: Callable[[Trial], np.ndarray], view: str = "base", score: Score = product,
    *, instances: int = 1, nms: float = NMS, least: float = LEAST_BOX,
) -> People:  # fmt: skip
    """The people of each image after suppression.

    Args:
        images: by id.
        boxes: an image's arrays -> box scores (N,).
        view: whose keypoints.
        score: of the poses.
        instances: 1 for primary people only.
        nms: OKS above which the worse of two poses goes.
        least: lowest box score.
    """
    found = {}
    for identity, image in images.items():
        given = boxes(image)
        kept = given >= least
        poses = image[view][kept, :instances].astype(np.float64)
        part = {name: array[kept] for name, array in image.items()}
        scores = score(part, given[kept].astype(np.float64), poses)
        areas = np.repeat(areas_of(part), poses.shape[1])
        flat, order = poses.reshape(-1, 17, 3), scores.ravel()
        best = oks_nms_high_index_first(flat, order, areas, SIGMAS, nms)
        found[identity] = (flat[best], order[best])
    return found


def column(*names: int) -> Callable[[Trial], np.ndarray]:
    """The mean of some detectors' scores."""
    return lambda image: np.asarray(image["scores"][:, list(names)].mean(axis=1))


def agreement(first: str, second: str) -> Callable[[Trial], np.ndarray]:
    """The OKS (N,) of the primary poses of two views."""

    def compute(image: Trial) -> np.ndarray:
        squares = ((image[first][:, 0, :, :2] - image[second][:, 0, :, :2]) ** 2).sum(axis=-1)
        return np.asarray(np.exp(-squares / (2 * (2 * SIGMAS) ** 2 * areas_of(image)[:, None])).mean(axis=-1))

    return compute


def times_agreement(first: str, second: str, power: float) -> Score:
    """The product, times a power of the agreement of two views."""
    similar = agreement(first, second)
    return lambda image, boxes, keypoints: product(image, boxes, keypoints) * similar(image)[:, None] ** power


def with_means(image: Trial) -> Trial:
    """Add views whose keypoints are means of two views' coordinates, weighted by their peaks: ``base~VIEW``."""
    added = dict(image)
    for name in ("mirror", "wide", "recrop"):
        if name in image:
            pair = np.stack([image["base"], image[name]]).astype(np.float64)
            weights = pair[..., 2:].clip(min=1e-3)
            xy = (pair[..., :2] * weights).sum(axis=0) / weights.sum(axis=0)
            added[f"base~{name}"] = np.concatenate([xy, pair[..., 2:].mean(axis=0)], axis=-1)
    return added


def box_trials(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Detectors, alone and fused."""
    at = {name: index for index, name in enumerate(names)}
    for parts in (
        ["416"], ["512"], ["640"], ["416-mirror"], ["416", "416-mirror"], ["416", "512"], ["416", "640"],
        ["512", "640"], ["416", "512", "640"], names,
    ):  # fmt: skip
        label = "+".join(parts) if parts is not names else "all"
        yield label, {"boxes": column(*(at[part] for part in parts))}
    for factor in (0.5, 0.7, 1.0):
        yield (
            f"416, and close boxes times {factor}",
            {"boxes": lambda image, f=factor: np.maximum(image["scores"][:, at["416"]], f * image["scores"][:, -1])},
        )


def view_trials(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Second crops."""
    boxes = column(names.index("416"))
    for view in ("base", "mirror", "wide", "recrop", "base+mirror", "base+wide", "base+mirror+wide", "base+recrop"):
        yield view, {"boxes": boxes, "view": view}
    for view in ("mirror", "wide", "recrop"):
        yield f"coordinates of base and {view}", {"boxes": boxes, "view": f"base~{view}"}
        for power in (0.3, 0.6, 1.0):
            for whose in ("base", f"base+{view}"):
                label = f"{whose}, times agreement with {view}^{power}"
                yield label, {"boxes": boxes, "view": whose, "score": times_agreement("base", view, power)}


def score_trials(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Other person scores."""
    boxes = column(names.index("416"))
    weights = SIGMAS / SIGMAS.mean()

    def powers(box: float, confidence: float) -> Score:
        return lambda _image, given, keypoints: (
            given[:, None] ** box * person_scores(keypoints, np.ones(len(given))[:, None], CONFIDENT) ** confidence
        )

    def weighted(power: float) -> Score:
        def compute(_image: Trial, given: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
            confidence = keypoints[..., 2]
            weight = weights**power * (confidence > CONFIDENT)
            return np.asarray(given[:, None] * (weight * confidence).sum(-1) / weight.sum(-1).clip(1e-6))

        return compute

    for box, confidence in ((0.5, 1), (1, 0.5), (1, 1.5), (1.5, 1), (1, 2)):
        yield f"box^{box} confidence^{confidence}", {"boxes": boxes, "score": powers(box, confidence)}
    for power in (-1, -0.5, 0.5, 1):
        yield f"confidences weighted by sigma^{power}", {"boxes": boxes, "score": weighted(power)}


TRIALS = {"boxes": box_trials, "views": view_trials, "scores": score_trials}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("poses", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--only", choices=list(TRIALS), action="append")
    parser.add_argument("--samples", type=int, default=0, help="of the images, for intervals of the difference")
    given = parser.parse_args()
    truth = read_json(given.annotations)
    every = read_trial(given.poses)
    first = [entry["id"] for entry in truth["images"] if entry["id"] in every][: given.images]
    images = {identity: with_means(every[identity]) for identity in first}
    with np.load(given.poses, allow_pickle=False) as arrays:
        names = arrays["names"].tolist()
    samples = draw_samples(len(images), given.samples)
    reference = None
    for kind in given.only or TRIALS:
        for label, settings in TRIALS[kind](names):
            found = people(images, **settings)
            matches = match(found, truth)
            overlapped = average_precision(match(found, truth, overlapped=True))
            values = sampled(matches, samples)
            reference = values if reference is None else reference
            low, high = interval(values - reference) if given.samples else (np.nan, np.nan)
            crops = np.mean([(settings["boxes"](image) >= LEAST_BOX).sum() for image in images.values()])
            print(
                f"{kind}: {label}: AP {average_precision(matches):.4f}, overlapped {overlapped:.4f}, "
                f"{crops:.1f} crops, difference {low:+.4f} to {high:+.4f}", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
