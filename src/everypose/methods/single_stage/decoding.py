"""Decoding of heatmaps to keypoints: the highest pixel, and a sub-pixel refinement."""

from typing import Literal

import torch
from torch import Tensor

Decoder = Literal["quarter", "parabola"]
Scoring = Literal["all", "found"]
Search = Literal["full", "coarse"]
"""Full-resolution search, or coarse-to-fine search: every second pixel, then all pixels around the peaks.

The results can differ: of two peaks of similar height, a quarter of the pixels may prefer the other, and BoIR's norm
takes its mean and variance from these pixels. They differ more in smaller images.
"""
STRIDE = 4
CONFIDENT = 0.2
"""Keypoints with a higher score count as found, as in top-down evaluations on COCO."""
HALF_AREA = 48.0**2
"""Area in square input pixels at which the area factor of a person's score is one half."""
FAR = 1e5
"""A coordinate beyond all pixels."""
FLAT = 1e-12
"""Curvature of three values that is only rounding noise."""


def decode(heatmaps: Tensor, decoder: Decoder = "quarter") -> Tensor:
    """Find the highest pixel, and refine it on each axis unless it is at the border.

    ``quarter`` moves it by a quarter of a pixel towards its larger neighbor, as BoIR and CID do; ``parabola`` to the
    vertex of the parabola through it and both neighbors, by half a pixel at most.

    Args:
        heatmaps: (P, K, h, w), smoothed.
        decoder: the refinement.

    Returns:
        (P, K, 3): x, y in input pixels (4 times the output pixels, plus 2), the map's value at the peak.

    >>> heatmaps = torch.zeros(1, 1, 8, 8)
    >>> heatmaps[0, 0, 3, 4], heatmaps[0, 0, 3, 5] = 1.0, 0.5
    >>> decode(heatmaps).tolist()  # 4 x (4 + 0.25) + 2, 4 x 3 + 2 without a larger neighbor in y
    [[[19.0, 14.0, 1.0]]]
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(2)
    position = flat.argmax(dim=-1)
    score = flat.gather(2, position[..., None])[..., 0]
    x, y = position % width, position // width
    last = height * width - 1

    def move(step: int) -> Tensor:
        after = flat.gather(2, (position + step).clamp(max=last)[..., None])[..., 0]
        before = flat.gather(2, (position - step).clamp(min=0)[..., None])[..., 0]
        if decoder == "quarter":
            return (after - before).sign() / 4
        return (after - before) / (2 * (2 * score - after - before).clamp(min=FLAT))

    dx = torch.where((x > 0) & (x < width - 1), move(1), 0.0)
    dy = torch.where((y > 0) & (y < height - 1), move(width), 0.0)
    return torch.stack([STRIDE * (x + dx) + STRIDE / 2, STRIDE * (y + dy) + STRIDE / 2, score], dim=-1)


def keypoint_score_factor(keypoints: Tensor, scoring: Scoring = "all") -> Tensor:
    """Compute the factor that multiplies the center score to give the person score: (..., K, 3) to (...).

    ``all``: the mean score of all keypoints, as in BoIR and CID. ``found``: the mean score of keypoints above
    `CONFIDENT`, so that hidden keypoints do not lower it, times A / (A + `HALF_AREA`) with the area A of the box around
    them, because errors of some pixels matter more for small people. It is 0 without such keypoints.

    >>> float(keypoint_score_factor(torch.tensor([[0.0, 0.0, 0.5], [96.0, 48.0, 0.7]])))
    0.6000000238418579
    """
    place, confidence = keypoints[..., :2], keypoints[..., 2]
    if scoring == "all":
        return confidence.mean(-1)
    found = confidence > CONFIDENT
    low = torch.where(found[..., None], place, FAR).amin(-2)
    high = torch.where(found[..., None], place, -FAR).amax(-2)
    area = (high - low).clamp(min=0).prod(-1)
    counted = found.to(confidence)
    return (confidence * counted).sum(-1) / counted.sum(-1).clamp(min=1) * area / (area + HALF_AREA)
