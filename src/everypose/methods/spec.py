"""The torch side of a method: how its network is made, trained and imported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar, cast

from torch import Tensor, nn

from everypose.core.plugins import load_reference
from everypose.core.settings import Settings
from everypose.methods.method import InferenceSettings, Method, MethodTraining, NetworkSettings
from everypose.skeleton.skeleton import Skeleton

SettingsT = TypeVar("SettingsT", bound=NetworkSettings)
NetworkT = TypeVar("NetworkT", bound=nn.Module)
TrainingT = TypeVar("TrainingT", bound=MethodTraining)

Objective = Callable[..., dict[str, Tensor]]
"""The weighted losses of a batch by name; training minimizes their sum.

Of a single-stage method: ``objective(outputs, targets)`` with the network's outputs and
:class:`everypose.methods.single_stage.targets.Targets`. Of a top-down method: ``objective(heatmaps, targets, weights)``
with heatmaps and targets (B, N, K, h, w) and keypoint weights (B, N, K). Of a refinement method:
``objective(heatmaps, points, valid)`` with logits (B, K, h, w), true positions (B, K, 2) in cells and a mask (B, K).
"""


class Initialization(Enum):
    """How the layers after the backbone are initialized.

    Attributes:
        PAPER: the paper's small weights.
        FRAMEWORK: the framework's weights for hidden layers, which are trained in far fewer steps.

    >>> Initialization("framework").name
    'FRAMEWORK'
    """

    PAPER = "paper"
    FRAMEWORK = "framework"


class Imported(NamedTuple):
    """The content of a released checkpoint.

    Attributes:
        settings: the network's settings, from the shapes of its tensors.
        keypoints: number of keypoints of its (first) skeleton, K.
        state: the state dict under everypose's names.
        inference: settings of inference that differ from those of the method's other checkpoints, by name.
        skeleton: name of the skeleton that the file's name states; None if it states none.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> Imported(CIDSettings(), keypoints=17, state={}).skeleton is None  # the file's name states none
    True
    """

    settings: NetworkSettings
    keypoints: int
    state: dict[str, Tensor]
    inference: Mapping[str, str] = MappingProxyType({})
    skeleton: str | None = None


class Selection(NamedTuple):
    """One skeleton of a network that has several.

    Attributes:
        network: finds that skeleton's keypoints.
        settings: its settings.
        skeleton: the skeleton.
        inference: how it is run.

    >>> from everypose.methods.single_stage.settings import SingleStageInference
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> selection = Selection(nn.Identity(), CIDSettings(), Skeleton.named("coco"), SingleStageInference())
    >>> len(selection.skeleton)
    17
    """

    network: nn.Module
    settings: NetworkSettings
    skeleton: Skeleton
    inference: InferenceSettings


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Generic[SettingsT, NetworkT, TrainingT]):
    """The torch side of a method.

    Attributes:
        build: settings and number of keypoints K -> the network with the framework's initial weights.
        initialize: reinitializes a network in place.
        objective: the recipe sections of the method -> its training losses. None for PoseBH, whose training task is
            its own.
        recognize: whether a state dict is that of a released checkpoint of this method. None if there are none.
        import_state: a released state dict and its file, for messages -> settings and state dict. Raises KeyError with
            the name of a tensor that is missing.
        export_state: everypose's state dict -> that of a released checkpoint.
        released_inference: settings, skeleton and (width, height) of the crops that the user names -> how the authors
            run the network.
        adapt_source: fits a trained model to the network whose training starts from it: the model, the network, the
            model's name, and the data set that a new one is like. None if the model is used as it is.
        fit_backbone: fits the weights of a pretrained backbone, under the backbone's names, to the network's backbone,
            which differs from it. None if they are used as they are.
        select_skeleton: chooses one skeleton of a network that has several: network, settings, how it is run, and the
            skeleton's name (None for the first, :data:`everypose.methods.method.ALL_SKELETONS` for all). None for a
            network with one skeleton.

    >>> from everypose.methods import CID
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> spec = spec_of(CID)
    >>> type(spec.build(CIDSettings(backbone=backbone, instance=4), 17)).__name__, spec.select_skeleton is None
    ('CID', True)
    """

    build: Callable[[SettingsT, int], NetworkT]
    initialize: Callable[[NetworkT, Initialization], None]
    objective: Callable[[TrainingT], Objective] | None = None
    recognize: Callable[[Mapping[str, Tensor]], bool] | None = None
    import_state: Callable[[Mapping[str, Tensor], Path], Imported] | None = None
    export_state: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    released_inference: Callable[[SettingsT, Skeleton, tuple[int, int]], Settings] | None = None
    adapt_source: Callable[[nn.Module, NetworkT, str, str], nn.Module] | None = None
    fit_backbone: Callable[[Mapping[str, Tensor], nn.Module], dict[str, Tensor]] | None = None
    select_skeleton: Callable[[NetworkT, SettingsT, InferenceSettings, str | None], Selection] | None = None


AnySpec = MethodSpec[NetworkSettings, nn.Module, MethodTraining]
"""A method's specification, whatever the types of its settings and network."""


def spec_of(method: Method) -> AnySpec:
    """Import the torch side of a method.

    >>> from everypose.methods import BOIR
    >>> spec_of(BOIR).recognize({"multihead.center_head.head.0.conv1.weight": None})
    True
    """
    return cast(AnySpec, load_reference(method.implementation))
