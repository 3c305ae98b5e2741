"""Settings of ViTPose, and its description for the table of methods. Nothing here needs torch."""

from typing import Literal

from everypose.backbones.settings import OnnxBackboneSettings, ViTSettings
from everypose.core.settings import Channels
from everypose.methods.method import Method
from everypose.methods.top_down.settings import TopDownNetworkSettings, TopDownTraining

DecoderKind = Literal["classic", "simple"]
"""The decoders of the paper (Section 3.1): two transposed convolutions, or a bilinear upsampling by 4."""


class ViTPoseSettings(TopDownNetworkSettings):
    """ViTPose; see :class:`everypose.methods.vitpose.network.ViTPose`.

    Attributes:
        channels: channels of the classic decoder's transposed convolutions.
        decoder: what turns the feature into heatmaps.

    >>> ViTPoseSettings(decoder="simple").channels
    256
    """

    family: Literal["vitpose"] = "vitpose"
    backbone: ViTSettings = ViTSettings()
    channels: Channels = 256
    decoder: DecoderKind = "classic"


class EasyViTPoseSettings(TopDownNetworkSettings):
    """A ViTPose in an ONNX file whose output are heatmaps, as easy_ViTPose publishes them.

    >>> EasyViTPoseSettings().family
    'easy-vitpose'
    """

    family: Literal["easy-vitpose"] = "easy-vitpose"
    backbone: OnnxBackboneSettings = OnnxBackboneSettings()


METHOD = Method(ViTPoseSettings, TopDownTraining, "everypose.methods.vitpose.method:SPEC")
