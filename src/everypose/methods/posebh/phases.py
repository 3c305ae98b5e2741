"""Which part of PoseBH learns when: a pure function of the epoch, so that resuming a run cannot change it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from everypose.methods.posebh.network import PoseBH


class Phase(NamedTuple):
    """What happens in an epoch; ``prototypes`` are moved, the next three trained, the last two losses that are on."""

    prototypes: bool
    embedding: bool
    heads: bool
    backbone: bool
    cross_type: bool
    clusters: bool


@dataclass(frozen=True)
class Schedule:
    """The epochs, counted from 0, at whose start parts begin (``from``) or cease (``until``) to learn; None for never.

    The defaults are those of the published training on six data sets, with the backbone thawed at the end, as it was
    meant to be. ``TRANSFER_TO_3DPW`` and ``TRANSFER_TO_INTERHAND`` are the published transfers.
    """

    prototypes_until: int | None = 50
    embedding: bool = True
    heads_from: int = 50
    backbone_from: int | None = 90
    backbone_until: int | None = None
    cross_type_from: int | None = 50
    clusters_from: int | None = None

    def phase(self, epoch: float) -> Phase:
        """What happens at a time of the run, in epochs."""

        def begun(start: int | None) -> bool:
            # An epoch worked out of steps may miss its beginning by a rounding error.
            return start is not None and epoch > start - 1e-6

        return Phase(
            prototypes=not begun(self.prototypes_until),
            embedding=self.embedding,
            heads=begun(self.heads_from),
            backbone=begun(self.backbone_from) and not begun(self.backbone_until),
            cross_type=begun(self.cross_type_from),
            clusters=begun(self.clusters_from),
        )


TRANSFER_TO_3DPW = Schedule(
    prototypes_until=15, embedding=False, heads_from=0, backbone_from=15, backbone_until=16, cross_type_from=None
)
TRANSFER_TO_INTERHAND = Schedule(
    prototypes_until=30, embedding=False, heads_from=0, backbone_from=30, cross_type_from=None
)


def freeze(network: "PoseBH", phase: Phase) -> None:
    """Let the gradient reach the parts that learn in ``phase`` only.

    Batch normalisation of a frozen part still follows the data, and drop path still drops, as in the released training.
    """
    network.backbone.requires_grad_(phase.backbone)
    network.heads.requires_grad_(phase.heads)
    if network.embedding is not None:
        network.embedding.requires_grad_(phase.embedding)
