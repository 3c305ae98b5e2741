"""MIPNet against the same network without modulation, trained with several seeds, on people not seen in training.

    python -m research.mipnet_lite.compare_seeds TINYPOSE.onnx --test dev.json images maps_dev.npz
        --mipnet mipnet_0.pt mipnet_1.pt mipnet_2.pt --plain plain_0.pt plain_1.pt plain_2.pt [--mix 0.6]

AP of all people and of those whose box overlaps another's; and recall (OKS above 0.5) of people without a box of their
own: every second labeled person's boxes are removed, then the other half's. Intervals are quantiles of samples of the
images, the same for all networks; the least and the highest value over seeds are printed next to them.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everypose.core.files import read_json
from everypose.core.geometry import box_iou, oks, xywh_to_xyxy
from everypose.methods.mipnet.network import MIPNet
from research.mipnet_lite.maps import BATCH, Maps
from research.mipnet_lite.precision import Floats, average_precision, draw_samples, interval, match, sampled
from research.mipnet_lite.seeds import tail
from research.mipnet_lite.train import build
from research.mipnet_lite.trial_poses import keypoints_of
from research.mipnet_lite.trials import SIGMAS, Trial, column, people

OVERLAP, OWN_BOX, FEWEST, FOUND = 0.3, 0.3, 4, 0.5
"""IoU from which people overlap, and a box is a person's; least labeled keypoints; OKS from which a person is found."""


def read_network(published: Path, trained: Path | None, mix: float) -> MIPNet:
    """The network with weights between the published (0) and the trained ones (1)."""
    _, network = build(published)
    if trained is not None:
        own = network.state_dict()
        state = torch.load(trained, map_location="cpu", weights_only=True)
        blended = {
            name: value if name.startswith("modulation.") else torch.lerp(own[name], value, mix)
            for name, value in state.items()
        }
        network.load_state_dict(blended)
    return network.eval()


@torch.no_grad()
def poses_of(network: MIPNet, maps: Maps, plain: bool) -> dict[int, Trial]:
    """Boxes, scores and poses of each image."""
    found = [np.zeros((0, 1 if plain else 2, 17, 3))]
    for begin in range(0, len(maps.boxes), BATCH):
        part = np.arange(begin, min(begin + BATCH, len(maps.boxes)))
        heatmaps = tail(network, maps.tensors(part), plain).transpose(0, 1).numpy()
        found.append(keypoints_of(heatmaps, list(maps.matrices[part])))
    poses = np.concatenate(found)
    images: dict[int, Trial] = {}
    for identity in np.unique(maps.images):
        own = maps.images == identity
        images[int(identity)] = {"boxes": maps.boxes[own, :4], "scores": maps.boxes[own, 4:], "base": poses[own]}
    return images


def found_without_box(images: Mapping[int, Trial], truth: Mapping[str, Any]) -> np.ndarray:
    """For each image: people without a box of their own, those found, overlapped ones, those found; (N, 4)."""
    counts = []
    for identity, image in images.items():
        labeled = [
            one
            for one in truth["annotations"]
            if one["image_id"] == identity and not one.get("iscrowd") and one["num_keypoints"] >= FEWEST
        ]
        counts.append(_found(image, labeled) if len(labeled) > 1 else np.zeros(4))
    return np.array(counts)


def _found(image: Trial, labeled: list[dict[str, Any]]) -> np.ndarray:
    own = xywh_to_xyxy(np.array([one["bbox"] for one in labeled], np.float64))
    overlaps = box_iou(image["boxes"], own)
    owner, has_owner = overlaps.argmax(axis=1), overlaps.max(axis=1) > OWN_BOX
    counts = np.zeros(4)
    for half in (0, 1):
        removed = np.arange(len(labeled)) % 2 == half
        poses = image["base"][~(has_owner & removed[owner])].reshape(-1, 17, 3)
        for person in np.flatnonzero(removed):
            overlapped = box_iou(own[[person]], own[~removed]).max() > OVERLAP
            found = _largest_oks(labeled[person], poses) > FOUND
            counts += [1, found, overlapped, found and overlapped]
    return counts


