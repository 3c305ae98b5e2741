"""A single-stage method as one graph: uint8 images in, keypoints and scores out.

Torch inference runs it, ONNX export traces it and evaluation uses it, so there is one decoder only.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from everypose.backbones.normalization import IMAGENET, Normalization, normalize
from everypose.methods.single_stage.attention_head import AttentionHead
from everypose.methods.single_stage.coarse_search import TILE, decode_tiles, tiles_around
from everypose.methods.single_stage.decoding import Decoder, Scoring, Search, decode, keypoint_score_factor
from everypose.methods.single_stage.int8_scopes import Int8Scopes
from everypose.methods.single_stage.losses import probabilities
from everypose.methods.single_stage.peaks import SMALLEST_CENTER_SCORE, find_peaks, smooth


@runtime_checkable
class SingleStageNetwork(Protocol):
    """What a single-stage network offers to the graph; shapes as in :class:`everypose.methods.cid.network.CID`.

    >>> from everypose.backbones.hrnet import HRNet
    >>> from everypose.methods.cid.network import CID
    >>> network = CID(HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1), keypoints=17, instance=4)
    >>> isinstance(network, SingleStageNetwork)
    True
    """

    @property
    def normalization(self) -> Normalization: ...  # noqa: D102

    @property
    def int8_scopes(self) -> Int8Scopes: ...  # noqa: D102

    @property
    def instance_head(self) -> AttentionHead: ...  # noqa: D102

    def features(self, images: Tensor) -> Tensor: ...  # noqa: D102

    def center_map(self, feature: Tensor) -> Tensor: ...  # noqa: D102

    def instance_heatmaps(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor: ...  # noqa: D102


class SearchSteps(NamedTuple):
    """The people of B images, and between which tensors they are searched; see :meth:`SingleStageGraph.forward`.

    Attributes:
        keypoints: (P, K, 3).
        scores: (P,).
        image_index: (P,).
        candidates: (B + F B, N, 2), centers y, x of N candidates in each image and mirrored image, output pixels.
        found: (B, N, K, 3), their keypoints.

    >>> steps = SearchSteps(*[torch.zeros(size) for size in ((2, 17, 3), (2,), (2,), (1, 4, 2), (1, 4, 17, 3))])
    >>> steps.keypoints.shape, steps.candidates.shape  # 2 people, of 4 candidates
    (torch.Size([2, 17, 3]), torch.Size([1, 4, 2]))
    """

    keypoints: Tensor
    scores: Tensor
    image_index: Tensor
    candidates: Tensor
    found: Tensor


class SingleStageGraph(nn.Module):
    """Normalization, network, flip augmentation and decoding of a batch of images.

    Args:
        network: BoIR or CID.
        flip_index: (K,), each keypoint's left or right twin, or itself.
        pool: window of the average pooling that smooths heatmaps: 3, or 11 in the OCHuman experiments.
        normalization: the input normalization that the network was trained with.
        decoder: sub-pixel refinement of a peak.
        scoring: which keypoints count for a person's score.
        search: full-resolution or coarse-to-fine search.

    >>> from everypose.backbones.hrnet import HRNet
    >>> from everypose.methods.cid.network import CID
    >>> network = CID(HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1), keypoints=2, instance=4).eval()
    >>> graph = SingleStageGraph(network, flip_index=torch.tensor([1, 0]))
    >>> images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    >>> keypoints, scores, image_index = graph(images, torch.zeros(1), torch.tensor(0.9))
    >>> keypoints.shape  # no center of this untrained network scores 0.9: no people
    torch.Size([0, 2, 3])
    """

    flip_index: Tensor

    def __init__(
        self,
        network: SingleStageNetwork,
        flip_index: Tensor,
        *,
        pool: int = 3,
        normalization: Normalization = IMAGENET,
        decoder: Decoder = "quarter",
        scoring: Scoring = "all",
        search: Search = "full",
    ) -> None:
        super().__init__()
        self.network = network
        self.pool = pool
        self.normalization = normalization
        self.decoder = decoder
        self.scoring = scoring
        self.search = search
        self.register_buffer("flip_index", flip_index, persistent=False)

    def forward(self, images: Tensor, mirrored: Tensor, min_score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find every person.

        Args:
            images: (B, H, W, 3) uint8 RGB, H and W 64 or more and multiples of what the backbone needs.
            mirrored: (F,) of any type; F = 1 for test-time flip augmentation, 0 for none.
            min_score: scalar; candidates whose center score is at or below this are not decoded. A person's score never
                exceeds the center score, so raising it saves time without losing detections above it.

        Returns:
            keypoints (P, K, 3): x, y in pixels of ``images``, score; scores (P,); image_index (P,), ascending.
        """
        return self.search_steps(images, mirrored, min_score)[:3]

    def search_steps(self, images: Tensor, mirrored: Tensor, min_score: Tensor) -> SearchSteps:
        """Find every person, and return what an exported loop over people starts and ends with, too."""
        flips, count = mirrored.shape[0], images.shape[0]
        seen = torch.cat([images, images[: count * flips].flip(2)])
        feature = self.network.features(normalize(seen, self.normalization))
        feature = torch.cat([feature[:count], feature[count:].flip(3)])
        centers = _mean_of_views(self.network.center_map(feature), count)
        side = torch.scalar_tensor(centers.shape[-2] + centers.shape[-1]) / 2
        scores, yx = find_peaks(smooth(centers, self.pool), side)
        least = min_score.clamp(min=SMALLEST_CENTER_SCORE)
        # Scores are sorted: all images get as many candidates as the image with the most.
        rank = _at_least_one((scores > least).any(0)).nonzero()[:, 0]
        scores, yx = scores[:, rank], yx[:, rank]
        mirrored_order = self.flip_index.expand(count, -1)[: count * flips]
        order = torch.cat([torch.arange(len(self.flip_index), device=yx.device).expand(count, -1), mirrored_order])
        find = self._full_search if self.search == "full" else self._coarse_search
        candidates = torch.cat([yx, yx[: count * flips]])
        found = find(feature, candidates, order, count)
        people = scores * keypoint_score_factor(found, self.scoring)
        keypoints = torch.cat([found[..., :2], found[..., 2:] * scores[..., None, None]], dim=-1)
        real = scores > least
        return SearchSteps(keypoints[real], people[real], real.nonzero()[:, 0], candidates, found)

    def _full_search(self, feature: Tensor, yx: Tensor, order: Tensor, count: int) -> Tensor:
        """Decode full-resolution heatmaps: (B, N, K, 3) for N candidates in each of B = ``count`` images."""
        heatmaps = self.network.instance_heatmaps(feature, yx, order)
        keypoints = decode(smooth(_mean_of_views(heatmaps.flatten(1, 2), count), self.pool), self.decoder)
        return torch.unflatten(keypoints, 1, (-1, order.shape[1]))

    def _coarse_search(self, feature: Tensor, yx: Tensor, order: Tensor, count: int) -> Tensor:
        """Decode nearly the same keypoints from coarse heatmaps and a tile around each peak."""
        head, number = self.network.instance_head, order.shape[1]
        people = head.encode_instances(feature, yx)
        coarse, norm = head.coarse_logits(people, order)
        coarse = _mean_of_views(probabilities(coarse).flatten(1, 2), count)
        height, width = feature.shape[-2:]
        pixels, corners = tiles_around(coarse, (height, width))
        of_views = torch.cat([pixels, pixels[: yx.shape[0] - count]])
        tiles = probabilities(
            head.logits_at_pixels(people, norm, order, of_views.reshape(yx.shape[0], -1, number, TILE * TILE))
        )
        tiles = _mean_of_views(tiles.reshape(yx.shape[0], -1, TILE, TILE), count)
        return torch.unflatten(decode_tiles(smooth(tiles, self.pool), corners, self.decoder), 1, (-1, number))


def _at_least_one(found: Tensor) -> Tensor:
    """Return the mask (N,) with its first value True, because runtimes cannot decode 0 people; dropped by its score."""
    return found | (torch.arange(found.shape[0], device=found.device) == 0)


def _mean_of_views(maps: Tensor, count: int) -> Tensor:
    """Average V views of B images: (V B, C, h, w), concatenated along axis 0, to (B, C, h, w).

    A matrix product: ONNX Runtime needs half of the time of a mean along a leading axis, or less.
    """
    channels, height, width = maps.shape[1:]
    views = maps.shape[0] // count
    share = torch.ones(1, views, device=maps.device) / views
    return (share @ maps.reshape(views, -1)).reshape(count, channels, height, width)
