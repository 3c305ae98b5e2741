"""The specification of HeatNet: how its network is made, initialized and trained."""

from torch import Tensor, nn

from everypose.methods.spec import Initialization, MethodSpec, Objective
from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.settings import TopDownTraining
from own_method.network import HeatNet, build_strides
from own_method.settings import HeatNetSettings


def build(settings: HeatNetSettings, keypoints: int) -> HeatNet:
    """Make the network with the framework's initial weights."""
    return HeatNet(build_strides(settings.backbone), keypoints)


def initialize(network: HeatNet, initialization: Initialization) -> None:
    """Start with heatmaps near 0."""
    if initialization is Initialization.PAPER:
        nn.init.normal_(network.head.weight, std=0.001)


def objective(_: TopDownTraining) -> Objective:
    """Return the loss: the mean squared error of the heatmaps."""

    def error(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return {"heatmap": joints_mse(heatmaps.float(), targets, weights)}

    return error


SPEC = MethodSpec(build=build, initialize=initialize, objective=objective)