def _largest_oks(person: dict[str, Any], poses: Floats) -> float:
    keypoints = np.array(person["keypoints"], np.float64).reshape(-1, 3)
    labeled = keypoints[:, 2] > 0
    area = np.array([person["area"]])
    return float(oks(keypoints[None, labeled], poses[:, labeled], area, SIGMAS[labeled]).max(initial=0))


class Study:
    """The numbers of one test set.

    Args:
        truth: content of the annotation file.
        maps: of the set's boxes.
        count: samples for intervals.
    """

    def __init__(self, truth: dict[str, Any], maps: Maps, count: int) -> None:
        self._truth, self._maps = truth, maps
        self._samples = draw_samples(len(np.unique(maps.images)), count)
        self._values: dict[str, list[np.ndarray]] = {}

    def add(self, group: str, network: MIPNet, plain: bool) -> None:
        """Measure one network; networks of one group are seeds of the same."""
        images = poses_of(network, self._maps, plain)
        for instances in (1,) if plain else (1, 2):
            rows = self._measure(images, instances)
            name = group if instances == 1 else f"{group}, both people"
            self._values.setdefault(name, []).append(rows)
            print(f"  {name}: {np.array2string(rows[:, 0], precision=4)}", flush=True)

    def _measure(self, images: Mapping[int, Trial], instances: int) -> np.ndarray:
        """AP, AP of overlapped, recall without box, of overlapped: (4, 1 + S), the first of all images."""
        poses = people(images, column(0), instances=instances)
        rows = []
        for overlapped in (False, True):
            matches = match(poses, self._truth, overlapped=overlapped)
            rows.append(np.concatenate([[average_precision(matches)], sampled(matches, self._samples)]))
        part = {identity: {**image, "base": image["base"][:, :instances]} for identity, image in images.items()}
        counts = found_without_box(part, self._truth)
        sums = np.concatenate([counts.sum(axis=0)[None], counts[self._samples].sum(axis=1)])
        return np.stack([*rows, sums[:, 1] / sums[:, 0], sums[:, 3] / sums[:, 2].clip(1)])

    def print_table(self, reference: str) -> None:
        """Means over seeds with intervals, and the differences to the reference group."""
        labels = ("AP", "AP overlapped", "recall without box", "recall without box, overlapped")
        base = np.mean(self._values[reference], axis=0)
        for name, seeds in self._values.items():
            mean = np.mean(seeds, axis=0)
            for label, row, other, each in zip(labels, mean, base, np.array(seeds)[:, :, 0].T, strict=True):
                low, high = interval(row[1:])
                least, most = interval(row[1:] - other[1:])
                print(
                    f"{name}: {label} {row[0]:.3f} ({low:.3f} to {high:.3f}), "
                    f"seeds {each.min():.3f} to {each.max():.3f}, "
                    f"difference to {reference} {row[0] - other[0]:+.3f} ({least:+.3f} to {most:+.3f})"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("--test", nargs=3, type=Path, required=True)
    parser.add_argument("--mipnet", nargs="+", type=Path, required=True)
    parser.add_argument("--plain", nargs="+", type=Path, required=True)
    parser.add_argument("--mix", type=float, default=1.0, help="0: published weights, 1: trained ones")
    parser.add_argument("--samples", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(read_json(given.test[0]), Maps.read(given.test[2]), given.samples)
    study.add("unmodified", read_network(given.published, None, 0.0), plain=True)
    for group, paths in (("without modulation", given.plain), ("MIPNet", given.mipnet)):
        for path in paths:
            study.add(group, read_network(given.published, path, given.mix), plain=group != "MIPNet")
    study.print_table("without modulation")


if __name__ == "__main__":
    main()
