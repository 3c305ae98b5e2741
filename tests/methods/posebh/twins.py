"""PoseBH's losses one data set, one keypoint and one pixel at a time; ``released`` adds the released code's slips.

The package has the corrected forms only. What the authors' code computes otherwise is written here, so that its golden
vectors prove the rest: columns and keypoints of the wrong data set, noise on the assignment, a weight that counts
twice, a point drawn to the origin, clusters sorted along the wrong axis, targets in another order than the maps.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from everypose.methods.posebh.settings import PoseBHLosses


@dataclass
class Found:
    """What the prototypes of one data set make of some pixels."""

    loss: Tensor
    contrast: Tensor
    distance: Tensor
    heat: Tensor
    logits: Tensor
    label: list[int]
    confidence: list[float]
    bank: Tensor


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def literal_sinkhorn(scores: Tensor) -> Tensor:
    n, m = scores.shape
    plan = torch.exp(scores / 0.05)
    plan = plan / plan.sum()
    for _ in range(3):
        for column in range(m):
            plan[:, column] = plan[:, column] / plan[:, column].sum() / m
        for row in range(n):
            plan[row] = plan[row] / plan[row].sum() / n
    return plan * n


def literal_prototypes(
    pixels: Tensor,
    keypoint: list[int],
    confidence: list[float],
    bank: Tensor,
    first: int,
    count: int,
    settings: PoseBHLosses,
    released: bool = False,
    noise: list[Tensor] | None = None,
) -> Found:
    """Embeddings (n, D) of pixels against the ``count`` keypoints from ``first`` on in the bank (J, M, D).

    The released ``noise`` is one array for each keypoint that has pixels; it changes nothing but the bank.
    """
    bank, pixels = unit(bank), unit(pixels)
    each = bank.shape[1]
    flat = bank.flatten(0, 1)
    cosine = (pixels @ flat.T).abs()
    begin = first if released else first * each
    logits = cosine[:, begin : begin + count * each]
    confidence = list(confidence)
    weights = []
    for n in range(len(pixels)):
        nearest = cosine[n].view(-1, each).amax(1)
        guess = nearest.argmax() if released else nearest[first : first + count].argmax()
        correct = int(guess) == keypoint[n]
        confidence[n] = confidence[n] if correct else 0.0
        weights.append(confidence[n] if settings.pixel_weight == "confidence" else float(correct))
    label, moved, draws = [0] * len(pixels), bank.clone(), iter(noise or [])
    for k in sorted(set(keypoint)):
        mine = [n for n in range(len(pixels)) if keypoint[n] == k]
        seen = bank[k if released else first + k]
        plan = literal_sinkhorn((pixels[mine] @ seen.T).abs().detach())
        choice = plan.argmax(1)
        for row, n in enumerate(mine):
            label[n] = k * each + int(choice[row])
        if noise is not None:
            choice = (plan + next(draws)).argmax(1)
        for m in range(each):
            vector, total = torch.zeros(bank.shape[2]), 0.0
            for row, n in enumerate(mine):
                if int(choice[row]) == m:
                    vector = vector + weights[n] ** (2 if released else 1) * pixels[n].detach()
                    total += weights[n]
            if total != 0:
                moved[first + k, m] = settings.momentum * bank[first + k, m] + (1 - settings.momentum) * unit(vector)
    contrast = sum(torch.logsumexp(logits[n], 0) - logits[n, label[n]] for n in range(len(pixels))) / len(pixels)
    distance = sum((1 - logits[n, label[n]]) ** 2 for n in range(len(pixels))) / len(pixels)
    contrast, distance = settings.contrast * contrast, settings.distance * distance
    return Found(
        loss=settings.prototype * (contrast + distance),
        contrast=contrast,
        distance=distance,
        heat=cosine.view(len(pixels), -1, each).amax(2)[:, first : first + count].clamp(1e-4, 1 - 1e-4),
        logits=logits,
        label=label,
        confidence=confidence,
        bank=unit(moved),
    )


def literal_heatmaps(embedding: Tensor, bank: Tensor, first: int, count: int) -> Tensor:
    """(n, D, h, w) to (n, count, h, w)."""
    pixels = unit(embedding.movedim(1, -1))
    best = (pixels[..., None, None, :] * unit(bank)[first : first + count]).sum(-1).abs().amax(-1)
    return best.clamp(1e-4, 1 - 1e-4).movedim(-1, 1)


def literal_joints_mse(heatmaps: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """The mean over samples of each joint's mean, summed and divided by the number of joints."""
    joints = heatmaps.shape[1]
    errors = [
        ((heatmaps[:, k] * weights[:, k, None, None] - truth[:, k] * weights[:, k, None, None]) ** 2).mean()
        for k in range(joints)
    ]
    return sum(errors) / joints


