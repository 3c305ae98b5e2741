"""The torch-free description of a method, and the bases of its settings."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from everypose.backbones.settings import BackboneSettings
from everypose.core.settings import Settings

ALL_SKELETONS = "all"
"""The name that asks a network for the keypoints of all its skeletons."""
Task = Literal["single-stage", "top-down", "mixture", "refinement", "fixed-input"]
"""What a network takes: whole images; crops of one data set; crops of several data sets and skeletons; crops
and poses that are to be refined; whole images at one size.

The first and the last find people by themselves. The next two are top-down models: they take a box for each person. A
refinement model takes the poses of another model.
"""


class NetworkSettings(Settings):
    """Base of the settings of every network.

    Attributes:
        family: the method's name in recipes and configurations; each subclass narrows it to one value.
        backbone: the backbone's settings; each subclass narrows them to the backbones that it can use.
        task: what the network is trained on.

    >>> from everypose.methods.boir.settings import BoIRSettings
    >>> isinstance(BoIRSettings(), NetworkSettings), BoIRSettings().family, BoIRSettings.task
    (True, 'boir', 'single-stage')
    """

    family: str
    backbone: BackboneSettings
    task: ClassVar[Task]

    def for_inference(self) -> Self:
        """Return the settings of the network without what only training needs, as an exported model has it."""
        return self


class InferenceSettings(Settings):
    """Base of the settings by which a trained model is run.

    Attributes:
        tasks: what the networks that are run so were trained on.
        example: a field that these settings have and others do not, as a user writes it.

    >>> from everypose.methods.single_stage.settings import SingleStageInference
    >>> issubclass(SingleStageInference, InferenceSettings), SingleStageInference.tasks
    (True, ('single-stage',))
    """

    tasks: ClassVar[tuple[Task, ...]]
    example: ClassVar[str]

    def unfit(self, _backbone: BackboneSettings) -> str | None:
        """Return why a network with a backbone cannot be run so, for the user; None if it can."""
        return None


class MethodTraining(Settings):
    """Base of the recipe sections that only one method has, such as the weights of its losses.

    >>> MethodTraining().model_dump()
    {}
    """

    def unfit(self, _network: NetworkSettings) -> str | None:
        """Return why the sections do not fit the network, for the user; None if they do."""
        return None


@dataclass(frozen=True)
class Method:
    """One method, without torch.

    Attributes:
        settings: the settings of its network.
        training: the recipe sections that only this method has.
        implementation: ``module:name`` of its :class:`everypose.methods.spec.MethodSpec`; imported late, for torch.

    >>> from everypose.methods import BOIR
    >>> BOIR.family, BOIR.implementation
    ('boir', 'everypose.methods.boir.method:SPEC')
    """

    settings: type[NetworkSettings]
    training: type[MethodTraining]
    implementation: str

    @property
    def family(self) -> str:
        """The method's name in recipes and configurations."""
        family: str = self.settings.model_fields["family"].default
        return family
