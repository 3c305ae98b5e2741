"""The specifications of SimpleBaseline and HRNet on crops."""

from torch import Tensor

from everypose.backbones.build import build_crop_backbone
from everypose.methods.spec import Initialization, MethodSpec, Objective
from everypose.methods.top_down import checkpoint
from everypose.methods.top_down.baselines import Baseline, initialize, make_baseline
from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.settings import HRNetPoseSettings, SimpleBaselineSettings, TopDownTraining


def build_simple_baseline(settings: SimpleBaselineSettings, keypoints: int) -> Baseline:
    """Make SimpleBaseline with the framework's initial weights.

    >>> backbone = {"kind": "resnet", "blocks": (1, 1, 1, 1)}
    >>> type(build_simple_baseline(SimpleBaselineSettings(backbone=backbone, deconv=8), keypoints=17)).__name__
    'SimpleBaseline'
    """
    return make_baseline(build_crop_backbone(settings.backbone), keypoints, settings.deconv)


def build_hrnet_pose(settings: HRNetPoseSettings, keypoints: int) -> Baseline:
    """Make HRNet or Lite-HRNet on crops with the framework's initial weights.

    >>> backbone = {"kind": "lite-hrnet", "width": 8, "modules": (1, 1, 1)}
    >>> build_hrnet_pose(HRNetPoseSettings(backbone=backbone), keypoints=17).head.out_channels
    17
    """
    return make_baseline(build_crop_backbone(settings.backbone), keypoints)


def initialize_baseline(network: Baseline, initialization: Initialization) -> None:
    """Reinitialize a baseline.

    >>> backbone = {"kind": "lite-hrnet", "width": 8, "modules": (1, 1, 1)}
    >>> network = build_hrnet_pose(HRNetPoseSettings(backbone=backbone), keypoints=17)
    >>> initialize_baseline(network, Initialization.PAPER)
    >>> float(network.head.weight.detach().abs().max()) < 0.01
    True
    """
    if initialization is Initialization.PAPER:
        initialize(network)


def objective(_: TopDownTraining) -> Objective:
    """Return the loss: half the mean squared error of the heatmaps.

    >>> import torch
    >>> heatmaps, targets = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    >>> objective(TopDownTraining())(heatmaps, targets, torch.ones(1, 2))
    {'heatmap': tensor(0.5000)}
    """

    def half_error(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return {"heatmap": 0.5 * joints_mse(heatmaps.float(), targets, weights)}

    return half_error


SIMPLE_BASELINE = MethodSpec(
    build=build_simple_baseline,
    initialize=initialize_baseline,
    objective=objective,
    recognize=checkpoint.recognizes_simple_baseline,
    import_state=checkpoint.import_simple_baseline,
    export_state=checkpoint.export_state,
    released_inference=checkpoint.released_inference,
)
HRNET = MethodSpec(
    build=build_hrnet_pose,
    initialize=initialize_baseline,
    objective=objective,
    recognize=checkpoint.recognizes_hrnet,
    import_state=checkpoint.import_hrnet,
    export_state=checkpoint.export_state,
    released_inference=checkpoint.released_inference,
)
