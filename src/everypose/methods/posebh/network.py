"""PoseBH's network: one vision transformer for all data sets, a heatmap head for each, an embedding for every pixel.

Without the embedding branch it is ViTPose++ (experts and heads; Xu et al., TPAMI 2023), without experts as well the
multi-task ViTPose.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from everypose.backbones.vit import ViT
from everypose.errors import UsageError
from everypose.methods.posebh.embedding import EmbeddingBranch
from everypose.methods.posebh.prototypes import Prototypes
from everypose.methods.vitpose.network import HeatmapHead, ViTPose


class DataSet(NamedTuple):
    """A data set's name and the size of its skeleton.

    >>> DataSet("ap10k", keypoints=17).name
    'ap10k'
    """

    name: str
    keypoints: int


class PoseBHOutputs(NamedTuple):
    """Inputs of the losses: heatmaps (B, K, h, w) of every head for all samples, and embeddings (B, D, h, w).

    >>> import torch
    >>> coco, hands = torch.zeros(1, 17, 16, 12), torch.zeros(1, 21, 16, 12)
    >>> [head.shape[1] for head in PoseBHOutputs(heatmaps=(coco, hands), embedding=None).heatmaps]
    [17, 21]
    """

    heatmaps: tuple[Tensor, ...]
    embedding: Tensor | None


class PoseBH(nn.Module):
    """One network for several data sets with different skeletons.

    Args:
        backbone: with an expert for each data set, or with none.
        datasets: the data sets in the order of their experts.
        embedding: length of a pixel's embedding; 0 for a network without embeddings and prototypes.
        prototypes: prototypes of a keypoint.
        channels: inner channels of the heads and of the embedding branch.

    Raises:
        UsageError: if two data sets have one name, one has no keypoints, or experts and data sets do not match.

    >>> import torch
    >>> from everypose.backbones.vit import ViT
    >>> backbone = ViT(width=16, depth=1, heads=2, image_size=(48, 64), experts=2, expert_part=4)
    >>> network = PoseBH(backbone, [DataSet("coco", 17), DataSet("hands", 21)], embedding=8, channels=4).eval()
    >>> outputs = network(torch.zeros(1, 3, 64, 48), dataset=torch.tensor([0]))
    >>> [heatmaps.shape for heatmaps in outputs.heatmaps], outputs.embedding.shape
    ([torch.Size([1, 17, 16, 12]), torch.Size([1, 21, 16, 12])], torch.Size([1, 8, 16, 12]))
    """

    def __init__(
        self,
        backbone: ViT,
        datasets: Sequence[DataSet],
        embedding: int = 64,
        prototypes: int = 3,
        channels: int = 256,
    ) -> None:
        super().__init__()
        _check(datasets, backbone.experts)
        inputs = backbone.channels
        self.datasets = tuple(datasets)
        self.backbone = backbone
        self.heads = nn.ModuleList(HeatmapHead(inputs, own.keypoints, channels) for own in datasets)
        self.embedding = EmbeddingBranch(inputs, embedding, channels) if embedding else None
        sizes = [own.keypoints for own in datasets]
        self.prototypes = Prototypes(sizes, prototypes, embedding) if embedding else None

    def forward(self, images: Tensor, dataset: Tensor) -> PoseBHOutputs:
        """All outputs that training needs.

        Args:
            images: (B, 3, H, W), normalized; the data sets may be mixed.
            dataset: (B,), the number of each sample's data set.
        """
        feature = self.backbone(images, dataset)
        return PoseBHOutputs(
            heatmaps=tuple(head(feature) for head in self.heads),
            embedding=None if self.embedding is None else self.embedding(feature),
        )

    def index_of(self, name: str) -> int:
        """The number of the data set of that name.

        Raises:
            UsageError: if there is none.
        """
        names = [own.name for own in self.datasets]
        if name not in names:
            raise UsageError(f"the network has no data set named {name!r}; it has {', '.join(names)}")
        return names.index(name)

    def head_of(self, name: str) -> HeatmapHead:
        """The heatmap head of the data set of that name."""
        head = self.heads[self.index_of(name)]
        assert isinstance(head, HeatmapHead)
        return head

    def merged(self, name: str) -> ViTPose:
        """The plain ViTPose that gives what this network gives for a data set; it shares the weights."""
        plain = ViTPose(self.backbone.merged(self.index_of(name)), self.head_of(name))
        return plain.train(self.training)

    def by_prototypes(self, name: str, skeleton: str | None = None) -> "PrototypePose":
        """The network that finds keypoints by prototypes, for samples like those of the data set ``name``.

        Args:
            name: the data set whose expert is used.
            skeleton: the data set whose keypoints are wanted; None for those of all, one set after the other.

        Raises:
            UsageError: if a name is unknown, or the network has no prototypes.
        """
        if self.embedding is None or self.prototypes is None:
            raise UsageError("this network has no prototypes: it is a ViTPose++, not a PoseBH")
        wanted = None if skeleton is None else self.index_of(skeleton)
        plain = PrototypePose(self.backbone.merged(self.index_of(name)), self.embedding, self.prototypes, wanted)
        return plain.train(self.training)


class PrototypePose(nn.Module):
    """Keypoints where a pixel's embedding is near a prototype: of any skeleton, and of all from one pass.

    >>> import torch
    >>> from everypose.backbones.vit import ViT
    >>> backbone = ViT(width=16, depth=1, heads=2, image_size=(48, 64))
    >>> branch, prototypes = EmbeddingBranch(16, size=8, channels=4), Prototypes([17, 21], size=8)
    >>> network = PrototypePose(backbone, branch, prototypes, skeleton=None).eval()
    >>> network.heatmaps(torch.zeros(1, 3, 64, 48)).shape  # the keypoints of both skeletons
    torch.Size([1, 1, 38, 16, 12])
    """

    def __init__(self, backbone: ViT, embedding: EmbeddingBranch, prototypes: Prototypes, skeleton: int | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.embedding = embedding
        self.prototypes = prototypes
        self.skeleton = skeleton

    def heatmaps(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) to heatmaps (B, 1, K, H/4, W/4) of the one person of each crop."""
        embedding = self.embedding(self.backbone(images))
        return self.prototypes.heatmaps(embedding, self.skeleton)[:, None]


def _check(datasets: Sequence[DataSet], experts: int) -> None:
    names = [own.name for own in datasets]
    if not names:
        raise UsageError("a network needs at least one data set")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two data sets are named {min(twice)}: give each its own name")
    if empty := [own.name for own in datasets if own.keypoints < 1]:
        raise UsageError(f"the data set {empty[0]} has no keypoints")
    if experts not in (0, len(names)):
        raise UsageError(f"the backbone has {experts} experts for {len(names)} data sets ({', '.join(names)})")
