"""The settings of the backbone. A module that registers a backbone imports nothing of ``everypose.methods``."""

from typing import ClassVar, Literal

from everypose.backbones.settings import BackboneSettings


class StridesSettings(BackboneSettings):
    """Two strided convolutions.

    Attributes:
        width: channels of the feature.
    """

    kind: Literal["strides"] = "strides"
    width: int = 16
    step: ClassVar[int] = 4
    builder: ClassVar[str] = "own_method.network:build_strides"
    crop_builder: ClassVar[str] = "own_method.network:build_strides"
