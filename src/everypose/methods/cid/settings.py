"""Settings of CID: its network, its losses, and its description for the table of methods. Nothing here needs torch."""

from typing import Literal

from pydantic import NonNegativeFloat

from everypose.core.settings import Channels, PositiveInt, Settings
from everypose.methods.method import Method, MethodTraining
from everypose.methods.single_stage.settings import RELEASED_DIVISOR, SingleStageNetworkSettings


class CIDSettings(SingleStageNetworkSettings):
    """CID; see :class:`everypose.methods.cid.network.CID`, which describes the sizes.

    >>> CIDSettings(instance=48).family
    'cid'
    """

    family: Literal["cid"] = "cid"
    instance: Channels = 32


class CIDLosses(Settings):
    """Weights of CID's losses.

    Attributes:
        multi_heatmap: focal loss of all people's keypoints and centers in one heatmap.
        single_heatmap: focal loss of each instance's own heatmaps.
        contrastive: contrastive loss of the instances' parameter vectors.
        divisor: the number that the losses are divided by, whatever the number of images in a step; 20 as released.

    >>> CIDLosses().contrastive, CIDLosses().divisor
    (1.0, 20)
    """

    multi_heatmap: NonNegativeFloat = 1.0
    single_heatmap: NonNegativeFloat = 4.0
    contrastive: NonNegativeFloat = 1.0
    divisor: PositiveInt = RELEASED_DIVISOR


class CIDTraining(MethodTraining):
    """The recipe sections that only CID has.

    >>> CIDTraining().losses.multi_heatmap
    1.0
    """

    losses: CIDLosses = CIDLosses()


METHOD = Method(CIDSettings, CIDTraining, "everypose.methods.cid.method:SPEC")
