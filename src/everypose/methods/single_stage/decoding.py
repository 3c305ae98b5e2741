"""From a person's heatmaps to keypoints: the highest pixel, and where between the pixels the peak lies."""

from typing import Literal

import torch
from torch import Tensor

Decoder = Literal["quarter", "parabola"]
Scoring = Literal["all", "found"]
Search = Literal["full", "coarse"]
"""Where a person's keypoints are looked for: on the whole map; or at every second pixel, then around what was found.

The second is not always the same: where a map has two peaks as high, a quarter of the pixels may prefer the other, and
BoIR's norm takes its mean and spread from these pixels. It is the less the same the smaller the image.
"""
STRIDE = 4
CONFIDENT = 0.2
"""The value of a map from which on a keypoint counts as found: that of COCO's top-down evaluations."""
HALF_AREA = 48.0**2
"""Square pixels of a network's input: a person whose keypoints cover so much scores half as much as a large one."""
FAR = 1e5
"""Farther away than any pixel."""
FLAT = 1e-12
"""A bend of three values that is no more than rounding: their middle is the peak."""


def decode(heatmaps: Tensor, decoder: Decoder = "quarter") -> Tensor:
    """Locate each heatmap's maximum with sub-pixel refinement on each axis, except at the border.

    ``quarter`` moves it a quarter of a pixel towards its larger neighbour, as BoIR and CID do; ``parabola`` to the
    vertex of the parabola through it and both neighbours, half a pixel at most.

    Args:
        heatmaps: (P, K, h, w), smoothed.
        decoder: see above.

    Returns:
        (P, K, 3): x, y in input pixels (4 times the output pixels, plus 2), the map's value at the peak.
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


def certainty(keypoints: Tensor, scoring: Scoring = "all") -> Tensor:
    """The keypoint factor of a person's score: keypoints (..., K, 3) in input pixels to (...).

    The person's score is this times the center score. ``all``: the mean confidence of all keypoints, as in BoIR and
    CID. ``found``: the mean over keypoints above `CONFIDENT`, so that hidden keypoints and those outside the image do
    not lower the score, times A / (A + `HALF_AREA`) with A the area of the box around them, because errors of a few
    pixels are large relative to a small person; 0 without such keypoints.
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
