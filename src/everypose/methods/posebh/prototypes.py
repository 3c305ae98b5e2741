"""Keypoint prototypes: a few unit vectors for every keypoint of every data set, all in one embedding space.

There is no table of joints that the skeletons share: keypoints that mean the same joint have similar prototypes.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.methods.posebh.sinkhorn import Assignment

SMALLEST, LARGEST = 1e-4, 1 - 1e-4


class Prototypes(nn.Module):
    """The prototypes of all keypoints: moving averages, without gradients, of the embeddings assigned to them.

    Args:
        keypoints: number of keypoints of each data set.
        per_keypoint: prototypes of a keypoint, M.
        size: length of an embedding, D.
    """

    bank: Tensor

    def __init__(self, keypoints: Sequence[int], per_keypoint: int = 3, size: int = 64) -> None:
        super().__init__()
        ends = list(accumulate(keypoints))
        self._rows = [slice(end - count, end) for end, count in zip(ends, keypoints, strict=True)]
        self.register_buffer("bank", F.normalize(torch.randn(ends[-1], per_keypoint, size), dim=-1))

    def of(self, dataset: int | None = None) -> Tensor:
        """Return unit prototypes (K, M, D) of a data set, or of all, concatenated along axis 0.

        >>> Prototypes([17, 14]).of(1).shape
        torch.Size([14, 3, 64])
        """
        rows = slice(None) if dataset is None else self._rows[dataset]
        return F.normalize(self.bank[rows].float(), dim=-1)

    def raw(self, dataset: int) -> Tensor:
        """Return the rows (K, M, D) of the bank of a data set, as they are stored."""
        return self.bank[self._rows[dataset]]

    def heatmaps(self, embedding: Tensor, dataset: int | None = None) -> Tensor:
        """Compute heatmaps (B, K, h, w) of a data set's keypoints, or of all, from embeddings (B, D, h, w)."""
        return prototype_heatmaps(similarity(embedding, self.of(dataset)))

    @torch.no_grad()
    def moved(
        self, dataset: int, embedding: Tensor, prototype: Tensor, *, weight: Tensor, momentum: float = 0.999
    ) -> Tensor:
        """Return the prototypes of a data set, moved towards the embeddings assigned to them: (K, M, D).

        Args:
            dataset: index of the data set.
            embedding: (B, D, h, w) of its samples.
            prototype: (B, h, w), the prototype of each pixel, numbered within the data set.
            weight: (B, h, w), weight of each pixel; prototypes without weight do not move.
            momentum: share of a prototype that is kept.
        """
        own = self.of(dataset)
        pixels = F.normalize(embedding.float(), dim=1).movedim(1, -1).flatten(0, -2)
        slots, weights = prototype.flatten(), weight.float().flatten()
        flat = own.flatten(0, 1)
        pulled = torch.zeros_like(flat).index_add_(0, slots, weights[:, None] * pixels)
        used = flat.new_zeros(len(flat)).index_add_(0, slots, weights) > 0
        moved = momentum * flat + (1 - momentum) * F.normalize(pulled, dim=-1)
        return F.normalize(torch.where(used[:, None], moved, flat), dim=-1).view_as(own)

    def with_bank(self, bank: Tensor) -> "Prototypes":
        """Return prototypes of the same keypoints with another bank."""
        with torch.device("meta"):
            other = Prototypes([rows.stop - rows.start for rows in self._rows], *self.bank.shape[1:])
        other.bank = bank
        return other


def mean_over_processes(bank: Tensor) -> Tensor:
    """Return the mean of a bank over all training processes; every process must call it.

    >>> mean_over_processes(torch.ones(17, 3, 8)).shape  # unchanged in a single process
    torch.Size([17, 3, 8])
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        bank = bank.clone()
        torch.distributed.all_reduce(bank)
        bank /= torch.distributed.get_world_size()
    return bank


def similarity(embedding: Tensor, prototypes: Tensor) -> Tensor:
    """Compute absolute cosines (B, K, M, h, w) of embeddings (B, D, h, w) with unit prototypes (K, M, D).

    >>> embedding, prototypes = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), torch.eye(2)[None]
    >>> similarity(embedding, prototypes).flatten().tolist()
    [1.0, 0.0]
    """
    pixels = F.normalize(embedding.float(), dim=1).flatten(2)
    cosine = prototypes.flatten(0, 1) @ pixels
    return cosine.abs().view(-1, *prototypes.shape[:2], *embedding.shape[2:])


def prototype_heatmaps(similarity: Tensor) -> Tensor:
    """Take the similarity with each keypoint's nearest prototype: (B, K, M, h, w) to (B, K, h, w).

    >>> prototype_heatmaps(torch.rand(1, 17, 3, 16, 12)).shape
    torch.Size([1, 17, 16, 12])
    """
    return similarity.amax(2).clamp(SMALLEST, LARGEST)


def recognized(similarity: Tensor, assignment: Assignment) -> Tensor:
    """Find kept pixels (B, h, w) whose nearest prototype of the data set belongs to their own keypoint.

    >>> from everypose.methods.posebh.sinkhorn import assign
    >>> alike = torch.tensor([0.9, 0.2]).view(1, 2, 1, 1, 1)  # a pixel with one prototype of each of two keypoints
    >>> heatmaps = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)  # it belongs to the first
    >>> recognized(alike, assign(alike, heatmaps, threshold=0.0)).tolist()
    [[[True]]]
    """
    return assignment.kept & (similarity.amax(2).argmax(1) == assignment.keypoint)
