"""Settings of MIPNet: network, training samples, and the description for the table of methods; without torch."""

from functools import partial
from typing import Literal, Self

from pydantic import PositiveFloat, model_validator

from everypose.backbones.settings import HRNetSettings, MIPNetBackbone
from everypose.core.settings import Channels, PositiveInt
from everypose.methods.method import Method
from everypose.methods.mipnet.assignment import Rule, box_people, present_people
from everypose.methods.top_down.settings import (
    CropTrainingSettings,
    PeopleRule,
    TopDownNetworkSettings,
    TopDownTraining,
)

Placement = Literal["released", "stage-ends"]
"""Where the four sites are; see :class:`everypose.methods.mipnet.network.MIPNet`."""


class MIPNetSettings(TopDownNetworkSettings):
    """MIPNet; see :class:`everypose.methods.mipnet.network.MIPNet`.

    Attributes:
        deconv: channels of the transposed convolutions of a ResNet; an HRNet has none.
        sites: which of the backbone's four sites have modulation blocks.
        instances: how many people the network finds in one crop, N.
        gain: factor of the modulation blocks' gates; with 4, the blocks of a pretrained network start as the identity.
        placement: where the sites are: as released, or at the ends of HRNet's stages 1 to 4, as in the paper's text.

    >>> MIPNetSettings(instances=3).sites
    (False, False, True, True)
    """

    family: Literal["mipnet"] = "mipnet"
    backbone: MIPNetBackbone = HRNetSettings()
    deconv: Channels = 256
    sites: tuple[bool, bool, bool, bool] = (False, False, True, True)
    instances: PositiveInt = 2
    gain: PositiveFloat = 1.0
    placement: Placement = "released"

    @model_validator(mode="after")
    def _only_hrnet_has_stage_ends(self) -> Self:
        if self.placement == "stage-ends" and self.backbone.kind != "hrnet":
            raise ValueError(f"placement stage-ends is for hrnet: with {self.backbone.kind} give released")
        return self

    @property
    def people_per_crop(self) -> int:
        """How many people the network finds in one crop, N."""
        return self.instances


class MIPNetCropSettings(CropTrainingSettings):
    """MIPNet's training samples.

    Attributes:
        others: which other people of a crop are predicted; the paper's numbers are those of the released rule.

    >>> MIPNetCropSettings().people_rule(2).drop_outside
    True
    """

    others: Rule = "released"

    def people_rule(self, people: int) -> PeopleRule:
        """Return the rule for N = ``people`` people to a crop."""
        return PeopleRule(
            drop_outside=True,
            choose=partial(box_people, instances=people, rule=self.others),
            replace_absent=present_people if self.others == "released" else None,
        )


class MIPNetTraining(TopDownTraining):
    """The recipe sections of MIPNet.

    >>> MIPNetTraining().crops.others
    'released'
    """

    crops: MIPNetCropSettings = MIPNetCropSettings()


METHOD = Method(MIPNetSettings, MIPNetTraining, "everypose.methods.mipnet.method:SPEC")
