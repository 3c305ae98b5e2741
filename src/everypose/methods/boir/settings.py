"""Settings of BoIR: its network, its losses, and its description for the table of methods. Nothing here needs torch."""

from typing import Literal, Self

from pydantic import NonNegativeFloat

from everypose.core.settings import Channels, Count, PositiveInt, Settings
from everypose.methods.method import Method, MethodTraining, NetworkSettings
from everypose.methods.single_stage.settings import RELEASED_DIVISOR, SingleStageNetworkSettings

Background = Literal["instance", "image", "both"]
"""What the Bbox Mask Loss pushes instances away from; see :mod:`everypose.methods.boir.bbox_mask_loss`."""


class BoIRSettings(SingleStageNetworkSettings):
    """BoIR; see :class:`everypose.methods.boir.network.BoIR`, which describes the sizes.

    >>> BoIRSettings().for_inference().auxiliary
    False
    """

    family: Literal["boir"] = "boir"
    instance: Channels = 64
    neck_squeeze: Count = 0
    neck_branch: Channels = 128
    neck: Channels = 256
    head: Channels = 128
    embedding: Channels = 128
    auxiliary: bool = True

    def for_inference(self) -> Self:
        """Return the settings without the auxiliary heads."""
        return self.model_copy(update={"auxiliary": False})


class BoIRLosses(Settings):
    """Weights of BoIR's losses.

    Attributes:
        multi_heatmap: focal loss of all people's keypoints and centers in one heatmap.
        single_heatmap: focal loss of each instance's own heatmaps.
        bbox: CIoU loss of the boxes.
        bbox_mask: Bbox Mask Loss of the embeddings.
        background: what the Bbox Mask Loss pushes instances away from.
        offset: an additional loss for small backbones, see :mod:`everypose.methods.boir.offset_loss`; not in the paper.
        divisor: the number that the paper's losses are divided by, whatever the images in a step; 20 as released.

    >>> BoIRLosses(background="image").single_heatmap
    4.0
    """

    multi_heatmap: NonNegativeFloat = 1.0
    single_heatmap: NonNegativeFloat = 4.0
    bbox: NonNegativeFloat = 0.25
    bbox_mask: NonNegativeFloat = 0.25
    background: Background = "both"
    offset: NonNegativeFloat = 0.0
    divisor: PositiveInt = RELEASED_DIVISOR


class BoIRTraining(MethodTraining):
    """The recipe sections that only BoIR has.

    >>> BoIRTraining().losses.bbox_mask
    0.25
    """

    losses: BoIRLosses = BoIRLosses()

    def unfit(self, network: NetworkSettings) -> str | None:
        """Return why the offset loss cannot be used, if the backbone does not predict offsets."""
        if not self.losses.offset or network.backbone.predicts_offsets:
            return None
        return f"losses.offset is for boir on openpose-light: give 0 with {network.family} on {network.backbone.kind}"


METHOD = Method(BoIRSettings, BoIRTraining, "everypose.methods.boir.method:SPEC")
