"""The whole method as one graph: uint8 images in, keypoints and scores out.

Torch inference runs it, the ONNX export traces it and evaluation uses it, so that no second decoder can drift away.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from everypose.single_stage.heatmaps import normalise
from everypose.single_stage.peaks import SMALLEST_CENTER_SCORE, find_peaks, smooth

STRIDE = 4


class SingleStageNetwork(Protocol):
    """What BoIR and CID offer to the graph; shapes as in their networks."""

    def features(self, images: Tensor) -> Tensor: ...  # noqa: D102

    def center_map(self, feature: Tensor) -> Tensor: ...  # noqa: D102

    def instance_heatmaps(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor: ...  # noqa: D102


class PoseGraph(nn.Module):
    """Normalisation, network, flip test and decoding of a batch of images.

    Args:
        network: BoIR or CID.
        flip_index: (K,) the keypoint that takes each keypoint's place in a mirrored image.
        pool: the window of the maps' smoothing, 3 (11 in the OCHuman experiments).
    """

    flip_index: Tensor

    def __init__(self, network: SingleStageNetwork, flip_index: Tensor, pool: int = 3) -> None:
        super().__init__()
        self.network = network
        self.pool = pool
        self.register_buffer("flip_index", flip_index, persistent=False)

    def forward(self, images: Tensor, mirrored: Tensor, min_score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find every person.

        Args:
            images: (B, H, W, 3) uint8 RGB, H and W multiples of 64.
            mirrored: (F,) of any type; F = 0 looks at the images only, F = 1 at their mirror images too (flip test).
            min_score: scalar; a person whose centre scores no more is not decoded: nobody scores more than their
                centre, so that whoever asks for people from a score on gets them all, sooner.

        Returns:
            keypoints (P, K, 3): x, y in pixels of ``images``, score; scores (P,); image_index (P,), ascending.
        """
        flips, count = mirrored.shape[0], images.shape[0]
        seen = torch.cat([images, images.flip(2)[: count * flips]])
        feature = self.network.features(normalise(seen))
        feature = torch.cat([feature[:count], feature[count:].flip(3)])
        centers = _mean_of_views(self.network.center_map(feature), count, flips)
        side = torch.scalar_tensor(centers.shape[-2] + centers.shape[-1]) / 2
        scores, yx = find_peaks(smooth(centers, self.pool), side)
        least = min_score.clamp(min=SMALLEST_CENTER_SCORE)
        image_index, rank = _at_least_one(scores > least).nonzero().unbind(1)
        center_scores, yx = scores[image_index, rank], yx[image_index, rank]
        people = image_index.shape[0]
        view = torch.cat([image_index, (image_index + count)[: people * flips]])
        heatmaps = self.network.instance_heatmaps(feature, view, torch.cat([yx, yx[: people * flips]]))
        heatmaps = torch.cat([heatmaps[:people], heatmaps[people:][:, self.flip_index]])
        keypoints = decode(smooth(_mean_of_views(heatmaps, people, flips), self.pool))
        keypoints = torch.cat([keypoints[..., :2], keypoints[..., 2:] * center_scores[:, None, None]], dim=-1)
        real = center_scores > least
        return keypoints[real], keypoints[..., 2].mean(1)[real], image_index[real]


def _at_least_one(found: Tensor) -> Tensor:
    """(B, N) bool with the very first always True: runtimes cannot decode nobody; the score gives it away later."""
    first = (
        torch.arange(found.shape[1], device=found.device) + torch.arange(found.shape[0], device=found.device)[:, None]
    )
    return found | (first == 0)


def _mean_of_views(maps: Tensor, count: int, flips: int) -> Tensor:
    """The mean of the first ``count`` maps and the last, which are the same ones without a flip test."""
    return (maps[:count] + maps[count * flips : count * flips + count]) / 2


def decode(heatmaps: Tensor) -> Tensor:
    """The highest pixel, moved a quarter of a pixel towards its larger neighbour on each axis.

    Args:
        heatmaps: (P, K, h, w), smoothed.

    Returns:
        (P, K, 3): x, y in input pixels (4 times the output pixels, plus 2), the map's value at the peak.
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(2)
    score, position = flat.max(dim=-1)
    x, y = position % width, position // width
    last = height * width - 1

    def towards_larger(step: int) -> Tensor:
        after = flat.gather(2, (position + step).clamp(max=last)[..., None])
        before = flat.gather(2, (position - step).clamp(min=0)[..., None])
        return (after - before)[..., 0].sign() / 4

    dx = torch.where((x > 0) & (x < width - 1), towards_larger(1), 0.0)
    dy = torch.where((y > 0) & (y < height - 1), towards_larger(width), 0.0)
    return torch.stack([STRIDE * (x + dx) + STRIDE / 2, STRIDE * (y + dy) + STRIDE / 2, score], dim=-1)
