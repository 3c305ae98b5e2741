"""Balanced assignment of pixels to the prototypes of their keypoint, by Sinkhorn's iteration.

As in SwAV (Caron et al., NeurIPS 2020), and for prototypes of classes in "Rethinking Semantic Segmentation: A Prototype
View" (Zhou et al., CVPR 2022), whose contrast and distance PoseBH's losses are, too.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SHARPNESS = 20.0
ITERATIONS = 3


class Assignment(NamedTuple):
    """Every pixel of a batch and its prototype; nothing here has a gradient.

    ``kept`` (B, h, w) bool, False for pixels that belong to no keypoint, whose other values mean nothing;
    ``confidence`` (B, h, w), the ground truth heatmap's value; ``keypoint`` (B, h, w), the keypoint whose heatmap is
    the highest there; ``prototype`` (B, h, w), M x keypoint + the prototype's number among the keypoint's own.
    """

    kept: Tensor
    confidence: Tensor
    keypoint: Tensor
    prototype: Tensor


@torch.no_grad()
def assign(similarity: Tensor, heatmaps: Tensor, threshold: float) -> Assignment:
    """Label the pixels by the ground truth and give each to one prototype of its keypoint.

    Where the released code adds noise to the plan before it decides, the most likely prototype is taken.

    Args:
        similarity: (B, K, M, h, w) of the pixels' embeddings with a data set's prototypes.
        heatmaps: (B, K, h, w), the ground truth of the same samples.
        threshold: pixels where no heatmap is higher are left out.
    """
    keypoints, count = similarity.shape[1:3]
    confidence, keypoint = heatmaps.max(1)
    kept = confidence > threshold
    index = keypoint[:, None, None].expand(-1, 1, count, -1, -1)
    own = similarity.gather(1, index).movedim(2, -1).flatten(0, -2)
    plan = sinkhorn(own, keypoint.flatten(), kept.flatten(), keypoints)
    return Assignment(kept, confidence, keypoint, keypoint * count + plan.argmax(1).view_as(keypoint))


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
    """
    plan = torch.exp(scores * SHARPNESS) * kept[:, None]
    smallest = torch.finfo(plan.dtype).tiny
    for _ in range(ITERATIONS):
        used = plan.new_zeros(keypoints, plan.shape[1]).index_add_(0, keypoint, plan)
        plan = plan / used.clamp(min=smallest)[keypoint]
        plan = plan / plan.sum(1, keepdim=True).clamp(min=smallest)
    return plan
