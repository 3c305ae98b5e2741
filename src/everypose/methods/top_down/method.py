"""The specifications of SimpleBaseline and HRNet on crops."""

from torch import Tensor

from everypose.backbones.build import build_crop_backbone
from everypose.methods.spec import Initialization, MethodSpec, Objective
from everypose.methods.top_down import checkpoint
from everypose.methods.top_down.baselines import Baseline, initialize, make_baseline
from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.settings import HRNetPoseSettings, SimpleBaselineSettings, TopDownTraining


def build_simple_baseline(settings: SimpleBaselineSettings, keypoints: int) -> Baseline:
    """Make SimpleBaseline with the framework's initial weights."""
    return make_baseline(build_crop_backbone(settings.backbone), keypoints, settings.deconv)


def build_hrnet_pose(settings: HRNetPoseSettings, keypoints: int) -> Baseline:
    """Make HRNet or Lite-HRNet on crops with the framework's initial weights."""
    return make_baseline(build_crop_backbone(settings.backbone), keypoints)


def initialize_baseline(network: Baseline, initialization: Initialization) -> None:
    """Reinitialize a baseline."""
    if initialization is Initialization.PAPER:
        initialize(network)


def objective(_: TopDownTraining) -> Objective:
    """Return the loss: half the mean squared error of the heatmaps."""

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
