"""Freezing the parts of PoseBH that are not trained in a phase."""

from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.settings import Phase


def freeze(network: PoseBH, phase: Phase) -> None:
    """Enable gradients only for the parts that are trained in ``phase``.

    The batch normalization of a frozen part still updates its statistics, and drop path still drops, as in the
    released training.

    >>> from everypose.backbones.vit import ViT
    >>> from everypose.methods.posebh.network import DataSet
    >>> from everypose.methods.posebh.settings import PhaseSchedule
    >>> network = PoseBH(ViT(width=16, depth=1, heads=2), [DataSet("mouse", 2)], embedding=8, channels=4)
    >>> freeze(network, PhaseSchedule().phase(0))
    >>> sorted({name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad})
    ['embedding']
    """
    network.backbone.requires_grad_(phase.backbone)
    network.heads.requires_grad_(phase.heads)
    if network.embedding is not None:
        network.embedding.requires_grad_(phase.embedding)
