"""The specification of ViTPose: building, initialization, losses, released checkpoints."""

from torch import Tensor

from everypose.backbones.build import build_vit
from everypose.methods.spec import MethodSpec, Objective
from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.settings import TopDownTraining
from everypose.methods.vitpose import checkpoint
from everypose.methods.vitpose.network import HeatmapHead, SimpleHead, ViTPose, initialize
from everypose.methods.vitpose.settings import ViTPoseSettings


def build(settings: ViTPoseSettings, keypoints: int) -> ViTPose:
    """Make the network with the paper's initial weights.

    >>> backbone = {"width": 16, "depth": 1, "heads": 2, "image_size": (48, 64)}
    >>> build(ViTPoseSettings(backbone=backbone, channels=4), keypoints=17).head.keypoints
    17
    """
    vit = build_vit(settings.backbone)
    if settings.decoder == "simple":
        return ViTPose(vit, SimpleHead(vit.channels, keypoints))
    return ViTPose(vit, HeatmapHead(vit.channels, keypoints, settings.channels))


def objective(_: TopDownTraining) -> Objective:
    """Return the loss: the mean squared error of the heatmaps.

    >>> import torch
    >>> heatmaps, targets = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    >>> objective(TopDownTraining())(heatmaps, targets, torch.ones(1, 2))
    {'heatmap': tensor(1.)}
    """

    def error(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return {"heatmap": joints_mse(heatmaps.float(), targets, weights)}

    return error


SPEC = MethodSpec(
    build=build,
    initialize=initialize,
    objective=objective,
    recognize=checkpoint.is_plain,
    import_state=checkpoint.import_state,
    export_state=checkpoint.export_state,
    released_inference=checkpoint.released_inference,
)