def pixels_of(embedding: Tensor, heat: Tensor, threshold: float) -> tuple[Tensor, list[int], list[float]]:
    """The pixels that belong to a keypoint: their embeddings, keypoints and heat, by sample, row and column."""
    found, keypoint, confidence = [], [], []
    for b, y, x in np.ndindex(len(heat), *heat.shape[2:]):
        best = float(heat[b, :, y, x].max())
        if best > threshold:
            found.append(embedding[b, :, y, x])
            keypoint.append(int(heat[b, :, y, x].argmax()))
            confidence.append(best)
    return (torch.stack(found) if found else torch.zeros(0, embedding.shape[1])), keypoint, confidence


def literal_supervision(
    embedding: Tensor,
    datasets: list[int],
    truth: Tensor,
    weights: Tensor,
    bank: Tensor,
    sizes: list[int],
    settings: PoseBHLosses,
    released: bool = False,
    noise: list[Tensor] | None = None,
    learn: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Prototype loss, prototype heatmap loss and the bank after a mixed batch; ``truth`` is padded with channels."""
    draws = list(noise) if noise is not None else None
    start, proto, maps = unit(bank), torch.zeros(()), torch.zeros(())
    bank = start
    for d, count in enumerate(sizes):
        first = sum(sizes[:d])
        own = [b for b, dataset in enumerate(datasets) if dataset == d]
        heat = truth[own, :count]
        pixels, keypoint, confidence = pixels_of(embedding[own], heat, settings.threshold)
        if not keypoint:
            continue
        drawn = [draws.pop(0) for _ in set(keypoint)] if draws is not None else None
        found = literal_prototypes(pixels, keypoint, confidence, bank, first, count, settings, released, drawn)
        bank = found.bank if learn else bank
        proto = proto + found.loss
        error = literal_joints_mse(literal_heatmaps(embedding[own], start, first, count), heat, weights[own, :count])
        maps = maps + settings.prototype_heatmap * error
    return proto, maps, bank


def literal_dark_udp(heatmap: np.ndarray) -> np.ndarray:
    """x, y of one map in its own pixels."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    smooth = np.log(np.clip(cv2.GaussianBlur(heatmap, (11, 11), 0), 0.001, 50))
    at = np.pad(smooth, 1, mode="edge")[y : y + 3, x : x + 3].astype(np.float64)
    gradient = np.array([(at[1, 2] - at[1, 0]) / 2, (at[2, 1] - at[0, 1]) / 2])
    xx, yy = at[1, 2] - 2 * at[1, 1] + at[1, 0], at[2, 1] - 2 * at[1, 1] + at[0, 1]
    xy = (at[2, 2] - at[1, 2] - at[2, 1] + 2 * at[1, 1] - at[1, 0] - at[0, 1] + at[0, 0]) / 2
    hessian = np.array([[xx, xy], [xy, yy]]) + np.finfo(np.float32).eps * np.eye(2)
    return np.array([x, y]) - np.linalg.solve(hessian, gradient)


def literal_gaussian(x: float, y: float, height: int, width: int) -> Tensor:
    """A patch of 13 x 13 around the rounded point, its Gaussian centered on the point itself."""
    cx, cy = int(x + 0.5), int(y + 0.5)
    heat = torch.zeros(height, width)
    for row, column in np.ndindex(height, width):
        if abs(row - cy) <= 6 and abs(column - cx) <= 6:
            heat[row, column] = float(np.exp(-((column - x) ** 2 + (row - y) ** 2) / 8))
    return heat


@dataclass
class Agreed:
    """One pseudo label of the cross-type self-supervision: a keypoint of a foreign sample."""

    sample: int
    keypoint: int
    point: tuple[float, float]
    weight: float
    heatmap: Tensor


def literal_agreement(heads: Tensor, by_prototypes: Tensor, settings: PoseBHLosses, released: bool) -> list[Agreed]:
    """The pseudo labels that two stacks of maps (F, K, h, w) agree on."""
    agreed = []
    height, width = heads.shape[2:]
    for f, k in np.ndindex(*heads.shape[:2]):
        one, other = heads[f, k].detach().numpy(), by_prototypes[f, k].detach().numpy()
        if not (one.max() > settings.peak and other.max() > settings.peak):
            continue
        (xa, ya), (xr, yr) = ((int(m.max(0).argmax()), int(m.max(1).argmax())) for m in (one, other))
        apart = np.hypot(xa - xr, xr - yr) if released else np.hypot(xa - xr, ya - yr)
        if apart > settings.match:
            continue
        va, vr = float(one.max()), float(other.max())
        second = vr if released else literal_dark_udp(other)
        x, y = (va * literal_dark_udp(one) + vr * second) / max(va + vr, 1e-4)
        agreed.append(Agreed(f, k, (x, y), min(va, vr), literal_gaussian(x, y, height, width)))
    return agreed


def literal_cross_type(
    heads: list[Tensor],
    embedding: Tensor,
    datasets: list[int],
    bank: Tensor,
    settings: PoseBHLosses,
    released: bool = False,
) -> Tensor:
    """The loss before its weight."""
    total, sizes = torch.zeros(()), [head.shape[1] for head in heads]
    for d, count in enumerate(sizes):
        first = sum(sizes[:d])
        foreign = [b for b, dataset in enumerate(datasets) if dataset != d]
        if not foreign:
            continue
        maps, emb = heads[d][foreign], embedding[foreign]
        by_prototypes = literal_heatmaps(emb, bank, first, count)
        agreed = literal_agreement(maps, by_prototypes, settings, released)
        samples = sorted({label.sample for label in agreed})
        truth, weights = torch.zeros_like(maps.detach()), torch.zeros(maps.shape[:2])
        for label in agreed:
            truth[label.sample, label.keypoint] = label.heatmap
            weights[label.sample, label.keypoint] = label.weight
        truth, weights = truth[samples], weights[samples]
        pixels, keypoint, confidence = pixels_of(emb[samples], truth * weights[..., None, None], settings.threshold)
        if not keypoint:
            continue
        found = literal_prototypes(pixels, keypoint, confidence, bank, first, count, settings, released)
        total = total + literal_joints_mse(maps[samples], truth, weights) + found.loss
        error = literal_joints_mse(by_prototypes[samples], truth, weights)
        total = total + settings.prototype_heatmap * error
    return total


def literal_clusters(
    bank: Tensor, count: int, iterations: int, released: bool = False
) -> tuple[Tensor, list[int], Tensor]:
    """Cluster prototypes (C, M, D), the keypoint of each, and the soft assignment (J M, C)."""
    keypoints, each, _ = bank.shape
    vectors = [bank[j, m] for j in range(keypoints) for m in range(each)]
    centers = torch.stack([vectors[each * c] for c in range(count)])

    def distances() -> Tensor:
        return torch.stack([torch.stack([(1 - torch.dot(x, unit(c))) / 2 for c in centers]) for x in vectors])

    for _ in range(iterations):
        distance = distances()
        share = torch.stack([torch.exp(-20 * row) / torch.exp(-20 * row).sum() for row in distance])
        centers = torch.stack(
            [sum(share[i, c] * x for i, x in enumerate(vectors)) / share[:, c].sum() for c in range(count)]
        )
    order = distances().argsort(dim=1 if released else 0)
    prototypes = torch.stack([torch.stack([vectors[order[m, c]] for m in range(each)]) for c in range(count)])
    return prototypes, [int(order[0, c]) // each for c in range(count)], share


def literal_cluster_loss(
    embedding: Tensor,
    datasets: list[int],
    truth: Tensor,
    weights: Tensor,
    clusters: Tensor,
    keypoint: list[int],
    sizes: list[int],
    settings: PoseBHLosses,
    released: bool = False,
) -> Tensor:
    """Weighted loss of all samples; as released, targets come by data set, maps in the order of the batch."""
    by_dataset = sorted(range(len(embedding)), key=lambda b: datasets[b])
    targets = torch.zeros(len(embedding), len(clusters), *embedding.shape[2:])
    scale = torch.zeros(len(embedding), len(clusters))
    for row, b in enumerate(by_dataset):
        first = sum(sizes[: datasets[b]])
        for c, k in enumerate(keypoint):
            if first <= k < first + sizes[datasets[b]]:
                targets[row, c], scale[row, c] = truth[b, k - first], weights[b, k - first]
    maps = literal_heatmaps(embedding if released else embedding[by_dataset], clusters, 0, len(clusters))
    error = literal_joints_mse(maps, targets, scale)
    pixels, chosen, confidence = pixels_of(embedding[by_dataset], targets, settings.threshold)
    if not chosen:
        return torch.zeros(())
    found = literal_prototypes(pixels, chosen, confidence, clusters, 0, len(clusters), settings)
    return settings.clusters * (found.loss + settings.prototype_heatmap * error)
