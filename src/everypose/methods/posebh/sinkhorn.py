"""Balanced assignment of pixels to the prototypes of their keypoint, by Sinkhorn's iteration.

As in SwAV (Caron et al., NeurIPS 2020), and for prototypes of classes in "Rethinking Semantic Segmentation: A Prototype
View" (Zhou et al., CVPR 2022), which also has PoseBH's contrast and distance losses.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from everypose.methods.posebh.settings import AssignmentRule

SHARPNESS = 20.0
ITERATIONS = 3


class Assignment(NamedTuple):
    """The prototype that each pixel of a batch is assigned to; without gradients.

    ``kept`` (B, h, w) bool, False for pixels that belong to no keypoint, whose other values are meaningless;
    ``confidence`` (B, h, w), the ground truth heatmap's value; ``keypoint`` (B, h, w), the keypoint whose heatmap is
    the highest there; ``prototype`` (B, h, w), M x keypoint + the number of the likeliest prototype among the
    keypoint's own; ``plan`` (B, h, w, M), the probability of each of these.

    >>> alike = torch.rand(1, 2, 3, 4, 4)  # of 4 x 4 pixels with 3 prototypes of each of 2 keypoints
    >>> pixels = assign(alike, torch.ones(1, 2, 4, 4), threshold=0.0)
    >>> pixels.prototype.shape, pixels.plan.shape
    (torch.Size([1, 4, 4]), torch.Size([1, 4, 4, 3]))
    """

    kept: Tensor
    confidence: Tensor
    keypoint: Tensor
    prototype: Tensor
    plan: Tensor


@torch.no_grad()
def assign(similarity: Tensor, heatmaps: Tensor, threshold: float) -> Assignment:
    """Label the pixels by the ground truth and give each to the likeliest prototype of its keypoint.

    Args:
        similarity: (B, K, M, h, w) of the pixels' embeddings with a data set's prototypes.
        heatmaps: (B, K, h, w), the ground truth of the same samples.
        threshold: pixels where no heatmap is higher are left out.

    >>> alike = torch.tensor([[0.9, 0.1], [0.3, 0.2]]).view(1, 2, 2, 1, 1)  # a pixel, 2 prototypes of 2 keypoints each
    >>> pixels = assign(alike, torch.tensor([0.0, 0.7]).view(1, 2, 1, 1), threshold=0.0)
    >>> pixels.keypoint.item(), pixels.prototype.item()  # of the second keypoint, hence prototype 2 or 3
    (1, 2)
    """
    keypoints, count = similarity.shape[1:3]
    confidence, keypoint = heatmaps.max(1)
    kept = confidence > threshold
    index = keypoint[:, None, None].expand(-1, 1, count, -1, -1)
    own = similarity.gather(1, index).movedim(2, -1).flatten(0, -2)
    plan = sinkhorn(own, keypoint.flatten(), kept.flatten(), keypoints).view(*keypoint.shape, count)
    return Assignment(kept, confidence, keypoint, keypoint * count + plan.argmax(-1), plan)


@torch.no_grad()
def moving_prototypes(assignment: Assignment, rule: AssignmentRule, noise: Tensor) -> Tensor:
    """Choose the prototype that each pixel moves: the likeliest one, or one drawn at random.

    Adding standard Gumbel noise to logarithms of probabilities and taking the largest draws by these probabilities. The
    released code adds it to the probabilities themselves, which draws in proportion to exp(probability): a pixel that
    belongs to one of three prototypes for certain moves it in 58 % of the draws.

    Args:
        assignment: of a data set's samples.
        rule: how to choose.
        noise: (B, h, w, M) standard Gumbel noise; not used by the rule ``likeliest``.

    Returns:
        (B, h, w), numbered as ``assignment.prototype``.

    Example:
        >>> plan = torch.tensor([[[[0.9, 0.1]]]])
        >>> keypoint = torch.tensor([[[3]]])
        >>> assignment = Assignment(keypoint > 0, keypoint / 3, keypoint, 2 * keypoint, plan)
        >>> noise = torch.tensor([[[[0.0, 1.0]]]])
        >>> moving_prototypes(assignment, "gumbel", noise).item()  # log 0.9 + 0 is above log 0.1 + 1
        6
        >>> moving_prototypes(assignment, "gumbel-released", noise).item()  # 0.9 + 0 is below 0.1 + 1
        7
    """
    if rule == "likeliest":
        return assignment.prototype
    plan = assignment.plan.log() if rule == "gumbel" else assignment.plan
    return assignment.keypoint * plan.shape[-1] + (plan + noise).argmax(-1)


def gumbel_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard Gumbel noise of the shape and on the device of a tensor, on the CPU, which all devices share.

    >>> gumbel_noise(torch.zeros(2, 3), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3])
    """
    exponential = torch.empty(like.shape).exponential_(generator=generator)
    return -exponential.log().to(like.device)


def sinkhorn(scores: Tensor, keypoint: Tensor, kept: Tensor, keypoints: int) -> Tensor:
    """Assign the pixels of each keypoint to its prototypes: by similarity, with all prototypes used equally.

    All keypoints at once. Constant factors of a keypoint are left out: the next normalization would cancel them.

    Args:
        scores: (N, M) similarity of a pixel with the prototypes of its own keypoint.
        keypoint: (N,), each pixel's keypoint.
        kept: (N,) bool; other pixels take no part.
        keypoints: number of keypoints.

    Returns:
        (N, M): each kept pixel's row sums to 1, the others are 0. The columns of a keypoint are nearly equal.

    >>> scores = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    >>> plan = sinkhorn(scores, torch.tensor([0, 0]), torch.tensor([True, True]), keypoints=1)
    >>> plan.argmax(dim=1).tolist()  # both prototypes are used, although the first is nearer to both pixels
    [0, 1]
    """
    plan = torch.exp(scores * SHARPNESS) * kept[:, None]
    smallest = torch.finfo(plan.dtype).tiny
    for _ in range(ITERATIONS):
        used = plan.new_zeros(keypoints, plan.shape[1]).index_add_(0, keypoint, plan)
        plan = plan / used.clamp(min=smallest)[keypoint]
        plan = plan / plan.sum(1, keepdim=True).clamp(min=smallest)
    return plan
