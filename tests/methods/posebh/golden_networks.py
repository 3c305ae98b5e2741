"""The golden tiny PoseBH and what was recorded of it."""

import numpy as np
import torch
from torch import Tensor

from everypose.backbones.vit import ViT
from everypose.core.renaming import Renaming
from everypose.methods.posebh.network import DataSet, PoseBH
from everypose.methods.posebh.prototypes import Prototypes
from everypose.methods.posebh.settings import PhaseSchedule
from everypose.methods.posebh.targets import Target, rows_by_dataset

SIZES = [3, 4]
DATASETS = [DataSet("a", 3), DataSet("b", 4)]
RENAMING = Renaming(
    (
        ("keypoint_head.", "heads.0."),
        ("associate_keypoint_heads.0.", "heads.1."),
        ("proto_head.kpt_prototype.prototypes", "prototypes.bank"),
        ("proto_head.", "embedding."),
    )
)


def tensors(vectors: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """The recorded arrays whose names begin with ``prefix``, without it; but for names and the clusters' prototypes."""
    return {
        name[len(prefix) :]: torch.from_numpy(array)
        for name, array in vectors.items()
        if name.startswith(prefix) and "cluster_prototype" not in name and array.dtype.kind != "U"
    }


def noise(vectors: dict[str, np.ndarray], prefix: str = "") -> list[Tensor]:
    """The recorded Gumbel noise in the order of its drawing."""
    count = sum(name.startswith(f"{prefix}gumbel_") for name in vectors)
    return [torch.from_numpy(vectors[f"{prefix}gumbel_{i}"]) for i in range(count)]


def tiny() -> PoseBH:
    """A network of the recorded sizes, with random weights."""
    return PoseBH(
        ViT(32, 2, 2, drop_path=0.0, image_size=(48, 64), experts=2, expert_part=8), DATASETS, embedding=8, channels=16
    )


def targets_of(datasets: list[int], truth: Tensor, weights: Tensor, sizes: list[int]) -> list[Target]:
    """The padded truth (B, Kmax, h, w) and weights (B, Kmax) of a batch, apart for each data set."""
    rows = rows_by_dataset(datasets, len(sizes))
    return [Target(own, truth[own, :count], weights[own, :count]) for own, count in zip(rows, sizes, strict=True)]


TRANSFER_TO_3DPW = PhaseSchedule(
    prototypes_until=15, embedding=False, heads_from=0, backbone_from=15, backbone_until=16, cross_type_from=None
)
TRANSFER_TO_INTERHAND = PhaseSchedule(
    prototypes_until=30, embedding=False, heads_from=0, backbone_from=30, cross_type_from=None
)


def bank_of(values: Tensor, sizes: list[int]) -> Prototypes:
    prototypes = Prototypes(sizes, *values.shape[1:])
    prototypes.bank.copy_(values)
    return prototypes


def maps_of(pixels: Tensor, keypoint: Tensor, confidence: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pixels (n, D) as one sample of a single row: embeddings (1, D, 1, n) and heatmaps (1, K, 1, n).

    Heatmaps are -1 but at the pixel's keypoint, so that every pixel is kept by a threshold of -0.5.
    """
    heat = torch.full((count, len(pixels)), -1.0).scatter(0, keypoint[None], confidence[None])
    return pixels.T[None, :, None], heat[None, :, None]
